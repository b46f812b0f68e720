# SPDX-License-Identifier: MIT
#
# Builds recipes/*.conf into the library: one program serves without its source tree. Included with
# OUTPUT (the C file to write) and RECIPES (a list of files) set.
set(text "/* Made from recipes/ by cmake/recipes.cmake; not to be edited. */\n")
string(APPEND text "#include \"api/api_int.h\"\n\n#include <string.h>\n\n")
string(APPEND text "static const struct {\n    const char *name, *text;\n} recipes[] = {\n")
foreach(recipe IN LISTS RECIPES)
    get_filename_component(name "${recipe}" NAME_WE)
    file(READ "${recipe}" body)
    string(REPLACE "\\" "\\\\" body "${body}")
    string(REPLACE "\"" "\\\"" body "${body}")
    string(REPLACE "\n" "\\n\"\n     \"" body "${body}")
    string(APPEND text "    {\"${name}\",\n     \"${body}\"},\n")
endforeach()
string(APPEND text "};\n
const char *api_recipe_name(int i)
{
    return i >= 0 && i < SL_COUNT(recipes) ? recipes[i].name : NULL;
}

const char *api_recipe_text(const char *name)
{
    for (int i = 0; i < SL_COUNT(recipes); i++) {
        if (strcmp(recipes[i].name, name) == 0) {
            return recipes[i].text;
        }
    }
    return NULL;
}
")
file(CONFIGURE OUTPUT "${OUTPUT}" CONTENT "${text}" @ONLY)
