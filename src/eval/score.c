/* SPDX-License-Identifier: MIT */
/*
 * From logits to accuracies, one rule for all who judge.
 */
#include "eval/eval.h"

enum { TOP5 = 5 };

int sl_score_rank(const float *logits, int n_classes, int label)
{
    int rank = 0;
    for (int c = 0; c < n_classes; c++) {
        bool behind =
            logits[c] < logits[label] || (c > label && logits[c] == logits[label]);
        rank += c != label && !behind;
    }
    return rank;
}

enum sl_status sl_score_logits(struct sl_error *err, const struct sl_features *logits,
                               struct sl_score *score)
{
    int64_t right1 = 0;
    int64_t right5 = 0;
    int64_t judged = 0;
    for (int64_t i = 0; i < logits->n; i++) {
        int32_t label = logits->labels[i];
        if (label < 0 || label >= logits->d) {
            continue;
        }
        int rank = sl_score_rank(logits->values + i * logits->d, logits->d, label);
        judged++;
        right1 += rank < 1;
        right5 += rank < TOP5;
    }
    if (judged == 0) {
        return SL_FAIL(err, SL_ERROR_DATA, "no labelled picture in the test part");
    }
    *score = (struct sl_score){.acc1 = (double)right1 / (double)judged,
                               .acc5 = (double)right5 / (double)judged};
    return SL_OK;
}
