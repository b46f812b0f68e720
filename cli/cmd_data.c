/* SPDX-License-Identifier: MIT */
/*
 * `check`, `stats` and `views`: what the pictures of a DATA are like, before hours are
 * spent on them.
 */
#include "cli.h"

/* Words of a command that takes one DATA. */
static int read_words(const char *command, int argc, char **argv,
                      struct cli_arguments *arguments)
{
    int code = cli_arguments_read(command, argc, argv, arguments);
    if (code == 0 && arguments->n_places != 1) {
        code = cli_usage(command, "wants one DATA; see `slimclr help %s`", command);
    }
    if (code == 0) {
        cli_log_open(arguments);
        cli_signals();
    }
    return code;
}

int cmd_check(int argc, char **argv)
{
    struct cli_arguments arguments;
    slim_checked checked;
    slim_error error;
    int code = read_words("check", argc, argv, &arguments);
    if (code == 0) {
        char *text = NULL;
        const slim_hooks hooks = cli_hooks();
        slim_status status = slim_check(arguments.options, arguments.places[0],
                                        arguments.json, &hooks, &checked, &text, &error);
        code = cli_print_text("check", status, text, &error);
        if (code == 0 && checked.damaged > 0) {
            code = SLIM_ERROR_DATA;
        }
    }
    cli_arguments_finish(&arguments);
    return code;
}

int cmd_stats(int argc, char **argv)
{
    struct cli_arguments arguments;
    slim_error error;
    int code = read_words("stats", argc, argv, &arguments);
    if (code == 0) {
        char *text = NULL;
        const slim_hooks hooks = cli_hooks();
        slim_status status = slim_stats(arguments.options, arguments.places[0],
                                        arguments.json, &hooks, &text, &error);
        code = cli_print_text("stats", status, text, &error);
    }
    cli_arguments_finish(&arguments);
    return code;
}

int cmd_views(int argc, char **argv)
{
    struct cli_arguments arguments;
    slim_error error;
    int code = cli_arguments_read("views", argc, argv, &arguments);
    if (code == 0) {
        char *text = NULL;
        cli_log_open(&arguments);
        slim_status status =
            slim_views(arguments.options, arguments.places, arguments.n_places,
                       arguments.json, &text, &error);
        code = cli_print_text("views", status, text, &error);
    }
    cli_arguments_finish(&arguments);
    return code;
}
