/* SPDX-License-Identifier: MIT */
/*
 * A test that fails on purpose. CTest expects the failure (WILL_FAIL): if the runner ever
 * stops seeing failed assertions, this is the test that turns red.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void fails_on_purpose(void **state)
{
    (void)state;
    assert_int_equal(1, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fails_on_purpose)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
