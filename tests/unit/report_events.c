/* SPDX-License-Identifier: MIT */
/*
 * TensorBoard's event files: known bytes, what a reader of our own finds in them with
 * every CRC checked, and exactly the steps up to the checkpoint after a resume, whatever
 * a killed run left behind. Runs in a folder of its own.
 */
#include "report/report.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { EVENTS_MOST = 64, VALUES_MOST = 4 };

struct value {
    char tag[32];
    float number;
};
struct event {
    int64_t step;
    double wall;
    bool is_version;
    int n;
    struct value values[VALUES_MOST];
};
static struct event seen[EVENTS_MOST];
static int n_seen;

/* ---- the reader -------------------------------------------------------------------- */

static uint32_t reversed(uint32_t value, int bits)
{
    uint32_t result = 0;
    for (int i = 0; i < bits; i++) {
        result |= ((value >> i) & 1U) << (bits - 1 - i);
    }
    return result;
}

/* CRC-32C by its unreflected polynomial 0x1EDC6F41. */
static uint32_t crc_of(const unsigned char *bytes, size_t count)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < count; i++) {
        crc ^= reversed(bytes[i], 8) << 24;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc & 0x80000000U) != 0 ? crc << 1 ^ 0x1EDC6F41U : crc << 1;
        }
    }
    return reversed(~crc, 32);
}

static void expect_masked(const unsigned char *stored, const unsigned char *bytes,
                          size_t count)
{
    uint32_t masked = (uint32_t)stored[0] | (uint32_t)stored[1] << 8 |
                      (uint32_t)stored[2] << 16 | (uint32_t)stored[3] << 24;
    uint32_t rotated = masked - 0xA282EAD8U;
    assert_int_equal(rotated >> 17 | rotated << 15, crc_of(bytes, count));
}

static uint64_t varint(const unsigned char **at)
{
    uint64_t value = 0;
    int shift = 0;
    do {
        value |= (uint64_t)(**at & 0x7F) << shift;
        shift += 7;
    } while ((*(*at)++ & 0x80) != 0);
    return value;
}

static void read_value(const unsigned char *at, const unsigned char *end,
                       struct value *value)
{
    while (at < end) {
        unsigned char field = *at++;
        if (field == 0x0A) {
            size_t length = (size_t)varint(&at);
            assert_true(length < sizeof value->tag);
            memcpy(value->tag, at, length);
            value->tag[length] = '\0';
            at += length;
        } else {
            assert_int_equal(field, 0x15);
            memcpy(&value->number, at, 4);
            at += 4;
        }
    }
    assert_ptr_equal(at, end);
}

static void read_event(const unsigned char *at, const unsigned char *end,
                       struct event *event)
{
    *event = (struct event){0};
    while (at < end) {
        unsigned char field = *at++;
        size_t length = 0;
        switch (field) {
        case 0x09:
            memcpy(&event->wall, at, 8);
            at += 8;
            break;
        case 0x10:
            event->step = (int64_t)varint(&at);
            break;
        case 0x1A:
            length = (size_t)varint(&at);
            assert_int_equal(length, 13);
            assert_memory_equal(at, "brain.Event:2", 13);
            event->is_version = true;
            at += length;
            break;
        case 0x2A:
            for (const unsigned char *last = varint(&at) + at; at < last;) {
                assert_int_equal(*at++, 0x0A);
                length = (size_t)varint(&at);
                assert_true(event->n < VALUES_MOST);
                read_value(at, at + length, &event->values[event->n++]);
                at += length;
            }
            break;
        default:
            fail_msg("field %d", field);
        }
    }
    assert_ptr_equal(at, end);
}

static void read_file(const char *path)
{
    struct sl_error err = {0};
    unsigned char *bytes = NULL;
    int64_t size = 0;
    assert_int_equal(sl_file_read(&err, SL_ERROR_RUN, path, 1 << 20, &bytes, &size),
                     SL_OK);
    for (int64_t at = 0; at < size;) {
        const unsigned char *frame = bytes + at;
        uint64_t length = 0;
        memcpy(&length, frame, 8);
        assert_true(size - at >= 16 && length <= (uint64_t)(size - at - 16));
        expect_masked(frame + 8, frame, 8);
        expect_masked(frame + 12 + length, frame + 12, (size_t)length);
        assert_true(n_seen < EVENTS_MOST);
        read_event(frame + 12, frame + 12 + length, &seen[n_seen++]);
        at += 16 + (int64_t)length;
    }
    sl_heap_free(bytes);
}

