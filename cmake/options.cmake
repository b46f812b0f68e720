# SPDX-License-Identifier: MIT
#
# Switches of the build and how every file of ours is compiled.

set(SLIM_SANITIZE "" CACHE STRING "Sanitizers for all targets: address,undefined or thread")
option(SLIM_FUZZ "Build tests/fuzz with clang's libFuzzer instead of the replaying main" OFF)
option(SLIM_SHARED "Build the shared library beside the static one" ON)
option(SLIM_WERROR "Warnings are errors" ON)
set(SLIM_TESTDATA "${CMAKE_BINARY_DIR}/testdata" CACHE PATH
    "Where tools/testdata.sh unpacks public data sets for the tests")

add_library(slimclr_options INTERFACE)
target_compile_features(slimclr_options INTERFACE c_std_11)
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
target_compile_definitions(slimclr_options
    INTERFACE _POSIX_C_SOURCE=200809L _DEFAULT_SOURCE _FILE_OFFSET_BITS=64)
# No contraction of a * b + c, so that pixels, losses and the ref backend give the same bits on
# every machine; slim_tune_sources() lifts it for the vendor files, where parity has tolerances.
target_compile_options(slimclr_options INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
    -Wconversion -Wno-sign-conversion
    $<$<BOOL:${SLIM_WERROR}>:-Werror>
    -ffp-contract=off -fno-math-errno
    # A loop that clang did not vectorise is slower, not wrong.
    $<$<C_COMPILER_ID:Clang>:-Wno-pass-failed>)

if(SLIM_FUZZ AND NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "SLIM_FUZZ needs clang (seen: ${CMAKE_C_COMPILER_ID}); "
                        "configure with -DCMAKE_C_COMPILER=clang")
endif()
if(SLIM_SANITIZE)
    target_compile_options(slimclr_options INTERFACE
        -fsanitize=${SLIM_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(slimclr_options INTERFACE -fsanitize=${SLIM_SANITIZE})
endif()
if(SLIM_FUZZ)
    target_compile_options(slimclr_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# slim_tune_sources(TARGET): flags that belong to files by their name. Called once, after every
# folder has added its list, because source properties are read in the target's own folder.
#
#   backend/cpu*.c     contraction
#   *_openmp.c         OpenMP
#   *_avx2.c           AVX2 and FMA      (x86-64 only; each has a plain twin, chosen by cpuid.c)
#   *_avx512.c         AVX-512 F BW DQ VL
#   *_avx512bf16.c     the same and BF16
#   *_avx512vnni.c     the same and VNNI, VBMI
function(slim_tune_sources target)
    get_target_property(sources ${target} SOURCES)
    if(NOT sources)
        return()
    endif()
    foreach(source IN LISTS sources)
        set(flags "")
        if(source MATCHES "/backend/cpu[^/]*\\.c$")
            list(APPEND flags -ffp-contract=fast)
        endif()
        if(source MATCHES "_openmp\\.c$")
            list(APPEND flags ${OpenMP_C_FLAGS})
        endif()
        if(source MATCHES "_avx2\\.c$")
            list(APPEND flags -mavx2 -mfma)
        elseif(source MATCHES "_avx512\\.c$")
            list(APPEND flags -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma)
        elseif(source MATCHES "_avx512vnni\\.c$")
            list(APPEND flags -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni
                -mavx512vbmi -mfma)
        elseif(source MATCHES "_avx512bf16\\.c$")
            # Their sums stay in registers only when loops unroll: in any build, or tests crawl.
            list(APPEND flags -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512bf16 -mfma -O3)
        endif()
        if(flags)
            separate_arguments(flags UNIX_COMMAND "${flags}")
            set_property(SOURCE "${source}" APPEND PROPERTY COMPILE_OPTIONS ${flags})
        endif()
    endforeach()
    if(SLIM_OPENMP)
        target_link_options(${target} INTERFACE ${OpenMP_C_FLAGS})
    endif()
endfunction()
