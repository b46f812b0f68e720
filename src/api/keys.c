/* SPDX-License-Identifier: MIT */
/*
 * The tables of keys: one row serves the configuration file, the long option, the help
 * text and the record of a run. Names follow the field. A command's table is made of
 * parts, so that no row stands twice. A row that determines the numbers of a run goes
 * into its checkpoints unless free_keys lists it.
 */
#include "api_int.h"

#include <string.h>

/* Rows are laid out by hand: what it is, then its help. */
/* clang-format off */

/* Where a run goes; a command that writes something else has an "out" of its own. */
static const struct sl_key run_out_keys[] = {
    {.name = "out", .letter = 'o', .type = SL_KEY_TEXT, .initial = "",
     .argument = "DIR",
     .help = "Run directory; a non-empty one is refused without --resume or "
             "--overwrite."},
};

/* What is trained, on what, and how. */
static const struct sl_key training_keys[] = {
    {.name = "data", .type = SL_KEY_TEXT, .initial = "", .argument = "DATA",
     .help = "The pictures, when not given as arguments; several separated by ';'."},
    {.name = "recipe", .type = SL_KEY_TEXT, .initial = "", .argument = "NAME",
     .help = "A named setting; `slimclr list recipes` shows them."},
    {.name = "config", .type = SL_KEY_TEXT, .initial = "", .argument = "FILE",
     .help = "Settings from a file of `key = value` lines, under the command line."},
    {.name = "method", .letter = 'm', .type = SL_KEY_CHOICE, .initial = "mocov2",
     .choices = "mocov2|mocov3|simclr|supervised", .argument = "NAME",
     .help = "How pictures teach; `slimclr list methods` says what each is."},
    {.name = "limit", .type = SL_KEY_INT, .initial = "0", .low = 0, .high = 2147483647,
     .argument = "N",
     .help = "Only the first N pictures of a fixed shuffled order; 0 = all."},
    {.name = "arch", .letter = 'a', .type = SL_KEY_TEXT, .initial = "resnet18",
     .argument = "NAME",
     .help = "Network: resnet18 34 50 101 152, or resnet20 32 44 56 110 with xK for "
             "K times wider."},
    {.name = "stem", .type = SL_KEY_CHOICE, .initial = "auto",
     .choices = "auto|imagenet|small", .argument = "NAME",
     .help = "First layers: 7x7/2 and pool, or 3x3/1; auto takes small up to 64 px."},
    {.name = "block", .type = SL_KEY_CHOICE, .initial = "basic",
     .choices = "basic|slimclr-cifar", .argument = "NAME",
     .help = "Blocks of resnet20 to 110: the usual ones, or those of SlimCLR's CIFAR "
             "experiments, with a ReLU before the shortcut joins."},
    {.name = "widths", .letter = 'w', .type = SL_KEY_TEXT, .initial = "1,0.75,0.5,0.25",
     .argument = "LIST",
     .help = "Width multipliers in (0, 1]; 1 must be among them."},
    {.name = "slices", .type = SL_KEY_CHOICE, .initial = "nested",
     .choices = "nested|disjoint", .argument = "NAME",
     .help = "Channels of a narrow width: the first ones, or, as an ablation, some of "
             "its own beside those of the other narrow widths."},
    {.name = "epochs", .letter = 'e', .type = SL_KEY_INT, .initial = "200", .low = 0,
     .high = 1000000, .argument = "N",
     .help = "Passes over the pictures; 0 writes the untrained checkpoint."},
    {.name = "steps", .type = SL_KEY_INT, .initial = "auto", .low = 1,
     .high = 1000000000000.0, .auto_ok = true, .argument = "N",
     .help = "Length in steps instead of epochs."},
    {.name = "batch-size", .letter = 'b', .type = SL_KEY_INT, .initial = "256",
     .low = 1, .high = 1048576, .argument = "N",
     .help = "Pictures in a step."},
    {.name = "optimizer", .type = SL_KEY_CHOICE, .initial = "auto",
     .choices = "auto|sgd|lars|adamw", .argument = "NAME",
     .help = "Update rule; auto = sgd; mocov3 and simclr: lars."},
    {.name = "lr", .type = SL_KEY_REAL, .initial = "auto", .low = 0, .high = 1e+38,
     .auto_ok = true, .argument = "X",
     .help = "Peak learning rate; auto = base-lr x batch-size / 256."},
    {.name = "base-lr", .type = SL_KEY_REAL, .initial = "auto", .low = 0, .high = 1e+38,
     .auto_ok = true, .argument = "X",
     .help = "Peak learning rate for 256 pictures; auto = 0.06 (lars 0.3, adamw 0.001); "
             "simclr: 0.075 x root of batch-size in all; supervised: 0.1."},
    {.name = "weight-decay", .type = SL_KEY_REAL, .initial = "auto", .low = 0,
     .high = 1000000.0, .auto_ok = true, .argument = "X",
     .help = "L2 penalty; auto = 5e-4 up to 64 px, else 1e-4 (lars 1e-6, adamw 0.01, "
             "which decays apart from the gradient)."},
    {.name = "exclude-bias-n-norm-wd", .type = SL_KEY_CHOICE, .initial = "auto",
     .choices = "auto|yes|no", .argument = "WHAT",
     .help = "Leave biases and the scales and shifts of norms without decay and, by "
             "lars, unscaled; auto = yes for lars, else no."},
    {.name = "momentum", .type = SL_KEY_REAL, .initial = "auto", .low = 0,
     .high = 0.999999, .auto_ok = true, .argument = "X",
     .help = "Momentum of sgd and lars; auto = 0.9."},
    {.name = "adam-beta1", .type = SL_KEY_REAL, .initial = "auto", .low = 0,
     .high = 0.999999, .auto_ok = true, .argument = "X",
     .help = "Decay of adamw's mean of gradients; auto = 0.9."},
    {.name = "adam-beta2", .type = SL_KEY_REAL, .initial = "auto", .low = 0,
     .high = 0.999999999, .auto_ok = true, .argument = "X",
     .help = "Decay of adamw's mean of squared gradients; auto = 0.999."},
    {.name = "adam-epsilon", .type = SL_KEY_REAL, .initial = "auto", .low = 1e-30,
     .high = 1, .auto_ok = true, .argument = "X",
     .help = "Added to the root of adamw's mean of squares; auto = 1e-8."},
    {.name = "warmup-epochs", .type = SL_KEY_REAL, .initial = "auto", .low = 0,
     .high = 1000000.0, .auto_ok = true, .argument = "X",
     .help = "Epochs of rising learning rate; auto = 5 % of the run (mocov3 3.3 %, "
             "simclr 10 %), none with cosine-epoch."},
    {.name = "lr-schedule", .type = SL_KEY_CHOICE, .initial = "cosine",
     .choices = "cosine|cosine-epoch|step|constant", .argument = "NAME",
     .help = "Course of the learning rate after the warm-up: a cosine by step, one by "
             "epoch, or tenths at --lr-milestones."},
    {.name = "lr-milestones", .type = SL_KEY_TEXT, .initial = "", .argument = "LIST",
     .help = "Epochs from which --lr-schedule step takes a tenth, as 60,80."},
    {.name = "image-size", .type = SL_KEY_INT, .initial = "auto", .low = 8,
     .high = 1024, .auto_ok = true, .argument = "PX",
     .help = "Side of the views; auto = the record's own for fixed-size data, else "
             "224."},
    {.name = "mean", .type = SL_KEY_TEXT, .initial = "auto", .auto_ok = true,
     .argument = "R,G,B",
     .help = "Channel means for normalising (one for --channels 1); auto = the "
             "published ones for the data."},
    {.name = "std", .type = SL_KEY_TEXT, .initial = "auto", .auto_ok = true,
     .argument = "R,G,B",
     .help = "Channel deviations for normalising; auto = the published ones for the "
             "data."},
    {.name = "aug", .type = SL_KEY_CHOICE, .initial = "auto",
     .choices = "auto|mocov2|mocov3|simclr|supervised|padded|none", .argument = "NAME",
     .help = "Augmentation recipe; auto = the method's; without blur up to 64 px. "
             "padded: moved by up to --crop-pad pixels and flipped, no more."},
    {.name = "crop-min", .type = SL_KEY_REAL, .initial = "auto", .low = 0.001,
     .high = 1, .auto_ok = true, .argument = "X",
     .help = "Smallest crop as a fraction of the area."},
    {.name = "crop-pad", .type = SL_KEY_INT, .initial = "auto", .low = 0, .high = 1024,
     .auto_ok = true, .argument = "PX",
     .help = "Black pixels around the picture for --aug padded; auto = an eighth of the "
             "view's side (4 of 32)."},
    {.name = "aug-jitter", .type = SL_KEY_REAL, .initial = "auto", .low = 0, .high = 1,
     .auto_ok = true, .argument = "P",
     .help = "Probability of colour jitter."},
    {.name = "aug-brightness", .type = SL_KEY_REAL, .initial = "auto", .low = 0,
     .high = 1, .auto_ok = true, .argument = "X",
     .help = "Strength of brightness jitter."},
    {.name = "aug-contrast", .type = SL_KEY_REAL, .initial = "auto", .low = 0,
     .high = 1, .auto_ok = true, .argument = "X",
     .help = "Strength of contrast jitter."},
    {.name = "aug-saturation", .type = SL_KEY_REAL, .initial = "auto", .low = 0,
     .high = 1, .auto_ok = true, .argument = "X",
     .help = "Strength of saturation jitter."},
    {.name = "aug-hue", .type = SL_KEY_REAL, .initial = "auto", .low = 0, .high = 0.5,
     .auto_ok = true, .argument = "X",
     .help = "Strength of hue jitter, in turns."},
    {.name = "aug-grey", .type = SL_KEY_REAL, .initial = "auto", .low = 0, .high = 1,
     .auto_ok = true, .argument = "P",
     .help = "Probability of greyscale."},
    {.name = "aug-blur", .type = SL_KEY_REAL, .initial = "auto", .low = 0, .high = 1,
     .auto_ok = true, .argument = "P",
     .help = "Probability of Gaussian blur."},
    {.name = "aug-solarise", .type = SL_KEY_REAL, .initial = "auto", .low = 0,
     .high = 1, .auto_ok = true, .argument = "P",
     .help = "Probability of solarising."},
    {.name = "aug-lighting", .type = SL_KEY_REAL, .initial = "auto", .low = 0,
     .high = 255, .auto_ok = true, .argument = "X",
     .help = "Strength of PCA lighting, in grey levels; supervised has the published "
             "0.1."},
    {.name = "aug-blur-2", .type = SL_KEY_REAL, .initial = "auto", .low = 0, .high = 1,
     .auto_ok = true, .argument = "P",
     .help = "Probability of blur in the second view; auto = aug-blur, or mocov3's own."},
    {.name = "aug-solarise-2", .type = SL_KEY_REAL, .initial = "auto", .low = 0,
     .high = 1, .auto_ok = true, .argument = "P",
     .help = "Probability of solarising the second view; auto = aug-solarise, or "
             "mocov3's own."},
    {.name = "aug-flip", .type = SL_KEY_REAL, .initial = "auto", .low = 0, .high = 1,
     .auto_ok = true, .argument = "P",
     .help = "Probability of a horizontal flip."},
    {.name = "fast-decode", .type = SL_KEY_BOOL, .initial = "no",
     .help = "Decode large JPEGs at 1/2, 1/4 or 1/8 of their size where the crop stays "
             "larger than the view: faster, slightly other pixels."},
    {.name = "moco-k", .type = SL_KEY_INT, .initial = "auto", .low = 1,
     .high = 16777216, .auto_ok = true, .argument = "N",
     .help = "Length of mocov2's queue of negatives, a multiple of batch-size; auto = "
             "up to min(65536, N/4)."},
    {.name = "moco-m", .type = SL_KEY_REAL, .initial = "auto", .low = 0, .high = 1,
     .auto_ok = true, .argument = "X",
     .help = "Momentum of the key encoder; auto = 0.99, of mocov2 from 20,000 steps on "
             "0.999."},
    {.name = "moco-m-cos", .type = SL_KEY_CHOICE, .initial = "auto",
     .choices = "auto|yes|no", .argument = "WHAT",
     .help = "That momentum rises to 1 by a cosine; auto = yes for mocov3."},
    {.name = "moco-t", .type = SL_KEY_REAL, .initial = "auto", .low = 0.0001,
     .high = 10000.0, .auto_ok = true, .argument = "X",
     .help = "Temperature of the contrast; auto = mocov2 0.1 up to 64 px, else 0.2; "
             "mocov3 1; simclr 0.1."},
    {.name = "moco-dim", .type = SL_KEY_INT, .initial = "auto", .low = 2, .high = 65536,
     .auto_ok = true, .argument = "N",
     .help = "Size of the embedding; auto = 128, of mocov3 256."},
    {.name = "moco-mlp-dim", .type = SL_KEY_INT, .initial = "auto", .low = 1,
     .high = 65536, .auto_ok = true, .argument = "N",
     .help = "Hidden size of mocov3's projector and predictor (auto = 4096), or of "
             "simclr's projector (2048)."},
    {.name = "classes", .type = SL_KEY_INT, .initial = "auto", .low = 2, .high = 1000000,
     .auto_ok = true, .argument = "N",
     .help = "Outputs of the supervised classifier; auto = the data's classes."},
    {.name = "head", .type = SL_KEY_CHOICE, .initial = "auto",
     .choices = "auto|mlp|switch|linear|classifiers", .argument = "NAME",
     .help = "Projection head of mocov2; auto = mlp, whose layers all widths share; "
             "switch = an mlp a width. (classifiers: what `eval finetune --save` "
             "writes.)"},
    {.name = "head-init", .type = SL_KEY_CHOICE, .initial = "auto",
     .choices = "auto|fan-in|paper", .argument = "NAME",
     .help = "Start of the head; auto = paper for bottleneck nets, else fan-in."},
    {.name = "bn-splits", .type = SL_KEY_INT, .initial = "1", .low = 1, .high = 65536,
     .argument = "G",
     .help = "Batch norm in G groups of the batch (mocov2)."},
    {.name = "slow-start", .type = SL_KEY_TEXT, .initial = "50%", .argument = "E",
     .help = "Epochs (or N%) before the sub-networks join, less than the run has; 0 = "
             "from the start."},
    {.name = "slow-start-lr", .type = SL_KEY_REAL, .initial = "auto", .low = 0,
     .high = 1e+38, .auto_ok = true, .argument = "X",
     .help = "Peak learning rate from that step on; auto = lr."},
    {.name = "distill", .type = SL_KEY_CHOICE, .initial = "auto",
     .choices = "auto|seed|inplace|mse-embedding|mse-logits|atkd|dkd|none",
     .argument = "NAME",
     .help = "Online distillation of the sub-networks; auto = seed; supervised: none."},
    {.name = "teachers", .type = SL_KEY_CHOICE, .initial = "full",
     .choices = "full|all-larger", .argument = "NAME",
     .help = "Who teaches a sub-network; all-larger is mocov2's."},
    {.name = "distill-weight", .type = SL_KEY_REAL, .initial = "auto", .low = 0,
     .high = 1, .auto_ok = true, .argument = "X",
     .help = "Weight of distillation against the sub-network's own loss; auto = 0.5; "
             "supervised: 1."},
    {.name = "distill-temp", .type = SL_KEY_REAL, .initial = "auto", .low = 0.001,
     .high = 10000.0, .auto_ok = true, .argument = "X",
     .help = "Temperature of distillation; auto = 5; mocov3 and supervised: 1."},
    {.name = "width-weights", .type = SL_KEY_TEXT, .initial = "auto", .auto_ok = true,
     .argument = "MODE",
     .help = "Loss weights: uniform share width width-mean dominant cumulative "
             "dominant-max, 0-7, or a list; auto = dominant; supervised: uniform."},
    {.name = "update", .type = SL_KEY_CHOICE, .initial = "joint",
     .choices = "joint|per-width", .argument = "WHEN",
     .help = "One update a batch from all widths' gradients, or one after each width."},
    {.name = "skip-nonfinite", .type = SL_KEY_INT, .initial = "0", .low = 0,
     .high = 1000000, .argument = "N",
     .help = "Steps in a row with a number that is not finite to discard before "
             "giving up."},
    {.name = "on-bad-image", .type = SL_KEY_CHOICE, .initial = "skip",
     .choices = "skip|stop|grey", .argument = "WHAT",
     .help = "Damaged pictures: replaced by the next readable one, an error, or "
             "grey."},
    {.name = "max-bad", .type = SL_KEY_TEXT, .initial = "10%", .argument = "X",
     .help = "Share of damaged pictures above which the run stops."},
    {.name = "seed", .type = SL_KEY_INT, .initial = "0", .low = 0,
     .high = 9007199254740992, .argument = "N",
     .help = "Every random number is a function of it."},
    {.name = "deterministic", .type = SL_KEY_BOOL, .initial = "yes",
     .help = "Same bits from the same seed, whatever the number of workers (always "
             "so on a CPU)."},
    {.name = "data-fingerprint", .type = SL_KEY_TEXT, .initial = "auto",
     .auto_ok = true, .argument = "HEX",
     .help = "Hash of names, sizes and order of the pictures, checked on resume."},
    {.name = "init-from", .type = SL_KEY_TEXT, .initial = "", .argument = "PATH",
     .help = "Start from the weights of another run's checkpoint."},
    {.name = "eval-data", .type = SL_KEY_TEXT, .initial = "", .argument = "DATA",
     .help = "Labelled pictures for kNN of each width while training."},
    {.name = "eval-every", .type = SL_KEY_INT, .initial = "1", .low = 1,
     .high = 1000000, .argument = "E",
     .help = "Epochs between such evaluations."},
    {.name = "save-every", .type = SL_KEY_INT, .initial = "1", .low = 1,
     .high = 1000000, .argument = "E",
     .help = "Epochs between checkpoints."},
    {.name = "save-steps", .type = SL_KEY_INT, .initial = "0", .low = 0,
     .high = 1000000000000.0, .argument = "N",
     .help = "Also save last.safetensors every N steps; 0 = off."},
    {.name = "keep", .type = SL_KEY_INT, .initial = "1", .low = 0, .high = 1000000,
     .argument = "N",
     .help = "Numbered checkpoints to keep beside last.safetensors."},
    {.name = "log-every", .type = SL_KEY_INT, .initial = "20", .low = 1,
     .high = 1000000, .argument = "N",
     .help = "Steps between metric lines."},
    {.name = "grad-diag", .type = SL_KEY_TEXT, .initial = "off",
     .argument = "every=N",
     .help = "Measure gradients by width and layer every N steps (graddiag.jsonl); on = "
             "every=100."},
    {.name = "snapshots", .type = SL_KEY_BOOL, .initial = "no",
     .help = "Keep the parameters of every epoch's end in RUN/snapshots, for "
             "`analyse trajectory`."},
    {.name = "resume", .type = SL_KEY_TEXT, .initial = "", .argument = "[=PATH]",
     .help = "Go on from the run's last checkpoint, or from PATH."},
    {.name = "overwrite", .type = SL_KEY_BOOL, .initial = "no",
     .help = "Start afresh in a run directory that is not empty."},
    {.name = "no-tensorboard", .type = SL_KEY_BOOL, .initial = "no",
     .help = "Write no event files (events.out.tfevents.*) beside the metrics."},
    {.name = "stop-on-collapse", .type = SL_KEY_BOOL, .initial = "no",
     .help = "End the run (exit 4) when embeddings collapse, instead of warning."},
};

