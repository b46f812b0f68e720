# SPDX-License-Identifier: MIT
#
# What `make install` copies: program, libraries, public header, recipes, pkg-config file.

install(TARGETS slimclr ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
if(SLIM_SHARED)
    install(TARGETS slimclr_shared LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
endif()
if(TARGET slimclr_program)
    install(TARGETS slimclr_program RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()
install(FILES include/slimclr.h DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" OPTIONAL)
install(DIRECTORY recipes/ DESTINATION "${CMAKE_INSTALL_DATADIR}/slimclr/recipes"
    FILES_MATCHING PATTERN "*.conf")
install(FILES LICENSE README.md DESTINATION "${CMAKE_INSTALL_DOCDIR}")

# A static link needs what the objects need; the shared library carries it itself.
set(SLIM_PC_LIBS_PRIVATE "-ljansson")
foreach(pair "ONEDNN:-ldnnl" "JPEG:-ljpeg" "PNG:-lspng" "ZLIB:-lz" "ARCHIVE:-larchive"
        "LMDB:-llmdb" "OPENMP:-fopenmp")
    string(REPLACE ":" ";" pair "${pair}")
    list(GET pair 0 switch)
    list(GET pair 1 flag)
    if(SLIM_${switch})
        string(APPEND SLIM_PC_LIBS_PRIVATE " ${flag}")
    endif()
endforeach()
string(APPEND SLIM_PC_LIBS_PRIVATE " -lpthread -lm")
# Paths are relative to the file itself, so that `cmake --install --prefix` may say where.
file(RELATIVE_PATH SLIM_PC_PREFIX
    "/x/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/x")
configure_file(cmake/slimclr.pc.in "${CMAKE_BINARY_DIR}/slimclr.pc" @ONLY)
install(FILES "${CMAKE_BINARY_DIR}/slimclr.pc"
    DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
