/* SPDX-License-Identifier: MIT */
/*
 * `slimclr check`: every picture of a DATA is read and decoded once, and what may be
 * wrong with them is told as a text, as one JSON object, and as a list in a file. What is
 * looked for stands in data/findings.c.
 */
#include "api_int.h"

#include <jansson.h>
#include <string.h>

enum {
    PATH_BYTES = 4096,
    TEXT_BYTES = 4 * PATH_BYTES + 1, /* a path, escaped */
    MIN_SIDE = 32,
    /* A text for people; the list in a file and the JSON have all. */
    DAMAGED_SHOWN = 100,
    DUPLICATES_SHOWN = 20,
    EXAMPLES = 3
};

static const char *const odd_words[SL_ODDITIES] = {
    [SL_ODD_TINY] = "tiny",
    [SL_ODD_LONG] = "long",
    [SL_ODD_ONE_COLOUR] = "one-colour",
    [SL_ODD_EXTENSION] = "wrong-extension",
    [SL_ODD_DEEP] = "deep",
    [SL_ODD_INK] = "cmyk",
    [SL_ODD_ALPHA] = "transparent",
};

struct check {
    const char *data;
    struct sl_conf *conf;
    struct sl_decode_options decode;
    struct sl_findings_limits limits;
    struct sl_source *sources[2]; /* train or all, test */
    int n_sources;
    int64_t total;
    struct sl_findings *findings;
    struct sl_file_writer *list;
    const slim_hooks *hooks;
    const struct sl_source *source; /* the part being looked at */
};

static void name_of(const struct check *check, int64_t i, char name[PATH_BYTES])
{
    int64_t n_first = sl_source_count(check->sources[0]);
    bool is_second = i >= n_first;
    sl_source_name(check->sources[is_second ? 1 : 0], is_second ? i - n_first : i, name,
                   PATH_BYTES);
}

/* ---- looking ----------------------------------------------------------------------- */

static enum sl_status each(struct sl_error *err, void *context, int64_t i,
                           const struct sl_look *look)
{
    struct check *check = context;
    char name[PATH_BYTES];
    sl_source_name(check->source, i, name, sizeof name);
    return sl_findings_add(err, check->findings, name, look);
}

static enum sl_status open_all(struct sl_error *err, struct check *check)
{
    int height = 0;
    int width = 0;
    const char *out = sl_conf_text(check->conf, "out");
    SL_TRY(api_decode_options(err, check->conf, &check->decode));
    SL_TRY(api_parts_open(err, check->conf, check->data, 0, &check->decode,
                          check->sources, &check->n_sources));
    bool is_fixed = sl_source_side_fixed(check->sources[0], &height, &width) != 0;
    check->limits = (struct sl_findings_limits){
        .min_side = !sl_conf_is_auto(check->conf, "min-side")
                        ? (int)sl_conf_int(check->conf, "min-side")
                    : is_fixed ? 0
                               : MIN_SIDE,
        .max_aspect = sl_conf_real(check->conf, "max-aspect"),
    };
    for (int s = 0; s < check->n_sources; s++) {
        check->total += sl_source_count(check->sources[s]);
    }
    if (out[0] != '\0') { /* before the work: it may take hours */
        SL_TRY(sl_file_writer_begin(err, out, &check->list));
    }
    return sl_findings_create(err, check->total, &check->limits, &check->findings);
}

/* What pictures of one hash are held against each other with. */
struct comparison {
    const struct check *check;
    struct sl_arena *arena;
};

/* The bytes of picture i as they are stored, or its pixels. */
static enum sl_status bytes_of(struct sl_error *err, const struct comparison *comparison,
                               int64_t i, const unsigned char **bytes, int64_t *size)
{
    const struct check *check = comparison->check;
    int64_t n_first = sl_source_count(check->sources[0]);
    const struct sl_source *source = check->sources[i >= n_first ? 1 : 0];
    int64_t at = i >= n_first ? i - n_first : i;
    unsigned char *stored = NULL;
    SL_TRY(sl_source_bytes(err, source, at, comparison->arena, &stored, size));
    *bytes = stored;
    if (stored == NULL) {
        struct sl_image image;
        SL_TRY(sl_source_read(err, source, at, comparison->arena, &image));
        *bytes = image.pixels;
        *size = (int64_t)image.height * image.width * image.channels;
    }
    return SL_OK;
}

