/* SPDX-License-Identifier: MIT */
/*
 * `slimclr pack`: the words become a packing. Both parts of a DATA that has two go into
 * the same shards, under train/ and val/.
 */
#include "api_int.h"

#include <string.h>

enum { PATH_BYTES = 4096 };

/* "dir/name" from -o: a folder that exists, or a name that ends with a slash, holds
 * shards of its own name. */
static enum sl_status shard_name(struct sl_error *err, const char *out, char *dst)
{
    char folder[PATH_BYTES];
    size_t length = strlen(out);
    if (length == 0) {
        return SL_FAIL(err, SL_ERROR_USAGE, "no name for the shards; give one with -o");
    }
    if (!sl_text_copy(folder, sizeof folder, out)) {
        return SL_FAIL(err, SL_ERROR_USAGE, "-o: the path is longer than %d bytes",
                       PATH_BYTES - 1);
    }
    bool is_folder = out[length - 1] == '/' || sl_path_kind(out) == SL_PATH_DIRECTORY;
    while (length > 1 && folder[length - 1] == '/') {
        folder[--length] = '\0';
    }
    const char *slash = strrchr(folder, '/');
    const char *name = slash != NULL ? slash + 1 : folder;
    bool is_dots = strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || name[0] == '\0';
    bool fits = is_folder
                    ? sl_path_join(dst, PATH_BYTES, folder, is_dots ? "shard" : name)
                    : sl_text_copy(dst, PATH_BYTES, folder);
    return fits ? SL_OK
                : SL_FAIL(err, SL_ERROR_USAGE, "-o: the path is longer than %d bytes",
                          PATH_BYTES - 1);
}

static enum sl_status pack(struct sl_error *err, const struct sl_conf *conf,
                           const char *data, const slim_hooks *hooks,
                           struct sl_source *sources[2], struct sl_pack_result *result)
{
    char out[PATH_BYTES];
    struct sl_pack_config config = {
        .out = out,
        .max_side = (int)sl_conf_int(conf, "max-side"),
        .quality = (int)sl_conf_int(conf, "quality"),
        .shard_bytes = sl_conf_int(conf, "shard-size"),
        .n_workers = api_workers(conf),
        .bad_policy = api_bad_policy(conf),
        .overwrite = sl_conf_bool(conf, "overwrite"),
        .stop_requested = hooks != NULL ? hooks->stop_requested : NULL,
        .context = hooks != NULL ? hooks->context : NULL,
    };
    SL_TRY(shard_name(err, sl_conf_text(conf, "out"), out));
    SL_TRY(api_parse_fraction(err, sl_conf_text(conf, "max-bad"), "--max-bad",
                              &config.max_bad));
    SL_TRY(api_decode_options(err, conf, &config.decode));
    config.decode.max_side = 0; /* --max-side says what pictures become here */
    SL_TRY(api_parts_open(err, conf, data, sl_conf_int(conf, "limit"), &config.decode,
                          sources, &config.n_sources));
    int64_t count = 0;
    for (int s = 0; s < config.n_sources; s++) {
        config.sources[s] = sources[s];
        count += sl_source_count(sources[s]);
    }
    sl_log(SL_LOG_INFO, "data:   %s: %lld picture%s (%s)%s", data, (long long)count,
           sl_plural((double)count), sl_source_kind(sources[0]),
           config.n_sources == 2 ? ", train and test part" : "");
    SL_TRY(sl_pack(err, &config, result));
    sl_log(SL_LOG_INFO,
           "packed: %s-000000.tar%s: %lld picture%s in %lld shard%s (%lld there before), "
           "%.1f MB; %lld damaged",
           out, result->n_shards > 1 ? " …" : "", (long long)result->n_pictures,
           sl_plural((double)result->n_pictures), (long long)result->n_shards,
           sl_plural((double)result->n_shards), (long long)result->n_kept,
           (double)result->bytes / 1e6, (long long)result->n_bad);
    return SL_OK;
}

slim_status slim_pack(const slim_options *options, const char *data,
                      const slim_hooks *hooks, slim_packed *packed, slim_error *error)
{
    struct sl_error err = {0};
    struct sl_source *sources[2] = {NULL, NULL};
    struct sl_pack_result result = {0};
    enum sl_status status = pack(&err, options->conf, data, hooks, sources, &result);
    *packed = (slim_packed){.pictures = result.n_pictures,
                            .damaged = result.n_bad,
                            .shards = result.n_shards,
                            .kept = result.n_kept,
                            .bytes = result.bytes};
    sl_source_close(sources[0]);
    sl_source_close(sources[1]);
    return api_leave(&err, status, error);
}
