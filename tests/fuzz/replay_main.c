/* SPDX-License-Identifier: MIT */
/*
 * main() of a fuzz target where libFuzzer is not: runs every file of the folders and
 * files named on the command line through LLVMFuzzerTestOneInput, first as it is, then
 * damaged in ways that depend on its bytes alone (every run does the same). It looks for
 * crashes and sanitizer reports, not for answers.
 *
 * A target without a corpus fails: an empty replay would prove nothing.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { DAMAGES = 300, INPUT_MAX = 1 << 22, PATH_SPACE = 4096 };

/* The target gets a copy of exactly `size` bytes, so that the address sanitizer sees one
 * step too far. */
static void run_one(const uint8_t *bytes, size_t size)
{
    uint8_t *exact = calloc(1, size > 0 ? size : 1);
    if (exact == NULL) {
        fprintf(stderr, "replay: out of memory\n");
        exit(1);
    }
    memcpy(exact, bytes, size);
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static uint32_t next(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* Cuts short, flips bits, overwrites bytes with extremes, or doubles a piece. */
static size_t damage(uint8_t *bytes, size_t size, size_t space, uint32_t *state)
{
    static const uint8_t extremes[] = {0x00, 0xff, 0x7f, 0x80, 0x01, '"', '{', '\n'};
    uint32_t n = 1 + next(state) % 4;
    for (uint32_t i = 0; i < n && size > 0; i++) {
        size_t at = next(state) % size;
        switch (next(state) % 4) {
        case 0:
            bytes[at] = (uint8_t)(bytes[at] ^ (1U << (next(state) % 8)));
            break;
        case 1:
            bytes[at] = extremes[next(state) % sizeof(extremes)];
            break;
        case 2:
            size = at;
            break;
        default: {
            size_t count = next(state) % (size - at) + 1;
            if (size + count <= space) {
                memmove(bytes + at + count, bytes + at, size - at);
                size += count;
            }
            break;
        }
        }
    }
    return size;
}

static void replay_bytes(const uint8_t *bytes, size_t size)
{
    run_one(bytes, size);
    uint32_t state = 2463534242U;
    for (size_t i = 0; i < size; i++) {
        state = (state ^ bytes[i]) * 16777619U;
    }
    state |= 1U;
    /* Big inputs get fewer rounds, so that the whole stays a matter of seconds. */
    int rounds = size > 65536 ? DAMAGES / 10 : DAMAGES;
    size_t space = 2 * size + 16;
    uint8_t *work = malloc(space);
    if (work == NULL) {
        fprintf(stderr, "replay: out of memory\n");
        exit(1);
    }
    for (int i = 0; i < rounds; i++) {
        memcpy(work, bytes, size);
        run_one(work, damage(work, size, space, &state));
    }
    free(work);
}

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(INPUT_MAX);
    if (file == NULL || bytes == NULL) {
        fprintf(stderr, "replay: cannot read %s\n", path);
        exit(1);
    }
    size_t size = fread(bytes, 1, INPUT_MAX, file);
    fclose(file);
    replay_bytes(bytes, size);
    free(bytes);
    return 1;
}

static int replay_path(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        fprintf(stderr, "replay: %s: no such file or folder\n", path);
        return 0;
    }
    if (!S_ISDIR(info.st_mode)) {
        return replay_file(path);
    }
    DIR *folder = opendir(path);
    if (folder == NULL) {
        fprintf(stderr, "replay: cannot open %s\n", path);
        return 0;
    }
    int n = 0;
    for (const struct dirent *entry = readdir(folder); entry != NULL;
         entry = readdir(folder)) {
        char name[PATH_SPACE];
        int length = snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.' && length > 0 && length < PATH_SPACE) {
            n += replay_file(name);
        }
    }
    closedir(folder);
    return n;
}

int main(int argc, char **argv)
{
    run_one((const uint8_t *)"", 0);
    int n = 0;
    for (int i = 1; i < argc; i++) {
        n += replay_path(argv[i]);
    }
    printf("replay: %d files, each whole and damaged\n", n);
    return n > 0 ? 0 : 1;
}
