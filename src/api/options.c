/* SPDX-License-Identifier: MIT */
/*
 * Options of a command, and how errors, texts and log lines leave the library. Settings
 * are layered: built-in < recipe < configuration file < the user's word.
 */
#include "api_int.h"

#include <stdlib.h>
#include <string.h>

enum { DIGITS = 12 }; /* of a number that is worked out */

/* The log sink is the library's one piece of global state (slimclr.h). */
static slim_log_fn user_sink;
static void *user_context;
static struct sl_file_log *tee;

static void sink(void *context, enum sl_log_level level, const char *line)
{
    (void)context;
    if (tee != NULL && level != SL_LOG_DEBUG) {
        struct sl_error ignored = {0};
        (void)sl_file_log_line(&ignored, tee, line);
    }
    if (user_sink != NULL) {
        user_sink(user_context, (slim_log_level)level, line);
    }
}

void slim_log_to(slim_log_fn log, void *context)
{
    user_sink = log;
    user_context = context;
    sl_log_set(sink, NULL);
}

void api_log_tee(struct sl_file_log *log)
{
    tee = log;
    sl_log_set(sink, NULL);
}

slim_status api_leave(const struct sl_error *err, enum sl_status status,
                      slim_error *error)
{
    int code = sl_status_exit(status);
    if (error != NULL) {
        error->status = (slim_status)code;
        error->text[0] = '\0';
        if (status != SL_OK) {
            (void)sl_text_copy(error->text, sizeof error->text, err->text);
        }
    }
    return (slim_status)code;
}

enum sl_status api_text_out(struct sl_error *err, const struct sl_text *text, char **copy)
{
    *copy = NULL;
    if (text->failed) {
        return SL_FAIL(err, SL_ERROR_RUN, "out of memory for a text of the result");
    }
    void *memory = NULL;
    SL_TRY(sl_heap_alloc(err, "text", (int64_t)text->length + 1, 1, &memory));
    memcpy(memory, text->text != NULL ? text->text : "", text->length);
    *copy = memory;
    return SL_OK;
}

void slim_text_free(char *text)
{
    sl_heap_free(text);
}

slim_status slim_options_create(const char *command, slim_options **options,
                                slim_error *error)
{
    struct sl_error err = {0};
    enum sl_status status = SL_OK;
    slim_options *made = NULL;
    *options = NULL;
    SL_TRY_OUT(sl_heap_alloc(&err, "options", 1, sizeof *made, &made));
    SL_TRY_OUT(api_table_create(&err, command, &made->table));
    SL_TRY_OUT(sl_conf_create(&err, made->table.keys, made->table.n, &made->conf));
    *options = made;
    made = NULL;
out:
    slim_options_destroy(made);
    return api_leave(&err, status, error);
}

void slim_options_destroy(slim_options *options)
{
    if (options != NULL) {
        sl_conf_destroy(options->conf);
        api_table_finish(&options->table);
        sl_heap_free(options);
    }
}

slim_status slim_options_set(slim_options *options, const char *key, const char *value,
                             slim_error *error)
{
    struct sl_error err = {0};
    char where[96];
    (void)snprintf(where, sizeof where, "--%s", key);
    enum sl_status status =
        sl_conf_set(&err, options->conf, key, value, SL_FROM_USER, where);
    return api_leave(&err, status, error);
}

bool slim_options_info(const slim_options *options, int i, slim_option_info *info)
{
    if (i < 0 || i >= sl_conf_key_count(options->conf)) {
        return false;
    }
    const struct sl_key *key = sl_conf_key(options->conf, i);
    *info = (slim_option_info){
        .name = key->name,
        .letter = key->letter,
        .is_flag = key->type == SL_KEY_BOOL,
        .argument = key->argument,
        .initial = key->initial,
        .choices = key->choices,
        .help = key->help,
    };
    return true;
}