/* How files become pixels; `pack` has channels and a longest side of its own. */
static const struct sl_key channels_keys[] = {
    {.name = "channels", .type = SL_KEY_CHOICE, .initial = "3", .choices = "3|1",
     .argument = "N",
     .help = "Of the net's input: 3, where grey is three equal ones, or 1, where colour "
             "becomes grey."},
};

static const struct sl_key decode_keys[] = {
    {.name = "alpha-on", .type = SL_KEY_TEXT, .initial = "white", .argument = "COLOUR",
     .help = "What lies behind transparent pixels: white black grey R,G,B, or ignore: "
             "their stored colours."},
    {.name = "max-pixels", .type = SL_KEY_INT, .initial = "100000000", .low = 1,
     .high = 2147483647, .argument = "N",
     .help = "Pictures of more pixels count as damaged; checked before memory is taken."},
    {.name = "max-bytes", .type = SL_KEY_INT, .initial = "268435456", .low = 1,
     .high = 1000000000000.0, .argument = "N",
     .help = "The same for the size of a picture's file."},
};

static const struct sl_key side_limit_keys[] = {
    {.name = "max-side", .type = SL_KEY_INT, .initial = "65535", .low = 1,
     .high = 2147483647, .argument = "N",
     .help = "The same for height and width."},
};

