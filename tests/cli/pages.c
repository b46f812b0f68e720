/* SPDX-License-Identifier: MIT */
/*
 * What a run leaves for people to look at: event files for TensorBoard, and the report
 * page: that it is one file which needs nothing from outside, holds what it should, says
 * what is missing, and survives hostile names and damaged files.
 */
#include "cli/clikit.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Event files in the run's folder, and their bytes together. */
static int count_events(const char *run, int64_t *bytes)
{
    int n = 0;
    *bytes = 0;
    DIR *folder = opendir(run);
    assert_non_null(folder);
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (strncmp(entry->d_name, "events.out.tfevents.", 20) == 0) {
            char path[512];
            int64_t size = 0;
            (void)snprintf(path, sizeof path, "%s/%s", run, entry->d_name);
            cli_free(cli_read(path, &size));
            *bytes += size;
            n++;
        }
    }
    (void)closedir(folder);
    return n;
}

/* A record of one width is as long as another: what a resumed run cuts off and writes
 * anew adds nothing but the version at the head of its own file. */
static void test_events(void **state)
{
    enum { VERSION = 40 };
    int64_t once = 0, twice = 0;
    (void)state;
    cli_remove("events");
    cli_expect_done(RUN("pretrain", CLI_DATA, "-o", "events", CLI_NET, "-e", "2",
                        "--slow-start", "0", "--keep", "2"));
    assert_int_equal(count_events("events", &once), 1);
    assert_true(once > 16 * 100);
    cli_expect_done(RUN("pretrain", "-o", "events", "-q",
                        "--resume=events/checkpoints/"
                        "epoch=0001-step=00000008.safetensors"));
    assert_int_equal(count_events("events", &twice), 2);
    assert_int_equal(twice, once + VERSION);
    cli_expect_done(RUN("pretrain", CLI_DATA, "-o", "events", CLI_NET, "--steps", "1",
                        "--no-tensorboard", "--overwrite"));
    assert_int_equal(count_events("events", &once), 0);
}

/* ---- the page ---------------------------------------------------------------------- */

/* Names as an enemy would choose them, for the run and for its pictures. */
#define PHOTOS "ph<img src=x onerror=alert(1)>&\"'"
#define RUN_NAME "run <b onclick=alert(2)> &amp; 'x' \"y\""
#define PHOTO_RUN                                                                        \
    "pretrain", PHOTOS, "-o", RUN_NAME, CLI_NET, "--image-size", "16", "-b", "8", "-e",  \
        "2", "--slow-start", "1"

static void make_photos(void)
{
    cli_remove(PHOTOS);
    for (int i = 0; i < 24; i++) {
        char path[512];
        (void)snprintf(path, sizeof path, PHOTOS "/%s/%s/%02d.ppm",
                       i < 16 ? "train" : "val", i % 2 ? "c<u>at" : "dog&", i);
        cli_write_noise(path, 20, 24 + i, (uint32_t)i);
    }
}

/* One run for the tests below. */
static int make_run(void **state)
{
    (void)state;
    make_photos();
    cli_remove(RUN_NAME);
    cli_expect_done(RUN(PHOTO_RUN));
    return 0;
}

static char *page_of(const char *path)
{
    char *page = (char *)cli_read(path, NULL);
    assert_non_null(page);
    return page;
}

static void expect_in(const char *page, const char *words)
{
    if (strstr(page, words) == NULL) {
        fail_msg("the page does not hold: %s", words);
    }
}

static void expect_not_in(const char *page, const char *words)
{
    const char *at = strstr(page, words);
    if (at != NULL) {
        fail_msg("the page holds: %.80s", at);
    }
}

/* Addresses are places of the page itself or data; no script, nothing to fetch. */
static void expect_self_contained(const char *page)
{
    static const char *const addresses[] = {"src=\"", "href=\"", "url(", "@import"};
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        size_t length = strlen(addresses[i]);
        for (const char *at = strstr(page, addresses[i]); at != NULL;
             at = strstr(at + 1, addresses[i])) {
            if (at[length] != '#' && strncmp(at + length, "data:image/png;", 15) != 0 &&
                strncmp(at + length, "data:image/svg+xml;base64,", 26) != 0) {
                fail_msg("an address: %.60s", at);
            }
        }
    }
    for (const char *at = strstr(page, "://"); at != NULL; at = strstr(at + 1, "://")) {
        assert_memory_equal(at, "://www.w3.org/2000/svg", 22);
    }
    expect_not_in(page, "<script");
    expect_not_in(page, "<link");
    expect_not_in(page, "<iframe");
}

