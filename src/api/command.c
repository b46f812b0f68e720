/* SPDX-License-Identifier: MIT */
/*
 * The command that began a run, as a shell takes it, for the record: what the user said,
 * in the order of the table of keys, and nothing else.
 */
#include "api_int.h"

#include <string.h>

void api_shell_add(struct sl_text *text, const char *word)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "0123456789_@%+=:,./-";
    size_t length = strlen(word);
    bool has_control = false;
    if (length > 0 && strspn(word, safe) == length) {
        sl_text_add(text, "%s", word);
        return;
    }
    for (size_t i = 0; i < length; i++) {
        has_control = has_control || (unsigned char)word[i] < 0x20 || word[i] == 0x7F;
    }
    /* A control character would break the line: $'…' spells it. */
    sl_text_add(text, has_control ? "$'" : "'");
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)word[i];
        if (!has_control && c == '\'') {
            sl_text_add(text, "'\\''");
        } else if (has_control && (c < 0x20 || c == 0x7F)) {
            sl_text_add(text, "\\x%02x", (unsigned int)c);
        } else if (has_control && (c == '\'' || c == '\\')) {
            sl_text_add(text, "\\%c", c);
        } else {
            sl_text_add_bytes(text, &word[i], 1);
        }
    }
    sl_text_add(text, "'");
}

void api_command_add(struct sl_text *text, const char *command,
                     const struct sl_conf *conf, const char *const *data, int n_data)
{
    sl_text_add(text, "slimclr %s", command);
    for (int i = 0; i < n_data; i++) {
        sl_text_add(text, " ");
        api_shell_add(text, data[i]);
    }
    for (int i = 0; i < sl_conf_key_count(conf); i++) {
        const struct sl_key *key = sl_conf_key(conf, i);
        const char *value = sl_conf_text(conf, key->name);
        if (sl_conf_origin(conf, key->name) != SL_FROM_USER) {
            continue;
        }
        if (strcmp(key->name, "resume") == 0) {
            /* Its value is optional, and then joined to it. */
            bool is_plain = strcmp(value, "auto") == 0;
            sl_text_add(text, is_plain ? " --resume" : " --resume=");
            if (!is_plain) {
                api_shell_add(text, value);
            }
        } else if (key->type == SL_KEY_BOOL) {
            sl_text_add(text, " --%s%s", key->name,
                        strcmp(value, "yes") == 0 ? "" : "=no");
        } else {
            sl_text_add(text, strcmp(key->name, "out") == 0 ? " -o " : " --%s ",
                        key->name);
            api_shell_add(text, value);
        }
    }
}
