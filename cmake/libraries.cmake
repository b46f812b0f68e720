# SPDX-License-Identifier: MIT
#
# Libraries of others. Each becomes one imported target slim::NAME, and, when it is optional, one
# switch SLIM_NAME that is on when it is found and may be set to OFF. A folder's list then takes
# whole files in or out: slim_optional(SLIM_JPEG jpeg jpeg.c).

# slim_find(NAME header library): sets SLIM_FOUND_NAME and makes slim::name.
function(slim_find name header library)
    string(TOUPPER "${name}" upper)
    find_path(SLIM_${upper}_INCLUDE "${header}")
    find_library(SLIM_${upper}_LIBRARY "${library}")
    mark_as_advanced(SLIM_${upper}_INCLUDE SLIM_${upper}_LIBRARY)
    if(SLIM_${upper}_INCLUDE AND SLIM_${upper}_LIBRARY)
        set(SLIM_FOUND_${upper} TRUE PARENT_SCOPE)
        add_library(slim::${name} UNKNOWN IMPORTED GLOBAL)
        set_target_properties(slim::${name} PROPERTIES
            IMPORTED_LOCATION "${SLIM_${upper}_LIBRARY}"
            INTERFACE_INCLUDE_DIRECTORIES "${SLIM_${upper}_INCLUDE}")
    else()
        set(SLIM_FOUND_${upper} FALSE PARENT_SCOPE)
    endif()
endfunction()

# slim_optional(switch name file…): the files and slim::name with the switch on, else of each file
# FILE.c its twin FILE_none.c.
function(slim_optional switch name)
    set(files ${ARGN})
    if(${switch})
        target_link_libraries(slimclr_objects PUBLIC slim::${name})
    else()
        list(TRANSFORM files REPLACE "\\.c$" "_none.c")
    endif()
    target_sources(slimclr_objects PRIVATE ${files})
endfunction()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

slim_find(jansson jansson.h jansson)
if(NOT SLIM_FOUND_JANSSON)
    message(FATAL_ERROR "jansson was not found; on Debian or Ubuntu: "
                        "apt-get install libjansson-dev (tools/deps.sh lists all)")
endif()

slim_find(dnnl dnnl.h dnnl)
slim_find(jpeg jpeglib.h jpeg)
slim_find(spng spng.h spng)
slim_find(webp webp/decode.h webp)
slim_find(tiff tiffio.h tiff)
slim_find(zlib zlib.h z)
slim_find(archive archive.h archive)
slim_find(lmdb lmdb.h lmdb)
slim_find(cmocka cmocka.h cmocka)
find_package(OpenMP QUIET COMPONENTS C)

# Before 4.5 libtiff reports errors through one handler for the whole process, which a library that
# runs several loaders cannot use.
if(SLIM_FOUND_TIFF)
    set(CMAKE_REQUIRED_LIBRARIES slim::tiff)
    check_symbol_exists(TIFFClientOpenExt tiffio.h SLIM_TIFF_IS_NEW)
    unset(CMAKE_REQUIRED_LIBRARIES)
    if(NOT SLIM_TIFF_IS_NEW)
        set(SLIM_FOUND_TIFF FALSE)
        message(STATUS "libtiff is older than 4.5 and is not used")
    endif()
endif()

cmake_dependent_option(SLIM_ONEDNN "cpu backend on oneDNN" ON "SLIM_FOUND_DNNL" OFF)
cmake_dependent_option(SLIM_JPEG "JPEG reader (libjpeg-turbo)" ON "SLIM_FOUND_JPEG" OFF)
cmake_dependent_option(SLIM_PNG "PNG reader and writer (libspng)" ON "SLIM_FOUND_SPNG" OFF)
cmake_dependent_option(SLIM_WEBP "WebP reader (libwebp)" ON "SLIM_FOUND_WEBP" OFF)
cmake_dependent_option(SLIM_TIFF "TIFF reader (libtiff 4.5)" ON "SLIM_FOUND_TIFF" OFF)
cmake_dependent_option(SLIM_ZLIB "gzipped files, deflated zip members (zlib)" ON
                       "SLIM_FOUND_ZLIB" OFF)
cmake_dependent_option(SLIM_ARCHIVE "tar and zip archives (libarchive)" ON
                       "SLIM_FOUND_ARCHIVE" OFF)
cmake_dependent_option(SLIM_LMDB "LMDB of pictures (liblmdb)" ON "SLIM_FOUND_LMDB" OFF)
cmake_dependent_option(SLIM_OPENMP "Keep oneDNN from making OpenMP threads of its own" ON
                       "OpenMP_C_FOUND;SLIM_ONEDNN" OFF)
set(SLIM_CMOCKA ${SLIM_FOUND_CMOCKA})

foreach(name ONEDNN JPEG PNG WEBP TIFF ZLIB ARCHIVE LMDB OPENMP)
    if(SLIM_${name})
        message(STATUS "SLIM_${name}: yes")
    else()
        message(STATUS "SLIM_${name}: no")
    endif()
endforeach()
