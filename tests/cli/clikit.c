/* SPDX-License-Identifier: MIT */
/*
 * Bodies of clikit.h. Linked into each test of the program; holds no test.
 */
#include "cli/clikit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATH_LENGTH = 1024, WORDS_MAX = 64, WAIT_MS = 10, WAIT_LONGEST_MS = 120000 };

static const char OUT[] = "program.out";
static const char ERR[] = "program.err";

static struct cli_result last;
static int64_t file_limit;

/* ---- running ----------------------------------------------------------------------- */

static void into_file(const char *path, int descriptor)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file < 0 || dup2(file, descriptor) < 0) {
        _exit(126);
    }
    (void)close(file);
}

pid_t cli_start(const char *const *words)
{
    const char *program = getenv("SLIMCLR_PROGRAM");
    char *argv[WORDS_MAX + 2];
    int n = 1;
    if (program == NULL) {
        fail_msg("SLIMCLR_PROGRAM is not set; run the tests by ctest");
    }
    argv[0] = (char *)(intptr_t)program;
    for (; words[n - 1] != NULL; n++) {
        if (n > WORDS_MAX) {
            fail_msg("more than %d words", (int)WORDS_MAX);
        }
        argv[n] = (char *)(intptr_t)words[n - 1];
    }
    argv[n] = NULL;
    pid_t child = fork();
    if (child == 0) {
        if (file_limit > 0) {
            const struct rlimit limit = {(rlim_t)file_limit, (rlim_t)file_limit};
            (void)setrlimit(RLIMIT_FSIZE, &limit);
        }
        int null = open("/dev/null", O_RDONLY);
        (void)dup2(null, STDIN_FILENO);
        into_file(OUT, STDOUT_FILENO);
        into_file(ERR, STDERR_FILENO);
        (void)execv(program, argv);
        _exit(127);
    }
    if (child < 0) {
        fail_msg("fork: %s", strerror(errno));
    }
    return child;
}

const struct cli_result *cli_finish(pid_t child)
{
    int state = 0;
    while (waitpid(child, &state, 0) < 0) {
        if (errno != EINTR) {
            fail_msg("waitpid: %s", strerror(errno));
        }
    }
    cli_free(last.out);
    cli_free(last.err);
    last = (struct cli_result){
        .status = WIFEXITED(state) ? WEXITSTATUS(state) : -1,
        .signal = WIFSIGNALED(state) ? WTERMSIG(state) : 0,
        .out = (char *)cli_read(OUT, NULL),
        .err = (char *)cli_read(ERR, NULL),
    };
    return &last;
}

const struct cli_result *cli_run(const char *const *words)
{
    return cli_finish(cli_start(words));
}

void cli_limit_files(int64_t bytes)
{
    file_limit = bytes;
}

static void expect_status(const struct cli_result *result, int status)
{
    if (result->status != status) {
        fail_msg("exit status %d (signal %d), not %d; it said: %s", result->status,
                 result->signal, status, result->err);
    }
}

void cli_expect_silent(const struct cli_result *result, int status)
{
    expect_status(result, status);
    assert_string_equal(result->out, "");
}

void cli_expect_refused(const struct cli_result *result, int status, const char *word)
{
    cli_expect_silent(result, status);
    size_t length = strlen(result->err);
    const char *end = strchr(result->err, '\n');
    if (strncmp(result->err, "slimclr", 7) != 0 || end == NULL ||
        end != result->err + length - 1) {
        fail_msg("not one line of the program: '%s'", result->err);
    }
    if (strstr(result->err, word) == NULL) {
        fail_msg("no '%s' in: %s", word, result->err);
    }
}

void cli_expect_done(const struct cli_result *result)
{
    expect_status(result, 0);
}

/* ---- files ------------------------------------------------------------------------- */

static void join(char *dst, const char *folder, const char *name)
{
    if (snprintf(dst, PATH_LENGTH, "%s/%s", folder, name) >= PATH_LENGTH) {
        fail_msg("%s/%s: path too long", folder, name);
    }
}

