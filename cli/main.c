/* SPDX-License-Identifier: MIT */
/*
 * slimclr: the table of sub-commands and their help. Exit status: 0 done; 1 run failed; 2
 * usage; 3 data; 4 numbers; 75 stopped on request with a checkpoint written.
 */
#include "cli.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TOPICS_MOST = 4 };

/* A table of keys that help shows, and, where a command has several, what each is. */
struct topic {
    const char *table, *places, *summary;
};

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *synopsis, *summary;
    struct topic topics[TOPICS_MOST];
};

static const struct command commands[] = {
    {"pretrain",
     cmd_pretrain,
     "pretrain DATA... -o RUN [options]",
     "train all widths from pictures without labels",
     {{.table = "pretrain"}}},
    {"eval",
     cmd_eval,
     "eval knn|linear|classifier|finetune RUN|CKPT DATA",
     "judge each width: neighbours, probes, few labels",
     {{"eval knn", "RUN|CKPT DATA", "weighted nearest neighbours on frozen features"},
      {"eval linear", "RUN|CKPT DATA",
       "linear probes on frozen features: one a width, and one that all widths share"},
      {"eval classifier", "RUN|CKPT DATA",
       "the classifier that a supervised or fine-tuned model was trained with"},
      {"eval finetune", "RUN|CKPT DATA",
       "few labels: the network trained on, beside neighbours and a probe"}}},
    {"analyse",
     cmd_analyse,
     "analyse trajectory|probes RUN [DATA]",
     "a run's path, the error around it, shared probes",
     {{"analyse trajectory", "RUN [DATA]",
       "the path of a run's parameters; with DATA, the error around its end"},
      {"analyse probes", "RUN|CKPT DATA",
       "what a probe costs that all widths share, in closed form"}}},
    {"check",
     cmd_check,
     "check DATA [options]",
     "read every picture: damaged, twice there, tiny, odd",
     {{.table = "check"}}},
    {"stats",
     cmd_stats,
     "stats DATA [options]",
     "what pictures are like, and settings that suit them",
     {{.table = "stats"}}},
    {"views",
     cmd_views,
     "views DATA... -o FILE.png [options]",
     "pictures and their augmented views, to look at",
     {{.table = "views"}}},
    {"pack",
     cmd_pack,
     "pack DATA -o NAME [options]",
     "pictures into tar shards, smaller if asked",
     {{.table = "pack"}}},
    {"report",
     cmd_report,
     "report RUN [-o FILE] [options]",
     "one page about a run: curves, tables, pictures",
     {{.table = "report"}}},
    {"plan",
     cmd_plan,
     "plan [DATA...] [options]",
     "parameters, MACs, memory and ops, before starting",
     {{.table = "plan"}}},
    {"bench",
     cmd_bench,
     "bench step|loader|ops [DATA] [options]",
     "time a step, the loader or single ops",
     {{.table = NULL}}},
    {"demo",
     cmd_demo,
     "demo [-o DIR]",
     "pre-train on built-in pictures and show one table",
     {{.table = NULL}}},
    {"info",
     cmd_info,
     "info [--json]",
     "what was compiled in, and this machine",
     {{.table = NULL}}},
    {"list",
     cmd_list,
     "list archs|methods|recipes|formats",
     "what there is to choose from",
     {{.table = NULL}}},
};

enum { N_COMMANDS = (int)(sizeof commands / sizeof commands[0]) };