static void test_page(void **state)
{
    static const char *const parts[] = {"<!DOCTYPE html>",
                                        "What it was trained on",
                                        "Settings that matter",
                                        "Loss of each width",
                                        "chance: ",
                                        "sub-networks join",
                                        "collapse: below 0.05",
                                        "not collapsed",
                                        "slimclr eval knn ",
                                        "slimclr eval linear ",
                                        "Embeddings at width 1.00",
                                        "Embeddings at width 0.50",
                                        "Who is like whom",
                                        "What each width costs",
                                        "All settings, resolved",
                                        "moco-k",
                                        "</html>"};
    (void)state;
    json_t *said = cli_json(RUN("report", RUN_NAME, "--json", "-q"));
    assert_string_equal(json_string_value(json_object_get(said, "report")),
                        RUN_NAME "/report.html");
    assert_int_equal(json_integer_value(json_object_get(said, "left_out_lines")), 0);
    assert_true(json_integer_value(json_object_get(said, "figures")) >= 11);
    json_decref(said);
    char *page = page_of(RUN_NAME "/report.html");
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        expect_in(page, parts[i]);
    }
    expect_self_contained(page);
    /* The command as a shell takes it, escaped for the page. */
    expect_in(page,
              "slimclr pretrain &#39;ph&lt;img src=x onerror=alert(1)&gt;&amp;&quot;");
    expect_not_in(page, "<img src=x");
    expect_not_in(page, "<u>at");
    expect_in(page, "c&lt;u&gt;at");
    expect_not_in(page, "\"nan");
    expect_not_in(page, ">nan");
    cli_free(page);
    cli_no_torn_files(RUN_NAME);
}

static void test_figures(void **state)
{
    static const char *const ids[] = {"loss",   "emb_std",   "grad_norm",
                                      "run-lr", "map-w1.00", "map-w0.50"};
    char path[512], copy[64];
    (void)state;
    for (int round = 0; round < 2; round++) { /* the same at every call */
        assert_string_equal(
            RUN("report", RUN_NAME, "-q", "-o", "page.html", "-j", round == 0 ? "1" : "3")
                ->out,
            "page.html\n");
        for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
            (void)snprintf(path, sizeof path, RUN_NAME "/plots/%s.svg", ids[i]);
            (void)snprintf(copy, sizeof copy, "%s.svg", ids[i]);
            char *svg = page_of(path);
            expect_in(svg, "<?xml");
            expect_self_contained(svg);
            cli_free(svg);
            if (round == 0) {
                cli_copy(path, copy, -1);
            } else {
                cli_same_bytes(path, copy);
            }
            (void)snprintf(path, sizeof path, RUN_NAME "/plots/%s.csv", ids[i]);
            assert_true(cli_exists(path));
        }
    }
    char *csv = page_of(RUN_NAME "/plots/loss.csv");
    expect_in(csv, "\"width 1.00\",1,");
    expect_in(csv, "\"width 0.50\",4,");
    cli_free(csv);
}

