/* SPDX-License-Identifier: MIT */
/*
 * Cases of the backend's numbers group: similarities with the queue, row losses, and what
 * runs over all parameters. The words are those of cases.h, with fewer letters.
 */
#include "bench/bench_int.h"

#include <string.h>

enum kind { GEMM, SGD, LARS, ADAMW, AVERAGE, ROW_LOSS };

static const struct {
    const char *name;
    enum kind kind;
    enum sl_row_loss_kind loss;
} kinds[] = {
    {"gemm", GEMM, 0},
    {"sgd", SGD, 0},
    {"lars", LARS, 0},
    {"adamw", ADAMW, 0},
    {"average", AVERAGE, 0},
    {"class", ROW_LOSS, SL_LOSS_CLASS},
    {"soft", ROW_LOSS, SL_LOSS_SOFT},
    {"mse", ROW_LOSS, SL_LOSS_MSE},
    {"atkd", ROW_LOSS, SL_LOSS_ATKD},
    {"dkd", ROW_LOSS, SL_LOSS_DKD},
};

/* Values of one operand; four billion bytes. */
static const int64_t values_most = INT64_C(1) << 30;

struct numbers_bench {
    const struct sl_device *device;
    enum kind kind;
    struct sl_row_loss loss;
    int64_t n, c, o;
    int64_t count[3]; /* values of the operands */
    float *a, *b, *out;
    float *scratch; /* of a row loss; AdamW's second slot */
};

static int kind_of(const char *text)
{
    size_t length = strcspn(text, " ");
    for (int i = 0; i < SL_COUNT(kinds); i++) {
        if (strlen(kinds[i].name) == length &&
            strncmp(kinds[i].name, text, length) == 0) {
            return i;
        }
    }
    return -1;
}

bool sl_bench_is_numbers(const char *text)
{
    return kind_of(text) >= 0;
}

static enum sl_status read_sizes(struct sl_error *err, const char *text,
                                 struct numbers_bench *b)
{
    const char *at = text + strcspn(text, " ");
    at += strspn(at, " ");
    while (*at != '\0') {
        char word[32];
        size_t length = strcspn(at, " ");
        int64_t value = 0;
        int64_t *place = *at == 'n'   ? &b->n
                         : *at == 'c' ? &b->c
                         : *at == 'o' ? &b->o
                                      : NULL;
        if (length < sizeof word) {
            memcpy(word, at, length);
            word[length] = '\0';
        }
        if (place == NULL || length >= sizeof word || !sl_parse_int(word + 1, &value) ||
            value < 1 || value > values_most) {
            return SL_FAIL(err, SL_ERROR_USAGE,
                           "op case '%s': '%.*s' is not n, c or o with a number from 1 "
                           "to %lld",
                           text, (int)length, at, (long long)values_most);
        }
        *place = value;
        at += length + strspn(at + length, " ");
    }
    return SL_OK;
}

/* Which letters a case needs, and how many values its operands have. */
static enum sl_status count_values(struct sl_error *err, const char *text,
                                   struct numbers_bench *b)
{
    const bool rows = b->kind == GEMM || b->kind == ROW_LOSS;
    if (b->c == 0 || (b->n != 0) != rows || (b->o != 0) != (b->kind == GEMM)) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "op case '%s': gemm takes n, c and o, a row loss n and c, sgd, "
                       "lars, adamw and average c",
                       text);
    }
    bool fits = true;
    for (int i = 0; i < 3; i++) {
        b->count[i] = b->c;
    }
    if (b->kind == GEMM) {
        fits = sl_mul_checked(b->n, b->c, &b->count[0]) &&
               sl_mul_checked(b->o, b->c, &b->count[1]) &&
               sl_mul_checked(b->n, b->o, &b->count[2]);
    } else if (b->kind == ROW_LOSS) {
        fits = sl_mul_checked(b->n, b->c, &b->count[0]);
        b->count[1] = b->count[0];
        b->count[2] = b->count[0];
    }
    for (int i = 0; i < 3; i++) {
        fits = fits && b->count[i] <= values_most;
    }
    return fits ? SL_OK
                : SL_FAIL(err, SL_ERROR_USAGE,
                          "op case '%s': an operand has more than %lld values; make it "
                          "smaller",
                          text, (long long)values_most);
}

static void run_gemm(void *context)
{
    struct numbers_bench *b = context;
    b->device->table->gemm(b->device->state, false, true, b->n, b->o, b->c, 1.0F, b->a,
                           b->c, b->b, b->c, 0.0F, b->out, b->o);
}

static void run_sgd(void *context)
{
    struct numbers_bench *b = context;
    b->device->table->sgd(b->device->state, b->c, 0.03F, 0.9F, 5e-4F, b->a, b->b, b->out);
}

