/* SPDX-License-Identifier: MIT */
/*
 * Command lines: the library's table of keys becomes long options. One line a mistake,
 * naming the word.
 */
#include "cli.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { OPTIONS_MAX = 128, LONG_BASE = 1000, HELP_COLUMN = 30, HELP_WIDTH = 90 };

int cli_fail(const char *command, const slim_error *error)
{
    cli_progress_end();
    (void)fprintf(stderr, "slimclr %s: %s\n", command, error->text);
    return (int)error->status;
}

int cli_usage(const char *command, const char *format, ...)
{
    va_list arguments;
    (void)fprintf(stderr, "slimclr %s: ", command);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fprintf(stderr, "\n");
    return SLIM_ERROR_USAGE;
}

int cli_print_text(const char *command, slim_status status, char *text,
                   const slim_error *error)
{
    int code = (int)status;
    if (status != SLIM_OK) {
        code = cli_fail(command, error);
    } else {
        cli_progress_end();
        (void)fputs(text, stdout);
        size_t length = strlen(text);
        if (length > 0 && text[length - 1] != '\n') {
            (void)fputs("\n", stdout);
        }
    }
    slim_text_free(text);
    return code;
}

/* Writes words after column `at`, wrapped and indented to HELP_COLUMN. */
static void print_wrapped(const char *text, int at)
{
    while (*text != '\0') {
        int length = (int)strcspn(text, " ");
        if (at + 1 + length > HELP_WIDTH && at > HELP_COLUMN) {
            (void)printf("\n%*s", HELP_COLUMN, "");
            at = HELP_COLUMN;
        }
        (void)printf(" %.*s", length, text);
        at += 1 + length;
        text += length;
        text += strspn(text, " ");
    }
    (void)printf("\n");
}

void cli_help_options(const char *command)
{
    slim_options *options = NULL;
    slim_error error;
    slim_option_info info;
    if (slim_options_create(command, &options, &error) != SLIM_OK) {
        return;
    }
    (void)printf("\nOptions:\n");
    for (int i = 0; slim_options_info(options, i, &info); i++) {
        char name[80];
        const char *argument = info.argument != NULL ? info.argument : "";
        (void)snprintf(
            name, sizeof name, "%s%c%s --%s%s%s", info.letter != 0 ? "-" : "  ",
            info.letter != 0 ? info.letter : ' ', info.letter != 0 ? "," : "", info.name,
            argument[0] == '\0' || argument[0] == '[' ? "" : " ", argument);
        char text[512];
        bool several = info.choices != NULL && strchr(info.choices, '|') != NULL;
        bool has_default =
            !info.is_flag && info.initial[0] != '\0' && strcmp(info.initial, "auto") != 0;
        (void)snprintf(text, sizeof text, "%s%s%s%s%s%s%s", info.help,
                       several ? " [" : "", several ? info.choices : "",
                       several ? "]" : "", has_default ? " (" : "",
                       has_default ? info.initial : "", has_default ? ")" : "");
        int column = printf("  %-*s", HELP_COLUMN - 2, name);
        print_wrapped(text, column);
    }
    slim_options_destroy(options);
}

/* The long and short options of a table. */
struct option_set {
    struct option longs[OPTIONS_MAX + 2];
    slim_option_info infos[OPTIONS_MAX];
    char shorts[3 * OPTIONS_MAX + 2];
    int n;
};

static void fill_options(const slim_options *options, struct option_set *set)
{
    size_t at = 0;
    memset(set, 0, sizeof *set);
    set->shorts[at++] = ':'; /* tells a missing value from an unknown option */
    for (int i = 0; i < OPTIONS_MAX && slim_options_info(options, i, &set->infos[i]);
         i++) {
        const slim_option_info *info = &set->infos[i];
        bool maybe = info->argument != NULL && info->argument[0] == '[';
        set->longs[i] = (struct option){
            .name = info->name,
            .has_arg = info->is_flag || maybe ? optional_argument : required_argument,
            .val = LONG_BASE + i,
        };
        if (info->letter != 0) {
            set->shorts[at++] = info->letter;
            if (!info->is_flag) {
                set->shorts[at++] = ':';
            }
        }
        set->n = i + 1;
    }
    set->longs[set->n] =
        (struct option){.name = "help", .has_arg = no_argument, .val = 'h'};
    set->shorts[at++] = 'h';
    set->shorts[at] = '\0';
}

