/* SPDX-License-Identifier: MIT */
/*
 * `check`: what may be wrong with the pictures of a DATA, before hours are spent on it.
 */
#include "cli.h"

int cmd_check(int argc, char **argv)
{
    struct cli_arguments arguments;
    slim_checked checked;
    slim_error error;
    int code = cli_arguments_read("check", argc, argv, &arguments);
    if (code == 0 && arguments.n_places != 1) {
        code = cli_usage("check", "wants one DATA; see `slimclr help check`");
    }
    if (code == 0) {
        char *text = NULL;
        slim_hooks hooks = cli_hooks();
        cli_log_open(&arguments);
        cli_signals();
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