static const struct command *find(const char *name)
{
    for (int i = 0; i < N_COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

/* Of bench, those of its keys that no other command has. */
const char *cli_table(int i)
{
    static const char *const of_bench[] = {"bench loader", "bench ops"};
    for (int k = 0; k < N_COMMANDS; k++) {
        for (int t = 0; t < TOPICS_MOST && commands[k].topics[t].table != NULL; t++) {
            if (i-- == 0) {
                return commands[k].topics[t].table;
            }
        }
    }
    return i < (int)(sizeof of_bench / sizeof of_bench[0]) ? of_bench[i] : NULL;
}

static int print_help(void)
{
    enum { COLUMN = 38 }; /* of the summaries, behind the program's name */
    (void)printf("slimclr %s: pre-trains slimmable image networks without labels\n\n",
                 slim_version());
    for (int i = 0; i < N_COMMANDS; i++) {
        const char *synopsis = commands[i].synopsis;
        const char *options = strstr(synopsis, " [options]");
        size_t length = options != NULL ? (size_t)(options - synopsis) : strlen(synopsis);
        bool is_long = length > COLUMN;
        (void)printf("  slimclr %-*.*s%s%*s %s\n", is_long ? 0 : COLUMN, (int)length,
                     synopsis, is_long ? "\n" : "",
                     is_long ? COLUMN + (int)strlen("  slimclr ") : 0, "",
                     commands[i].summary);
    }
    (void)printf("  slimclr %-*s %s\n", COLUMN, "help [COMMAND] | --version",
                 "this, or a command's options");
    (void)printf(
        "\nStart with:\n"
        "  slimclr demo\n"
        "  slimclr pretrain ~/photos -o runs/photos --recipe photos-small\n"
        "  slimclr eval knn runs/photos ~/labelled\n"
        "\nDATA: a folder of pictures, archives, a list @files.txt, CIFAR or IDX files, "
        "or synthetic:\n"
        "      (`slimclr list formats`)\n"
        "Exit: 0 done, 1 run failed, 2 usage, 3 data, 4 numbers, 75 stopped with a "
        "checkpoint\n");
    return 0;
}

/* The topic that "eval knn" is of eval, or NULL. */
static const struct topic *find_topic(const struct command *command, const char *word)
{
    size_t n = strlen(command->name);
    for (int i = 0; i < TOPICS_MOST && command->topics[i].summary != NULL; i++) {
        const char *table = command->topics[i].table;
        if (word != NULL && table[n] == ' ' && strcmp(table + n + 1, word) == 0) {
            return &command->topics[i];
        }
    }
    return NULL;
}

/* word: what stands behind the command; one of its topics is shown alone. */
static int print_command_help(const struct command *command, const char *word)
{
    const struct topic *topic = find_topic(command, word);
    if (topic != NULL) {
        (void)printf("slimclr %s %s [options]\n%s\n", topic->table, topic->places,
                     topic->summary);
        cli_help_options(topic->table);
        return 0;
    }
    (void)printf("slimclr %s\n%s\n", command->synopsis, command->summary);
    for (int i = 0; i < TOPICS_MOST && command->topics[i].table != NULL; i++) {
        topic = &command->topics[i];
        if (topic->summary != NULL) {
            (void)printf("\n%s: %s\n", topic->table, topic->summary);
        }
        cli_help_options(topic->table);
    }
    if (strcmp(command->name, "bench") == 0) {
        (void)printf("\nbench step takes the options of pretrain; --steps N (10) are "
                     "timed after one that warms up.\nbench loader DATA takes them too; "
                     "batches are taken for --seconds S (10).\n\nbench ops:\n");
        cli_help_options("bench ops");
    }
    return 0;
}

static bool asks_for_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static int unknown(const char *name)
{
    static const char *const later[] = {"embed", "export"};
    for (int i = 0; i < (int)(sizeof later / sizeof later[0]); i++) {
        if (strcmp(later[i], name) == 0) {
            (void)fprintf(
                stderr,
                "slimclr: '%s' does not exist yet; `slimclr help` lists what does\n",
                name);
            return SLIM_ERROR_USAGE;
        }
    }
    (void)fprintf(stderr, "slimclr: no command '%s'; `slimclr help` lists them\n", name);
    return SLIM_ERROR_USAGE;
}

int main(int argc, char **argv)
{
    /* A file-size limit is a full disk, and reported as one. */
    (void)signal(SIGXFSZ, SIG_IGN);
    if (argc < 2) {
        (void)fprintf(stderr, "slimclr: no command; `slimclr help` lists them\n");
        return SLIM_ERROR_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0) {
        (void)printf("slimclr %s\n", slim_version());
        return 0;
    }
    if (strcmp(name, "help") == 0 || asks_for_help(name)) {
        const struct command *about = argc > 2 ? find(argv[2]) : NULL;
        if (argc > 2 && about == NULL && !asks_for_help(argv[2])) {
            return unknown(argv[2]);
        }
        return about != NULL ? print_command_help(about, argc > 3 ? argv[3] : NULL)
                             : print_help();
    }
    const struct command *command = find(name);
    if (command == NULL) {
        return unknown(name);
    }
    /* Commands without options of their own know no such word. */
    int code = argc > 2 && asks_for_help(argv[2]) ? -1 : command->run(argc - 1, argv + 1);
    if (code == -1) {
        code = print_command_help(command, argc > 2 ? argv[2] : NULL);
    }
    /* A result that did not reach its reader is a failure. */
    if (fflush(stdout) != 0 && code == 0) {
        (void)fprintf(stderr, "slimclr: standard output cannot be written\n");
        code = SLIM_ERROR_RUN;
    }
    return code;
}
