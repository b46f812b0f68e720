/* SPDX-License-Identifier: MIT */
/*
 * What the files of learn share and nobody else sees: the trainer's own record, the
 * table that a method is, and the pieces of a step. Device memory of the method is one
 * block, carved by its layout function.
 */
#ifndef SRC_LEARN_LEARN_INT_H
#define SRC_LEARN_LEARN_INT_H

#include "learn/learn.h"

/* ---- queue.c ----------------------------------------------------------------------- */

/* First in, first out: `capacity` rows of `dim` in device memory; the next batch of keys
 * goes to `position`. Rows come in batches that divide the capacity, so a batch never
 * wraps. */
struct sl_queue {
    const struct sl_device *device;
    float *rows;
    int64_t capacity, dim;
    int64_t position;
};
/* Keyed random unit rows; computed on the host in double, so that every backend starts
 * with the same bits. */
enum sl_status sl_queue_fill(struct sl_error *err, struct sl_queue *queue, uint64_t seed);
void sl_queue_push(struct sl_queue *queue, const float *keys, int64_t n);

/* ---- loss.c ------------------------------------------------------------------------ */

/* What the losses of one width are taken of: rows of logits, of which one column is
 * right, and the embeddings that they came from. */
struct sl_objective {
    const struct sl_device *device;
    int64_t rows, cols, stride; /* of logits: elements between rows */
    int64_t dim;                /* of embeddings, which are dense */
    const int32_t *labels;      /* the right column of each row; NULL: column 0 */
    double temperature;         /* of the contrast or the classes */
    double factor;              /* of that term, in value and gradient */
    enum sl_distill distill;
    double distill_temperature;
    float *scratch; /* (4, rows) */
};
/* One width's outputs. */
struct sl_query {
    const float *embedding; /* (rows, dim), unit length */
    const float *logits;    /* (rows, cols): cosines, without the temperature */
};
/* Who teaches: n others' outputs, constants. */
struct sl_teachers_given {
    const struct sl_query *at;
    int n;
};
struct sl_loss_weights {
    double contrast, distill; /* of the gradient */
};
struct sl_loss_values {
    double contrast, distill; /* unweighted; the teacher's entropy is taken off */
    double accuracy;
};
/* True for the forms that compare logits; the others compare embeddings. */
bool sl_distill_on_logits(enum sl_distill distill);
/* The contrast (or classes), and distillation where it compares logits: *values is set,
 * diff_logits written. */
void sl_logit_losses(const struct sl_objective *objective, const struct sl_query *query,
                     struct sl_teachers_given teachers,
                     const struct sl_loss_weights *weights, float *diff_logits,
                     struct sl_loss_values *values);
/* Distillation where it compares embeddings, else nothing: values->distill is set and
 * diff_embedding added to. D is the mean over the teachers. */
void sl_embedding_losses(const struct sl_objective *objective,
                         const struct sl_query *query, struct sl_teachers_given teachers,
                         const struct sl_loss_weights *weights, float *diff_embedding,
                         struct sl_loss_values *values);

/* ---- graddiag.c -------------------------------------------------------------------- */

struct sl_graddiag {
    const struct sl_net *net;
    const struct sl_device *device;
    void *block;                      /* kept[], in backend memory */
    float *kept[SL_WIDTHS_MAX];       /* gradients as they stood after each width */
    float *host[SL_WIDTHS_MAX], *sum; /* of one layer */
    double *gram;
    uint32_t *sketch;
    struct sl_grad_record record;
};
/* Memory it takes, of the backend and of the host. */
size_t sl_graddiag_bytes(const struct sl_net *net);
enum sl_status sl_graddiag_create(struct sl_error *err, const struct sl_net *net,
                                  const struct sl_device *device,
                                  struct sl_graddiag **diag);
void sl_graddiag_destroy(struct sl_graddiag *diag);
/* Keeps the flat gradients as they stand once `width` has joined them. */
void sl_graddiag_keep(struct sl_graddiag *diag, int width, const float *diff);
/* Fills the record from what was kept of the first `active` widths: sums over the widths
 * so far or, with `apart`, gradients that were used up one after another. */
enum sl_status sl_graddiag_finish(struct sl_error *err, struct sl_graddiag *diag,
                                  int active, bool apart);

/* ---- memory.c ---------------------------------------------------------------------- */

/* Hands out pieces of one block of device memory, each at a multiple of 64 bytes. With
 * base NULL it only measures. */