/* What is shown of views, besides the keys of a run, of which it has its own "out". */
static const struct sl_key views_keys[] = {
    {.name = "out", .letter = 'o', .type = SL_KEY_TEXT, .initial = "",
     .argument = "FILE",
     .help = "The PNG to write."},
    {.name = "n", .letter = 'n', .type = SL_KEY_INT, .initial = "8", .low = 1,
     .high = 1024, .argument = "N",
     .help = "Rows: the first pictures that training would see."},
};

/* The page about a run. */
static const struct sl_key report_keys[] = {
    {.name = "out", .letter = 'o', .type = SL_KEY_TEXT, .initial = "",
     .argument = "FILE",
     .help = "The page; else RUN/report.html."},
    {.name = "pictures", .letter = 'n', .type = SL_KEY_INT, .initial = "200", .low = 0,
     .high = 2000, .argument = "N",
     .help = "Pictures on the map and in the gallery; 0 = no pictures at all."},
};

/* Which pictures are tallied. */
static const struct sl_key stats_keys[] = {
    {.name = "limit", .type = SL_KEY_INT, .initial = "0", .low = 0, .high = 2147483647,
     .argument = "N",
     .help = "Only the first N pictures of a fixed shuffled order; 0 = all."},
    {.name = "seed", .type = SL_KEY_INT, .initial = "0", .low = 0,
     .high = 9007199254740992, .argument = "N",
     .help = "Of the order of --limit."},
};

