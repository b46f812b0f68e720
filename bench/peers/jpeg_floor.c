/* SPDX-License-Identifier: MIT */
/*
 * What no reader of JPEG through libjpeg-turbo can go below: milliseconds a file for
 * parsing alone (coefficients of all blocks) and for decoding all of it to RGB, files in
 * memory, one thread. Not part of the build:
 *
 *     cc -O2 bench/peers/jpeg_floor.c -o /tmp/jpeg_floor -ljpeg
 *     taskset -c 0 /tmp/jpeg_floor FOLDER/*.jpg
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <jpeglib.h>

enum { ROUNDS = 5 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void read_one(const unsigned char *bytes, size_t size, int parse_only,
                     unsigned char *row)
{
    struct jpeg_error_mgr manager;
    struct jpeg_decompress_struct jpeg;
    jpeg.err = jpeg_std_error(&manager);
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, bytes, size);
    jpeg_read_header(&jpeg, TRUE);
    if (parse_only) {
        jpeg_read_coefficients(&jpeg);
    } else {
        jpeg_start_decompress(&jpeg);
        while (jpeg.output_scanline < jpeg.output_height) {
            JSAMPROW rows = row;
            jpeg_read_scanlines(&jpeg, &rows, 1);
        }
    }
    jpeg_finish_decompress(&jpeg);
    jpeg_destroy_decompress(&jpeg);
}

int main(int argc, char **argv)
{
    static unsigned char bytes[1 << 24], row[3 << 16];
    double spent[2] = {0, 0};
    int n = 0;
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        size_t size = file != NULL ? fread(bytes, 1, sizeof bytes, file) : 0;
        if (file != NULL) {
            fclose(file);
        }
        if (size == 0) {
            continue;
        }
        for (int mode = 0; mode < 2; mode++) {
            read_one(bytes, size, mode == 0, row);
            double begun = now();
            for (int r = 0; r < ROUNDS; r++) {
                read_one(bytes, size, mode == 0, row);
            }
            spent[mode] += now() - begun;
        }
        n++;
    }
    printf("{\"files\":%d,\"parse_ms\":%.3f,\"decode_ms\":%.3f}\n", n,
           1e3 * spent[0] / (ROUNDS * (n > 0 ? n : 1)),
           1e3 * spent[1] / (ROUNDS * (n > 0 ? n : 1)));
    return n > 0 ? 0 : 1;
}
