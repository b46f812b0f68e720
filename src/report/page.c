/* SPDX-License-Identifier: MIT */
/*
 * The frame of a page: one HTML document with its style, without a script and without
 * anything that would have to be fetched. It adapts to light and dark, to a telephone and
 * to paper. What stands in it is the caller's.
 */
#include "draw/draw.h"
#include "report/report.h"

static const char STYLE[] =
    ":root{color-scheme:light dark;--ink:#1c1c1c;--quiet:#5c5c5c;--line:#dcdcdc;"
    "--paper:#fff;--wash:#f5f5f3;--good:#00684b;--bad:#a83200}\n"
    "@media (prefers-color-scheme:dark){:root{--ink:#ececec;--quiet:#a8a8a8;"
    "--line:#383b40;--paper:#16181b;--wash:#1f2226;--good:#4fd3a9;--bad:#ff9a66}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,"
    "-apple-system,'Segoe UI',Roboto,'Helvetica Neue','DejaVu Sans',sans-serif}\n"
    "main{max-width:1180px;margin:0 auto;padding:28px 20px 80px}\n"
    "h1{font-size:1.75rem;line-height:1.25;margin:0 0 .3em;overflow-wrap:anywhere}\n"
    "h2{font-size:1.3rem;margin:2.6em 0 .5em;padding-top:.5em;"
    "border-top:1px solid var(--line)}\n"
    "h3{font-size:1.02rem;margin:1.6em 0 .4em}\n"
    "p,ul,ol{max-width:78ch;margin:.5em 0;overflow-wrap:anywhere}li{margin:.2em 0}\n"
    "a{color:inherit}.quiet{color:var(--quiet)}.small{font-size:.875rem}\n"
    ".good{color:var(--good);font-weight:600}.bad{color:var(--bad);font-weight:600}\n"
    "nav{display:flex;flex-wrap:wrap;gap:.2em 1.1em;margin:1em 0;font-size:.92rem}\n"
    "pre,code{font:.875rem/1.5 ui-monospace,'SF Mono',Menlo,Consolas,'DejaVu Sans "
    "Mono',monospace}\n"
    "pre{background:var(--wash);border:1px solid var(--line);border-radius:6px;"
    "padding:10px 14px;white-space:pre-wrap;overflow-wrap:anywhere;margin:.6em 0}\n"
    "code{overflow-wrap:anywhere}\n"
    ".table{overflow-x:auto;margin:.8em 0}\n"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.94rem}\n"
    "th,td{padding:.34em .9em .34em 0;border-bottom:1px solid var(--line);"
    "text-align:left;vertical-align:top}\n"
    "th{font-weight:600;color:var(--quiet);vertical-align:bottom}\n"
    "td.n,th.n{text-align:right}td.n,td.w{white-space:nowrap}td+td.n,th+th.n{padding-"
    "left:."
    "9em}\n"
    ".facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));"
    "gap:12px;margin:1.2em 0}\n"
    ".facts div{background:var(--wash);border:1px solid var(--line);border-radius:8px;"
    "padding:10px 14px}.facts b{display:block;font-size:1.2rem;line-height:1.3}\n"
    ".facts span{color:var(--quiet);font-size:.875rem}\n"
    ".facts h3{margin:.1em 0 .3em}.facts td:first-child{white-space:nowrap}"
    ".facts table{width:100%}.facts td:last-child{overflow-wrap:anywhere}"
    ".facts tr:last-child td{border:0}\n"
    ".figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,500px),"
    "1fr));gap:26px 30px;margin:1em 0}\n"
    "figure{margin:0;min-width:0;overflow-x:auto}\n"
    "figure svg{display:block;width:100%;min-width:430px;height:auto}\n"
    "figure .wide{display:block;width:100%;max-width:860px;min-width:430px;height:auto}\n"
    "figcaption{color:var(--quiet);font-size:.875rem;line-height:1.45;margin-top:.3em;"
    "max-width:70ch}\n"
    ".sheets{display:flex;flex-wrap:wrap;gap:10px}\n"
    ".sheets img{display:block;flex:1 1 0;min-width:min(100%,270px);max-width:440px;"
    "height:auto;border-radius:6px}\n"
    ".row{display:flex;flex-wrap:wrap;gap:4px}\n"
    ".gallery td{padding:8px 18px 8px 0;min-width:76px}.gallery "
    "img{display:block;border-radius:3px}\n"
    ".gallery img.big{border:2px solid var(--quiet)}\n"
    ".gallery .same{outline:3px solid var(--good);outline-offset:-3px}\n"
    ".gallery .row{gap:6px;margin-bottom:3px}pre code{font-size:1em}pre "
    "span{display:inline-block;max-width:100%}\n"
    ".dot{display:inline-block;width:.75em;height:.75em;border-radius:50%;"
    "background:currentColor;margin-right:.45em}\n"
    ".store{position:absolute}\n"
    "details{margin:1em 0}summary{cursor:pointer}\n"
    "footer{margin-top:4em;padding-top:1em;border-top:1px solid var(--line);"
    "color:var(--quiet);font-size:.875rem}\n"
    "@media print{main{max-width:none}figure,tr{break-inside:avoid}}\n";

void sl_page_begin(struct sl_text *text, const char *title)
{
    sl_text_add(text, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
                      "<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
                      "content=\"width=device-width,initial-scale=1\">\n<title>");
    sl_markup_add(text, title);
    sl_text_add(text, "</title>\n<style>\n%s", STYLE);
    sl_svg_style(text);
    sl_map_style(text);
    sl_text_add(text, "</style>\n</head>\n<body>\n<main>\n");
}

void sl_page_section(struct sl_text *text, const char *id, const char *heading)
{
    sl_text_add(text, "<section id=\"%s\">\n<h2>", id);
    sl_markup_add(text, heading);
    sl_text_add(text, "</h2>\n");
}

void sl_page_section_end(struct sl_text *text)
{
    sl_text_add(text, "</section>\n");
}

void sl_page_end(struct sl_text *text)
{
    sl_text_add(text, "</main>\n</body>\n</html>\n");
}