/* A picture that can no longer be read is no duplicate. */
static enum sl_status is_same(struct sl_error *err, void *context, int64_t i, int64_t j,
                              bool *same)
{
    const struct comparison *comparison = context;
    struct sl_error reason = {0};
    const unsigned char *bytes[2] = {NULL, NULL};
    int64_t sizes[2] = {0, 0};
    sl_arena_reset_all(comparison->arena);
    enum sl_status status = bytes_of(&reason, comparison, i, &bytes[0], &sizes[0]);
    if (status == SL_OK) {
        status = bytes_of(&reason, comparison, j, &bytes[1], &sizes[1]);
    }
    *same = status == SL_OK && sizes[0] == sizes[1] &&
            memcmp(bytes[0], bytes[1], (size_t)sizes[0]) == 0;
    if (status != SL_OK && status != SL_ERROR_DATA) {
        *err = reason;
        return status;
    }
    return SL_OK;
}

static enum sl_status look(struct sl_error *err, struct check *check)
{
    int64_t before = 0;
    for (int s = 0; s < check->n_sources; s++) {
        check->source = check->sources[s];
        SL_TRY(api_pass(err, check->conf,
                        &(struct api_pass){
                            .source = check->source,
                            .decode = &check->decode,
                            .each = each,
                            .context = check,
                            .hooks = check->hooks,
                            .before = before,
                            .total = check->total,
                        }));
        before += sl_source_count(check->source);
    }
    struct comparison comparison = {.check = check};
    enum sl_status status = sl_arena_create(err, 1024 * 1024, &comparison.arena);
    if (status == SL_OK) {
        status = sl_findings_match(
            err, check->findings,
            &(struct sl_comparer){.is_same = is_same, .context = &comparison});
    }
    sl_arena_destroy(comparison.arena);
    return status;
}

/* ---- words ------------------------------------------------------------------------- */

/* Why a picture is odd in this way. */
static void odd_reason(const struct check *check, const struct sl_finding *finding,
                       enum sl_oddity kind, char *dst, size_t size)
{
    switch (kind) {
    case SL_ODD_TINY:
        (void)snprintf(dst, size, "%d x %d pixels, a side below %d", finding->width,
                       finding->height, check->limits.min_side);
        break;
    case SL_ODD_LONG:
        (void)snprintf(dst, size, "%d x %d pixels, longer than %g : 1", finding->width,
                       finding->height, check->limits.max_aspect);
        break;
    case SL_ODD_ONE_COLOUR:
        (void)snprintf(dst, size, "one colour throughout");
        break;
    case SL_ODD_EXTENSION:
        (void)snprintf(dst, size, "its content is %s", finding->format);
        break;
    case SL_ODD_DEEP:
        (void)snprintf(dst, size, "more than 8 bit a channel, rounded to 8");
        break;
    case SL_ODD_INK:
        (void)snprintf(dst, size, "ink (CMYK), turned into light");
        break;
    default:
        (void)snprintf(
            dst, size, "transparent pixels, %s%s",
            check->decode.alpha_ignored ? "taken as opaque" : "laid on ",
            check->decode.alpha_ignored ? "" : sl_conf_text(check->conf, "alpha-on"));
        break;
    }
}

static int64_t n_odd(const struct check *check)
{
    int64_t n = 0;
    for (int64_t i = 0; i < check->total; i++) {
        n += (sl_findings_at(check->findings, i).odd & ~(1u << SL_ODD_TINY)) != 0;
    }
    return n;
}

/* Is picture i in the test part and the first of its bytes in the train part? */
static bool is_across(const struct check *check, int64_t i)
{
    int64_t n_first = sl_source_count(check->sources[0]);
    int64_t of = sl_findings_at(check->findings, i).of;
    return of >= 0 && of < n_first && i >= n_first;
}

static int64_t n_across(const struct check *check)
{
    int64_t n = 0;
    for (int64_t i = sl_source_count(check->sources[0]); i < check->total; i++) {
        n += is_across(check, i);
    }
    return n;
}

/* ---- the list ---------------------------------------------------------------------- */

static enum sl_status list_line(struct sl_error *err, const struct check *check,
                                int64_t i, const char *what, const char *reason)
{
    char name[PATH_BYTES];
    char path[TEXT_BYTES];
    struct sl_text line = {0};
    enum sl_status status = SL_OK;
    name_of(check, i, name);
    api_path_text(path, sizeof path, name);
    sl_text_add(&line, "%s\t%s\t%s\n", path, what, reason);
    status = line.failed ? SL_FAIL(err, SL_ERROR_RUN, "out of memory for the list")
                         : sl_file_writer_write(err, check->list, line.text, line.length);
    sl_text_finish(&line);
    return status;
}

static enum sl_status list_picture(struct sl_error *err, const struct check *check,
                                   int64_t i)
{
    struct sl_finding finding = sl_findings_at(check->findings, i);
    char name[PATH_BYTES];
    char reason[TEXT_BYTES];
    if (finding.damage != NULL) {
        api_path_text(reason, sizeof reason, finding.damage);
        return list_line(err, check, i, "damaged", reason);
    }
    if (finding.of >= 0) {
        name_of(check, finding.of, name);
        api_path_text(reason, sizeof reason, name);
        SL_TRY(list_line(err, check, i, "duplicate", reason));
    }
    for (int kind = 0; kind < SL_ODDITIES; kind++) {
        if ((finding.odd >> kind & 1u) != 0) {
            odd_reason(check, &finding, (enum sl_oddity)kind, reason, sizeof reason);
            SL_TRY(list_line(err, check, i, odd_words[kind], reason));
        }
    }
    return SL_OK;
}

