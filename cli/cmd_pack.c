/* SPDX-License-Identifier: MIT */
/*
 * `pack`: pictures into shards; with --json one object about them.
 */
#include "cli.h"

#include <stdio.h>

int cmd_pack(int argc, char **argv)
{
    struct cli_arguments arguments;
    slim_packed packed;
    slim_error error;
    int code = cli_arguments_read("pack", argc, argv, &arguments);
    if (code == 0 && arguments.n_places != 1) {
        code = cli_usage("pack", "wants one DATA and -o NAME; see `slimclr help pack`");
    }
    if (code == 0) {
        slim_hooks hooks = cli_hooks();
        cli_log_open(&arguments);
        cli_signals();
        slim_status status =
            slim_pack(arguments.options, arguments.places[0], &hooks, &packed, &error);
        if (status != SLIM_OK) {
            code = cli_fail("pack", &error);
        } else if (arguments.json) {
            (void)printf("{\"pictures\":%lld,\"damaged\":%lld,\"shards\":%lld,"
                         "\"kept\":%lld,\"bytes\":%lld}\n",
                         (long long)packed.pictures, (long long)packed.damaged,
                         (long long)packed.shards, (long long)packed.kept,
                         (long long)packed.bytes);
        }
    }
    cli_arguments_finish(&arguments);
    return code;
}