struct sl_carver {
    float *base;
    int64_t used; /* floats */
};
float *sl_carve(struct sl_carver *carver, int64_t n);

/* A width's output stays in its slot for as long as a narrower one is taught by it: who
 * is taught must not overwrite who teaches. */
struct sl_slots {
    int n;
    float *at[SL_WIDTHS_MAX];
};
/* How many slots the teachers of a configuration need. */
int sl_slots_needed(const struct sl_trainer_config *config, int n_widths);
void sl_slots_carve(struct sl_slots *slots, struct sl_carver *carver, int n,
                    int64_t floats);
float *sl_slot(const struct sl_slots *slots, int width);

/* ---- widths.c ---------------------------------------------------------------------- */

/* Widths 0 … n-1 teach this one. */
int sl_teachers_of(const struct sl_trainer_config *config, int width);
/* Weights of a width's two terms: the full width alone has weight 1 (slow start), with
 * others lambda_1; a narrower one lambda (1 - alpha) and lambda alpha (docs/methods.md,
 * "What all share"). */
struct sl_loss_weights sl_weights_of(const struct sl_trainer_config *config, int width,
                                     int active);

/* ---- methods.c --------------------------------------------------------------------- */

/* A step. A method's functions are called in the order in which they stand here. */
struct sl_trainer;
struct sl_method {
    struct sl_method_info info;
    size_t own_size; /* of what it keeps on the host: trainer->own, zeroed */
    int n_pictures;  /* views whose pictures are held at once: trainer->pictures */
    int n_passes;    /* passes of a width whose activations live at once: plans, blocks */
    /* What only this method demands of a configuration and a net; SL_ERROR_USAGE. */
    enum sl_status (*check)(struct sl_error *err, const struct sl_trainer_config *config,
                            const struct sl_net *net);
    /* Takes its device memory; called once to measure and once to keep. */
    void (*layout)(struct sl_trainer *trainer, struct sl_carver *carver);
    /* The fresh state of its memory; NULL: has none. */
    enum sl_status (*start)(struct sl_error *err, struct sl_trainer *trainer);
    /* Before the widths: target, keys, and the pictures where the widths read them. */
    enum sl_status (*begin)(struct sl_error *err, struct sl_trainer *trainer,
                            const struct sl_batch *batch);
    /* Forward, losses and backward of one width: its gradient joins params->diff.
     * SL_ERROR_NUMBERS at the first number that is not finite. */
    enum sl_status (*width)(struct sl_error *err, struct sl_trainer *trainer, int width,
                            struct sl_step_numbers *numbers);
    /* After the update; NULL: nothing is left to do. */
    void (*after)(struct sl_trainer *trainer);
    /* What it remembers between steps, and whether what was restored can be its own;
     * NULL: nothing. */
    enum sl_status (*state)(struct sl_error *err, struct sl_trainer *trainer,
                            struct sl_named_list *list);
    enum sl_status (*restored)(struct sl_error *err, const struct sl_trainer *trainer);
    /* See sl_trainer_chance. */
    double (*chance)(const struct sl_trainer_config *config, const struct sl_net *net);
};

/* ---- trainer.c --------------------------------------------------------------------- */

enum { SL_PASSES_MAX = 2 };

struct sl_trainer {
    struct sl_trainer_config config;
    const struct sl_method *method;
    const struct sl_net *net;
    const struct sl_device *device;
    struct sl_params *params;
    struct sl_optim *optim;
    struct sl_stats *stats;
    struct sl_params *target; /* this and the next: NULL without a target */
    struct sl_stats *target_stats;
    struct sl_plan *plan[SL_PASSES_MAX][SL_WIDTHS_MAX];
    struct sl_plan *target_plan;
    void *block[SL_PASSES_MAX]; /* one a pass that lives at once, shared by its plans */
    size_t block_bytes;         /* of each */
    /* carved into what follows and the method's own */
    void *method_block;
    size_t method_bytes;
    void *pictures[SL_PASSES_MAX];      /* (rows, h, w, c) of the configuration's type */
    float *saved_mean, *saved_variance; /* running statistics before the step */
    float *saved_target_mean, *saved_target_variance;
    void *own;      /* the method's, own_size bytes */
    int32_t *order; /* host, one a row: for permutations */
    int64_t step;
    int skipped; /* steps discarded in a row */
    struct sl_step_times times;
    struct sl_graddiag *graddiag; /* NULL: gradients are not measured */
    bool measured;                /* at the present step */
    sl_updated_fn updated;        /* NULL: nobody asked */
    void *updated_context;
};