/* What is worth a word when pictures are looked at. */
static const struct sl_key check_keys[] = {
    {.name = "out", .letter = 'o', .type = SL_KEY_TEXT, .initial = "",
     .argument = "FILE",
     .help = "Also write every finding to a file: path, what, reason, with tabs "
             "between."},
    {.name = "min-side", .type = SL_KEY_INT, .initial = "auto", .low = 0, .high = 65535,
     .auto_ok = true, .argument = "PX",
     .help = "Pictures with a side below it are tiny; auto = 32, or 0 where all have one "
             "size."},
    {.name = "max-aspect", .type = SL_KEY_REAL, .initial = "4", .low = 1, .high = 65535,
     .argument = "X",
     .help = "Pictures with one side more than X times the other are long."},
};

/* Where and how widely it is computed. */
static const struct sl_key device_keys[] = {
    {.name = "device", .type = SL_KEY_CHOICE, .initial = "auto",
     .choices = "auto|cpu|ref", .argument = "NAME",
     .help = "Where to compute."},
    {.name = "precision", .type = SL_KEY_CHOICE, .initial = "auto",
     .choices = "auto|fp32|bf16", .argument = "TYPE",
     .help = "Compute type; weights, statistics and losses are float32 in any case; "
             "auto = bf16 where the machine computes in it."},
    {.name = "threads", .type = SL_KEY_INT, .initial = "auto", .low = 1, .high = 1024,
     .auto_ok = true, .argument = "N",
     .help = "Threads of the computation; auto = all cores."},
};

