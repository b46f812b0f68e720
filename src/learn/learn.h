/* SPDX-License-Identifier: MIT */
/*
 * learn: one training step and what it remembers. The trainer owns net, parameters,
 * plans, method memory and optimiser; one function takes a batch and returns the step's
 * numbers. Losses are pure functions of embeddings; schedules are pure functions of the
 * step. State leaves as a list of named tensors and comes back the same way: this folder
 * never sees a file.
 */
#ifndef SRC_LEARN_LEARN_H
#define SRC_LEARN_LEARN_H

#include "backend/backend.h"
#include "base/base.h"
#include "data/data.h"
#include "net/net.h"
#include "tensor/tensor.h"

/* ---- schedules (schedules.c) ------------------------------------------------------- */

enum sl_lr_schedule {
    SL_LR_COSINE,       /* per step, to nearly 0 at the end */
    SL_LR_CONSTANT,     /* eta */
    SL_LR_STEP,         /* eta x 0.1^(number of milestones passed) */
    SL_LR_EPOCH_COSINE, /* per epoch e = 1 … E: eta/2 (1 + cos(pi (e-1) / (E+1))) */
};
enum { SL_MILESTONES_MAX = 16 };

struct sl_lr_config {
    enum sl_lr_schedule schedule;
    double peak;         /* eta */
    double second_peak;  /* eta from step `second_from` on (slow start's second phase);
                            phase unchanged */
    int64_t second_from; /* INT64_MAX = never */
    double warmup_steps; /* a real number */
    int64_t total_steps;
    int64_t milestones[SL_MILESTONES_MAX]; /* STEP: steps at which it falls */
    int n_milestones;
    int64_t epoch_steps; /* EPOCH_COSINE: steps of an epoch, at least 1 */
};
/* Learning rate of optimiser step t = 0, 1, …: up to the end W of the warm-up a line from
 * 1e-8 to eta, then what the schedule says, COSINE eta/2 (1 + cos(pi (t - W) / (T - W)));
 * at least 1e-8. */
double sl_lr_at(const struct sl_lr_config *config, int64_t step);
/* "60,80": rising epochs, fractions allowed, become the steps of config->milestones, each
 * ceil(E * steps_per_epoch). One at or after the run's last step is refused as well
 * (SL_ERROR_USAGE): it would never be reached. */
enum sl_status sl_milestones_parse(struct sl_error *err, const char *text,
                                   double steps_per_epoch, struct sl_lr_config *config);

/* Momentum m of a target's average, target = m target + (1 - m) online: constant, or 1 -
 * (1 - m0) (1 + cos(pi e/E)) / 2, which rises from m0 to 1 over the run, as MoCo v3's. */
struct sl_average_config {
    double momentum; /* m0 */
    bool cosine;
    int64_t total_steps;
};
double sl_average_momentum_at(const struct sl_average_config *config, int64_t step);

/* ---- optimiser (optim.c) ----------------------------------------------------------- */

enum sl_optimizer { SL_OPTIMIZER_SGD, SL_OPTIMIZER_LARS, SL_OPTIMIZER_ADAMW };

struct sl_optim_config {
    enum sl_optimizer optimizer;
    double momentum;              /* SGD, LARS */
    double beta1, beta2, epsilon; /* AdamW */
    double weight_decay;          /* SGD, LARS: joins the gradient; AdamW: decoupled */
    bool exclude_vectors; /* biases, scales and shifts: no decay, and LARS does not scale
                             them; false: they decay like everything else */
};

/* What a rule remembers of every parameter. Borrows the parameters, which must have
 * gradients, and their device. */
struct sl_optim;
enum sl_status sl_optim_create(struct sl_error *err, const struct sl_optim_config *config,
                               struct sl_params *params, struct sl_optim **optim);
void sl_optim_destroy(struct sl_optim *optim);
/* Bytes of backend memory that it takes. */
size_t sl_optim_bytes(const struct sl_optim_config *config, const struct sl_net *net);
/* One step of the shared parameters and of those private to widths first … end-1, from
 * the gradients in params->diff, which are zero afterwards. Every other private parameter
 * stays exactly as it is: no decay, no momentum, and its slots start at its first real
 * gradient. */
void sl_optim_update(struct sl_optim *optim, double lr, int first, int end);
/* All gradients become zero, those of inactive widths included. */
void sl_optim_discard(struct sl_optim *optim);
/* Slots by name ("slot.encoder.conv1.weight"; AdamW also "slot2.…" and "slot.steps", the
 * updates of the shared parameters and of each width's own), for checkpoints; and the
 * check of what was written into them (SL_ERROR_RUN when it cannot be). */