static int index_of(const struct option_set *set, int value)
{
    if (value >= LONG_BASE) {
        return value - LONG_BASE;
    }
    for (int i = 0; i < set->n; i++) {
        if (set->infos[i].letter == value) {
            return i;
        }
    }
    return -1;
}

static void note_switch(struct cli_arguments *arguments, const char *name, bool on)
{
    if (strcmp(name, "json") == 0) {
        arguments->json = on;
    } else if (strcmp(name, "quiet") == 0) {
        arguments->quiet = on;
    } else if (strcmp(name, "verbose") == 0) {
        arguments->verbose = on;
    }
}

/* --switch, or --switch=yes; --switch=no takes back what a recipe or a file says. */
static bool read_switch(const char *text, bool *on)
{
    *on = text == NULL || strcmp(text, "yes") == 0;
    return *on || strcmp(text, "no") == 0;
}

/* Whether the name stands in the table of any command. */
static bool is_key(const char *name, size_t length)
{
    bool found = false;
    for (int i = 0; !found && cli_table(i) != NULL; i++) {
        slim_options *options = NULL;
        slim_error error;
        slim_option_info info;
        if (slim_options_create(cli_table(i), &options, &error) != SLIM_OK) {
            return false;
        }
        for (int k = 0; !found && slim_options_info(options, k, &info); k++) {
            found = strlen(info.name) == length && strncmp(info.name, name, length) == 0;
        }
        slim_options_destroy(options);
    }
    return found;
}

/* The word of the option just read; its value may stand apart behind it. */
static const char *word_read(char *const *argv)
{
    return argv[optarg == argv[optind - 1] ? optind - 2 : optind - 1];
}

/* getopt takes the beginning of a long name for the name. Where other commands call
 * something else by that beginning, it is not what was meant. */
static bool is_of_others(const char *word, const char *name)
{
    size_t length = strcspn(word + 2, "=");
    return length < strlen(name) && is_key(word + 2, length);
}

int cli_arguments_read(const char *command, int argc, char **argv,
                       struct cli_arguments *arguments)
{
    static struct option_set set;
    slim_error error;
    *arguments = (struct cli_arguments){0};
    if (slim_options_create(command, &arguments->options, &error) != SLIM_OK) {
        return cli_fail(command, &error);
    }
    fill_options(arguments->options, &set);
    opterr = 0;
    optind = 1;
    for (;;) {
        int value = getopt_long(argc, argv, set.shorts, set.longs, NULL);
        if (value == -1) {
            break;
        }
        if (value == 'h') {
            return -1;
        }
        if (value == '?') {
            return cli_usage(command, "unknown option '%s'; see `slimclr help %s`",
                             argv[optind - 1], command);
        }
        if (value == ':') {
            return cli_usage(command, "option '%s' needs a value; see `slimclr help %s`",
                             argv[optind - 1], command);
        }
        const slim_option_info *info = &set.infos[index_of(&set, value)];
        const char *word = word_read(argv);
        if (value >= LONG_BASE && is_of_others(word, info->name)) {
            return cli_usage(command,
                             "unknown option '%s'; did you mean --%s? See `slimclr help "
                             "%s`",
                             word, info->name, command);
        }
        const char *text = optarg != NULL ? optarg : "auto";
        bool on = false;
        if (info->is_flag) {
            if (!read_switch(optarg, &on)) {
                return cli_usage(command, "--%s must be yes or no, not '%s'", info->name,
                                 optarg);
            }
            text = on ? "yes" : "no";
        }
        if (slim_options_set(arguments->options, info->name, text, &error) != SLIM_OK) {
            return cli_fail(command, &error);
        }
        if (info->is_flag) {
            note_switch(arguments, info->name, on);
        }
    }
    for (int i = optind; i < argc; i++) {
        if (arguments->n_places == CLI_PLACES_MAX) {
            return cli_usage(command, "more than %d arguments", (int)CLI_PLACES_MAX);
        }
        arguments->places[arguments->n_places++] = argv[i];
    }
    return 0;
}

void cli_arguments_finish(struct cli_arguments *arguments)
{
    slim_options_destroy(arguments->options);
    arguments->options = NULL;
}
