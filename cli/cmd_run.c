/* SPDX-License-Identifier: MIT */
/*
 * `pretrain`, `plan`, `bench`, `info` and `list`: read the words, call the library, print
 * its text.
 */
#include "cli.h"

#include <stdio.h>
#include <string.h>

int cmd_pretrain(int argc, char **argv)
{
    struct cli_arguments arguments;
    slim_error error;
    int code = cli_arguments_read("pretrain", argc, argv, &arguments);
    if (code == 0) {
        slim_hooks hooks = cli_hooks();
        cli_log_open(&arguments);
        cli_signals();
        code = (int)slim_pretrain(arguments.options, arguments.places, arguments.n_places,
                                  &hooks, &error);
        if (code != SLIM_OK) {
            code = cli_fail("pretrain", &error);
        }
        cli_progress_end();
    }
    cli_arguments_finish(&arguments);
    return code;
}

static int no_places(const char *command, const struct cli_arguments *arguments)
{
    return arguments->n_places == 0
               ? 0
               : cli_usage(command, "takes no argument, but got '%s'",
                           arguments->places[0]);
}

int cmd_plan(int argc, char **argv)
{
    struct cli_arguments arguments;
    slim_error error;
    int code = cli_arguments_read("plan", argc, argv, &arguments);
    if (code == 0) {
        char *text = NULL;
        cli_log_open(&arguments);
        slim_status status = slim_plan(arguments.options, arguments.places,
                                       arguments.n_places, arguments.json, &text, &error);
        code = cli_print_text("plan", status, text, &error);
    }
    cli_arguments_finish(&arguments);
    return code;
}

/* A list of cases takes minutes: each line is out at once. */
static void print_line(void *context, const char *text)
{
    (void)context;
    (void)printf("%s\n", text);
    (void)fflush(stdout);
}

static int run_bench(const char *command, const struct cli_arguments *arguments)
{
    char *text = NULL;
    slim_error error;
    if (strcmp(command, "bench ops") == 0) {
        return slim_bench_ops(arguments->options, print_line, NULL, &error) == SLIM_OK
                   ? 0
                   : cli_fail(command, &error);
    }
    slim_status status = strcmp(command, "bench loader") == 0
                             ? slim_bench_loader(arguments->options, arguments->places,
                                                 arguments->n_places, &text, &error)
                             : slim_bench_step(arguments->options, &text, &error);
    return cli_print_text(command, status, text, &error);
}

int cmd_bench(int argc, char **argv)
{
    static const char *const benches[] = {"bench step", "bench loader", "bench ops"};
    const char *command = NULL;
    for (size_t i = 0; i < sizeof benches / sizeof benches[0]; i++) {
        if (argc > 1 && strcmp(argv[1], benches[i] + strlen("bench ")) == 0) {
            command = benches[i];
        }
    }
    if (command == NULL) {
        return cli_usage("bench", "say what: `slimclr bench step|ops [options]` or "
                                  "`slimclr bench loader DATA [options]`");
    }
    struct cli_arguments arguments;
    int code = cli_arguments_read(command, argc - 1, argv + 1, &arguments);
    if (code == 0 && strcmp(command, "bench loader") != 0) {
        code = no_places(command, &arguments);
    }
    if (code == 0) {
        cli_log_open(&arguments);
        code = run_bench(command, &arguments);
    }
    cli_arguments_finish(&arguments);
    return code;
}

int cmd_info(int argc, char **argv)
{
    char *text = NULL;
    slim_error error;
    bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
    if (argc > 1 && !json) {
        return cli_usage("info", "takes nothing but --json, and got '%s'", argv[1]);
    }
    slim_status status = slim_info(json, &text, &error);
    return cli_print_text("info", status, text, &error);
}

int cmd_list(int argc, char **argv)
{
    char *text = NULL;
    slim_error error;
    if (argc != 2) {
        return cli_usage("list", "say what: archs, methods, recipes or formats");
    }
    slim_status status = slim_list(argv[1], &text, &error);
    return cli_print_text("list", status, text, &error);
}
