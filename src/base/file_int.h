/* SPDX-License-Identifier: MIT */
/*
 * Private to src/base: opening files, and errors in words, for those who read in parts.
 */
#ifndef SRC_BASE_FILE_INT_H
#define SRC_BASE_FILE_INT_H

#include "base/base.h"

/* Opens a regular file for reading and tells its size. A pipe is refused, not waited for.
 */
enum sl_status sl_file_open_regular(struct sl_error *err, enum sl_status missing,
                                    const char *path, int *fd, int64_t *size);
/* "cannot <verb> <path>: <reason>", the reason being that of an errno. */
enum sl_status sl_file_fail(struct sl_error *err, enum sl_status status, const char *verb,
                            const char *path, int code);

#endif
