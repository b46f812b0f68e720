/* SPDX-License-Identifier: MIT */
/*
 * What several methods demand of a configuration and a net. Each says by name what it
 * found; nothing is changed.
 */
#include "learn/learn_int.h"

enum sl_status sl_check_range(struct sl_error *err, const char *option, double value,
                              double low, double high)
{
    if (!(value >= low && value <= high)) {
        char seen[32];
        char least[32];
        char most[32];
        sl_format_real(seen, sizeof(seen), value);
        sl_format_real(least, sizeof(least), low);
        sl_format_real(most, sizeof(most), high);
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "%s %s: not from %s to %s; give a value between them", option,
                       seen, least, most);
    }
    return SL_OK;
}

enum sl_status sl_check_pairs(struct sl_error *err,
                              const struct sl_trainer_config *config)
{
    if (config->batch < 2) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--batch-size %d: --method %s tells the pictures of a batch from "
                       "each other and needs 2 at least; give 2 or more",
                       config->batch, config->method->info.name);
    }
    return SL_OK;
}

enum sl_status sl_check_mocov2_only(struct sl_error *err,
                                    const struct sl_trainer_config *config)
{
    const char *name = config->method->info.name;
    if (config->bn_splits > 1) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "--bn-splits %d: %s normalises over the whole batch; leave it out, "
            "or take --method mocov2",
            config->bn_splits, name);
    }
    if (config->distill != SL_DISTILL_NONE &&
        config->teachers == SL_TEACHERS_ALL_LARGER) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--teachers all-larger: the full width alone teaches in %s; leave "
                       "it out, or take --method mocov2",
                       name);
    }
    return SL_OK;
}

enum sl_status sl_check_head(struct sl_error *err, const struct sl_net *net)
{
    if (net->embedding == net->features) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "the network has no projection head; contrastive training needs one");
    }
    return SL_OK;
}