/* kNN and anything else that lies in RUN/eval becomes a table. */
static void test_evals(void **state)
{
    static const char odd[] =
        "{\"data\":\"<b>d</b>\",\"classes\":2,\"results\":[{\"width\":1.0,\"acc1\":0.5,"
        "\"<i>key\":\"<i>value\",\"macs\":10},{\"width\":0.5,\"acc1\":null}]}";
    /* Two numbers of labels, each a line of its own; ranges stand behind their means. */
    static const char tuned[] =
        "{\"results\":["
        "{\"labels\":9,\"share\":0.1,\"width\":1,\"acc1\":0.5,\"acc1_low\":0.4,"
        "\"acc1_high\":0.6,\"knn_acc1\":0.25,\"epochs\":7,\"macs\":20},"
        "{\"labels\":9,\"share\":0.1,\"width\":0.5,\"acc1\":0.4,\"acc1_low\":0.4,"
        "\"acc1_high\":0.4,\"knn_acc1\":0.25,\"epochs\":7,\"macs\":10},"
        "{\"labels\":90,\"share\":1,\"width\":1,\"acc1\":0.7,\"macs\":20},"
        "{\"labels\":90,\"share\":1,\"width\":0.5,\"acc1\":0.6,\"macs\":10}]}";
    /* Probes beside the plain one, each in a table of its own. */
    static const char probes[] =
        "{\"data\":\"d\",\"n_train\":20,\"n_test\":10,\"classes\":4,\"step\":1,"
        "\"paper\":{\"rates_of\":\"mocov2\",\"lr\":60.0,\"schedule\":\"step\","
        "\"epochs\":100,\"batch\":1024,\"note\":\"is <i>odd\"},\"results\":["
        "{\"width\":1,\"acc1\":0.5,\"macs\":20,\"slim_acc1\":0.4,\"distill_acc1\":0.31,"
        "\"distill_slim_acc1\":0.32,\"paper_acc1\":0.21,\"paper_slim_acc1\":0.22}]}";
    (void)state;
    cli_expect_done(RUN("eval", "knn", RUN_NAME, PHOTOS, "--raw", "-q"));
    cli_write(RUN_NAME "/eval/linear.json", probes, sizeof probes - 1);
    cli_write(RUN_NAME "/eval/mine.json", odd, sizeof odd - 1);
    cli_write(RUN_NAME "/eval/finetune.json", tuned, sizeof tuned - 1);
    cli_write(RUN_NAME "/eval/torn.json", odd, 40);
    cli_write(RUN_NAME "/eval/list.json", "[1]", 3);
    cli_folder(RUN_NAME "/eval/folder.json");
    cli_write(RUN_NAME "/eval/large.json", "{}", 2);
    assert_int_equal(truncate(RUN_NAME "/eval/large.json", (64 << 20) + 1), 0);
    cli_expect_done(RUN("report", RUN_NAME, "-q", "--pictures", "0"));
    char *page = page_of(RUN_NAME "/report.html");
    expect_in(page, "<h3>Nearest neighbours</h3>");
    expect_in(page, "<h3>mine</h3>");
    expect_in(page, "<h3>Fine-tuned with labels</h3>");
    expect_in(page, ">50.0 % (40.0–60.0)<");
    expect_in(page, ">40.0 %<");
    expect_in(page, "frozen, neighbours");
    expect_in(page, "Fine-tuned, 9 labels");
    expect_in(page, "Fine-tuned, 90 labels");
    expect_not_in(page, "acc1_low");
    expect_in(page, ">fine-tuned</th>");
    expect_not_in(page, "epochs</th>");
    expect_in(page, "&lt;i&gt;value");
    expect_in(page, "Left out (--pictures 0).");
    expect_in(page, "figure-accuracy-cost");
    /* Baselines: both of raw pixels, and a guess: of two classes, of four. */
    expect_in(page, "with the mean picture taken off");
    expect_in(page, "; guessing: 50.0 %.</p>");
    expect_in(page, "over the widths; guessing: 50 %<");
    expect_in(page, "over the widths; guessing: 25 %<");
    expect_in(page, ">chance: 50 %</text>");
    expect_in(page, ">chance: 25 %</text>");
    expect_in(page, "taught (--probe-distill)");
    expect_in(page, "learning rate 60, cut to a tenth at 60 and 80 % of 100 epochs");
    expect_in(page, "Note: this is &lt;i&gt;odd.");
    expect_in(page,
              "<th class=\"n\">top-1</th><th class=\"n\">top-1, shared probe</th></tr>\n"
              "<tr><td class=\"w\"><span class=\"dot k0\"></span>1.00</td>"
              "<td class=\"n\">21.0 %</td><td class=\"n\">22.0 %</td></tr>");
    expect_not_in(page, "paper_");
    expect_not_in(page, "distill_");
    expect_not_in(page, "slimclr eval knn ");
    expect_not_in(page, "<b>d</b>");
    expect_self_contained(page);
    cli_free(page);
    cli_remove(RUN_NAME "/eval");
}

/* Labelled pictures while training: a guess is as good as one of their classes; a run of
 * an earlier version did not log it, but an evaluation on the same data knows. */
