/* SPDX-License-Identifier: MIT */
/*
 * The numbers of a figure as CSV.
 */
#include "draw/draw.h"

#include <math.h>

/* A field of CSV (RFC 4180): quoted, quotes doubled. */
static void add_quoted(struct sl_text *text, const char *words)
{
    sl_text_add(text, "\"");
    for (const char *at = words; *at != '\0'; at++) {
        sl_text_add(text, *at == '"' ? "\"\"" : "%c", *at);
    }
    sl_text_add(text, "\"");
}

void sl_plot_csv(const struct sl_plot *plot, struct sl_text *text)
{
    bool has_base = false;
    for (int i = 0; i < plot->n_series; i++) {
        has_base = has_base || plot->series[i].base != NULL;
    }
    sl_text_add(text, "series,");
    add_quoted(text, plot->x_name);
    sl_text_add(text, ",");
    add_quoted(text, plot->y_name);
    sl_text_add(text, "%s\n", has_base ? ",base" : "");
    for (int i = 0; i < plot->n_series; i++) {
        const struct sl_series *one = &plot->series[i];
        for (int64_t k = 0; k < one->n; k++) {
            if (!isfinite(one->y[k])) {
                continue;
            }
            add_quoted(text, one->name != NULL ? one->name : plot->y_name);
            sl_text_add(text, ",%.9g,%.9g", one->x[k], one->y[k]);
            if (has_base) {
                sl_text_add(text, one->base != NULL ? ",%.9g" : ",",
                            one->base != NULL ? one->base[k] : 0.0);
            }
            sl_text_add(text, "\n");
        }
    }
}
