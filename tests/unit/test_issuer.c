/* The one spelling of an issuer's URL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/issuer.h"

static void
test_issuers(void **state)
{
	MF_UNUSED(state);
	static const char *const good[] = { "https://oidc.example.org", "https://oidc.example.org/td1",
		"https://oidc.example.org:8462/td1/x5c", "http://127.0.0.1:8462",
		"http://[::1]:8462/a_b~c.d-E" };
	static const char *const bad[] = { "", "https://", "ftp://a", "https://a/", "https://a//b",
		"https://a/../b", "https://a/.b", "https://a?x", "https://a/b?x", "https://a/b#x",
		"https://A", "https://a b", "https://u@a", "https://a/b/", "https://a/%62", "HTTPS://a",
		"//a" };
	char longer[600];
	for (size_t i = 0; i < MF_COUNT(good); i++)
		if (mf_issuer_check(mf_slice_str(good[i])) != NULL)
			fail_msg("%s: %s", good[i], mf_issuer_check(mf_slice_str(good[i])));
	for (size_t i = 0; i < MF_COUNT(bad); i++)
		if (mf_issuer_check(mf_slice_str(bad[i])) == NULL)
			fail_msg("%s was taken", bad[i]);
	(void)snprintf(longer, sizeof(longer), "https://a/%0400d", 0);
	assert_non_null(mf_issuer_check(mf_slice_str(longer)));
	assert_string_equal(mf_issuer_path("https://a"), "");
	assert_string_equal(mf_issuer_path("https://a/td1/x"), "/td1/x");
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_issuers) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