static void test_chance(void **state)
{
    static const char older[] = "{\"step\":1,\"knn_acc1/w1.00\":0.5}\n"
                                "{\"step\":2,\"knn_acc1/w1.00\":0.6}\n";
    static const char judged[] =
        "{\"data\":\"" CLI_DATA "\",\"classes\":4,\"results\":[{\"width\":1}]}";
    static const char *const words[] = {"chance: 10 %", NULL, "chance: 25 %"};
    (void)state;
    cli_remove("watched");
    cli_expect_done(RUN("pretrain", CLI_DATA, "-o", "watched", CLI_NET, "--steps", "2",
                        "--slow-start", "0", "--eval-data", CLI_DATA));
    for (int i = 0; i < 3; i++) {
        if (i == 1) {
            cli_write("watched/metrics.jsonl", older, sizeof older - 1);
        } else if (i == 2) {
            cli_folder("watched/eval");
            cli_write("watched/eval/knn.json", judged, sizeof judged - 1);
        }
        cli_expect_done(RUN("report", "watched", "-q", "--pictures", "0"));
        char *svg = page_of("watched/plots/knn_acc1.svg");
        if (words[i] != NULL) {
            expect_in(svg, words[i]);
        } else {
            expect_not_in(svg, "chance");
        }
        cli_free(svg);
    }
    assert_false(cli_exists("watched/plots/run-knn_chance.svg"));
}

/* What the commands of `analyse` left, with words of an enemy; then damaged. */
static void test_analyses(void **state)
{
    static const char picture[] =
        "<svg xmlns=\"http://www.w3.org/2000/svg\"><script/></svg>";
    static const char path[] =
        "{\"analyse\":\"trajectory\",\"explained\":[0.75,0.125],\"paths\":[{\"points\":"
        "[{\"step\":2}]},{\"points\":[]}],\"surface\":{\"width\":0.5,\"judge\":\"knn\","
        "\"data\":\"<b>d\",\"least_error\":12.5,\"most_error\":80}}";
    static const char probes[] =
        "{\"analyse\":\"probes\",\"data\":\"<b>d\",\"step\":4,\"n_train\":9,\"n_test\":8,"
        "\"classes\":4,\"results\":[{\"width\":1,\"private_acc1\":0.61},{\"width\":0.5,"
        "\"private_acc1\":0.52,\"shared_acc1\":0.51,\"prefix_acc1\":0.13,\"coupling\":"
        "1.25,\"shift\":0.5,\"gap\":null}]}";
    (void)state;
    cli_expect_done(RUN("report", RUN_NAME, "-q", "--pictures", "0"));
    char *page = page_of(RUN_NAME "/report.html");
    expect_not_in(page, "#analysis");
    expect_not_in(page, "slimclr analyse");
    cli_free(page);

    cli_folder(RUN_NAME "/snapshots");
    cli_folder(RUN_NAME "/analyse");
    cli_expect_done(RUN("report", RUN_NAME, "-q", "--pictures", "0"));
    page = page_of(RUN_NAME "/report.html");
    expect_in(page, "#analysis");
    expect_in(page, "slimclr analyse trajectory ");
    expect_in(page, "slimclr analyse probes ");
    cli_free(page);

    cli_write(RUN_NAME "/analyse/trajectory.svg", picture, sizeof picture - 1);
    cli_write(RUN_NAME "/analyse/trajectory.json", path, sizeof path - 1);
    cli_write(RUN_NAME "/analyse/probes.json", probes, sizeof probes - 1);
    cli_expect_done(RUN("report", RUN_NAME, "-q", "--pictures", "0"));
    page = page_of(RUN_NAME "/report.html");
    expect_in(page, "src=\"data:image/svg+xml;base64,PHN2ZyB4bWxucz0i");
    expect_in(page, "75.0 % of its variance lies along x, 12.5 % along y");
    expect_in(page, "a path of its own");
    expect_in(page, "The run has gone on since");
    expect_in(page, "width 0.50, given the weights of that place");
    expect_in(page, "12.5 % at the best place, 80.0 % at the worst");
    expect_in(page, "guessing would be right in 25.0 %; checkpoint of step 4.</p>");
    expect_in(page, ">52.0 %</td><td class=\"n\">51.0 %</td><td class=\"n\">13.0 %</td>");
    expect_in(page, ">1.25</td><td class=\"n\">0.50</td><td class=\"n\">–</td>");
    expect_not_in(page, "<b>d");
    expect_not_in(page, "slimclr analyse probes ");
    expect_self_contained(page);
    cli_free(page);

    cli_write(RUN_NAME "/analyse/trajectory.json", path, 30);
    cli_write(RUN_NAME "/analyse/probes.json", "[]", 2);
    cli_expect_done(RUN("report", RUN_NAME, "-q", "--pictures", "0"));
    page = page_of(RUN_NAME "/report.html");
    expect_in(page, "holds no result of `slimclr analyse trajectory`");
    expect_in(page, "holds no result of `slimclr analyse probes`");
    expect_in(page, "src=\"data:image/svg+xml;base64,");
    cli_free(page);
    cli_remove(RUN_NAME "/analyse");
    cli_remove(RUN_NAME "/snapshots");
}