enum sl_status sl_optim_state(struct sl_error *err, struct sl_optim *optim,
                              struct sl_named_list *list);
enum sl_status sl_optim_restored(struct sl_error *err, const struct sl_optim *optim);

/* ---- width policy (widths.c) ------------------------------------------------------- */

/* Modes of the published code, by its numbers. */
enum sl_width_weights {
    SL_WEIGHTS_UNIFORM = 0,
    SL_WEIGHTS_SHARE = 1,
    SL_WEIGHTS_WIDTH = 2,
    SL_WEIGHTS_WIDTH_MEAN = 3,
    SL_WEIGHTS_DOMINANT = 5,
    SL_WEIGHTS_CUMULATIVE = 6,
    SL_WEIGHTS_DOMINANT_MAX = 7
};
/* lambda by width w, n of them: 1; w / sum; w; n w / sum; 1, but of the full width 1 +
 * the sum of the others; 1 + the sum of the narrower ones, scaled to sum n; 1, but of the
 * full width 1 + the largest other. SHARE, WIDTH_MEAN and CUMULATIVE are rounded to three
 * decimals, as in the published code. */
void sl_width_weights_of(enum sl_width_weights mode, const struct sl_widths *widths,
                         double weights[SL_WIDTHS_MAX]);
/* `text`: a mode by number or name ("dominant", "cumulative", …; 4 = uniform) or a list
 * with a comma, one value a width in the order the widths were given descending.
 * SL_ERROR_USAGE otherwise. */
enum sl_status sl_width_weights_parse(struct sl_error *err, const char *text,
                                      const struct sl_widths *widths,
                                      double weights[SL_WIDTHS_MAX]);
/* Slow start "50%", "3", "2.5", "0" as a step: ceil(E * steps_per_epoch), E = percent of
 * epochs or epochs. */
enum sl_status sl_slow_start_parse(struct sl_error *err, const char *text, double epochs,
                                   double steps_per_epoch, int64_t *step);
/* Widths active at a step: 1 (the full one) before slow_start_step, all from it on. */
int sl_widths_active(const struct sl_widths *widths, int64_t slow_start_step,
                     int64_t step);

/* ---- distillation (loss.c) --------------------------------------------------------- */

enum sl_distill {
    SL_DISTILL_NONE,
    SL_DISTILL_SEED,
    SL_DISTILL_INPLACE,
    SL_DISTILL_MSE_EMBEDDING,
    SL_DISTILL_MSE_LOGITS,
    SL_DISTILL_ATKD,
    SL_DISTILL_DKD
};
enum sl_teachers { SL_TEACHERS_FULL, SL_TEACHERS_ALL_LARGER };

/* ---- gradient diagnostics (graddiag.c) --------------------------------------------- */

/* Sums over one shared weight (out, in, kernel, kernel), or over all of them. Ring i
 * holds the entries that lie in the block of width i and in no narrower one; ring n-1 is
 * the narrowest block. Gradients are those of the weighted objective, without decay. */
struct sl_grad_layer {
    int param;                       /* of the net; -1: the total */
    double published[SL_WIDTHS_MAX]; /* norm of the summed gradient on each nested block,
                                        at most 1000 */
    int64_t ring_size[SL_WIDTHS_MAX];
    double sum_ring[SL_WIDTHS_MAX];                  /* squares of the summed gradient */
    double own_ring[SL_WIDTHS_MAX][SL_WIDTHS_MAX];   /* of width i's own in ring j */
    double own_within[SL_WIDTHS_MAX][SL_WIDTHS_MAX]; /* of width i's own where the blocks
                                                        of i and j meet */
    double inner[SL_WIDTHS_MAX][SL_WIDTHS_MAX];      /* <g_i, g_j>, i < j */
};
/* own[w], sum: the weight's gradient at full size in host memory, one for each of the
 * first `active` widths and their sum. Pure. */
void sl_grad_layer_measure(const struct sl_net *net, int param, int active,
                           const float *const *own, const float *sum,
                           struct sl_grad_layer *layer);