static int64_t n_files(struct sl_dir_list *list)
{
    struct sl_error err = {0};
    int64_t n = 0;
    assert_int_equal(sl_dir_list(&err, SL_ERROR_RUN, "events", list), SL_OK);
    for (int64_t i = 0; i < list->n; i++) {
        n += strstr(list->names[i], "tfevents") != NULL;
    }
    return n;
}

/* All files in the order of their names, as TensorBoard goes through them. */
static int64_t read_all(void)
{
    struct sl_dir_list list = {0};
    int64_t n = n_files(&list);
    n_seen = 0;
    for (int64_t i = 0; i < list.n; i++) {
        char path[512];
        assert_true(sl_path_join(path, sizeof path, "events", list.names[i]));
        if (strstr(list.names[i], "tfevents") != NULL) {
            read_file(path);
        }
    }
    sl_dir_list_finish(&list);
    return n;
}

/* ---- writing ----------------------------------------------------------------------- */

static int clean(void **state)
{
    struct sl_error err = {0};
    (void)state;
    sl_file_fail_after(-1);
    assert_int_equal(sl_dir_create(&err, "events"), SL_OK);
    assert_int_equal(sl_events_clear(&err, "events"), SL_OK);
    return 0;
}

static struct sl_events *open_at(int64_t keep_through)
{
    struct sl_error err = {0};
    struct sl_events *events = NULL;
    if (sl_events_open(&err, "events", keep_through, &events) != SL_OK) {
        fail_msg("%s", err.text);
    }
    return events;
}

static void write_step(struct sl_events *events, int step, double loss)
{
    struct sl_error err = {0};
    const struct sl_metric values[] = {
        {"step", step}, {"loss", loss}, {"emb_std/w0.50", loss / 4}};
    assert_int_equal(sl_events_write(&err, events, values, SL_COUNT(values)), SL_OK);
}

static void write_steps(int64_t keep_through, int from, int to)
{
    struct sl_events *events = open_at(keep_through);
    for (int step = from; step <= to; step++) {
        write_step(events, step, 0.5 * step);
    }
    sl_events_close(events);
}

/* Steps 1 .. last, each once, in order, behind a version at the head of each file. */
static void expect_steps(int n_files_wanted, int last)
{
    int step = 0;
    int versions = 0;
    assert_int_equal(read_all(), n_files_wanted);
    for (int i = 0; i < n_seen; i++) {
        if (seen[i].is_version) {
            versions++;
            continue;
        }
        assert_int_equal(seen[i].step, ++step);
        assert_int_equal(seen[i].n, 2);
        assert_string_equal(seen[i].values[0].tag, "loss");
        assert_true(seen[i].values[0].number == 0.5F * (float)step);
        assert_string_equal(seen[i].values[1].tag, "emb_std/w0.50");
        assert_true(seen[i].values[1].number == 0.125F * (float)step);
        assert_true(seen[i].wall > 1e9 && (i == 0 || seen[i].wall >= seen[i - 1].wall));
    }
    assert_int_equal(step, last);
    assert_int_equal(versions, n_files_wanted);
}

