/* SPDX-License-Identifier: MIT */
/*
 * Metric lines as TensorBoard reads them: events.out.tfevents.* files, one record a line.
 * A record is framed as TFRecord (length, masked CRC-32C of the length, bytes, masked
 * CRC-32C of the bytes); its bytes are the protobuf message Event of
 * tensorflow/core/util/ event.proto. Of that message only the handful of fields below is
 * ever written, so they are written here, without a generator and its library.
 *
 * A start of a run begins a file of its own, whose name sorts behind the earlier ones;
 * TensorBoard shows all files of a folder as one run. On resume the earlier files are cut
 * back to the checkpoint's step, so that no step stands twice.
 */
#include "report/report.h"

#include <ctype.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    PATH_LENGTH = 4096,
    HOST_LENGTH = 64,
    FRAME_BEFORE = 12, /* u64 length, u32 CRC of it */
    FRAME_AFTER = 4,
    MESSAGE_MOST = 1 << 24
};
static const int64_t FILE_MOST = (int64_t)1 << 32;
static const char PREFIX[] = "events.out.tfevents.";

/* Fields of Event, of Summary and of Summary.Value, as (number << 3 | wire type). */
enum {
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_BYTES = 2,
    WIRE_FIXED32 = 5,
    EVENT_WALL_TIME = 1 << 3 | WIRE_FIXED64, /* double, seconds since 1970 */
    EVENT_STEP = 2 << 3 | WIRE_VARINT,
    EVENT_FILE_VERSION = 3 << 3 | WIRE_BYTES,
    EVENT_SUMMARY = 5 << 3 | WIRE_BYTES,
    SUMMARY_VALUE = 1 << 3 | WIRE_BYTES,
    VALUE_TAG = 1 << 3 | WIRE_BYTES,
    VALUE_SIMPLE = 2 << 3 | WIRE_FIXED32 /* float */
};

struct sl_events {
    struct sl_file_log *log;
    struct sl_text message, summary, value, record; /* kept for their memory */
};

/* ---- bytes ------------------------------------------------------------------------- */

/* CRC-32C (Castagnoli), reflected: 0xE3069283 over "123456789". */
static uint32_t crc32c(const unsigned char *bytes, size_t count)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1U) != 0 ? UINT32_C(0x82F63B78) : 0U);
        }
    }
    return ~crc;
}

/* TFRecord's mask: a CRC over bytes that hold their own CRC would be weak. */
static uint32_t masked_crc(const void *bytes, size_t count)
{
    uint32_t crc = crc32c(bytes, count);
    return ((crc >> 15) | (crc << 17)) + UINT32_C(0xA282EAD8);
}

static void little_endian(uint64_t value, unsigned char *dst, int count)
{
    for (int i = 0; i < count; i++) {
        dst[i] = (unsigned char)(value >> (8 * i));
    }
}

