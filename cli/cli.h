/* SPDX-License-Identifier: MIT */
/*
 * The program's own door: sub-commands and what they share. The program sees the library
 * through slimclr.h only, as any other program would; it owns printing, signals and exit
 * codes.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "slimclr.h"

enum { CLI_PLACES_MAX = 256 };

/* Words of a command line after options were taken out, and the switches every command
 * has. */
struct cli_arguments {
    slim_options *options;
    const char *places[CLI_PLACES_MAX]; /* positional words */
    int n_places;
    bool json, quiet, verbose;
};

/* Reads options of `command` (a key of the library's table each) into arguments. On
 * failure one line was printed and the exit status is returned; 0 = go on; -1 = help was
 * printed. */
int cli_arguments_read(const char *command, int argc, char **argv,
                       struct cli_arguments *arguments);
void cli_arguments_finish(struct cli_arguments *arguments);
/* Prints "slimclr COMMAND: TEXT" and returns the exit status. */
int cli_fail(const char *command, const slim_error *error);
int cli_usage(const char *command, const char *format, ...);
/* Prints a text of the library, which is given away, or its error; the exit status. */
int cli_print_text(const char *command, slim_status status, char *text,
                   const slim_error *error);
/* The commands with a table of keys of their own (main.c), NULL past the end. */
const char *cli_table(int i);
/* Help of one command from its table of keys. */
void cli_help_options(const char *command);

/* pace.c: how fast a pass over pictures goes, and how long it will take; the rate is that
 * of the whole pass. A count that falls begins another one. Times are seconds of one
 * clock. */
struct cli_pace {
    double begun, seen; /* when the pass began, and was last told of */
    int64_t done;
    double per_second, left_s;
};
void cli_pace_begin(struct cli_pace *pace, double time);
void cli_pace_step(struct cli_pace *pace, int64_t done, int64_t total, double time);

/* progress.c: lines of the library and of the run's progress on standard error. */
void cli_log_open(const struct cli_arguments *arguments);
slim_hooks cli_hooks(void);
/* signals: the first SIGINT, SIGTERM or SIGUSR1 asks for a stop, a second SIGINT ends at
 * once. */
void cli_signals(void);
void cli_progress_end(void);

/* Sub-commands: argv without "slimclr SUB". Each returns the exit status. */
int cmd_pretrain(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_analyse(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_stats(int argc, char **argv);
int cmd_views(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_pack(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_demo(int argc, char **argv);

#endif