static void test_known_bytes(void **state)
{
    /* A version record of wall time 1, then loss = 0.5 at step 3 of wall time 2, as
     * TensorFlow's own writer makes them. */
    static const char version[] = "1800000000000000a37f4b2209000000000000f03f1a0d62726169"
                                  "6e2e4576656e743a3286bf577a";
    static const char scalar[] =
        "1a00000000000000129bd82d09000000000000004010032a0d0a0b0a046c6f7373150000003fbac3"
        "6b94";
    unsigned char bytes[128];
    (void)state;
    int64_t n = 0;
    for (int part = 0; part < 2; part++) {
        const char *text = part == 0 ? version : scalar;
        for (; text[0] != '\0'; text += 2) {
            unsigned int byte = 0;
            assert_int_equal(sscanf(text, "%2x", &byte), 1);
            bytes[n++] = (unsigned char)byte;
        }
    }
    assert_int_equal(n, 40 + 42);
    assert_int_equal(sl_events_keep(bytes, n, 3), 82);
    assert_int_equal(sl_events_keep(bytes, n, 2), 40);
    assert_int_equal(sl_events_keep(bytes, n - 1, 3), 40);
    for (int64_t i = 40; i < n; i++) { /* any damage ends it there */
        bytes[i] ^= 0x10;
        assert_int_equal(sl_events_keep(bytes, n, 3), 40);
        bytes[i] ^= 0x10;
    }
    /* The bytes of our writer, but for the wall time. */
    struct sl_error err = {0};
    struct sl_events *events = open_at(-1);
    const struct sl_metric values[] = {{"step", 3}, {"loss", 0.5}};
    assert_int_equal(sl_events_write(&err, events, values, 2), SL_OK);
    sl_events_close(events);
    struct sl_dir_list list = {0};
    char path[512];
    unsigned char *ours = NULL;
    assert_int_equal(n_files(&list), 1);
    assert_true(sl_path_join(path, sizeof path, "events", list.names[0]));
    assert_int_equal(sl_file_read(&err, SL_ERROR_RUN, path, 1000, &ours, &n), SL_OK);
    assert_int_equal(n, 82);
    assert_memory_equal(ours, bytes, 13);
    assert_memory_equal(ours + 21, bytes + 21, 40 - 21 - 4);
    assert_memory_equal(ours + 40, bytes + 40, 13);
    assert_memory_equal(ours + 61, bytes + 61, 82 - 61 - 4);
    sl_heap_free(ours);
    sl_dir_list_finish(&list);
}

static void test_round_trip(void **state)
{
    (void)state;
    write_steps(-1, 1, 5);
    expect_steps(1, 5);
    write_steps(-1, 1, 3); /* a run that begins removes what is there */
    expect_steps(1, 3);
}

static void test_numbers(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_events *events = open_at(-1);
    const struct sl_metric values[] = {
        {"step", 5e9}, {"nan", NAN}, {"huge", 1e300}, {"zero", -0.0}};
    assert_int_equal(sl_events_write(&err, events, values, 4), SL_OK);
    sl_events_close(events);
    (void)read_all();
    assert_int_equal(n_seen, 2);
    assert_int_equal(seen[1].step, 5000000000);
    assert_true(isnan(seen[1].values[0].number));
    assert_true(isinf(seen[1].values[1].number));
    assert_true(seen[1].values[2].number == 0.0F && signbit(seen[1].values[2].number));
}

static void test_resume(void **state)
{
    (void)state;
    write_steps(-1, 1, 9);
    write_steps(6, 7, 8); /* killed behind the checkpoint of step 6 */
    expect_steps(2, 8);
    write_steps(4, 5, 12); /* an earlier checkpoint cuts both */
    expect_steps(3, 12);
    write_steps(12, 13, 13);
    expect_steps(4, 13);
}

static void test_torn(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_dir_list list = {0};
    char path[512];
    unsigned char *bytes = NULL;
    int64_t size = 0;
    write_steps(-1, 1, 4);
    assert_int_equal(n_files(&list), 1);
    assert_true(sl_path_join(path, sizeof path, "events", list.names[0]));
    sl_dir_list_finish(&list);
    assert_int_equal(sl_file_read(&err, SL_ERROR_RUN, path, 4096, &bytes, &size), SL_OK);
    sl_heap_free(bytes);
    assert_int_equal(sl_file_truncate(&err, path, size - 3), SL_OK);
    write_steps(9, 4, 6); /* the torn record of step 4 is gone */
    expect_steps(2, 6);
}

/* A record that did not fit is not there at all. */
static void test_full_disk(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_events *events = open_at(-1);
    const struct sl_metric values[] = {{"step", 2}, {"loss", 1}};
    write_step(events, 1, 0.5);
    sl_file_fail_after(10);
    assert_int_equal(sl_events_write(&err, events, values, 2), SL_ERROR_RUN);
    assert_non_null(strstr(err.text, "tfevents"));
    sl_file_fail_after(-1);
    sl_events_close(events);
    expect_steps(1, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_known_bytes, clean),
        cmocka_unit_test_setup(test_round_trip, clean),
        cmocka_unit_test_setup(test_numbers, clean),
        cmocka_unit_test_setup(test_resume, clean),
        cmocka_unit_test_setup(test_torn, clean),
        cmocka_unit_test_setup(test_full_disk, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
