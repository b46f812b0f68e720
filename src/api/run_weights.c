/* SPDX-License-Identifier: MIT */
/*
 * What a run begins with: the whole state of the checkpoint that it goes on from, or,
 * with
 * --init-from, another run's weights and statistics.
 */
#include "run_int.h"

#include <string.h>

static enum sl_status list_weights(struct sl_error *err, const struct api_run *run,
                                   struct sl_named_list *trunk,
                                   struct sl_named_list *head)
{
    struct sl_named_list all = {0};
    enum sl_status status = SL_OK;
    SL_TRY_OUT(sl_params_state(err, run->net, sl_trainer_params(run->trainer)->weight, "",
                               &all));
    SL_TRY_OUT(sl_stats_state(err, sl_trainer_stats(run->trainer), "", &all));
    for (int i = 0; i < all.n; i++) {
        const struct sl_named *tensor = &all.items[i];
        SL_TRY_OUT(sl_named_add(err, api_is_of_trunk(tensor->name) ? trunk : head,
                                tensor->name, tensor->tensor));
    }
out:
    sl_named_finish(&all);
    return status;
}

/* A classifier's outputs mean what their classes are called; nothing else says it. */
static enum sl_status means_the_same(struct sl_error *err, const struct api_run *run,
                                     const struct sl_tensor_file *file, bool *same)
{
    struct sl_classes classes = {0};
    *same = true;
    if (!sl_method_info(run->settings.trainer.method)->has_labels) {
        return SL_OK;
    }
    SL_TRY(sl_checkpoint_classes(err, file, &classes));
    *same = classes.n > 0 && api_classes_are_same(&classes, &run->classes);
    sl_classes_finish(&classes);
    return SL_OK;
}

static enum sl_status take_head(struct sl_error *err, const struct api_run *run,
                                const struct sl_tensor_file *file,
                                const struct sl_named_list *head, bool *taken)
{
    *taken = false;
    bool same = false;
    SL_TRY(means_the_same(err, run, file, &same));
    if (!same) {
        return SL_OK;
    }
    enum sl_status status = sl_checkpoint_restore(err, file, &run->device, head, false);
    if (status == SL_ERROR_USAGE) { /* another form; nothing was written */
        sl_error_clear(err);
        return SL_OK;
    }
    *taken = status == SL_OK;
    return status;
}

/* A momentum encoder starts as a copy of the network. */
static void copy_to_target(const struct api_run *run)
{
    static const char prefix[] = "target.";
    for (int i = 0; i < run->state.n; i++) {
        const struct sl_named *to = &run->state.items[i];
        if (strncmp(to->name, prefix, sizeof prefix - 1) != 0) {
            continue;
        }
        const struct sl_named *from =
            sl_named_find(&run->state, to->name + sizeof prefix - 1);
        if (from != NULL) {
            run->device.table->copy(run->device.state, to->tensor.data, from->tensor.data,
                                    sl_tensor_bytes(&to->tensor));
        }
    }
}

static enum sl_status init_from(struct sl_error *err, const struct api_run *run,
                                const char *from)
{
    char path[RUN_PATH_LENGTH];
    struct sl_tensor_file *file = NULL;
    struct sl_named_list trunk = {0};
    struct sl_named_list head = {0};
    bool taken = false;
    enum sl_status status = SL_OK;
    SL_TRY_OUT(sl_checkpoint_find(err, from, path, sizeof path));
    SL_TRY_OUT(sl_checkpoint_open(err, path, &file));
    SL_TRY_OUT(list_weights(err, run, &trunk, &head));
    SL_TRY_OUT(sl_checkpoint_restore(err, file, &run->device, &trunk, false));
    SL_TRY_OUT(take_head(err, run, file, &head, &taken));
    copy_to_target(run);
    sl_log(SL_LOG_INFO, "start:  weights of %s%s", path,
           taken ? "" : "; its head is of another kind, and this one starts anew");
out:
    sl_named_finish(&trunk);
    sl_named_finish(&head);
    sl_tensor_file_close(file);
    return status;
}

/* The checkpoint's tensors are the run's, one for one. */
static enum sl_status go_on_from(struct sl_error *err, const struct api_run *run,
                                 const char *path)
{
    struct sl_tensor_file *file = NULL;
    enum sl_status status = SL_OK;
    SL_TRY_OUT(sl_checkpoint_open(err, path, &file));
    SL_TRY_OUT(sl_checkpoint_restore(err, file, &run->device, &run->state, true));
    SL_TRY_OUT(sl_trainer_restored(err, run->trainer));
out:
    sl_tensor_file_close(file);
    return status;
}

enum sl_status api_run_take_weights(struct sl_error *err, const struct api_run *run)
{
    const char *from = sl_conf_text(run->conf, "init-from");
    const char *resume = sl_conf_text(run->conf, "resume");
    if (run->resumed) {
        return go_on_from(err, run, strcmp(resume, "auto") == 0 ? run->last : resume);
    }
    return from[0] != '\0' ? init_from(err, run, from) : SL_OK;
}