/* Diagnostics written by hand: two widths, three records and one of another run. */
static void test_gradients(void **state)
{
    char line[1024];
    char text[4096] = "";
    float head[4 * 3] = {0.1F, 0.2F, 0.3F, 0.4F, 0.2F, 0.1F,
                         0.0F, 0.3F, 0.5F, 0.4F, 0.2F, 0};
    (void)state;
    for (int k = 0; k < 4; k++) {
        (void)snprintf(
            line, sizeof line,
            k == 3
                ? "{\"step\":4,\"widths\":[1]}\n"
                : "{\"step\":%d,\"widths\":[1,0.5],\"published\":{\"ratio_a\":1.5,"
                  "\"ratio_b\":0.8},\"total\":{\"norm\":[1,%d],\"ring_share\":[[1,0.6],"
                  "[0,0.4]],\"cosine\":[[1,0.5],[0.5,1]]},\"layers\":[{\"cosine\":[[1,"
                  "0.9]]},{\"cosine\":[[1,null]]}],\"head\":{\"values\":4,\"singular\":"
                  "[0.5,0.25],\"norm\":0.625}}\n",
            k + 1, k);
        (void)strncat(text, line, sizeof text - strlen(text) - 1);
    }
    cli_write(RUN_NAME "/graddiag_head.f32", head, sizeof head);
    cli_write(RUN_NAME "/graddiag.jsonl", text, strlen(text));
    cli_expect_done(RUN("report", RUN_NAME, "-q", "--pictures", "0"));
    char *page = page_of(RUN_NAME "/report.html");
    expect_in(page, "figure-gradient-ratios");
    expect_in(page, "figure-gradient-share-0.50");
    expect_in(page, "figure-gradient-cosine-layers");
    expect_in(page, "Damaged: 1 lines of graddiag.jsonl");
    expect_not_in(page, "figure-gradient-direction-1"); /* no telling whose rows are whose
                                                         */
    cli_free(page);
    cli_write(RUN_NAME "/graddiag.jsonl", text,
              (size_t)(strstr(text, "{\"step\":4") - text));
    cli_expect_done(RUN("report", RUN_NAME, "-q", "--pictures", "0"));
    page = page_of(RUN_NAME "/report.html");
    expect_in(page, "figure-gradient-direction-2");
    expect_not_in(page, "Damaged");
    cli_free(page);
    char *csv = page_of(RUN_NAME "/plots/gradient-singular.csv");
    expect_in(csv, "\"largest\",3,0.5\n");
    expect_in(csv, "\"second\",3,0.25\n");
    expect_in(csv, "\"all together\",3,0.625\n");
    cli_free(csv);
    cli_write(RUN_NAME "/graddiag_head.f32", head, 3);
    cli_expect_done(RUN("report", RUN_NAME, "-q", "--pictures", "0"));
    page = page_of(RUN_NAME "/report.html");
    expect_in(page, "graddiag_head.f32 does not fit");
    cli_free(page);
    cli_remove(RUN_NAME "/graddiag.jsonl");
    cli_remove(RUN_NAME "/graddiag_head.f32");
}

/* More records than are held: every second one is shown, none of them is damaged, and the
 * rows of the head's file are those of the lines shown. */