/* Between the gradients of two widths, where both have entries; NaN when one is zero. */
double sl_grad_cosine(const struct sl_grad_layer *layer, int i, int j);
/* L2 of a width's own gradient. */
double sl_grad_norm(const struct sl_grad_layer *layer, int width);
/* The two largest singular values of m (rows, cols), the second 0 where there is none.
 * With s = min(rows, cols): `gram` s * s and `values` s doubles of work space. */
enum sl_status sl_grad_singular(struct sl_error *err, int rows, int cols, const float *m,
                                double *gram, double *values, double singular[2]);

enum { SL_GRAD_VALUES_MOST = 32768 };
/* What was measured at one step. */
struct sl_grad_record {
    int active, n_layers;
    struct sl_grad_layer *layers; /* shared conv and linear weights in the net's order */
    struct sl_grad_layer total;   /* its `published` is not set */
    double mean[SL_WIDTHS_MAX];   /* of `published` over the layers that count: those
                                     below 1000 at every width; 1000 when none does */
    int counted;
    double ratio_a, ratio_b; /* mean[0] / mean[n-1]; sqrt(mean[0]^2 - mean[n-1]^2) /
                                mean[n-1]; NaN with one width */
    /* the last linear op of the head, the full width's where each has one of its own;
       -1: there is none */
    int head, head_rows, head_cols;
    double head_norm, singular[2];
    /* its summed gradient, or where that has more than SL_GRAD_VALUES_MOST values a
     * sketch: each value is added to one of so many buckets, with a sign; inner products
     * stay what they were, on the average */
    float *values;
    int64_t n_values;
    bool sketched;
};

/* ---- methods (methods.c) ----------------------------------------------------------- */

/* How pictures become a loss: one const table, whose functions only this folder calls. */
struct sl_method;
/* What those who describe a method, or feed it, should know of it. */
struct sl_method_info {
    const char *name;  /* as in --method */
    const char *about; /* one line for people */
    int n_views;       /* views of a picture that a batch must hold */
    enum sl_head head; /* that the net must have (MLP: or SWITCH, LINEAR) */
    int n_queries;     /* passes with a gradient of each width in a step */
    int n_keys;        /* passes of the target in a step */
    bool has_target;   /* an averaged copy of the network makes keys */
    bool has_queue;    /* of old keys: the negatives */
    bool has_labels;   /* learns from the batch's labels, not from a contrast of views */
};
/* The i-th method, NULL past the end; the one of a name, NULL when there is none. */
const struct sl_method *sl_method_at(int i);
const struct sl_method *sl_method_find(const char *name);
const struct sl_method_info *sl_method_info(const struct sl_method *method);

/* ---- trainer (trainer.c) ----------------------------------------------------------- */

/* When parameters move: once a batch by the sum of all widths' gradients, or after each
 * width by its own (docs/analyse.md): the next width then runs on what the last one left;
 * target and keys are made once a batch, before the first. */
enum sl_update { SL_UPDATE_JOINT, SL_UPDATE_PER_WIDTH };

struct sl_trainer_config {
    const struct sl_method *method;
    int batch;
    uint64_t seed;
    int64_t total_steps;
    int64_t slow_start_step; /* 0 = off */
    struct sl_lr_config lr;
    struct sl_optim_config optim;
    /* MoCo v2 */
    int64_t queue; /* K; divisible by batch */
    int bn_splits; /* G; 0 or 1: the whole batch */
    /* contrastive methods */
    double temperature;
    /* methods with a target: constant, or rising to 1 by a cosine (MoCo v3) */
    double ema_momentum;
    bool ema_cosine;
    /* online distillation and re-weighting */
    enum sl_distill distill;
    enum sl_teachers teachers;
    double distill_weight;      /* alpha; taken as 0 when distill is NONE */
    double distill_temperature; /* tau, student and teacher */
    double width_weights[SL_WIDTHS_MAX];
    enum sl_dtype type; /* compute type of feature maps: SL_F32 or SL_BF16 */
    enum sl_update update;
    int64_t grad_every; /* steps between measures of the gradients; 0 = none */
    int skip_nonfinite; /* that many steps in a row may be discarded; 0 = none */
    bool reuse_off;     /* plans without memory reuse, for tests */
};

