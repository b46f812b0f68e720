/* SPDX-License-Identifier: MIT */
/*
 * The record of a packing: a line for its settings, a line a finished shard, a line a
 * damaged picture. Invariant: samples of shards and of damaged pictures never run
 * backwards, whatever the file said.
 */
#include "data/pack_int.h"

#include <stdlib.h>
#include <string.h>

static const char magic[] = "slimclr-pack 1";

static enum sl_status fail_line(struct sl_error *err, const char *name, int64_t number)
{
    return SL_FAIL(err, SL_ERROR_USAGE,
                   "%s:%lld: not the record of a packing; --overwrite packs afresh", name,
                   (long long)number);
}

/* The next whole number of a line, which must not be negative. */
static bool take_number(char **at, int64_t *value)
{
    char *end = *at + strcspn(*at, " \t");
    char after = *end;
    *end = '\0';
    bool is_number = sl_parse_int(*at, value) && *value >= 0;
    *at = after == '\0' ? end : end + 1;
    return is_number;
}

enum sl_status sl_pack_state_add_bad(struct sl_error *err, struct sl_pack_state *state,
                                     int64_t sample, const char *name, const char *reason)
{
    SL_TRY(sl_rows_grow(err, &state->bad, sizeof(struct sl_pack_bad)));
    struct sl_pack_bad *bad = (struct sl_pack_bad *)state->bad.items + state->bad.n;
    *bad = (struct sl_pack_bad){.sample = sample, .text = state->texts.length};
    sl_text_add(&state->texts, "%s\t%s", name, reason);
    sl_text_add_bytes(&state->texts, "", 1);
    if (state->texts.failed) {
        return SL_FAIL(err, SL_ERROR_RUN, "out of memory for the list of bad pictures");
    }
    state->bad.n++;
    return SL_OK;
}

int64_t sl_pack_state_next(const struct sl_pack_state *state)
{
    const struct sl_pack_shard *shards = state->shards.items;
    return state->shards.n > 0 ? shards[state->shards.n - 1].next : 0;
}

static bool add_shard(struct sl_error *err, struct sl_pack_state *state, char *at,
                      enum sl_status *status)
{
    struct sl_pack_shard shard = {0};
    if (!take_number(&at, &shard.bytes) || !take_number(&at, &shard.next) ||
        !take_number(&at, &shard.n_pictures) || *at != '\0' ||
        shard.next <= sl_pack_state_next(state) || shard.next > INT32_MAX ||
        shard.n_pictures > shard.next) {
        return false;
    }
    *status = sl_rows_grow(err, &state->shards, sizeof(shard));
    if (*status == SL_OK) {
        ((struct sl_pack_shard *)state->shards.items)[state->shards.n++] = shard;
    }
    return true;
}

static bool add_bad(struct sl_error *err, struct sl_pack_state *state, char *at,
                    enum sl_status *status)
{
    const struct sl_pack_bad *bad = state->bad.items;
    int64_t sample = 0;
    int64_t last = state->bad.n > 0 ? bad[state->bad.n - 1].sample : -1;
    if (!take_number(&at, &sample) || sample <= last || sample > INT32_MAX) {
        return false;
    }
    char *tab = strchr(at, '\t');
    if (tab == NULL) {
        return false;
    }
    *tab = '\0';
    *status = sl_pack_state_add_bad(err, state, sample, at, tab + 1);
    return true;
}

static bool begins(const char *line, const char *word)
{
    return strncmp(line, word, strlen(word)) == 0;
}

/* False when the line is none of a record. */
static bool take_line(struct sl_error *err, struct sl_pack_state *state, int64_t number,
                      char *line, enum sl_status *status)
{
    if (number == 1) {
        return strcmp(line, magic) == 0;
    }
    if (number == 2) {
        sl_text_add(&state->settings, "%s", line);
        return !state->settings.failed;
    }
    if (begins(line, "shard ")) {
        return add_shard(err, state, line + strlen("shard "), status);
    }
    if (begins(line, "bad ")) {
        return add_bad(err, state, line + strlen("bad "), status);
    }
    state->is_done = strcmp(line, "done") == 0;
    return state->is_done;
}

enum sl_status sl_pack_state_parse(struct sl_error *err, const char *name, char *bytes,
                                   int64_t size, struct sl_pack_state *state)
{
    int64_t number = 0;
    if (memchr(bytes, '\0', (size_t)size) != NULL) {
        return fail_line(err, name, 1);
    }
    for (char *line = bytes; line < bytes + size;) {
        size_t length = strcspn(line, "\n");
        char *next = line + length + 1;
        enum sl_status status = SL_OK;
        line[length] = '\0';
        if (state->is_done || !take_line(err, state, ++number, line, &status)) {
            return fail_line(err, name, number);
        }
        SL_TRY(status);
        line = next;
    }
    return number >= 2 ? SL_OK : fail_line(err, name, number + 1);
}

void sl_pack_state_cut(struct sl_pack_state *state, int64_t n_shards)
{
    const struct sl_pack_bad *bad = state->bad.items;
    if (n_shards < state->shards.n) {
        state->shards.n = n_shards;
        state->is_done = false;
    }
    if (!state->is_done) {
        int64_t next = sl_pack_state_next(state);
        while (state->bad.n > 0 && bad[state->bad.n - 1].sample >= next) {
            state->bad.n--;
        }
    }
}

enum sl_status sl_pack_state_write(struct sl_error *err, const char *path,
                                   const struct sl_pack_state *state)
{
    struct sl_text text = {0};
    const struct sl_pack_shard *shards = state->shards.items;
    const struct sl_pack_bad *bad = state->bad.items;
    enum sl_status status = SL_OK;
    sl_text_add(&text, "%s\n%s\n", magic, state->settings.text);
    for (int64_t i = 0; i < state->shards.n; i++) {
        sl_text_add(&text, "shard %lld %lld %lld\n", (long long)shards[i].bytes,
                    (long long)shards[i].next, (long long)shards[i].n_pictures);
    }
    for (int64_t i = 0; i < state->bad.n; i++) {
        sl_text_add(&text, "bad %lld %s\n", (long long)bad[i].sample,
                    state->texts.text + bad[i].text);
    }
    if (state->is_done) {
        sl_text_add(&text, "done\n");
    }
    status = text.failed ? SL_FAIL(err, SL_ERROR_RUN, "%s: out of memory", path)
                         : sl_file_write(err, path, text.text, text.length);
    sl_text_finish(&text);
    return status;
}

void sl_pack_state_finish(struct sl_pack_state *state)
{
    sl_text_finish(&state->settings);
    sl_text_finish(&state->texts);
    sl_heap_free(state->shards.items);
    sl_heap_free(state->bad.items);
    *state = (struct sl_pack_state){0};
}