static uint64_t from_little_endian(const unsigned char *bytes, int count)
{
    uint64_t value = 0;
    for (int i = 0; i < count; i++) {
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

static void add_fixed(struct sl_text *text, uint64_t value, int count)
{
    unsigned char bytes[8];
    little_endian(value, bytes, count);
    sl_text_add_bytes(text, bytes, (size_t)count);
}

static void add_varint(struct sl_text *text, uint64_t value)
{
    do {
        unsigned char byte = (unsigned char)(value & 0x7F);
        value >>= 7;
        byte |= value != 0 ? 0x80 : 0;
        sl_text_add_bytes(text, &byte, 1);
    } while (value != 0);
}

static void add_double(struct sl_text *text, int field, double value)
{
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    add_varint(text, (uint64_t)field);
    add_fixed(text, bits, 8);
}

static void add_float(struct sl_text *text, int field, float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    add_varint(text, (uint64_t)field);
    add_fixed(text, bits, 4);
}

static void add_bytes(struct sl_text *text, int field, const void *bytes, size_t count)
{
    add_varint(text, (uint64_t)field);
    add_varint(text, count);
    sl_text_add_bytes(text, bytes, count);
}

/* ---- writing ----------------------------------------------------------------------- */

static double wall_time(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* events->message as one record. */
static enum sl_status write_record(struct sl_error *err, struct sl_events *events)
{
    unsigned char length[8];
    struct sl_text *record = &events->record;
    const struct sl_text *message = &events->message;
    record->length = 0;
    little_endian(message->length, length, sizeof length);
    sl_text_add_bytes(record, length, sizeof length);
    add_fixed(record, masked_crc(length, sizeof length), 4);
    sl_text_add_bytes(record, message->text, message->length);
    add_fixed(record, masked_crc(message->text, message->length), 4);
    if (record->failed || message->failed) {
        return SL_FAIL(err, SL_ERROR_RUN, "event file: out of memory for a record");
    }
    return sl_file_log_bytes(err, events->log, record->text, record->length);
}

static enum sl_status write_version(struct sl_error *err, struct sl_events *events)
{
    static const char version[] = "brain.Event:2";
    events->message.length = 0;
    add_double(&events->message, EVENT_WALL_TIME, wall_time());
    add_bytes(&events->message, EVENT_FILE_VERSION, version, sizeof version - 1);
    return write_record(err, events);
}

enum sl_status sl_events_write(struct sl_error *err, struct sl_events *events,
                               const struct sl_metric *values, int n)
{
    int64_t step = 0;
    events->message.length = 0;
    events->summary.length = 0;
    for (int i = 0; i < n; i++) {
        if (strcmp(values[i].key, "step") == 0) {
            step = (int64_t)values[i].value;
            continue;
        }
        events->value.length = 0;
        add_bytes(&events->value, VALUE_TAG, values[i].key, strlen(values[i].key));
        add_float(&events->value, VALUE_SIMPLE, (float)values[i].value);
        add_bytes(&events->summary, SUMMARY_VALUE, events->value.text,
                  events->value.length);
    }
    if (events->value.failed || events->summary.failed) {
        return SL_FAIL(err, SL_ERROR_RUN, "event file: out of memory for a record");
    }
    add_double(&events->message, EVENT_WALL_TIME, wall_time());
    add_varint(&events->message, EVENT_STEP);
    add_varint(&events->message, (uint64_t)step);
    add_bytes(&events->message, EVENT_SUMMARY, events->summary.text,
              events->summary.length);
    return write_record(err, events);
}

/* ---- what earlier starts of the run left ------------------------------------------- */

/* Reads a varint at *at, which moves behind it; false where there is no whole one. */
static bool read_varint(const unsigned char *bytes, size_t count, size_t *at,
                        uint64_t *value)
{
    *value = 0;
    for (int shift = 0; shift < 64 && *at < count; shift += 7) {
        unsigned char byte = bytes[(*at)++];
        *value |= (uint64_t)(byte & 0x7F) << shift;
        if ((byte & 0x80) == 0) {
            return true;
        }
    }
    return false;
}

/* The step of an Event, 0 where it has none, as protobuf has it; false when the message
 * is none. */
static bool event_step(const unsigned char *bytes, size_t count, int64_t *step)
{
    size_t at = 0;
    *step = 0;
    while (at < count) {
        uint64_t field = 0, value = 0;
        if (!read_varint(bytes, count, &at, &field)) {
            return false;
        }
        int wire = (int)(field & 7U);
        if (wire == WIRE_VARINT) {
            if (!read_varint(bytes, count, &at, &value)) {
                return false;
            }
            *step = field == EVENT_STEP ? (int64_t)value : *step;
            continue;
        }
        if (wire == WIRE_BYTES && !read_varint(bytes, count, &at, &value)) {
            return false;
        }
        uint64_t skip = wire == WIRE_FIXED64   ? 8
                        : wire == WIRE_FIXED32 ? 4
                        : wire == WIRE_BYTES   ? value
                                               : UINT64_MAX;
        if (skip > count - at) {
            return false;
        }
        at += (size_t)skip;
    }
    return true;
}

int64_t sl_events_keep(const unsigned char *bytes, int64_t size, int64_t through)
{
    int64_t keep = 0;
    while (size - keep >= FRAME_BEFORE + FRAME_AFTER) {
        const unsigned char *frame = bytes + keep;
        uint64_t length = from_little_endian(frame, 8);
        int64_t step = 0;
        if (length > MESSAGE_MOST ||
            (int64_t)length > size - keep - FRAME_BEFORE - FRAME_AFTER ||
            masked_crc(frame, 8) != from_little_endian(frame + 8, 4)) {
            break;
        }
        const unsigned char *message = frame + FRAME_BEFORE;
        if (masked_crc(message, (size_t)length) !=
                from_little_endian(message + length, 4) ||
            !event_step(message, (size_t)length, &step) || step > through) {
            break;
        }
        keep += FRAME_BEFORE + (int64_t)length + FRAME_AFTER;
    }
    return keep;
}

static enum sl_status cut_back(struct sl_error *err, const char *path, int64_t through)
{
    unsigned char *bytes = NULL;
    int64_t size = 0;
    SL_TRY(sl_file_read(err, SL_ERROR_RUN, path, FILE_MOST, &bytes, &size));
    int64_t keep = sl_events_keep(bytes, size, through);
    sl_heap_free(bytes);
    return keep == size ? SL_OK : sl_file_truncate(err, path, keep);
}

/* The seconds in a file's name, or 0. */
static int64_t name_seconds(const char *name)
{
    int64_t seconds = 0;
    for (const char *at = name + sizeof PREFIX - 1; *at >= '0' && *at <= '9'; at++) {
        if (seconds > INT64_C(99999999999)) {
            return 0;
        }
        seconds = seconds * 10 + (*at - '0');
    }
    return seconds;
}

/* Cuts or removes the files that are there; *last: the latest second in their names. */
static enum sl_status settle_earlier(struct sl_error *err, const char *directory,
                                     int64_t keep_through, int64_t *last)
{
    enum sl_status status = SL_OK;
    struct sl_dir_list list = {0};
    char path[PATH_LENGTH];
    *last = 0;
    SL_TRY(sl_dir_list(err, SL_ERROR_RUN, directory, &list));
    for (int64_t i = 0; i < list.n; i++) {
        if (strncmp(list.names[i], PREFIX, sizeof PREFIX - 1) != 0) {
            continue;
        }
        if (!sl_path_join(path, sizeof path, directory, list.names[i])) {
            status = SL_FAIL(err, SL_ERROR_RUN, "%.80s…: the path is too long", path);
            goto out;
        }
        if (keep_through < 0) {
            (void)sl_file_remove(path);
            continue;
        }
        SL_TRY_OUT(cut_back(err, path, keep_through));
        int64_t seconds = name_seconds(list.names[i]);
        *last = seconds > *last ? seconds : *last;
    }
out:
    sl_dir_list_finish(&list);
    return status;
}

enum sl_status sl_events_clear(struct sl_error *err, const char *directory)
{
    int64_t last = 0;
    return settle_earlier(err, directory, -1, &last);
}

/* The host's name as a part of a file name. */
static void host_name(char dst[HOST_LENGTH])
{
    if (gethostname(dst, HOST_LENGTH - 1) != 0) {
        (void)sl_text_copy(dst, HOST_LENGTH, "localhost");
    }
    dst[HOST_LENGTH - 1] = '\0';
    for (char *at = dst; *at != '\0'; at++) {
        if (!isalnum((unsigned char)*at) && *at != '-') {
            *at = '_';
        }
    }
}

enum sl_status sl_events_open(struct sl_error *err, const char *directory,
                              int64_t keep_through, struct sl_events **events)
{
    enum sl_status status = SL_OK;
    struct sl_events *made = NULL;
    char host[HOST_LENGTH];
    char name[HOST_LENGTH + 96];
    char path[PATH_LENGTH];
    int64_t last = 0;
    int64_t seconds = (int64_t)time(NULL);
    *events = NULL;
    SL_TRY(settle_earlier(err, directory, keep_through, &last));
    seconds = seconds > last ? seconds : last + 1;
    host_name(host);
    (void)snprintf(name, sizeof name, "%s%010lld.%s.%lld.0", PREFIX, (long long)seconds,
                   host, (long long)getpid());
    if (!sl_path_join(path, sizeof path, directory, name)) {
        return SL_FAIL(err, SL_ERROR_RUN, "%.80s…: the path is too long", directory);
    }
    SL_TRY_OUT(sl_heap_alloc(err, "event file", 1, sizeof *made, &made));
    SL_TRY_OUT(sl_file_log_open(err, path, &made->log));
    SL_TRY_OUT(write_version(err, made));
    *events = made;
    made = NULL;
out:
    sl_events_close(made);
    return status;
}

void sl_events_close(struct sl_events *events)
{
    if (events == NULL) {
        return;
    }
    sl_file_log_close(events->log);
    sl_text_finish(&events->message);
    sl_text_finish(&events->summary);
    sl_text_finish(&events->value);
    sl_text_finish(&events->record);
    sl_heap_free(events);
}