/* What one step measured. Losses are not multiplied by lambda or alpha. */
struct sl_width_numbers {
    double loss;    /* InfoNCE of this width (of MoCo v3 the mean of both directions,
                       without the objective's 2T), or cross-entropy with the labels */
    double distill; /* distillation term with the teacher's entropy taken off, of MoCo v3
                       both directions'; 0 when off */
    double contrast_acc; /* fraction of rows whose positive (or label) ranks first */
    double emb_std;      /* see sl_backend.embedding_std; 0 with labels */
    double grad_norm;    /* L2 of this width's own weighted gradient */
};
struct sl_step_numbers {
    int64_t step; /* the step that was just done */
    double lr;
    double loss;  /* the total objective, entropies of teachers taken off */
    int active;   /* widths 0 … active-1 took part */
    bool skipped; /* discarded because of a number that was not finite */
    struct sl_width_numbers width[SL_WIDTHS_MAX];
};

struct sl_trainer;
/* net must have the head that the method wants; it and the device are borrowed.
 * Everything is allocated here: plans of all widths included. The fresh state is the
 * keyed start: parameters, target = exact copy, queue = random unit rows (SL_RNG_QUEUE).
 */
enum sl_status sl_trainer_create(struct sl_error *err,
                                 const struct sl_trainer_config *config,
                                 const struct sl_net *net, const struct sl_device *device,
                                 struct sl_trainer **trainer);
void sl_trainer_destroy(struct sl_trainer *trainer);
/* One step (docs/architecture.md, section 5, has the order); of MoCo v2, view 0 is the
 * query, view 1 the key. A picture without a label is SL_ERROR_DATA for a method that
 * learns from labels. A loss or gradient that is not finite: nothing is updated
 * (parameters, queue, statistics of this step excepted as documented) and
 * SL_ERROR_NUMBERS names step, width and first tensor, unless skip_nonfinite allows it.
 * With PER_WIDTH the updates after wider widths of the batch stay. */
enum sl_status sl_trainer_step(struct sl_error *err, struct sl_trainer *trainer,
                               const struct sl_batch *batch,
                               struct sl_step_numbers *numbers);
/* What a width's loss is when all columns are equally likely. */
double sl_trainer_chance(const struct sl_trainer_config *config,
                         const struct sl_net *net);
/* Steps done so far. */
int64_t sl_trainer_steps(const struct sl_trainer *trainer);
/* Called after each width's update of PER_WIDTH, within the step; a failure ends the
 * step. NULL: nobody. */
typedef enum sl_status (*sl_updated_fn)(struct sl_error *err, void *context, int width);
void sl_trainer_on_update(struct sl_trainer *trainer, sl_updated_fn updated,
                          void *context);
/* What the last step's gradients were like, or NULL when it was not measured; valid until
 * the next step. A step has the same bits measured or not. */
const struct sl_grad_record *sl_trainer_gradients(const struct sl_trainer *trainer);
/* Everything that determines what follows, as tensors that view the trainer's memory:
 * online parameters and statistics ("encoder.…", "head.…"), "target.…", "slot.…", what
 * the method remembers ("queue", "queue.position"), "step" (I64 of one). Restoring =
 * writing into these tensors, then sl_trainer_restored (checks the integers; SL_ERROR_RUN
 * when they cannot belong to this trainer). */
enum sl_status sl_trainer_state(struct sl_error *err, struct sl_trainer *trainer,
                                struct sl_named_list *list);
enum sl_status sl_trainer_restored(struct sl_error *err, struct sl_trainer *trainer);
/* Borrowed views for evaluation while training. */
struct sl_params *sl_trainer_params(struct sl_trainer *trainer);
struct sl_stats *sl_trainer_stats(struct sl_trainer *trainer);
/* Bytes of backend memory: parameters and slots, shared block of plans, method memory. */
struct sl_trainer_memory {
    size_t params, block, method;
    size_t measure; /* gradients of each width, when they are measured */
};
struct sl_trainer_memory sl_trainer_memory(const struct sl_trainer *trainer);
/* The same sizes without creating a trainer (for `plan`). */
enum sl_status sl_trainer_plan_memory(struct sl_error *err,
                                      const struct sl_trainer_config *config,
                                      const struct sl_net *net,
                                      const struct sl_device *device,
                                      struct sl_trainer_memory *memory);
/* What a step computes in, `*bytes` of backend memory: between two steps it is anybody's,
 * and nothing is kept in it. */
void *sl_trainer_scratch(const struct sl_trainer *trainer, size_t *bytes);
/* Seconds spent in the last step per width (forward, loss and backward), keys, and
 * update: for the bench. */
struct sl_step_times {
    double keys, update, width[SL_WIDTHS_MAX];
};
struct sl_step_times sl_trainer_times(const struct sl_trainer *trainer);

#endif