static void test_many_gradients(void **state)
{
    enum { N = 20002 };
    (void)state;
    FILE *lines = fopen(RUN_NAME "/graddiag.jsonl", "wb");
    FILE *heads = fopen(RUN_NAME "/graddiag_head.f32", "wb");
    assert_true(lines != NULL && heads != NULL);
    for (int i = 0; i < N; i++) {
        const float row[2] = {i % 2 ? 100.0F : (float)(i % 7), i % 2 ? 50.0F : 1.0F};
        assert_true(fprintf(lines,
                            "{\"step\":%d,\"widths\":[1,0.5],\"published\":{\"ratio_a\":"
                            "%d},\"total\":{\"norm\":[1,1]},\"head\":{\"values\":2}}\n",
                            i + 1, i % 2 ? 7 : 3) > 0);
        assert_int_equal(fwrite(row, sizeof row, 1, heads), 1);
    }
    assert_int_equal(fclose(lines), 0);
    assert_int_equal(fclose(heads), 0);
    cli_expect_done(RUN("report", RUN_NAME, "-q", "--pictures", "0"));
    char *page = page_of(RUN_NAME "/report.html");
    expect_in(page, "of 20002 lines of graddiag.jsonl one in 2 is shown");
    expect_not_in(page, "Damaged");
    expect_not_in(page, "does not fit");
    expect_in(page, "figure-gradient-direction-2");
    expect_not_in(page, "figure-gradient-singular"); /* an earlier run had none */
    cli_free(page);
    char *csv = page_of(RUN_NAME "/plots/gradient-ratios.csv");
    expect_in(csv, ",1,3\n");
    expect_in(csv, ",20001,3\n");
    expect_not_in(csv, ",7\n");
    cli_free(csv);
    /* No row of an odd line, far from all others, is among those projected. */
    csv = page_of(RUN_NAME "/plots/gradient-direction-1.csv");
    expect_in(csv, ",1,");
    expect_not_in(csv, ",2,");
    cli_free(csv);
    cli_remove(RUN_NAME "/graddiag.jsonl");
    cli_remove(RUN_NAME "/graddiag_head.f32");
}

/* A run that logged more lines than the report holds rows: figures of means, rare values
 * in their place, the end of the run still its end. */
static void test_many_metrics(void **state)
{
    enum { LINES = 70000 };
    (void)state;
    cli_copy(RUN_NAME "/metrics.jsonl", "metrics.whole", -1);
    FILE *lines = fopen(RUN_NAME "/metrics.jsonl", "wb");
    assert_non_null(lines);
    for (int i = 1; i <= LINES; i++) {
        /* Below the threshold for more lines than a collapse takes, in fewer rows. */
        bool is_low = i > LINES - 24;
        bool was_low = i > 30000 && i <= 30024;
        (void)fprintf(lines,
                      "{\"step\":%d,\"loss\":%d,\"emb_std/w1.00\":%g,\"emb_std/w0.50\":%g"
                      "%s}\n",
                      i, 1 + i % 2, was_low ? 0.01 : 0.2, is_low ? 0.01 : 0.2,
                      i % 10000 == 0 ? ",\"rare\":7" : "");
    }
    assert_int_equal(fclose(lines), 0);
    cli_expect_done(RUN("report", RUN_NAME, "-q", "--pictures", "0"));
    char *page = page_of(RUN_NAME "/report.html");
    expect_in(page,
              "of the 70000 lines of metrics.jsonl every 2 in a row are shown as one");
    expect_in(page, "collapsed</span> since step 69978");
    expect_in(page, "it lay below 0.05 from step 30002 on, and recovered");
    expect_not_in(page, "Damaged");
    cli_free(page);
    char *csv = page_of(RUN_NAME "/plots/run-loss.csv");
    expect_in(csv, ",2,1.5\n");
    expect_in(csv, ",70000,1.5\n");
    cli_free(csv);
    csv = page_of(RUN_NAME "/plots/run-rare.csv");
    expect_in(csv, ",10000,7\n");
    expect_in(csv, ",70000,7\n");
    cli_free(csv);
    cli_copy("metrics.whole", RUN_NAME "/metrics.jsonl", -1);
}

/* A file that can be opened but not read, by whoever runs the test: /proc/self/mem has
 * no first byte. */
static void test_unreadable(void **state)
{
    static const char *const names[] = {"metrics.jsonl", "graddiag.jsonl"};
    (void)state;
    if (!cli_exists("/proc/self/mem")) {
        skip();
    }
    cli_copy(RUN_NAME "/metrics.jsonl", "metrics.whole", -1);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[256];
        (void)snprintf(path, sizeof path, RUN_NAME "/%s", names[i]);
        cli_remove(path);
        assert_int_equal(symlink("/proc/self/mem", path), 0);
        const struct cli_result *result = RUN("report", RUN_NAME, "--pictures", "0");
        cli_expect_done(result);
        if (i == 0) {
            assert_non_null(strstr(result->err, "metrics.jsonl: "));
            assert_non_null(strstr(result->err, "; left out"));
        }
        char *page = page_of(RUN_NAME "/report.html");
        expect_in(page, "<p class=\"quiet\">cannot read ");
        expect_in(page, names[i]);
        expect_not_in(page, "No step was logged");
        assert_int_equal(strstr(page, "figure-run-loss") != NULL, i > 0);
        cli_free(page);
        cli_remove(path);
        cli_copy("metrics.whole", RUN_NAME "/metrics.jsonl", -1);
    }
}