static const struct sl_key worker_keys[] = {
    {.name = "workers", .letter = 'j', .type = SL_KEY_INT, .initial = "auto", .low = 1,
     .high = 256, .auto_ok = true, .argument = "N",
     .help = "Threads that load pictures; auto = all cores."},
};

/* How long the loader is timed. */
static const struct sl_key bench_loader_keys[] = {
    {.name = "seconds", .type = SL_KEY_REAL, .initial = "10", .low = 0.01,
     .high = 100000, .argument = "S",
     .help = "How long batches are taken and counted."},
};

/* Where indices of folders and archives are kept from one call to the next. */
static const struct sl_key cache_keys[] = {
    {.name = "cache-dir", .type = SL_KEY_TEXT, .initial = "auto", .auto_ok = true,
     .argument = "DIR",
     .help = "Where indices of large data are kept; auto = $XDG_CACHE_HOME/slimclr or "
             "~/.cache/slimclr."},
    {.name = "no-cache", .type = SL_KEY_BOOL, .initial = "no",
     .help = "Keep nothing, and look at the data afresh."},
};

/* Pictures into shards. */
static const struct sl_key pack_keys[] = {
    {.name = "out", .letter = 'o', .type = SL_KEY_TEXT, .initial = "",
     .argument = "NAME",
     .help = "Shards are NAME-000000.tar and so on; in a folder DIR, "
             "DIR/DIR-000000.tar."},
    {.name = "max-side", .type = SL_KEY_INT, .initial = "0", .low = 0, .high = 65535,
     .argument = "PX",
     .help = "Longer side of the pictures at most; larger ones are shrunk; 0 = as they "
             "are."},
    {.name = "channels", .type = SL_KEY_CHOICE, .initial = "3", .choices = "3|1",
     .argument = "N",
     .help = "1 = pictures become grey; a JPEG that fits stays as it is only if it is "
             "grey."},
    {.name = "quality", .type = SL_KEY_INT, .initial = "0", .low = 0, .high = 100,
     .argument = "Q",
     .help = "JPEG quality; 0 = JPEG files that fit stay as they are, others get 95."},
    {.name = "shard-size", .type = SL_KEY_INT, .initial = "268435456", .low = 4096,
     .high = 1099511627776.0, .argument = "BYTES",
     .help = "A shard ends before it would grow larger."},
    {.name = "limit", .type = SL_KEY_INT, .initial = "0", .low = 0, .high = 2147483647,
     .argument = "N",
     .help = "Only the first N pictures of each part, in a fixed shuffled order; 0 = "
             "all."},
    {.name = "seed", .type = SL_KEY_INT, .initial = "0", .low = 0,
     .high = 9007199254740992, .argument = "N",
     .help = "Of the order of --limit."},
    {.name = "on-bad-image", .type = SL_KEY_CHOICE, .initial = "skip",
     .choices = "skip|stop", .argument = "WHAT",
     .help = "Damaged pictures: left out and listed, or an error."},
    {.name = "max-bad", .type = SL_KEY_TEXT, .initial = "10%", .argument = "X",
     .help = "Share of damaged pictures above which packing stops."},
    {.name = "overwrite", .type = SL_KEY_BOOL, .initial = "no",
     .help = "Pack afresh over shards of that name."},
};

/* What plan shows besides its table. */
static const struct sl_key plan_keys[] = {
    {.name = "ops", .type = SL_KEY_BOOL, .initial = "no",
     .help = "Print the list of ops with their shapes."},
    {.name = "values", .type = SL_KEY_BOOL, .initial = "no",
     .help = "Print where each value of the full width lives in memory."},
};

/* Which ops are timed, and how long. */
static const struct sl_key ops_keys[] = {
    {.name = "case", .type = SL_KEY_TEXT, .initial = "", .argument = "TEXT",
     .help = "One op in the words of src/bench/cases.h, or several separated by ';'; "
             "else the standing list."},
    {.name = "seconds", .type = SL_KEY_REAL, .initial = "0.3", .low = 0, .high = 600,
     .argument = "X",
     .help = "Time for each call of a case; three runs at least."},
};

/* What evaluations share, in parts, since some have no bank or limits of their own. The
 * labelled pictures that are learned from. */
static const struct sl_key bank_keys[] = {
    {.name = "train", .type = SL_KEY_TEXT, .initial = "", .argument = "DATA",
     .help = "Labelled pictures to learn from, or kNN's bank, when not the train part of "
             "DATA."},
};

/* The pictures to judge by. */
static const struct sl_key test_keys[] = {
    {.name = "test", .type = SL_KEY_TEXT, .initial = "", .argument = "DATA",
     .help = "Pictures to judge by, when not the test part of DATA."},
};

static const struct sl_key judged_widths_keys[] = {
    {.name = "widths", .letter = 'w', .type = SL_KEY_TEXT, .initial = "auto",
     .auto_ok = true, .argument = "LIST",
     .help = "Widths to evaluate; auto = all of the checkpoint."},
};

