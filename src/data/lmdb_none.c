/* SPDX-License-Identifier: MIT */
/*
 * Stands in for lmdb.c in a build without liblmdb: a database is recognised, and the
 * message says what to do. Invariant: exactly one of the two files is in a build.
 */
#include "data/index_int.h"

const bool sl_lmdb_built = false;

enum sl_status sl_lmdb_open(struct sl_error *err, const struct sl_source_config *config,
                            struct sl_reader *reader)
{
    *reader = (struct sl_reader){0};
    return SL_FAIL(err, SL_ERROR_DATA,
                   "%s: this build reads no LMDB (liblmdb was left out); build with it, "
                   "or unpack the pictures into a folder",
                   config->data);
}