static void test_damaged_metrics(void **state)
{
    static const char *const endings[] = {"words\n{\"step\":1}\n", "\xff\x00\x01\n\n",
                                          "{\"step\":99,\"loss\":"};
    static const int left_out[] = {2, 2, 0};
    (void)state;
    cli_copy(RUN_NAME "/metrics.jsonl", "metrics.whole", -1);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        int64_t size = 0;
        unsigned char text[16384];
        unsigned char *whole = cli_read("metrics.whole", &size);
        size_t length = i == 1 ? 5 : strlen(endings[i]);
        assert_true((size_t)size + length < sizeof text);
        memcpy(text, whole, (size_t)size);
        memcpy(text + size, endings[i], length);
        cli_free(whole);
        cli_write(RUN_NAME "/metrics.jsonl", text, (size_t)size + length);
        const struct cli_result *result =
            RUN("report", RUN_NAME, "--json", "-q", "--pictures", "0");
        assert_int_equal(strstr(result->err, "left out") != NULL, left_out[i] > 0);
        json_t *said = json_loads(result->out, 0, NULL);
        assert_int_equal(json_integer_value(json_object_get(said, "left_out_lines")),
                         left_out[i]);
        json_decref(said);
        char *page = page_of(RUN_NAME "/report.html");
        assert_int_equal(strstr(page, "Damaged: ") != NULL, left_out[i] > 0);
        cli_free(page);
    }
    cli_write(RUN_NAME "/metrics.jsonl", "", 0);
    cli_expect_done(RUN("report", RUN_NAME, "-q", "--pictures", "0"));
    cli_remove(RUN_NAME "/metrics.jsonl");
    cli_expect_done(RUN("report", RUN_NAME, "-q", "--pictures", "0"));
    char *page = page_of(RUN_NAME "/report.html");
    expect_in(page, "No step was logged");
    cli_free(page);
    cli_copy("metrics.whole", RUN_NAME "/metrics.jsonl", -1);
}

/* Pictures that moved, a checkpoint that is gone: said, and the rest is there. */
static void test_gaps(void **state)
{
    (void)state;
    cli_remove(PHOTOS);
    cli_remove("kept.safetensors");
    cli_copy(RUN_NAME "/checkpoints/last.safetensors", "kept.safetensors", -1);
    cli_write(RUN_NAME "/checkpoints/last.safetensors", "torn", 4);
    cli_expect_done(RUN("report", RUN_NAME, "-q"));
    char *page = page_of(RUN_NAME "/report.html");
    expect_in(page, "The pictures are not where they were");
    expect_in(page, "There is no checkpoint that could be opened");
    expect_in(page, "Loss of each width");
    expect_not_in(page, "Embeddings at width");
    expect_self_contained(page);
    cli_free(page);
    cli_copy("kept.safetensors", RUN_NAME "/checkpoints/last.safetensors", -1);
}

/* One width, no step: a page all the same. And --overwrite takes it away. */
static void test_plain_and_empty(void **state)
{
    (void)state;
    cli_remove("plain");
    cli_expect_done(RUN("pretrain", CLI_DATA, "-o", "plain", "-a", "resnet8-b8", "-w",
                        "1", "-b", "8", "-q", "-e", "0"));
    cli_expect_done(RUN("report", "plain/", "-q", "-n", "12"));
    char *page = page_of("plain/report.html");
    expect_in(page, "No step was logged");
    expect_in(page, "Embeddings at width 1.00");
    expect_in(page, "slimclr eval knn plain DATA");
    expect_not_in(page, "sub-networks join");
    expect_self_contained(page);
    cli_free(page);
    assert_true(cli_exists("plain/plots/map-w1.00.svg"));
    cli_expect_done(RUN("pretrain", CLI_DATA, "-o", "plain", "-a", "resnet8-b8", "-w",
                        "1", "-b", "8", "-q", "-e", "0", "--overwrite"));
    assert_false(cli_exists("plain/report.html"));
    assert_false(cli_exists("plain/plots/map-w1.00.svg"));
}

