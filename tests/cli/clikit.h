/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the program share: running it as a user does, with its output and
 * exit status, and looking at the files it leaves. Every helper fails the running test
 * when it cannot do its work. Not a test by itself; paths are relative to the test's own
 * folder.
 */
#ifndef TESTS_CLI_CLIKIT_H
#define TESTS_CLI_CLIKIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

/* A small data set and a net of two widths (16 and 8 channels) that trains on it in about
 * a second: 256 pictures, batch 32, so 8 steps an epoch. */
#define CLI_DATA "synthetic:size=16,n=256,test=100"
#define CLI_NET "-a", "resnet8-b16", "-w", "1,0.5", "-b", "32", "-q", "--log-every", "1"

struct cli_result {
    int status; /* exit status, or -1 when a signal ended it */
    int signal;
    char *out, *err; /* whole texts, until the next run of this test program */
};

/* Runs the program of SLIMCLR_PROGRAM with the words up to NULL and waits. The result
 * lives until the next call. */
const struct cli_result *cli_run(const char *const *words);
#define RUN(...) cli_run((const char *const[]){__VA_ARGS__, NULL})

/* The same in two halves; cli_result after cli_start is had with cli_finish. */
pid_t cli_start(const char *const *words);
const struct cli_result *cli_finish(pid_t child);
#define START(...) cli_start((const char *const[]){__VA_ARGS__, NULL})

/* Largest file that the next runs may write in bytes (a full disk); 0 = no limit. */
void cli_limit_files(int64_t bytes);

/* The run must end with this status and nothing on standard output. */
void cli_expect_silent(const struct cli_result *result, int status);
/* It must have failed with this status, nothing on standard output, and exactly one line
 * on standard error that begins with "slimclr" and holds `word`. */
void cli_expect_refused(const struct cli_result *result, int status, const char *word);
/* It must have succeeded; shows standard error where not. */
void cli_expect_done(const struct cli_result *result);

/* ---- files ------------------------------------------------------------------------- */

/* Removes a file or a folder with all in it, if it is there. */
void cli_remove(const char *path);
void cli_folder(const char *path);
void cli_write(const char *path, const void *bytes, size_t size);
/* A P6 picture of one colour. */
void cli_write_ppm(const char *path, int height, int width, int red, int green, int blue);
/* A P6 picture whose pixels depend on `key` alone. */
void cli_write_noise(const char *path, int height, int width, uint32_t key);
bool cli_exists(const char *path);
/* Whole file, one NUL after its end; free with cli_free. */
unsigned char *cli_read(const char *path, int64_t *size);
void cli_free(void *memory);
/* The first `bytes` bytes of a file (all of them when negative) into another. */
void cli_copy(const char *from, const char *to, int64_t bytes);
uint64_t cli_hash(const char *path);
void cli_same_bytes(const char *a, const char *b);
/* Names in the folder and below that hold ".tmp." must not be there. */
void cli_no_torn_files(const char *path);
/* "SOURCE/NAME" of the source tree. */
const char *cli_source(const char *name);
/* A folder of the unpacked public data, or NULL: then skip(). */
const char *cli_unpacked(const char *name);

/* ---- what a run wrote -------------------------------------------------------------- */

/* The last step in RUN/metrics.jsonl, or 0. */
int64_t cli_last_step(const char *run);
/* Waits until the metrics of a running child show a step; fails when the child ends first
 * or after two minutes. */
void cli_wait_for_step(const char *run, int64_t step, pid_t child);
/* RUN/metrics.jsonl must hold steps 1..last, each once, in order. */
void cli_expect_steps(const char *run, int64_t last);
/* Standard output must be one JSON object and one newline; json_decref it. */
json_t *cli_json(const struct cli_result *result);
/* A float32 tensor of a safetensors file; free with cli_free. */
float *cli_tensor(const char *path, const char *name, size_t *n);

#endif
