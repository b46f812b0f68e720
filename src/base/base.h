/* SPDX-License-Identifier: MIT */
/*
 * base: what every other folder stands on and what knows nothing of learning: status and
 * error record, log, memory, counter-based random numbers, small dense matrices, worker
 * threads, files, and the table of keys behind configuration file, command line and help.
 *
 * Only the C library and pthreads are used here. Nothing is global except the log sink
 * and two counters that tests read (allocations, bytes).
 */
#ifndef SRC_BASE_BASE_H
#define SRC_BASE_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#if defined(__GNUC__)
#define SL_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define SL_NORETURN __attribute__((noreturn))
#define SL_UNUSED __attribute__((unused))
/* For functions whose arguments must be constants where they are called. */
#define SL_INLINE static inline __attribute__((always_inline))
#else
#define SL_PRINTF(fmt, args)
#define SL_NORETURN
#define SL_UNUSED
#define SL_INLINE static inline
#endif

/* Before a loop of at most 16 rounds, constant where its function is inlined: one round
 * after another, so that an array indexed by the counter stays in registers. */
#if defined(__GNUC__) && !defined(__clang__)
#define SL_UNROLL _Pragma("GCC unroll 16")
#else
#define SL_UNROLL
#endif

#define SL_COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* ---- status and error record (status.c) -------------------------------------------- */

/* What went wrong, in the classes a caller can act on. The program's exit status follows
 * from it (sl_status_exit). */
enum sl_status {
    SL_OK = 0,
    SL_ERROR_RUN,   /* exit 1: disk, memory, a damaged checkpoint */
    SL_ERROR_USAGE, /* exit 2: bad option, contradiction, batch larger than the data */
    SL_ERROR_DATA, /* exit 3: missing path, no images, truncated file, too many damaged */
    SL_ERROR_NUMBERS, /* exit 4: a loss or gradient that is not finite; collapse on
                         request */
    SL_STOPPED        /* exit 75: asked to stop, and a checkpoint was written */
};

enum { SL_ERROR_TEXT_MAX = 1024 };

/* The first failure of an operation. Zero-initialise before use ({0}); every function
 * that can fail takes a pointer to one as its first argument (never NULL) and writes it
 * only when it detects the failure itself; who merely passes a failure on is silent. */
struct sl_error {
    enum sl_status status;
    char text[SL_ERROR_TEXT_MAX]; /* one line: object, rule, value seen, what to do */
    const char *file;             /* where it was detected, for developers */
    int line;
};

/* Records status and message unless the record already holds a failure, and returns the
 * status recorded first. Newlines in the formatted text become spaces. Use SL_FAIL. */
enum sl_status sl_error_set(struct sl_error *err, const char *file, int line,
                            enum sl_status status, const char *format, ...)
    SL_PRINTF(5, 6);

/* Detects: `return SL_FAIL(err, SL_ERROR_DATA, "%s: ...", path);` */
#define SL_FAIL(err, status, ...)                                                        \
    sl_error_set((err), __FILE__, __LINE__, (status), __VA_ARGS__)

/* Makes the record empty again, for a caller that handled the failure. */
void sl_error_clear(struct sl_error *err);

/* Exit status of the program for a status: 0, 1, 2, 3, 4 or 75. */
int sl_status_exit(enum sl_status status);

/* Passes a failure on; the second form goes to the function's single `out` label, with
 * the status in the local variable `status`. */
#define SL_TRY(call)                                                                     \
    do {                                                                                 \
        enum sl_status sl_try_status_ = (call);                                          \
        if (sl_try_status_ != SL_OK) {                                                   \
            return sl_try_status_;                                                       \
        }                                                                                \
    } while (0)
#define SL_TRY_OUT(call)                                                                 \
    do {                                                                                 \
        status = (call);                                                                 \
        if (status != SL_OK) {                                                           \
            goto out;                                                                    \
        }                                                                                \
    } while (0)