static const struct sl_key judged_size_keys[] = {
    {.name = "image-size", .type = SL_KEY_INT, .initial = "auto", .low = 8,
     .high = 1024, .auto_ok = true, .argument = "PX",
     .help = "Side of the pictures; auto = the checkpoint's."},
};

static const struct sl_key bank_limit_keys[] = {
    {.name = "limit", .type = SL_KEY_INT, .initial = "0", .low = 0, .high = 2147483647,
     .argument = "N",
     .help = "Only the first N train pictures of a fixed shuffled order; 0 = all."},
};

static const struct sl_key test_limit_keys[] = {
    {.name = "limit-test", .type = SL_KEY_INT, .initial = "0", .low = 0,
     .high = 2147483647, .argument = "N",
     .help = "Only the first N test pictures of a fixed shuffled order; 0 = all."},
};

/* Which pictures are the test part, where DATA does not say. */
static const struct sl_key split_keys[] = {
    {.name = "test-fraction", .type = SL_KEY_REAL, .initial = "0.1", .low = 0.001,
     .high = 0.9, .argument = "X",
     .help = "Test share where DATA has only one part."},
    {.name = "seed", .type = SL_KEY_INT, .initial = "0", .low = 0,
     .high = 9007199254740992, .argument = "N",
     .help = "Of the split, of the limits, and of whatever is trained here."},
};

/* Judging of frozen features. */
static const struct sl_key frozen_batch_keys[] = {
    {.name = "batch-size", .letter = 'b', .type = SL_KEY_INT, .initial = "256",
     .low = 1, .high = 65536, .argument = "N",
     .help = "Pictures at a time."},
};

static const struct sl_key features_keys[] = {
    {.name = "features", .type = SL_KEY_CHOICE, .initial = "trunk",
     .choices = "trunk|head", .argument = "NAME",
     .help = "Pooled trunk features, or the head's embedding."},
};

/* Training on labels. */
static const struct sl_key finetune_keys[] = {
    {.name = "labels", .type = SL_KEY_TEXT, .initial = "10%", .argument = "LIST",
     .help = "How many labels of the train part: shares such as 1%,10%,100% or counts, "
             "even over the classes, drawn by --seed; several with commas between."},
    {.name = "repeats", .type = SL_KEY_INT, .initial = "1", .low = 1, .high = 100,
     .argument = "N",
     .help = "Seeds, from --seed on: other labels, start and order; mean and range are "
             "reported."},
    {.name = "joint", .type = SL_KEY_BOOL, .initial = "no",
     .help = "All widths together as one slimmable network with a classifier each; else "
             "each width as a network of its own."},
    {.name = "from-scratch", .type = SL_KEY_BOOL, .initial = "no",
     .help = "Also the baseline: the same networks from a random start, with the same "
             "labels, epochs and views."},
    {.name = "epochs", .letter = 'e', .type = SL_KEY_INT, .initial = "auto", .low = 1,
     .high = 100000, .auto_ok = true, .argument = "N",
     .help = "Passes over the labelled pictures; auto = 30 for a tenth of the data, more "
             "for fewer labels."},
    {.name = "batch-size", .letter = 'b', .type = SL_KEY_INT, .initial = "auto",
     .low = 2, .high = 65536, .auto_ok = true, .argument = "N",
     .help = "Pictures in a step; auto = an eighth of the labels, 32 to 128."},
    {.name = "lr", .type = SL_KEY_REAL, .initial = "auto", .low = 0, .high = 1e+38,
     .auto_ok = true, .argument = "X",
     .help = "Peak rate of trunk and classifier; auto = 0.4 x batch-size / 256."},
    {.name = "scratch-lr", .type = SL_KEY_REAL, .initial = "auto", .low = 0,
     .high = 1e+38, .auto_ok = true, .argument = "X",
     .help = "Peak rate of --from-scratch; auto = lr."},
    {.name = "warmup-epochs", .type = SL_KEY_REAL, .initial = "auto", .low = 0,
     .high = 1000000.0, .auto_ok = true, .argument = "X",
     .help = "Epochs of rising rate, then a cosine; auto = 5 %."},
    {.name = "weight-decay", .type = SL_KEY_REAL, .initial = "1e-4", .low = 0,
     .high = 1000000.0, .argument = "X",
     .help = "L2 penalty of every parameter."},
    {.name = "crop-min", .type = SL_KEY_REAL, .initial = "auto", .low = 0.001, .high = 1,
     .auto_ok = true, .argument = "X",
     .help = "Smallest crop as a fraction of the area; auto = 0.2 up to 64 px, else "
             "0.08."},
    {.name = "save", .type = SL_KEY_TEXT, .initial = "", .argument = "DIR",
     .help = "Keep the fine-tuned networks of the first seed as checkpoints: "
             "DIR/w1.00.safetensors and so on, or DIR/joint.safetensors."},
};

/* Nearest neighbours. */
static const struct sl_key knn_keys[] = {
    {.name = "knn-k", .type = SL_KEY_INT, .initial = "200", .low = 1, .high = 1000000,
     .argument = "N",
     .help = "Neighbours; at most half the smallest class."},
    {.name = "knn-t", .type = SL_KEY_REAL, .initial = "0.1", .low = 0.0001,
     .high = 10000.0, .argument = "X",
     .help = "Temperature of the neighbours' votes."},
};

static const struct sl_key raw_keys[] = {
    {.name = "raw", .type = SL_KEY_BOOL, .initial = "no",
     .help = "Also the same neighbours on raw pixels, plain and mean-centred; larger "
             "pictures are shrunk to 32 px for it."},
};

