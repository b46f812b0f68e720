# SPDX-License-Identifier: MIT
#
# slim_test(NAME SOURCES file.c… [LABELS quick|full|device…] [TIMEOUT seconds])
#     A cmocka program run by CTest: own process, own empty folder to write in, time-out
#     (default 120 s), exit status 77 = skipped. Label quick unless told otherwise; a test whose
#     name says pool, loader, team or parity_numbers also gets the label threads, which the
#     thread sanitizer runs (of which it does not see oneDNN and its threads).
#
# slim_fuzz(NAME SOURCES file.c…)
#     A file with LLVMFuzzerTestOneInput. Normal builds replay tests/fuzz/corpus/NAME/ (or without fuzz_) through
#     it, whole and damaged; with SLIM_FUZZ it becomes a libFuzzer program, not run by CTest.
#
# Environment of every test:
#     SLIMCLR_TEST_DATA      as the caller has it: packed public data sets; unset = skip visibly
#     SLIMCLR_TEST_UNPACKED  <build>/testdata (SLIM_TESTDATA), where tools/testdata.sh has unpacked them
#                            (cifar-10-batches-bin/*.bin, mnist/*.gz, imagenette-224/,
#                            photo-variants/); a folder that is missing there = skip
#     SLIMCLR_SOURCE         the source tree
#     SLIMCLR_PROGRAM        the program, for tests/cli
#     XDG_CACHE_HOME         a folder of the test's own: no test writes into a user's cache

# Targets that build the tests of one label.
foreach(label quick full threads)
    add_custom_target(tests_${label})
endforeach()

# Everything both kinds share.
function(slim_test_common name target)
    set(scratch "${CMAKE_BINARY_DIR}/scratch/${name}")
    file(MAKE_DIRECTORY "${scratch}")
    set_tests_properties(${name} PROPERTIES
        WORKING_DIRECTORY "${scratch}"
        SKIP_RETURN_CODE 77
        FIXTURES_REQUIRED testdata
        ENVIRONMENT "SLIMCLR_TEST_UNPACKED=${SLIM_TESTDATA};\
SLIMCLR_SOURCE=${PROJECT_SOURCE_DIR};\
SLIMCLR_PROGRAM=${CMAKE_BINARY_DIR}/slimclr;\
XDG_CACHE_HOME=${scratch}/cache;\
ASAN_OPTIONS=detect_stack_use_after_return=1;\
UBSAN_OPTIONS=print_stacktrace=1;\
TSAN_OPTIONS=halt_on_error=1:ignore_noninstrumented_modules=1")
    target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/src"
                                                 "${PROJECT_SOURCE_DIR}/tests")
    target_link_libraries(${target} PRIVATE slimclr_options slimclr)
endfunction()

function(slim_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "SOURCES;LABELS")
    if(arg_UNPARSED_ARGUMENTS OR NOT arg_SOURCES)
        message(FATAL_ERROR "slim_test(${name}): wants SOURCES file.c… [LABELS …] [TIMEOUT s]")
    endif()
    if(NOT arg_LABELS)
        set(arg_LABELS quick)
    endif()
    if(name MATCHES "pool|loader|team|parity_numbers")
        list(APPEND arg_LABELS threads)
    endif()
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 120)
    endif()
    if(SLIM_SANITIZE)
        math(EXPR arg_TIMEOUT "${arg_TIMEOUT} * 5")
    endif()
    set(target "test_${name}")
    add_executable(${target} ${arg_SOURCES})
    set_target_properties(${target} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
    add_test(NAME ${name} COMMAND ${target})
    slim_test_common(${name} ${target})
    target_link_libraries(${target} PRIVATE slim::cmocka)
    if(TARGET slimclr_program)
        add_dependencies(${target} slimclr_program)
    endif()
    set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT})
    # What trains takes all cores: two such tests at once wait for each other's threads.
    if(name MATCHES "^(cli|learn)_" OR "full" IN_LIST arg_LABELS)
        cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)
        set_tests_properties(${name} PROPERTIES PROCESSORS ${cores})
    endif()
    foreach(label IN LISTS arg_LABELS)
        if(NOT TARGET tests_${label})
            add_custom_target(tests_${label})
        endif()
        add_dependencies(tests_${label} ${target})
    endforeach()
endfunction()

function(slim_fuzz name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES")
    if(arg_UNPARSED_ARGUMENTS OR NOT arg_SOURCES)
        message(FATAL_ERROR "slim_fuzz(${name}): wants SOURCES file.c…")
    endif()
    set(target "fuzz_${name}")
    if(name MATCHES "^fuzz_")
        set(target "${name}")
    endif()
    if(SLIM_FUZZ)
        add_executable(${target} ${arg_SOURCES})
        target_link_options(${target} PRIVATE -fsanitize=fuzzer)
        target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/src")
        target_link_libraries(${target} PRIVATE slimclr_options slimclr)
        set_target_properties(${target} PROPERTIES
            RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
        return()
    endif()
    add_executable(${target} ${arg_SOURCES} "${PROJECT_SOURCE_DIR}/tests/fuzz/replay_main.c")
    set_target_properties(${target} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
    set(corpus "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name}")
    if(NOT EXISTS "${corpus}")
        string(REGEX REPLACE "^fuzz_" "" bare "${name}")
        set(corpus "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${bare}")
    endif()
    add_test(NAME ${target} COMMAND ${target} "${corpus}")
    slim_test_common(${target} ${target})
    set_tests_properties(${target} PROPERTIES LABELS quick TIMEOUT 300)
    add_dependencies(tests_quick ${target})
endfunction()