/* A broken contract inside the library: a bug, not an error. Stays on in release. */
#define SL_ASSERT(condition)                                                             \
    ((condition) ? (void)0 : sl_assert_failed(#condition, __FILE__, __LINE__))
SL_NORETURN void sl_assert_failed(const char *condition, const char *file, int line);

/* ---- log (status.c) ---------------------------------------------------------------- */

enum sl_log_level { SL_LOG_ERROR, SL_LOG_WARNING, SL_LOG_INFO, SL_LOG_DEBUG };

/* Receives whole lines without a newline. May be called from any thread. */
typedef void (*sl_log_fn)(void *context, enum sl_log_level level, const char *line);

/* Where lines go; NULL (the start) drops them. Not to be changed while threads run. */
void sl_log_set(sl_log_fn sink, void *context);
void sl_log(enum sl_log_level level, const char *format, ...) SL_PRINTF(2, 3);

/* ---- memory (arena.c) -------------------------------------------------------------- */

/* a * b, or false when it does not fit in int64_t or either is negative. */
bool sl_mul_checked(int64_t a, int64_t b, int64_t *product);

/* Zeroed heap memory aligned to 64 bytes for `count` items of `size` bytes. On failure
 * writes err (SL_ERROR_RUN, naming `what`) and leaves *memory NULL. count 0 gives a valid
 * pointer. Free with sl_heap_free (NULL is fine). */
enum sl_status sl_heap_alloc(struct sl_error *err, const char *what, int64_t count,
                             size_t size, void *memory_pointer);
void sl_heap_free(void *memory);

/* Number of sl_heap_alloc calls of this process that succeeded; bytes now held and the
 * most ever held. For the tests that nothing is allocated between steps, and for reports.
 */
int64_t sl_heap_calls(void);
int64_t sl_heap_bytes(void);
int64_t sl_heap_peak(void);

/* Test hook: the k-th allocation from now fails (k >= 1); 0 switches it off. */
void sl_heap_fail_at(int64_t k);

/* Bump allocator: grows by chained blocks, frees all at once. Not thread-safe: one owner.
 */
struct sl_arena;
struct sl_arena_mark {
    void *block;
    size_t used;
};
enum sl_status sl_arena_create(struct sl_error *err, size_t first_block_bytes,
                               struct sl_arena **arena);
void sl_arena_destroy(struct sl_arena *arena);
/* Zeroed, aligned to 64 bytes; lives until the arena is reset below it or destroyed.
 * Writes err (SL_ERROR_RUN) when memory is out. */
enum sl_status sl_arena_alloc(struct sl_error *err, struct sl_arena *arena, int64_t count,
                              size_t size, void *memory_pointer);
/* The same without the zeros, for what is written over at once: whatever was there. */
enum sl_status sl_arena_alloc_dirty(struct sl_error *err, struct sl_arena *arena,
                                    int64_t count, size_t size, void *memory_pointer);
/* Copy of a text in the arena. */
enum sl_status sl_arena_text(struct sl_error *err, struct sl_arena *arena,
                             const char *text, const char **copy);
struct sl_arena_mark sl_arena_mark_now(const struct sl_arena *arena);
/* Back to the mark; blocks are kept for reuse, so that a warm arena never allocates. */
void sl_arena_reset(struct sl_arena *arena, struct sl_arena_mark mark);
/* Back to empty. */
void sl_arena_reset_all(struct sl_arena *arena);
size_t sl_arena_capacity(const struct sl_arena *arena);

/* A text that grows; zero-initialise, finish frees. On lack of memory `failed` is set and
 * further calls do nothing. text is never NULL after the first append. */
struct sl_text {
    char *text;
    size_t length, capacity;
    bool failed;
};
void sl_text_add(struct sl_text *text, const char *format, ...) SL_PRINTF(2, 3);
void sl_text_add_bytes(struct sl_text *text, const void *bytes, size_t count);
void sl_text_finish(struct sl_text *text);

/* Copies at most size-1 bytes and always terminates; true when all fitted. */
bool sl_text_copy(char *dst, size_t size, const char *src);
/* What a word gets behind a number: "" for one, else "s". */
const char *sl_plural(double n);

/* FNV-1a over bytes, 64 bit; start with SL_HASH_START. For fingerprints and checksums. */
#define SL_HASH_START UINT64_C(0xcbf29ce484222325)
uint64_t sl_hash(uint64_t hash, const void *bytes, size_t count);

/* ---- random numbers (rng.c) -------------------------------------------------------- */

/* What a number is for; part of the counter, so that two purposes never share a number.
 */
enum sl_rng_stream {
    SL_RNG_INIT = 1,    /* a: parameter record index            b: element block */
    SL_RNG_QUEUE,       /* a: 0                                 b: element block */
    SL_RNG_EPOCH,       /* a: epoch                             b: position */
    SL_RNG_AUGMENT,     /* a: epoch                             b: sample id; view in the
                           stream's high half */
    SL_RNG_KEY_SHUFFLE, /* a: step                            b: position */
    SL_RNG_LIMIT,       /* a: 0                                 b: position */
    SL_RNG_SYNTHETIC,   /* a: part                              b: picture */
    SL_RNG_PROBE,       /* a: epoch                             b: position */
    SL_RNG_TEST,        /* tests and benches only */
    SL_RNG_SKETCH,      /* a: 0                                 b: value block */
    SL_RNG_DIRECTION    /* a: weight and direction              b: element block */
};

/* Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 * Key = (seed low, seed high); counter = (block, b, a, stream). No hidden state: the
 * numbers are a function of the arguments alone. */
void sl_rng_block(uint64_t seed, uint32_t stream, uint32_t a, uint32_t b, uint32_t block,
                  uint32_t out[4]);

/* A reader of the endless row of numbers at (seed, stream, a, b): blocks 0, 1, 2, … */
struct sl_rng {
    uint64_t seed;
    uint32_t stream, a, b, block;
    uint32_t buffer[4];
    int used; /* numbers taken from buffer; 4 = empty */
};
struct sl_rng sl_rng_at(uint64_t seed, uint32_t stream, uint32_t a, uint32_t b);
uint32_t sl_rng_u32(struct sl_rng *rng);
/* Standard normal, from exactly two u32. */
double sl_rng_normal(struct sl_rng *rng);
/* 24-bit uniform in [0, 1): (u32 >> 8) * 2^-24, exact in float. */
float sl_rng_uniform(struct sl_rng *rng);
/* Uniform in [low, high), computed in double from one u32: low + (high-low) * u32 *
 * 2^-32. */
double sl_rng_between(struct sl_rng *rng, double low, double high);
/* Unbiased integer in [0, bound), bound in 1 .. 2^31 (Lemire's multiply with rejection).
 */
uint32_t sl_rng_below(struct sl_rng *rng, uint32_t bound);
/* Fisher-Yates from the end: for i = n-1 … 1 swap items i and below(i+1). */
void sl_rng_shuffle(struct sl_rng *rng, int32_t *items, int64_t n);

/* Element i (any i, in any order) of the normal sequence at (seed, stream, a): Box-Muller
 * in double on block i/4 with b = i/4 (high bits in `block` of the counter are 0):
 * numbers x0..x3 give u = (x0 + 0.5) 2^-32, v = x1 2^-32: z0 = sqrt(-2 ln u) cos(2 pi v),
 * z1 = … sin; (x2, x3) give z2, z3. Fills dst[0..n) with scale * z, rounded to float. */
void sl_rng_fill_normal(uint64_t seed, uint32_t stream, uint32_t a, float scale,
                        int64_t n, float *dst);
/* Element i is low + (high - low) * u32 * 2^-32 in double, rounded to float; u32 = number
 * i%4 of the block with b = i/4, block 0. */
void sl_rng_fill_uniform(uint64_t seed, uint32_t stream, uint32_t a, double low,
                         double high, int64_t n, float *dst);

/* ---- small dense matrices (dense.c) ------------------------------------------------ */

/* Eigenvalues of a symmetric matrix (n, n), row-major, both triangles given; the matrix
 * is used up. values: n, the largest first. vectors: NULL, or (n, n), whose row i is the
 * unit eigenvector of values[i] with its largest entry positive. SL_ERROR_NUMBERS where
 * an entry is not finite. */
enum sl_status sl_eigen_symmetric(struct sl_error *err, int n, double *matrix,
                                  double *values, double *vectors);
/* gram (n, n) += rows rows', lower triangle only: rows (n, count) with `stride` values
 * from one to the next. */
void sl_gram_add(int n, int count, const double *rows, int64_t stride, double *gram);
/* A = L L': L replaces the lower triangle of the matrix (n, n); the rest is not looked
 * at. SL_ERROR_NUMBERS when A is not positive definite. */
enum sl_status sl_cholesky_factor(struct sl_error *err, int n, double *a);
/* Solves A X = B for B (n, columns) row-major, in place; `factor` as above. */
void sl_cholesky_solve(int n, const double *factor, int columns, double *b);

/* ---- worker threads (pool.c) ------------------------------------------------------- */

/* A bounded ring of numbered slots filled by worker threads and taken in order.
 * Worker code sees only its slot; the two counters under the pool's lock are the only
 * shared words. Numbers run 0, 1, 2, … without end; slot of number s is s % n_slots. */
struct sl_pool;

/* Fills slot `slot` for number `number`. Runs on a worker thread; `worker` in
 * 0..n_workers. */
typedef void (*sl_pool_fn)(void *context, int worker, int slot, int64_t number);

struct sl_pool_config {
    int n_workers; /* >= 1 */
    int n_slots;   /* >= n_workers is sensible */
    int64_t first; /* the first number to make */
    int64_t end;   /* one past the last number; INT64_MAX = endless */
    sl_pool_fn fill;
    void *context;
};
enum sl_status sl_pool_create(struct sl_error *err, const struct sl_pool_config *config,
                              struct sl_pool **pool);
/* Joins the workers; safe on NULL. Slots being filled are finished first. */
void sl_pool_destroy(struct sl_pool *pool);
/* Waits until the next number in order is filled and returns its slot, or -1 past the
 * end. *waited_s gets the seconds spent waiting (may be NULL). The slot is borrowed until
 * sl_pool_release; several may be borrowed, and they are released oldest first. */
int sl_pool_acquire(struct sl_pool *pool, int64_t *number, double *waited_s);
void sl_pool_release(struct sl_pool *pool);

/* Number of cores this process may run on. */
int sl_cpu_count(void);
/* Seconds of a monotonic clock. */
double sl_clock(void);
/* Seconds since the system made this process, programs it replaced itself with included;
 * 0 where the system does not tell (it tells on Linux). */
double sl_process_age(void);
/* Peak resident memory of the process in bytes. */
int64_t sl_peak_rss(void);

/* ---- instruction sets (cpuid.c) ---------------------------------------------------- */

struct sl_cpu_features {
    bool avx2, avx512, avx512_bf16;
    bool avx512_vnni; /* and VBMI */
};
struct sl_cpu_features sl_cpu_features(void);

/* ---- files (file.c) ---------------------------------------------------------------- */

/* All I/O errors are classified here: a path that is not there or not readable is
 * reported with `missing` (SL_ERROR_DATA for data, SL_ERROR_RUN for checkpoints,
 * SL_ERROR_USAGE for configuration); everything about writing is SL_ERROR_RUN and says so
 * in words
 * ("disk full", "not a directory"). */

enum sl_path_kind { SL_PATH_MISSING, SL_PATH_FILE, SL_PATH_DIRECTORY, SL_PATH_OTHER };
enum sl_path_kind sl_path_kind(const char *path);

/* "dir/name" into dst; false when it does not fit. */
bool sl_path_join(char *dst, size_t size, const char *dir, const char *name);

/* Whole file into *bytes (heap, one NUL after the end, free with sl_heap_free). A file
 * above `limit` bytes fails before anything is allocated. */
enum sl_status sl_file_read(struct sl_error *err, enum sl_status missing,
                            const char *path, int64_t limit, unsigned char **bytes,
                            int64_t *size);

/* Up to `count` bytes from `offset` on; *got is less where the file ends. */
enum sl_status sl_file_read_at(struct sl_error *err, enum sl_status missing,
                               const char *path, int64_t offset, int64_t count,
                               void *bytes, int64_t *got);

/* Read-only map of a file, which nobody may cut shorter meanwhile: reading what is gone
 * ends the process. */
struct sl_file_map {
    const unsigned char *bytes;
    int64_t size;
};
enum sl_status sl_file_map_open(struct sl_error *err, enum sl_status missing,
                                const char *path, struct sl_file_map *map);
void sl_file_map_close(struct sl_file_map *map);

/* Write-to-temporary-then-rename. begin creates PATH.tmp.PID beside the target, write
 * appends, commit flushes to disk (fsync of file and directory) and renames; abort (or a
 * failed write or commit) removes the temporary. The target is complete, or as it was.
 * A successful commit also frees the writer; after anything failed it stays until abort,
 * which frees it (NULL is fine): `commit; writer = NULL; out: abort(writer)`. */
struct sl_file_writer;
enum sl_status sl_file_writer_begin(struct sl_error *err, const char *path,
                                    struct sl_file_writer **writer);
enum sl_status sl_file_writer_write(struct sl_error *err, struct sl_file_writer *writer,
                                    const void *bytes, size_t count);
enum sl_status sl_file_writer_commit(struct sl_error *err, struct sl_file_writer *writer);
void sl_file_writer_abort(struct sl_file_writer *writer);
/* The three in one. */
enum sl_status sl_file_write(struct sl_error *err, const char *path, const void *bytes,
                             size_t count);

/* Append-only file of lines, or of records: each goes out in one write, and is not there
 * when that failed. */
struct sl_file_log;
enum sl_status sl_file_log_open(struct sl_error *err, const char *path,
                                struct sl_file_log **log);
enum sl_status sl_file_log_line(struct sl_error *err, struct sl_file_log *log,
                                const char *line);
enum sl_status sl_file_log_bytes(struct sl_error *err, struct sl_file_log *log,
                                 const void *bytes, size_t count);
void sl_file_log_close(struct sl_file_log *log);

/* Creates the directory with its parents; fine when it exists. */
enum sl_status sl_dir_create(struct sl_error *err, const char *path);
/* Names in a directory without "." and "..", sorted by bytes. Free with
 * sl_dir_list_finish. */
struct sl_dir_list {
    char **names;
    int64_t n;
};
enum sl_status sl_dir_list(struct sl_error *err, enum sl_status missing, const char *path,
                           struct sl_dir_list *list);
void sl_dir_list_finish(struct sl_dir_list *list);
/* Removes a file; false (and nothing reported) when that fails. */
bool sl_file_remove(const char *path);
/* Truncates a text file to its first `size` bytes. */
enum sl_status sl_file_truncate(struct sl_error *err, const char *path, int64_t size);

/* Test hook: writing fails as a full disk does once `bytes` more bytes were written by
 * this process; negative switches it off. */
void sl_file_fail_after(int64_t bytes);

/* ---- lines of a file, however large (lines.c) -------------------------------------- */

struct sl_line_reader;
/* Lines of more than `longest` bytes come as empty ones. */
enum sl_status sl_lines_open(struct sl_error *err, enum sl_status missing,
                             const char *path, int64_t longest,
                             struct sl_line_reader **reader);
void sl_lines_close(struct sl_line_reader *reader);
/* Without its newline, valid until the next call. */
struct sl_line {
    const char *text; /* NULL: there is none any more; what has no newline is no line */
    int64_t length;
};
enum sl_status sl_lines_next(struct sl_error *err, struct sl_line_reader *reader,
                             struct sl_line *line);
/* Bytes of the file that the lines so far took. */
int64_t sl_lines_at(const struct sl_line_reader *reader);

/* ---- configuration (conf.c) -------------------------------------------------------- */

enum sl_key_type { SL_KEY_TEXT, SL_KEY_INT, SL_KEY_REAL, SL_KEY_BOOL, SL_KEY_CHOICE };

/* One row of the table behind configuration file, long options, help text and resolved
 * settings. */
struct sl_key {
    const char *name; /* long option and key: "batch-size" */
    char letter;      /* short option, or 0 */
    enum sl_key_type type;
    const char *initial;  /* the default as text; "auto" is allowed for every type when
                             auto_ok */
    double low, high;     /* inclusive range of INT and REAL; both 0 = no limit */
    const char *choices;  /* CHOICE: "a|b|c" */
    bool auto_ok;         /* the word "auto" stands for "resolved later" */
    const char *argument; /* shown in help: "N", "DIR", … NULL for BOOL */
    const char *help;     /* one sentence */
};

/* Where a value came from; a later source overrides an earlier one. */
enum sl_conf_origin {
    SL_FROM_DEFAULT,
    SL_FROM_RECIPE,
    SL_FROM_FILE,
    SL_FROM_USER,
    SL_FROM_RESOLVED /* written by the program in place of "auto" */
};

struct sl_conf;
/* The table is borrowed and must outlive the conf. */
enum sl_status sl_conf_create(struct sl_error *err, const struct sl_key *keys, int n_keys,
                              struct sl_conf **conf);
void sl_conf_destroy(struct sl_conf *conf);
enum sl_status sl_conf_copy(struct sl_error *err, const struct sl_conf *from,
                            struct sl_conf **copy);

/* Checks type, range and choice and stores. Unknown key: SL_ERROR_USAGE naming the
 * nearest known one. `where` is put in front of messages ("--lr", "my.ini:12"). A value
 * from a weaker origin than the one already there is checked but not stored. */
enum sl_status sl_conf_set(struct sl_error *err, struct sl_conf *conf, const char *name,
                           const char *value, enum sl_conf_origin origin,
                           const char *where);
/* "key = value" lines; '#' and ';' begin comments; "[section]" lines are ignored; a value
 * may be in double quotes. `name` is used in messages. */
enum sl_status sl_conf_parse(struct sl_error *err, struct sl_conf *conf, const char *text,
                             const char *name, enum sl_conf_origin origin);
enum sl_status sl_conf_load(struct sl_error *err, struct sl_conf *conf, const char *path,
                            enum sl_conf_origin origin);

/* Readers. Asking for a key that is not in the table, or with the wrong type, is a bug. A
 * value that is "auto" must be asked for with sl_conf_is_auto first. */
bool sl_conf_is_auto(const struct sl_conf *conf, const char *name);
const char *sl_conf_text(const struct sl_conf *conf, const char *name);
int64_t sl_conf_int(const struct sl_conf *conf, const char *name);
double sl_conf_real(const struct sl_conf *conf, const char *name);
bool sl_conf_bool(const struct sl_conf *conf, const char *name);
enum sl_conf_origin sl_conf_origin(const struct sl_conf *conf, const char *name);
bool sl_conf_has(const struct sl_conf *conf, const char *name);

/* Every key of the table as "key = value" lines in table order, appended to text. */
void sl_conf_write(const struct sl_conf *conf, struct sl_text *text);
int sl_conf_key_count(const struct sl_conf *conf);
const struct sl_key *sl_conf_key(const struct sl_conf *conf, int i);

/* Strict number readers: the whole text must be a number of that kind. */
bool sl_parse_int(const char *text, int64_t *value);
bool sl_parse_real(const char *text, double *value);
/* Shortest text that reads back as the same double; as the same float, where that is what
 * is read into one. */
void sl_format_real(char *dst, size_t size, double value);
void sl_format_float(char *dst, size_t size, float value);
/* At most so many significant digits, for what is worked out or measured: 3 x 0.05 is
 * 0.15. */
void sl_format_digits(char *dst, size_t size, double value, int digits);

#endif