/* ---- method_checks.c --------------------------------------------------------------- */

/* Refuses what only MoCo v2 has: groups of a norm, teachers other than the full width. */
enum sl_status sl_check_mocov2_only(struct sl_error *err,
                                    const struct sl_trainer_config *config);
/* Refuses a net without the head that a method wants. */
enum sl_status sl_check_head(struct sl_error *err, const struct sl_net *net);
/* Refuses a batch of one picture, which has no negative (SL_ERROR_USAGE). */
enum sl_status sl_check_pairs(struct sl_error *err,
                              const struct sl_trainer_config *config);
/* Refuses a value outside low … high, or one that is not a number (SL_ERROR_USAGE). */
enum sl_status sl_check_range(struct sl_error *err, const char *option, double value,
                              double low, double high);
/* ---- method_step.c ----------------------------------------------------------------- */

/* A view's pictures, `order` of them (NULL: as they come), to one of trainer->pictures.
 */
void sl_put_pictures(struct sl_trainer *trainer, const float *view, const int32_t *order,
                     void *pictures);
/* target <- m target + (1 - m) online, m as the configuration has it at this step. */
void sl_average_target(struct sl_trainer *trainer);
/* Parameters whose gradient is `own` (net->total floats), now zero: for a width of
 * several passes, whose gradient is their sum. Joining adds it to params->diff and gives
 * its sum of squares. */
struct sl_params sl_own_gradient(const struct sl_trainer *trainer, float *own);
double sl_join_gradient(const struct sl_trainer *trainer, const struct sl_params *own);
/* Writes what was measured of one width and adds its part of the objective. */
void sl_note_losses(struct sl_step_numbers *numbers, int width,
                    const struct sl_loss_weights *weights,
                    const struct sl_loss_values *values);
/* Writes the norm of a width's gradient from its sum of squares, which is then checked
 * (see sl_check_gradient). */
enum sl_status sl_note_gradient(struct sl_error *err, const struct sl_trainer *trainer,
                                int width, double squares,
                                struct sl_step_numbers *numbers);

/* ---- first_nonfinite.c ------------------------------------------------------------- */

/* Rows to be looked at when a loss is not finite, with their name. */
struct sl_suspect {
    const char *name;
    const float *values;
    int64_t count;
};
/* SL_ERROR_NUMBERS when a loss, or a gradient's sum of squares, is not finite, by the
 * cause where it can be found: the width's parameters, then the suspects in their order,
 * last the loss itself; of a gradient, its first parameter. */
enum sl_status sl_check_losses(struct sl_error *err, const struct sl_trainer *trainer,
                               int width, const struct sl_suspect *suspects,
                               int n_suspects, const struct sl_loss_values *values);
enum sl_status sl_check_gradient(struct sl_error *err, const struct sl_trainer *trainer,
                                 int width, double squares);

/* ---- contrast.c -------------------------------------------------------------------- */

/* Of a width, whose embeddings come in passes of `rows` with a loss each. */
struct sl_contrast {
    int64_t rows, dim, n_logits;      /* of one pass; floats that its logits take */
    float *norms;                     /* (rows) */
    struct sl_slots embedding;        /* (passes, rows, dim), of unit length */
    struct sl_slots logits;           /* (passes, n_logits) */
    float *diff_logits;               /* (n_logits) */
    float *diff_embedding, *diff_out; /* (rows, dim): of the unit row, of the output */
    float *scratch;                   /* (4, rows) */
};
void sl_contrast_carve(struct sl_contrast *contrast, const struct sl_trainer *trainer,
                       struct sl_carver *carver, int n_passes, int64_t rows,
                       int64_t n_logits);
float *sl_contrast_embedding(const struct sl_contrast *contrast, int width, int pass);
float *sl_contrast_logits(const struct sl_contrast *contrast, int width, int pass);
/* Of one pass; columns, stride and labels are the method's to fill in. */
struct sl_objective sl_contrast_objective(const struct sl_contrast *contrast,
                                          const struct sl_trainer *trainer);

/* ---- the methods, a file each ------------------------------------------------------ */

extern const struct sl_method sl_mocov2, sl_mocov3, sl_simclr, sl_supervised;

#endif