static void run_lars(void *context)
{
    struct numbers_bench *b = context;
    const struct sl_backend *table = b->device->table;
    double of_p = 0.0, of_g = 0.0;
    table->lars_norms(b->device->state, b->c, 1e-6F, b->a, b->out, &of_p, &of_g);
    table->lars(b->device->state, b->c, 0.3F, 0.9F, 1e-6F, 0.001F, b->a, b->b, b->out);
}

static void run_adamw(void *context)
{
    struct numbers_bench *b = context;
    const struct sl_adamw rule = {.lr = 1e-3,
                                  .beta1 = 0.9,
                                  .beta2 = 0.999,
                                  .epsilon = 1e-8,
                                  .weight_decay = 0.01,
                                  .step = 100};
    b->device->table->adamw(b->device->state, b->c, &rule, b->a, b->b, b->scratch,
                            b->out);
}

static void run_average(void *context)
{
    struct numbers_bench *b = context;
    b->device->table->average(b->device->state, b->c, 0.99F, b->a, b->out);
}

static void run_row_loss(void *context)
{
    struct numbers_bench *b = context;
    struct sl_row_loss_result ignored;
    b->device->table->row_loss(b->device->state, &b->loss, &ignored);
}

static void describe_loss(struct numbers_bench *b, enum sl_row_loss_kind kind)
{
    b->loss = (struct sl_row_loss){
        .kind = kind,
        .rows = b->n,
        .cols = b->c,
        .stride = b->c,
        .logits = b->a,
        .teacher = kind != SL_LOSS_CLASS ? b->b : NULL,
        .temperature = kind == SL_LOSS_CLASS ? 0.1F : 5.0F,
        .teacher_temperature = 5.0F,
        .weight = 1.0F,
        .diff = b->out,
        .scratch = b->scratch,
    };
}

static void time_run(struct numbers_bench *b, double seconds, struct sl_bench_part *part)
{
    const double value = sizeof(float);
    double all = 0.0;
    for (int i = 0; i < 3; i++) {
        all += (double)b->count[i] * value;
    }
    *part = (struct sl_bench_part){.name = "run", .bytes = all};
    switch (b->kind) {
    case GEMM:
        part->macs = (double)b->n * (double)b->c * (double)b->o;
        sl_bench_time(seconds, run_gemm, b, part);
        break;
    case SGD: /* reads gradient, velocity, parameter; writes the last two */
        part->bytes = 5.0 * (double)b->c * value;
        sl_bench_time(seconds, run_sgd, b, part);
        break;
    case LARS: /* reads gradient and parameter twice, velocity once; writes two */
        part->bytes = 7.0 * (double)b->c * value;
        sl_bench_time(seconds, run_lars, b, part);
        break;
    case ADAMW: /* reads gradient, two slots, parameter; writes the last three */
        part->bytes = 7.0 * (double)b->c * value;
        sl_bench_time(seconds, run_adamw, b, part);
        break;
    case AVERAGE: /* reads both, writes one */
        part->bytes = 3.0 * (double)b->c * value;
        sl_bench_time(seconds, run_average, b, part);
        break;
    default:
        if (b->loss.teacher == NULL) {
            part->bytes -= (double)b->count[1] * value;
        }
        sl_bench_time(seconds, run_row_loss, b, part);
        break;
    }
}

enum sl_status sl_bench_numbers(struct sl_error *err, const char *text,
                                const struct sl_device *device, double seconds,
                                struct sl_bench_case *result)
{
    enum sl_status status = SL_OK;
    const int at = kind_of(text);
    struct numbers_bench b = {.device = device, .kind = kinds[at].kind};
    SL_TRY(read_sizes(err, text, &b));
    SL_TRY(count_values(err, text, &b));

    float **const operands[] = {&b.a, &b.b, &b.out, &b.scratch};
    const int64_t counts[] = {b.count[0], b.count[1], b.count[2],
                              b.kind == ADAMW ? b.c : 4 * b.n};
    for (int i = 0; i < SL_COUNT(operands); i++) {
        void *memory = NULL;
        SL_TRY_OUT(device->table->alloc(err, device->state, "an op case",
                                        (size_t)counts[i] * sizeof(float), &memory));
        *operands[i] = memory;
    }
    /* Similarities are of unit vectors, and a gradient is small. */
    sl_bench_fill(device, SL_F32, 1, 0.1F, counts[0], b.a);
    sl_bench_fill(device, SL_F32, 2, 0.1F, counts[1], b.b);
    sl_bench_fill(device, SL_F32, 3, 0.1F, counts[2], b.out);
    if (b.kind == ROW_LOSS) {
        describe_loss(&b, kinds[at].loss);
    }
    result->n_parts = 1;
    time_run(&b, seconds, &result->parts[0]);
out:
    for (int i = 0; i < SL_COUNT(operands); i++) {
        if (*operands[i] != NULL) {
            device->table->free(device->state, *operands[i]);
        }
    }
    return status;
}