/* Calls `visit` for everything below a folder, contents first. */
static void walk(const char *path, void (*visit)(const char *path))
{
    struct stat about;
    if (lstat(path, &about) != 0) {
        return;
    }
    if (S_ISDIR(about.st_mode)) {
        DIR *folder = opendir(path);
        assert_non_null(folder);
        for (struct dirent *entry = readdir(folder); entry != NULL;
             entry = readdir(folder)) {
            char child[PATH_LENGTH];
            if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
                join(child, path, entry->d_name);
                walk(child, visit);
            }
        }
        (void)closedir(folder);
    }
    visit(path);
}

static void remove_one(const char *path)
{
    if (remove(path) != 0) {
        fail_msg("%s: %s", path, strerror(errno));
    }
}

void cli_remove(const char *path)
{
    walk(path, remove_one);
}

static void refuse_torn(const char *path)
{
    if (strstr(path, ".tmp.") != NULL) {
        fail_msg("%s was left behind", path);
    }
}

void cli_no_torn_files(const char *path)
{
    walk(path, refuse_torn);
}

void cli_folder(const char *path)
{
    char part[PATH_LENGTH];
    for (size_t i = 0; i <= strlen(path); i++) {
        if (path[i] == '/' || path[i] == '\0') {
            (void)snprintf(part, sizeof part, "%.*s", (int)i, path);
            if (i > 0 && mkdir(part, 0755) != 0 && errno != EEXIST) {
                fail_msg("%s: %s", part, strerror(errno));
            }
        }
    }
}

void cli_write(const char *path, const void *bytes, size_t size)
{
    char folder[PATH_LENGTH];
    (void)snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash != NULL && slash != folder) {
        *slash = '\0';
        cli_folder(folder);
    }
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

enum { PIXELS_MOST = 128 * 128 }; /* of a picture that a test writes */

static void write_ppm(const char *path, int height, int width,
                      const unsigned char *pixels)
{
    unsigned char bytes[64 + PIXELS_MOST * 3];
    size_t count = (size_t)height * (size_t)width * 3;
    int head = snprintf((char *)bytes, 64, "P6\n%d %d\n255\n", width, height);
    assert_true(count <= sizeof bytes - 64);
    memcpy(bytes + head, pixels, count);
    cli_write(path, bytes, (size_t)head + count);
}

void cli_write_ppm(const char *path, int height, int width, int red, int green, int blue)
{
    unsigned char pixels[PIXELS_MOST * 3];
    const int colour[3] = {red, green, blue};
    assert_true(height * width <= PIXELS_MOST);
    for (int i = 0; i < height * width * 3; i++) {
        pixels[i] = (unsigned char)colour[i % 3];
    }
    write_ppm(path, height, width, pixels);
}

void cli_write_noise(const char *path, int height, int width, uint32_t key)
{
    unsigned char pixels[PIXELS_MOST * 3];
    uint32_t state = key * 2654435761u + 12345u;
    assert_true(height * width <= PIXELS_MOST);
    for (int i = 0; i < height * width * 3; i++) {
        state = state * 1664525u + 1013904223u;
        pixels[i] = (unsigned char)(state >> 24);
    }
    write_ppm(path, height, width, pixels);
}

bool cli_exists(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0;
}

unsigned char *cli_read(const char *path, int64_t *size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fail_msg("%s: %s", path, strerror(errno));
    }
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long length = ftell(file);
    assert_true(length >= 0);
    assert_int_equal(fseek(file, 0, SEEK_SET), 0);
    unsigned char *bytes = malloc((size_t)length + 1);
    assert_non_null(bytes);
    size_t got = fread(bytes, 1, (size_t)length, file);
    bytes[got] = '\0';
    (void)fclose(file);
    if (size != NULL) {
        *size = (int64_t)got;
    }
    return bytes;
}

void cli_free(void *memory)
{
    free(memory);
}

void cli_copy(const char *from, const char *to, int64_t bytes)
{
    int64_t size = 0;
    unsigned char *all = cli_read(from, &size);
    assert_true(bytes <= size);
    cli_write(to, all, (size_t)(bytes < 0 ? size : bytes));
    cli_free(all);
}