/* Linear probes. */
static const struct sl_key linear_keys[] = {
    {.name = "probe-epochs", .type = SL_KEY_INT, .initial = "auto", .low = 1,
     .high = 100000, .auto_ok = true, .argument = "N",
     .help = "Epochs of the probe; auto = 100. With --as-paper all --probe-… values are "
             "the paper's probe's; the quick one beside it keeps its defaults."},
    {.name = "probe-lr", .type = SL_KEY_REAL, .initial = "auto", .low = 0,
     .high = 1000000.0, .auto_ok = true, .argument = "X",
     .help = "Its learning rate; auto = 0.1, or with --as-paper the method's: 60 for "
             "mocov2, else 0.4."},
    {.name = "probe-batch", .type = SL_KEY_INT, .initial = "auto", .low = 1,
     .high = 65536, .auto_ok = true, .argument = "N",
     .help = "Rows in a step; auto = 256 (1024 with --as-paper)."},
    {.name = "probe-momentum", .type = SL_KEY_REAL, .initial = "auto", .low = 0,
     .high = 1, .auto_ok = true, .argument = "X",
     .help = "Momentum; auto = 0.9."},
    {.name = "probe-weight-decay", .type = SL_KEY_REAL, .initial = "auto", .low = 0,
     .high = 1000000.0, .auto_ok = true, .argument = "X",
     .help = "Weight decay; auto = 0 (1e-6 with --as-paper after simclr)."},
    {.name = "probe-schedule", .type = SL_KEY_CHOICE, .initial = "auto",
     .choices = "cosine|step", .auto_ok = true, .argument = "NAME",
     .help = "Course of the rate: cosine, or x 0.1 at 60 and 80 % of the epochs; auto = "
             "cosine, with --as-paper the method's."},
    {.name = "probe-distill", .type = SL_KEY_BOOL, .initial = "no",
     .help = "Also probes whose sub-networks learn half from the labels, half from the "
             "full width's probe."},
    {.name = "as-paper", .type = SL_KEY_BOOL, .initial = "no",
     .help = "Also the paper's protocol: crops and flips anew in each epoch, soft labels "
             "from the full width's probe, the method's rates; one pass over the train "
             "pictures an epoch."},
};

/* Closed-form probes. */
static const struct sl_key ridge_keys[] = {
    {.name = "ridge", .type = SL_KEY_REAL, .initial = "0.01", .low = 0, .high = 1e+12,
     .argument = "X",
     .help = "Added to the diagonal of X'X."},
    {.name = "width-weights", .type = SL_KEY_TEXT, .initial = "uniform",
     .argument = "MODE",
     .help = "Weights of the widths' errors in the shared probe, as in pretrain."},
};

/* The path of a run: what differs from an evaluation. */
static const struct sl_key trajectory_keys[] = {
    {.name = "directions", .type = SL_KEY_CHOICE, .initial = "pca",
     .choices = "pca|random", .argument = "NAME",
     .help = "Principal directions of the snapshots, or random ones, filter by filter as "
             "long as the final weights."},
    {.name = "fit-width", .type = SL_KEY_TEXT, .initial = "auto", .auto_ok = true,
     .argument = "W",
     .help = "Width whose snapshots the directions are fitted to; auto = the full one."},
    {.name = "widths", .letter = 'w', .type = SL_KEY_TEXT, .initial = "auto",
     .auto_ok = true, .argument = "LIST",
     .help = "Widths whose paths are drawn; auto = all."},
    {.name = "surface-width", .type = SL_KEY_TEXT, .initial = "auto", .auto_ok = true,
     .argument = "W",
     .help = "Width whose error is drawn; auto = the full one."},
    {.name = "grid", .type = SL_KEY_TEXT, .initial = "51", .argument = "N[xM]",
     .help = "Points of the surface along x, and along y."},
    {.name = "x-range", .type = SL_KEY_TEXT, .initial = "auto", .auto_ok = true,
     .argument = "A,B",
     .help = "What is shown of the first direction; auto = the paths and a margin."},
    {.name = "y-range", .type = SL_KEY_TEXT, .initial = "auto", .auto_ok = true,
     .argument = "A,B",
     .help = "The same for the second."},
    {.name = "limit", .type = SL_KEY_INT, .initial = "2000", .low = 0,
     .high = 2147483647, .argument = "N",
     .help = "Only the first N train pictures of a fixed shuffled order; 0 = all."},
    {.name = "limit-test", .type = SL_KEY_INT, .initial = "1000", .low = 0,
     .high = 2147483647, .argument = "N",
     .help = "The same for the test part."},
    {.name = "features", .type = SL_KEY_CHOICE, .initial = "head",
     .choices = "head|trunk", .argument = "NAME",
     .help = "What kNN looks at: the head's embedding, or pooled trunk features."},
};

/* How loud, and for whom. */
static const struct sl_key output_keys[] = {
    {.name = "json", .type = SL_KEY_BOOL, .initial = "no",
     .help = "One JSON object on standard output; all else on standard error."},
    {.name = "quiet", .letter = 'q', .type = SL_KEY_BOOL, .initial = "no",
     .help = "Only errors, warnings and results."},
    {.name = "verbose", .letter = 'v', .type = SL_KEY_BOOL, .initial = "no",
     .help = "More lines."},
};

/* clang-format on */

/* Where, how fast and how loud, but not what: these may differ when a run is resumed. */
static const char *const free_keys[] = {
    "out",        "data",           "recipe",           "config",   "data-fingerprint",
    "init-from",  "device",         "threads",          "workers",  "eval-data",
    "eval-every", "save-every",     "save-steps",       "keep",     "log-every",
    "resume",     "overwrite",      "stop-on-collapse", "json",     "quiet",
    "verbose",    "deterministic",  "cache-dir",        "no-cache", "grad-diag",
    "snapshots",  "no-tensorboard",
};

/* Keys that `pretrain` got after runs were made which may still be resumed or looked at,
 * and what those did; not where key `unless` is `is`. A key whose default is what was
 * done before needs no row. */
