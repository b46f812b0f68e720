/* SPDX-License-Identifier: MIT */
/*
 * store: files that outlive a run. The container is safetensors (an 8-byte little-endian
 * header length, a JSON header, flat bytes), so that any tool can read what we write. A
 * checkpoint is a list of named tensors and a configuration text in the header's
 * `__metadata__`, sealed with a checksum; it is written to a temporary and renamed:
 * complete, or absent. Bytes read are never trusted before they are checked.
 */
#ifndef SRC_STORE_STORE_H
#define SRC_STORE_STORE_H

#include "backend/backend.h"
#include "base/base.h"
#include "tensor/tensor.h"

/* ---- tensor file (safetensors.c) --------------------------------------------------- */

/* One string of the header's metadata. */
struct sl_meta {
    const char *key, *value;
};

/* Writes tensors (in list order; backend memory is fetched through the device) and
 * metadata to `path`, atomically. Adds the metadata key "checksum": 16 hex digits of
 * sl_hash over the header with that field's digits as '0', then the buffer. Errors:
 * SL_ERROR_RUN (disk full, …). */
enum sl_status sl_tensor_file_write(struct sl_error *err, const char *path,
                                    const struct sl_device *device,
                                    const struct sl_named_list *list,
                                    const struct sl_meta *meta, int n_meta);

/* An opened file: its map, tensors that view the map, and metadata. */
struct sl_tensor_file;
/* Checks header length, JSON, names, dtypes, shapes, offsets (in range, no overlap, no
 * holes) before use. Damage is SL_ERROR_RUN: "…: cut short …", "…: checksum differs:
 * damaged". `need_checksum`: a file without one is refused. */
enum sl_status sl_tensor_file_open(struct sl_error *err, const char *path,
                                   bool need_checksum, struct sl_tensor_file **file);
/* The same from memory (borrowed): what the fuzzer drives. */
enum sl_status sl_tensor_file_parse(struct sl_error *err, const char *name,
                                    const unsigned char *bytes, int64_t size,
                                    bool need_checksum, struct sl_tensor_file **file);
void sl_tensor_file_close(struct sl_tensor_file *file);
/* The path, or the name it was parsed under. */
const char *sl_tensor_file_name(const struct sl_tensor_file *file);
const struct sl_named_list *sl_tensor_file_list(const struct sl_tensor_file *file);
/* NULL when absent. */
const char *sl_tensor_file_meta(const struct sl_tensor_file *file, const char *key);
/* SHA-like identity for tests and for the record: the checksum text, or "". */
const char *sl_tensor_file_checksum(const struct sl_tensor_file *file);

/* ---- names of classes (classes.c) -------------------------------------------------- */

enum { SL_CLASSES_MOST = 1 << 20, SL_CLASSES_BYTES_MOST = 1 << 24 };

/* What the outputs of a checkpoint's classifier are called, in their order; any bytes but
 * zero. n = 0: the file does not say. */
struct sl_classes {
    const char **names; /* of the heap */
    int n;
    char *text; /* what they point into, or NULL: lent by others */
};
void sl_classes_finish(struct sl_classes *classes);
/* The metadata's entry: its key, and its text, which stays empty when there are no names,
 * or more than SL_CLASSES_BYTES_MOST bytes of them. */
const char *sl_classes_key(void);
enum sl_status sl_classes_write(struct sl_error *err, const struct sl_classes *classes,
                                struct sl_text *text);
/* The names that a file holds, to be finished by the caller. An entry that is no list of
 * names is SL_ERROR_RUN; how many there should be, the caller knows. */
enum sl_status sl_checkpoint_classes(struct sl_error *err,
                                     const struct sl_tensor_file *file,
                                     struct sl_classes *classes);

/* ---- checkpoint (checkpoint.c) ----------------------------------------------------- */

/* Writes state and configuration (only what determines the numbers: no path, time, host,
 * worker count), and the names of the classifier's classes, which determine what they
 * mean; NULL: there are none. */
enum sl_status sl_checkpoint_save(struct sl_error *err, const char *path,
                                  const struct sl_device *device,
                                  const struct sl_named_list *state, const char *conf,
                                  const struct sl_classes *classes);
/* Opens and verifies; not one of ours (no configuration) is SL_ERROR_RUN. */
enum sl_status sl_checkpoint_open(struct sl_error *err, const char *path,
                                  struct sl_tensor_file **file);
const char *sl_checkpoint_conf(const struct sl_tensor_file *file);
/* Copies every tensor of `state` from the file. A name that is missing, or another shape
 * or dtype, is SL_ERROR_USAGE (the checkpoint belongs to another architecture or other
 * widths) naming the file, the first tensor, what is there and what was expected.
 * `exact`: tensors of the file that `state` lacks are refused too. Nothing is written
 * before all were checked. */
enum sl_status sl_checkpoint_restore(struct sl_error *err,
                                     const struct sl_tensor_file *file,
                                     const struct sl_device *device,
                                     const struct sl_named_list *state, bool exact);
/* RUN/checkpoints/last.safetensors, or PATH itself when it is a file. SL_ERROR_RUN when
 * there is none. */
enum sl_status sl_checkpoint_find(struct sl_error *err, const char *run_or_file,
                                  char *path, size_t size);
/* Names "epoch=0010-step=00001950.safetensors". */
void sl_checkpoint_name(int64_t epoch, int64_t step, char *dst, size_t size);
/* Removes all but the newest `keep` of the named checkpoints in a directory
 * (last.safetensors is not one of them); also temporaries (*.tmp.PID) that a killed
 * process left. */
void sl_checkpoint_prune(const char *directory, int keep);

/* ---- snapshots (snapshot.c) -------------------------------------------------------- */

/* Parameters as they were at one moment of a run: a checkpoint's file without what only
 * training needs. */
struct sl_snapshot {
    int64_t epoch, step; /* completed */
    char width[16];      /* after whose update it was taken; "": after that of all */
    char name[96];
};
/* "epoch=0010-step=00001950.safetensors", with "-w0.50" before the ending for a width
 * (its text, or ""). */
void sl_snapshot_name(int64_t epoch, int64_t step, const char *width, char *dst,
                      size_t size);
/* Those in a directory by step, of one step the wider width first; free the list with
 * sl_heap_free, after a failure too. */
enum sl_status sl_snapshot_list(struct sl_error *err, const char *directory,
                                struct sl_snapshot **list, int64_t *n);
/* Removes those of a greater step, and temporaries; a directory that is not there is
 * fine. */
void sl_snapshot_cut(const char *directory, int64_t through);

#endif
