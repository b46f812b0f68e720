/* SPDX-License-Identifier: MIT */
/*
 * Backends by name. What is compiled in is a list that the build chooses (backend_int.h);
 * the first of the list is what "auto" means.
 */
#include "backend/backend.h"

#include <string.h>

#include "backend/backend_int.h"

const char *sl_backend_name(int i)
{
    for (int k = 0; sl_backend_list[k] != NULL; k++) {
        if (k == i) {
            return sl_backend_list[k]->name;
        }
    }
    return NULL;
}

static const struct sl_backend *backend_find(const char *name)
{
    for (int k = 0; sl_backend_list[k] != NULL; k++) {
        if (k == 0 && strcmp(name, "auto") == 0) {
            return sl_backend_list[0];
        }
        if (strcmp(name, sl_backend_list[k]->name) == 0) {
            return sl_backend_list[k];
        }
    }
    return NULL;
}

/* "auto, cpu, ref" into dst. */
static void backend_names(char *dst, size_t size)
{
    size_t used = (size_t)snprintf(dst, size, "auto");
    for (int k = 0; sl_backend_list[k] != NULL && used < size; k++) {
        used +=
            (size_t)snprintf(dst + used, size - used, ", %s", sl_backend_list[k]->name);
    }
}

enum sl_status sl_device_open(struct sl_error *err, const char *name,
                              const struct sl_backend_options *options,
                              struct sl_device *device)
{
    *device = (struct sl_device){0};
    const struct sl_backend *table = backend_find(name);
    if (table == NULL) {
        char names[128];
        backend_names(names, sizeof(names));
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "backend '%s' is not in this build; choose one of: %s", name,
                       names);
    }
    void *state = NULL;
    SL_TRY(table->open(err, options, &state));
    device->table = table;
    device->state = state;
    return SL_OK;
}

void sl_device_close(struct sl_device *device)
{
    if (device->table != NULL) {
        device->table->close(device->state);
    }
    *device = (struct sl_device){0};
}