/* Each method has its own candidates to guess among, its own quantities, settings and
 * words. Batches of 32, a queue of 64, ten classes. */
static void test_methods(void **state)
{
    static const char *const guesses[][2] = {{"mocov2", "chance: 1.5 %"}, /* 1 / (1 + K)
                                                                           */
                                             {"mocov3", "chance: 3.1 %"}, /* 1 / B */
                                             {"simclr", "chance: 1.6 %"}, /* 1/(2B-1) */
                                             {"supervised", "chance: 10 %"}};
    (void)state;
    for (size_t i = 0; i < sizeof guesses / sizeof guesses[0]; i++) {
        bool is_contrast = i < 3;
        cli_remove("method");
        cli_expect_done(RUN("pretrain", CLI_DATA, "-o", "method", CLI_NET, "-m",
                            guesses[i][0], "--steps", "4", "--slow-start", "0"));
        cli_expect_done(RUN("report", "method", "-q", "-n", "12"));
        char *page = page_of("method/report.html");
        expect_in(page, guesses[i][1]);
        expect_in(page, "leading channels alone are a network");
        if (is_contrast) {
            expect_in(page, "Partner ranked first");
            expect_in(page, "taught to recognise as one picture");
            expect_in(page, "were not used");
            expect_in(page, "figure-distill");
            expect_in(page, ">moco-t<");
        } else {
            expect_in(page, "Training accuracy");
            expect_in(page, "and taught its class");
            expect_in(page, "Training knew their labels");
            expect_in(page, ">classes<");
            expect_not_in(page, "as one picture");
            expect_not_in(page, "partner");
            expect_not_in(page, "figure-distill");
            expect_not_in(page, "collapsed");
        }
        assert_int_equal(strstr(page, ">moco-mlp-dim<") != NULL, i == 1 || i == 2);
        assert_int_equal(strstr(page, ">moco-m-cos<") != NULL, i < 2);
        /* What changes nothing in this run is not said to matter. */
        static const char *const of_contrast[] = {">aug-blur-2<", ">aug-solarise-2<",
                                                  ">teachers<", ">distill-weight<",
                                                  ">distill-temp<"};
        for (size_t k = 0; k < sizeof of_contrast / sizeof of_contrast[0]; k++) {
            assert_int_equal(strstr(page, of_contrast[k]) != NULL, is_contrast);
        }
        assert_int_equal(strstr(page, ">bn-splits<") != NULL, i == 0);
        expect_not_in(page, ">slow-start-lr<");
        expect_not_in(page, "As the run logged it");
        cli_free(page);
    }
    cli_expect_done(RUN("pretrain", CLI_DATA, "-o", "method", CLI_NET, "--slices",
                        "disjoint", "--steps", "1", "--slow-start", "0", "--overwrite"));
    cli_expect_done(RUN("report", "method", "-q", "-n", "0"));
    char *page = page_of("method/report.html");
    expect_in(page, "no other narrow one has");
    expect_in(page, ">disjoint<");
    expect_not_in(page, "leading channels");
    cli_free(page);
}

static void test_refused(void **state)
{
    (void)state;
    cli_folder("empty");
    cli_expect_refused(RUN("report"), 2, "RUN");
    cli_expect_refused(RUN("report", "a", "b"), 2, "RUN");
    cli_expect_refused(RUN("report", "not-there"), 1, "not-there");
    cli_expect_refused(RUN("report", "empty"), 1, "config.ini");
    cli_expect_refused(RUN("report", "plain", "-o", "no/such/page.html", "-n", "0"), 1,
                       "page.html");
    cli_expect_refused(RUN("report", "plain", "--pictures", "-1"), 2, "--pictures");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),          cmocka_unit_test(test_page),
        cmocka_unit_test(test_figures),         cmocka_unit_test(test_evals),
        cmocka_unit_test(test_chance),          cmocka_unit_test(test_analyses),
        cmocka_unit_test(test_gradients),       cmocka_unit_test(test_many_gradients),
        cmocka_unit_test(test_many_metrics),    cmocka_unit_test(test_damaged_metrics),
        cmocka_unit_test(test_unreadable),      cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_plain_and_empty), cmocka_unit_test(test_methods),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, make_run, NULL);
}