enum sl_status api_conf_load_run(struct sl_error *err, struct sl_conf *conf,
                                 const char *path)
{
    SL_TRY(sl_conf_load(err, conf, path, SL_FROM_FILE));
    for (int i = 0; i < sl_conf_key_count(conf); i++) {
        const char *name = sl_conf_key(conf, i)->name;
        const char *before = api_key_before(conf, name);
        if (before != NULL && sl_conf_origin(conf, name) == SL_FROM_DEFAULT) {
            SL_TRY(sl_conf_set(err, conf, name, before, SL_FROM_FILE, path));
        }
    }
    return SL_OK;
}

enum sl_status api_conf_complete(struct sl_error *err, const slim_options *options,
                                 struct sl_conf **conf)
{
    enum sl_status status = SL_OK;
    struct sl_conf *made = NULL;
    *conf = NULL;
    SL_TRY_OUT(sl_conf_copy(err, options->conf, &made));
    /* The file first: it may name the recipe that lies under it. */
    const char *file = sl_conf_has(made, "config") ? sl_conf_text(made, "config") : "";
    if (file[0] != '\0') {
        SL_TRY_OUT(sl_conf_load(err, made, file, SL_FROM_FILE));
    }
    const char *recipe = sl_conf_has(made, "recipe") ? sl_conf_text(made, "recipe") : "";
    if (recipe[0] != '\0') {
        const char *text = api_recipe_text(recipe);
        if (text == NULL) {
            struct sl_text known = {0};
            for (int i = 0; api_recipe_name(i) != NULL; i++) {
                sl_text_add(&known, " %s", api_recipe_name(i));
            }
            status = SL_FAIL(err, SL_ERROR_USAGE,
                             "--recipe '%s': no such recipe; there are:%s", recipe,
                             known.text != NULL ? known.text : "");
            sl_text_finish(&known);
            goto out;
        }
        char name[96];
        (void)snprintf(name, sizeof name, "recipe %s", recipe);
        SL_TRY_OUT(sl_conf_parse(err, made, text, name, SL_FROM_RECIPE));
    }
    *conf = made;
    made = NULL;
out:
    sl_conf_destroy(made);
    return status;
}

enum sl_status api_refuse_idle(struct sl_error *err, const struct sl_conf *conf,
                               const char *key, const char *other, const char *what)
{
    const char *value = sl_conf_text(conf, key);
    bool is_unset = sl_conf_is_auto(conf, key) || strcmp(value, "no") == 0;
    bool is_yes = strcmp(value, "yes") == 0;
    if (is_unset || sl_conf_origin(conf, key) != SL_FROM_USER) {
        return SL_OK;
    }
    return SL_FAIL(
        err, SL_ERROR_USAGE, "--%s%s%s: --%s %s has no %s; leave one of them out", key,
        is_yes ? "" : " ", is_yes ? "" : value, other, sl_conf_text(conf, other), what);
}

enum sl_status api_conf_record(struct sl_error *err, const struct sl_conf *conf,
                               struct sl_text *text)
{
    int n = sl_conf_key_count(conf);
    for (int i = 0; i < n; i++) {
        const char *name = sl_conf_key(conf, i)->name;
        if (!api_key_is_free(name)) {
            sl_text_add(text, "%s = %s\n", name, sl_conf_text(conf, name));
        }
    }
    return text->failed
               ? SL_FAIL(err, SL_ERROR_RUN, "out of memory for the settings' text")
               : SL_OK;
}

enum sl_status api_resolve(struct sl_error *err, struct sl_conf *conf, const char *key,
                           const char *value)
{
    return sl_conf_set(err, conf, key, value, SL_FROM_RESOLVED, key);
}

enum sl_status api_resolve_real(struct sl_error *err, struct sl_conf *conf,
                                const char *key, double value)
{
    char text[64];
    sl_format_digits(text, sizeof text, value, DIGITS);
    return api_resolve(err, conf, key, text);
}

enum sl_status api_resolve_int(struct sl_error *err, struct sl_conf *conf,
                               const char *key, int64_t value)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%lld", (long long)value);
    return api_resolve(err, conf, key, text);
}
