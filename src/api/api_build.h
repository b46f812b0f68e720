/* SPDX-License-Identifier: MIT */
/* Private to the api folder: the build's choices as values (build_info.c). */
#ifndef SRC_API_API_BUILD_H
#define SRC_API_API_BUILD_H

#include <stdbool.h>

struct api_build {
    const char *version, *type, *compiler, *sanitize;
    bool onednn, jpeg, png, webp, tiff, zlib, archive, lmdb, openmp;
};
extern const struct api_build api_build;

#endif