static enum sl_status write_list(struct sl_error *err, struct check *check)
{
    if (check->list == NULL) {
        return SL_OK;
    }
    for (int64_t i = 0; i < check->total; i++) {
        SL_TRY(list_picture(err, check, i));
    }
    SL_TRY(sl_file_writer_commit(err, check->list));
    check->list = NULL;
    return SL_OK;
}

/* ---- for people -------------------------------------------------------------------- */

static void add_more(struct sl_text *text, int64_t n, int64_t shown)
{
    if (n > shown) {
        sl_text_add(text, "  and %lld more: -o FILE lists all\n", (long long)(n - shown));
    }
}

static void add_damaged(const struct check *check, struct sl_text *text)
{
    int64_t n = sl_findings_damaged(check->findings);
    int64_t shown = 0;
    char name[PATH_BYTES];
    char path[TEXT_BYTES];
    char reason[TEXT_BYTES];
    sl_text_add(text, "%-16s %lld\n", "damaged", (long long)n);
    for (int64_t i = 0; shown < n && shown < DAMAGED_SHOWN; i++) {
        struct sl_finding finding = sl_findings_at(check->findings, i);
        if (finding.damage != NULL) {
            name_of(check, i, name);
            api_path_text(path, sizeof path, name);
            api_path_text(reason, sizeof reason, finding.damage);
            sl_text_add(text, "  %s: %s\n", path, reason);
            shown++;
        }
    }
    add_more(text, n, shown);
}

static void add_duplicates(const struct check *check, struct sl_text *text)
{
    int64_t n = sl_findings_duplicates(check->findings);
    int64_t across = n_across(check);
    int64_t shown = 0;
    char name[PATH_BYTES];
    char path[TEXT_BYTES];
    sl_text_add(text, "%-16s %lld", "duplicates", (long long)n);
    if (across > 0) {
        sl_text_add(text, ", %lld of them test pictures that are in the train part",
                    (long long)across);
    }
    sl_text_add(text, "\n");
    for (int64_t i = 0; shown < n && shown < DUPLICATES_SHOWN; i++) {
        int64_t of = sl_findings_at(check->findings, i).of;
        if (of >= 0) {
            name_of(check, i, name);
            api_path_text(path, sizeof path, name);
            sl_text_add(text, "  %s: the bytes of ", path);
            name_of(check, of, name);
            api_path_text(path, sizeof path, name);
            sl_text_add(text, "%s\n", path);
            shown++;
        }
    }
    add_more(text, n, shown);
}

static void add_odd(const struct check *check, enum sl_oddity kind, struct sl_text *text)
{
    int64_t n = sl_findings_odd(check->findings, kind);
    int64_t shown = 0;
    char name[PATH_BYTES];
    char path[TEXT_BYTES];
    char reason[128];
    if (n == 0) {
        return;
    }
    sl_text_add(text, "%-16s %lld\n", odd_words[kind], (long long)n);
    for (int64_t i = 0; shown < n && shown < EXAMPLES; i++) {
        struct sl_finding finding = sl_findings_at(check->findings, i);
        if ((finding.odd >> kind & 1u) != 0) {
            name_of(check, i, name);
            api_path_text(path, sizeof path, name);
            odd_reason(check, &finding, kind, reason, sizeof reason);
            sl_text_add(text, "  %s: %s\n", path, reason);
            shown++;
        }
    }
    add_more(text, n, shown);
}

static void add_text(const struct check *check, struct sl_text *text)
{
    char path[TEXT_BYTES];
    api_path_text(path, sizeof path, check->data);
    sl_text_add(text, "%s: %lld picture%s (%s)", path, (long long)check->total,
                sl_plural((double)check->total), sl_source_kind(check->sources[0]));
    if (check->n_sources == 2) {
        sl_text_add(text, ", %lld to train and %lld to test",
                    (long long)sl_source_count(check->sources[0]),
                    (long long)sl_source_count(check->sources[1]));
    }
    sl_text_add(text, "\n");
    add_damaged(check, text);
    add_duplicates(check, text);
    for (int kind = 0; kind < SL_ODDITIES; kind++) {
        add_odd(check, (enum sl_oddity)kind, text);
    }
}

/* ---- for machines ------------------------------------------------------------------ */

static json_t *path_json(const struct check *check, int64_t i)
{
    char name[PATH_BYTES];
    name_of(check, i, name);
    return api_path_json(name);
}

