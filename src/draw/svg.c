/* SPDX-License-Identifier: MIT */
/*
 * What all figures have in common: the style, which a page holds once and a file of its
 * own brings along, in light and dark; the element's beginning; texts.
 */
#include "draw/draw.h"

/* Colours that eyes of every kind tell apart (after Okabe and Ito), on white and on near
 * black. */
static const char *const on_white[SL_COLOURS] = {"#0072b2", "#d55e00", "#009e73",
                                                 "#b8568f", "#8a6d00", "#3a9bd9",
                                                 "#7a4fb5", "#5f5f5f"};
static const char *const on_black[SL_COLOURS] = {"#56b4e9", "#ff8f4d", "#2fc79c",
                                                 "#e79bc9", "#e6c229", "#8fd0ff",
                                                 "#b79af0", "#b5b5b5"};

static void add_colours(struct sl_text *text, const char *const *colours, const char *ink,
                        const char *quiet, const char *grid, const char *paper)
{
    for (int i = 0; i < SL_COLOURS; i++) {
        sl_text_add(text, ".l.c%d{stroke:%s}.p.c%d,.b.c%d{fill:%s}", i, colours[i], i, i,
                    colours[i]);
        sl_text_add(text, ".k%d{color:%s}", i, colours[i]);
    }
    sl_text_add(text,
                ".l.g{stroke:%s}.p.g{fill:%s}.plot text{fill:%s}.plot .q{fill:%s}"
                ".grid{stroke:%s}.axis,.ref{stroke:%s}.paper{fill:%s}"
                ".p,.halo{stroke:%s}\n",
                quiet, quiet, ink, quiet, grid, quiet, paper, paper);
}

void sl_svg_style(struct sl_text *text)
{
    sl_text_add(text,
                ".plot{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica "
                "Neue','DejaVu Sans',sans-serif}"
                ".plot .t{font-weight:600;font-size:15px}"
                ".l{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}"
                ".l.d{stroke-dasharray:2 5}.l.s{stroke-dasharray:7 5}"
                ".p{stroke-width:1}.b{fill-opacity:.8}"
                ".grid{stroke-width:1}.axis{stroke-width:1;fill:none}"
                ".ref{stroke-width:1.3;stroke-dasharray:6 4;fill:none}"
                ".halo{stroke-width:4;paint-order:stroke;stroke-linejoin:round}\n");
    add_colours(text, on_white, "#1c1c1c", "#5c5c5c", "#e4e4e4", "#ffffff");
    sl_text_add(text, "@media (prefers-color-scheme:dark){");
    add_colours(text, on_black, "#ececec", "#a8a8a8", "#333333", "#16181b");
    sl_text_add(text, "}\n");
}

void sl_svg_open(struct sl_text *text, int width, int height, const char *title,
                 bool alone)
{
    sl_text_add(text, "%s<svg%s class=\"plot\" viewBox=\"0 0 %d %d\" role=\"img\"",
                alone ? "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" : "",
                alone ? " xmlns=\"http://www.w3.org/2000/svg\"" : "", width, height);
    if (alone) {
        sl_text_add(text, " width=\"%d\" height=\"%d\"", width, height);
    }
    sl_text_add(text, ">\n<title>");
    sl_markup_add(text, title);
    sl_text_add(text, "</title>\n");
    if (alone) {
        sl_text_add(text, "<style>\n");
        sl_svg_style(text);
        sl_text_add(text,
                    "</style>\n<rect class=\"paper\" width=\"%d\" height=\"%d\"/>\n",
                    width, height);
    }
}

void sl_svg_text(struct sl_text *text, double x, double y, const char *classes,
                 const char *anchor, const char *words)
{
    sl_text_add(text, "<text x=\"%.1f\" y=\"%.1f\"", x, y);
    if (classes != NULL) {
        sl_text_add(text, " class=\"%s\"", classes);
    }
    if (anchor != NULL) {
        sl_text_add(text, " text-anchor=\"%s\"", anchor);
    }
    sl_text_add(text, ">");
    sl_markup_add(text, words);
    sl_text_add(text, "</text>\n");
}
