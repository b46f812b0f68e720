/* SPDX-License-Identifier: MIT */
/*
 * What was compiled in. The build hands its choices to this file alone (CMakeLists.txt),
 * as SLIM_BUILD_*.
 */
#include "api_build.h"

const struct api_build api_build = {
    .version = SLIM_BUILD_VERSION,
    .type = SLIM_BUILD_TYPE,
    .compiler = SLIM_BUILD_COMPILER,
    .sanitize = SLIM_BUILD_SANITIZE,
    .onednn = SLIM_BUILD_ONEDNN,
    .jpeg = SLIM_BUILD_JPEG,
    .png = SLIM_BUILD_PNG,
    .webp = SLIM_BUILD_WEBP,
    .tiff = SLIM_BUILD_TIFF,
    .zlib = SLIM_BUILD_ZLIB,
    .archive = SLIM_BUILD_ARCHIVE,
    .lmdb = SLIM_BUILD_LMDB,
    .openmp = SLIM_BUILD_OPENMP,
};
