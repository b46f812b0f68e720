/* SPDX-License-Identifier: MIT */
/*
 * `analyse trajectory` and `analyse probes`: looking into a run that is over.
 */
#include "cli.h"

#include <string.h>

int cmd_analyse(int argc, char **argv)
{
    struct cli_arguments arguments;
    slim_error error;
    bool probes = argc >= 2 && strcmp(argv[1], "probes") == 0;
    if (!probes && (argc < 2 || strcmp(argv[1], "trajectory") != 0)) {
        return cli_usage("analyse",
                         "say what: `slimclr analyse trajectory RUN [DATA]` or "
                         "`slimclr analyse probes RUN DATA`");
    }
    const char *command = probes ? "analyse probes" : "analyse trajectory";
    int code = cli_arguments_read(command, argc - 1, argv + 1, &arguments);
    if (code == 0 && (arguments.n_places < 1 || arguments.n_places > 2)) {
        code = cli_usage(command,
                         probes ? "wants a model (run directory or checkpoint) and "
                                  "one DATA, or --train and --test"
                                : "wants a run directory, and DATA for the surface");
    }
    if (code == 0) {
        const char *data = arguments.n_places == 2 ? arguments.places[1] : NULL;
        const slim_hooks hooks = cli_hooks();
        char *text = NULL;
        cli_log_open(&arguments);
        cli_signals();
        slim_status status =
            probes ? slim_analyse_probes(arguments.options, arguments.places[0], data,
                                         arguments.json, &hooks, &text, &error)
                   : slim_analyse_trajectory(arguments.options, arguments.places[0], data,
                                             arguments.json, &hooks, &text, &error);
        cli_progress_end();
        code = cli_print_text(command, status, text, &error);
    }
    cli_arguments_finish(&arguments);
    return code;
}