static const struct {
    const char *name, *value, *unless, *is;
} younger_keys[] = {
    {"aug-lighting", "0", "aug", "none"}, /* which takes no strengths */
};

struct part {
    const struct sl_key *keys;
    int n;
};

enum { PARTS_MOST = 16 };

#define PART(table)                                                                      \
    {                                                                                    \
        (table), SL_COUNT(table)                                                         \
    }
/* All of how files become pixels. */
#define DECODE_PARTS PART(channels_keys), PART(decode_keys), PART(side_limit_keys)
/* Of every command that takes the settings of a run. */
#define RUN_PARTS PART(run_out_keys), PART(training_keys), DECODE_PARTS
/* Of every evaluation that learns from a bank. */
#define BANK_PARTS                                                                       \
    PART(bank_keys), PART(test_keys), PART(judged_widths_keys), PART(judged_size_keys),  \
        PART(bank_limit_keys), PART(test_limit_keys), PART(split_keys)
static const struct {
    const char *command;
    struct part parts[PARTS_MOST];
} tables[] = {
    {"pretrain",
     {RUN_PARTS, PART(device_keys), PART(worker_keys), PART(cache_keys),
      PART(output_keys)}},
    {"check",
     {PART(check_keys), DECODE_PARTS, PART(worker_keys), PART(cache_keys),
      PART(output_keys)}},
    {"stats",
     {PART(stats_keys), DECODE_PARTS, PART(worker_keys), PART(cache_keys),
      PART(output_keys)}},
    {"views",
     {PART(views_keys), PART(training_keys), DECODE_PARTS, PART(device_keys),
      PART(worker_keys), PART(cache_keys), PART(output_keys)}},
    {"pack",
     {PART(pack_keys), PART(decode_keys), PART(worker_keys), PART(cache_keys),
      PART(output_keys)}},
    {"bench step", {RUN_PARTS, PART(device_keys), PART(worker_keys), PART(output_keys)}},
    {"bench ops",
     {PART(ops_keys), PART(device_keys), PART(worker_keys), PART(output_keys)}},
    {"bench loader",
     {RUN_PARTS, PART(device_keys), PART(worker_keys), PART(bench_loader_keys),
      PART(cache_keys), PART(output_keys)}},
    {"report",
     {PART(report_keys), PART(device_keys), PART(worker_keys), PART(cache_keys),
      PART(output_keys)}},
    {"plan",
     {RUN_PARTS, PART(device_keys), PART(worker_keys), PART(plan_keys), PART(cache_keys),
      PART(output_keys)}},
    {"eval knn",
     {BANK_PARTS, PART(frozen_batch_keys), PART(features_keys), PART(knn_keys),
      PART(raw_keys), PART(device_keys), PART(worker_keys), PART(cache_keys),
      PART(output_keys)}},
    {"analyse trajectory",
     {PART(trajectory_keys), PART(bank_keys), PART(test_keys), PART(judged_size_keys),
      PART(frozen_batch_keys), PART(split_keys), PART(knn_keys), PART(device_keys),
      PART(worker_keys), PART(cache_keys), PART(output_keys)}},
    {"analyse probes",
     {BANK_PARTS, PART(frozen_batch_keys), PART(features_keys), PART(ridge_keys),
      PART(device_keys), PART(worker_keys), PART(cache_keys), PART(output_keys)}},
    {"eval linear",
     {BANK_PARTS, PART(frozen_batch_keys), PART(features_keys), PART(linear_keys),
      PART(device_keys), PART(worker_keys), PART(cache_keys), PART(output_keys)}},
    {"eval classifier",
     {PART(test_keys), PART(judged_widths_keys), PART(judged_size_keys),
      PART(test_limit_keys), PART(split_keys), PART(frozen_batch_keys), PART(device_keys),
      PART(worker_keys), PART(cache_keys), PART(output_keys)}},
    {"eval finetune",
     {BANK_PARTS, PART(finetune_keys), PART(device_keys), PART(worker_keys),
      PART(cache_keys), PART(output_keys)}},
};
#undef BANK_PARTS
#undef RUN_PARTS
#undef DECODE_PARTS
#undef PART

enum sl_status api_table_create(struct sl_error *err, const char *command,
                                struct api_table *table)
{
    *table = (struct api_table){0};
    for (int i = 0; i < SL_COUNT(tables); i++) {
        if (strcmp(tables[i].command, command) != 0) {
            continue;
        }
        int n = 0;
        for (int k = 0; k < PARTS_MOST; k++) {
            n += tables[i].parts[k].n;
        }
        SL_TRY(sl_heap_alloc(err, "table of keys", n, sizeof *table->keys, &table->keys));
        for (int k = 0; k < PARTS_MOST; k++) {
            const struct part *part = &tables[i].parts[k];
            if (part->n > 0) {
                memcpy(table->keys + table->n, part->keys,
                       sizeof *part->keys * (size_t)part->n);
            }
            table->n += part->n;
        }
        return SL_OK;
    }
    return SL_FAIL(err, SL_ERROR_USAGE, "no command '%s'; see `slimclr help`", command);
}

void api_table_finish(struct api_table *table)
{
    sl_heap_free(table->keys);
    *table = (struct api_table){0};
}

bool api_key_is_free(const char *name)
{
    for (int i = 0; i < SL_COUNT(free_keys); i++) {
        if (strcmp(free_keys[i], name) == 0) {
            return true;
        }
    }
    return false;
}

const char *api_key_before(const struct sl_conf *began, const char *name)
{
    for (int i = 0; i < SL_COUNT(younger_keys); i++) {
        if (strcmp(younger_keys[i].name, name) == 0 &&
            strcmp(sl_conf_text(began, younger_keys[i].unless), younger_keys[i].is) !=
                0) {
            return younger_keys[i].value;
        }
    }
    return NULL;
}