static json_t *odd_json(const struct check *check, enum sl_oddity kind)
{
    json_t *root = json_object();
    json_t *examples = json_array();
    char reason[128];
    int64_t n = sl_findings_odd(check->findings, kind);
    for (int64_t i = 0;
         (int64_t)json_array_size(examples) < (n < EXAMPLES ? n : EXAMPLES); i++) {
        struct sl_finding finding = sl_findings_at(check->findings, i);
        if ((finding.odd >> kind & 1u) != 0) {
            json_t *one = json_object();
            odd_reason(check, &finding, kind, reason, sizeof reason);
            json_object_set_new(one, "path", path_json(check, i));
            json_object_set_new(one, "reason", json_string(reason));
            json_array_append_new(examples, one);
        }
    }
    json_object_set_new(root, "count", json_integer(n));
    json_object_set_new(root, "examples", examples);
    return root;
}

static void add_files(const struct check *check, json_t *damaged, json_t *duplicates)
{
    for (int64_t i = 0; i < check->total; i++) {
        struct sl_finding finding = sl_findings_at(check->findings, i);
        json_t *one = json_object();
        if (finding.damage != NULL) {
            json_object_set_new(one, "path", path_json(check, i));
            json_object_set_new(one, "reason", api_path_json(finding.damage));
            json_array_append(damaged, one);
        } else if (finding.of >= 0) {
            json_object_set_new(one, "path", path_json(check, i));
            json_object_set_new(one, "of", path_json(check, finding.of));
            json_array_append(duplicates, one);
        }
        json_decref(one);
    }
}

static enum sl_status add_json(struct sl_error *err, const struct check *check,
                               struct sl_text *text)
{
    json_t *root = json_object();
    json_t *parts = json_object();
    json_t *odd = json_object();
    json_t *damaged = json_array();
    json_t *duplicates = json_array();
    add_files(check, damaged, duplicates);
    json_object_set_new(parts, "train", json_integer(sl_source_count(check->sources[0])));
    json_object_set_new(
        parts, "test",
        json_integer(check->n_sources == 2 ? sl_source_count(check->sources[1]) : 0));
    for (int kind = 0; kind < SL_ODDITIES; kind++) {
        json_object_set_new(odd, odd_words[kind], odd_json(check, (enum sl_oddity)kind));
    }
    json_object_set_new(root, "check", api_path_json(check->data));
    json_object_set_new(root, "kind", json_string(sl_source_kind(check->sources[0])));
    json_object_set_new(root, "pictures", json_integer(check->total));
    json_object_set_new(root, "parts", parts);
    json_object_set_new(root, "min_side", json_integer(check->limits.min_side));
    json_object_set_new(root, "max_aspect", json_real(check->limits.max_aspect));
    json_object_set_new(root, "n_damaged",
                        json_integer(sl_findings_damaged(check->findings)));
    json_object_set_new(root, "damaged", damaged);
    json_object_set_new(root, "n_duplicates",
                        json_integer(sl_findings_duplicates(check->findings)));
    json_object_set_new(root, "n_test_in_train", json_integer(n_across(check)));
    json_object_set_new(root, "duplicates", duplicates);
    json_object_set_new(root, "odd", odd);
    return api_json_add(err, text, root);
}

/* ---- the door ---------------------------------------------------------------------- */

static enum sl_status run(struct sl_error *err, struct check *check, bool json,
                          slim_checked *checked, struct sl_text *text)
{
    SL_TRY(open_all(err, check));
    SL_TRY(look(err, check));
    *checked = (slim_checked){
        .pictures = check->total,
        .damaged = sl_findings_damaged(check->findings),
        .duplicates = sl_findings_duplicates(check->findings),
        .tiny = sl_findings_odd(check->findings, SL_ODD_TINY),
        .odd = n_odd(check),
    };
    if (json) {
        SL_TRY(add_json(err, check, text));
    } else {
        add_text(check, text);
    }
    return write_list(err, check);
}

slim_status slim_check(const slim_options *options, const char *data, bool json,
                       const slim_hooks *hooks, slim_checked *checked, char **out,
                       slim_error *error)
{
    struct sl_error err = {0};
    struct check check = {.data = data, .conf = options->conf, .hooks = hooks};
    struct sl_text text = {0};
    *out = NULL;
    *checked = (slim_checked){0};
    enum sl_status status = run(&err, &check, json, checked, &text);
    if (status == SL_OK) {
        status = api_text_out(&err, &text, out);
    }
    sl_text_finish(&text);
    sl_file_writer_abort(check.list);
    sl_findings_destroy(check.findings);
    sl_source_close(check.sources[0]);
    sl_source_close(check.sources[1]);
    return api_leave(&err, status, error);
}
