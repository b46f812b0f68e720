/* SPDX-License-Identifier: MIT */
/*
 * `report`: the page about a run. Prints where it is.
 */
#include "cli.h"

int cmd_report(int argc, char **argv)
{
    struct cli_arguments arguments;
    slim_error error;
    int code = cli_arguments_read("report", argc, argv, &arguments);
    if (code == 0 && arguments.n_places != 1) {
        code = cli_usage("report", "wants one RUN; see `slimclr help report`");
    }
    if (code == 0) {
        char *text = NULL;
        cli_log_open(&arguments);
        slim_status status = slim_report(arguments.options, arguments.places[0],
                                         arguments.json, &text, &error);
        code = cli_print_text("report", status, text, &error);
    }
    cli_arguments_finish(&arguments);
    return code;
}