uint64_t cli_hash(const char *path)
{
    int64_t size = 0;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    unsigned char *bytes = cli_read(path, &size);
    for (int64_t i = 0; i < size; i++) {
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    cli_free(bytes);
    return hash;
}

void cli_same_bytes(const char *a, const char *b)
{
    int64_t n = 0;
    int64_t m = 0;
    unsigned char *x = cli_read(a, &n);
    unsigned char *y = cli_read(b, &m);
    int64_t at = 0;
    while (at < n && at < m && x[at] == y[at]) {
        at++;
    }
    cli_free(x);
    cli_free(y);
    if (n != m || at != n) {
        fail_msg("%s (%" PRId64 " bytes) and %s (%" PRId64
                 " bytes) differ at byte %" PRId64,
                 a, n, b, m, at);
    }
}

const char *cli_source(const char *name)
{
    static char path[PATH_LENGTH];
    const char *source = getenv("SLIMCLR_SOURCE");
    if (source == NULL) {
        fail_msg("SLIMCLR_SOURCE is not set; run the tests by ctest");
    }
    join(path, source, name);
    return path;
}

const char *cli_unpacked(const char *name)
{
    static char path[PATH_LENGTH];
    const char *unpacked = getenv("SLIMCLR_TEST_UNPACKED");
    if (unpacked == NULL) {
        return NULL;
    }
    join(path, unpacked, name);
    return cli_exists(path) ? path : NULL;
}

/* ---- what a run wrote -------------------------------------------------------------- */

/* Calls for each whole line; returns the number of lines. */
static int64_t each_step(const char *run, bool in_order, int64_t *last_step)
{
    char path[PATH_LENGTH];
    int64_t lines = 0;
    *last_step = 0;
    join(path, run, "metrics.jsonl");
    if (!cli_exists(path)) {
        return 0;
    }
    char *text = (char *)cli_read(path, NULL);
    for (char *line = text; *line != '\0';) {
        char *end = strchr(line, '\n');
        if (end == NULL) {
            break; /* being written */
        }
        *end = '\0';
        json_t *root = json_loads(line, 0, NULL);
        json_t *step = json_object_get(root, "step");
        assert_true(json_is_integer(step));
        *last_step = json_integer_value(step);
        json_decref(root);
        lines++;
        if (in_order) {
            assert_int_equal(*last_step, lines);
        }
        line = end + 1;
    }
    cli_free(text);
    return lines;
}

int64_t cli_last_step(const char *run)
{
    int64_t step = 0;
    (void)each_step(run, false, &step);
    return step;
}

void cli_wait_for_step(const char *run, int64_t step, pid_t child)
{
    const struct timespec pause = {.tv_nsec = WAIT_MS * 1000000L};
    for (int waited = 0; cli_last_step(run) < step; waited += WAIT_MS) {
        siginfo_t ended = {0};
        if (waited > WAIT_LONGEST_MS) {
            (void)kill(child, SIGKILL);
            fail_msg("%s: step %" PRId64 " was not reached", run, step);
        }
        if (waitid(P_PID, (id_t)child, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            ended.si_pid == child && cli_last_step(run) < step) {
            fail_msg("the program ended before step %" PRId64 ": %s", step,
                     cli_finish(child)->err);
        }
        (void)nanosleep(&pause, NULL);
    }
}

void cli_expect_steps(const char *run, int64_t last_step)
{
    int64_t step = 0;
    assert_int_equal(each_step(run, true, &step), last_step);
    assert_int_equal(step, last_step);
}

json_t *cli_json(const struct cli_result *result)
{
    json_error_t problem;
    cli_expect_done(result);
    json_t *root = json_loads(result->out, 0, &problem);
    if (root == NULL) {
        fail_msg("not one JSON object: %s: %s", problem.text, result->out);
    }
    assert_true(json_is_object(root));
    const char *end = strchr(result->out, '\n');
    assert_non_null(end);
    assert_string_equal(end, "\n");
    return root;
}

float *cli_tensor(const char *path, const char *name, size_t *n)
{
    unsigned char *bytes = cli_read(path, NULL);
    uint64_t length = 0;
    memcpy(&length, bytes, sizeof length); /* little-endian, as this machine */
    json_t *head = json_loadb((const char *)bytes + 8, (size_t)length, 0, NULL);
    json_t *places = json_object_get(json_object_get(head, name), "data_offsets");
    size_t from = (size_t)json_integer_value(json_array_get(places, 0));
    size_t to = (size_t)json_integer_value(json_array_get(places, 1));
    assert_true(to > from);
    *n = (to - from) / sizeof(float);
    memmove(bytes, bytes + 8 + length + from, to - from);
    json_decref(head);
    return (float *)(void *)bytes;
}
