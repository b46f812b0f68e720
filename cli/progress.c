/* SPDX-License-Identifier: MIT */
/*
 * What a person sees while a run goes on: one line that is drawn again and again on a
 * terminal, plain lines elsewhere; and the signals that end it in order. Everything goes
 * to standard error.
 */
#include "cli.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const double TERMINAL_EVERY_S = 0.2;
static const double PLAIN_EVERY_S = 10.0;

static struct {
    bool terminal, quiet, verbose, drawn;
    double last; /* when something was drawn */
    struct cli_pace pace;
} screen;

static volatile sig_atomic_t stop_asked;

static double now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

void cli_progress_end(void)
{
    if (screen.drawn) {
        (void)fprintf(stderr, "\r\033[K");
        screen.drawn = false;
    }
}

static void line(void *context, slim_log_level level, const char *text)
{
    (void)context;
    if ((screen.quiet && level >= SLIM_LOG_INFO) ||
        (!screen.verbose && level == SLIM_LOG_DEBUG)) {
        return;
    }
    cli_progress_end();
    (void)fprintf(stderr, "%s%s\n", level == SLIM_LOG_WARNING ? "warning: " : "", text);
}

void cli_log_open(const struct cli_arguments *arguments)
{
    screen.terminal = isatty(STDERR_FILENO) != 0;
    screen.quiet = arguments->quiet;
    screen.verbose = arguments->verbose;
    screen.last = now();
    cli_pace_begin(&screen.pace, screen.last);
    slim_log_to(line, NULL);
}

static void duration(char *dst, size_t size, double seconds)
{
    long s = (long)seconds;
    if (s >= 3600) {
        (void)snprintf(dst, size, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    } else {
        (void)snprintf(dst, size, "%ld:%02ld", s / 60, s % 60);
    }
}

static void progress(void *context, const slim_progress *at)
{
    char left[32];
    double time = now();
    (void)context;
    if (screen.quiet ||
        time - screen.last < (screen.terminal ? TERMINAL_EVERY_S : PLAIN_EVERY_S)) {
        return;
    }
    screen.last = time;
    duration(left, sizeof left, at->eta_s);
    (void)fprintf(
        stderr,
        "%sstep %lld/%lld  epoch %.2f/%.4g  loss %.3f (chance %.2f)  %d width%s  %.0f "
        "images/s  %s left%s",
        screen.terminal ? "\r" : "", (long long)at->step, (long long)at->total_steps,
        at->epoch, at->epochs, at->loss, at->chance, at->active_widths,
        at->active_widths == 1 ? "" : "s", at->images_per_sec, left,
        screen.terminal ? "\033[K" : "\n");
    screen.drawn = screen.terminal;
}

static void passed(void *context, int64_t done, int64_t total)
{
    char left[32];
    double time = now();
    (void)context;
    cli_pace_step(&screen.pace, done, total, time);
    if (screen.quiet ||
        time - screen.last < (screen.terminal ? TERMINAL_EVERY_S : PLAIN_EVERY_S)) {
        return;
    }
    screen.last = time;
    duration(left, sizeof left, screen.pace.left_s);
    (void)fprintf(stderr, "%s%lld of %lld pictures  %.0f images/s  %s left%s",
                  screen.terminal ? "\r" : "", (long long)done, (long long)total,
                  screen.pace.per_second, left, screen.terminal ? "\033[K" : "\n");
    screen.drawn = screen.terminal;
}

static bool stop_requested(void *context)
{
    (void)context;
    return stop_asked != 0;
}

slim_hooks cli_hooks(void)
{
    return (slim_hooks){
        .progress = progress, .stop_requested = stop_requested, .passed = passed};
}

static void on_signal(int number)
{
    if (stop_asked != 0 && number == SIGINT) {
        _exit(128 + SIGINT);
    }
    stop_asked = 1;
}

void cli_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGUSR1, &action, NULL);
}
