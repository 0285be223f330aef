/*
 * The tables of os/role_confinement.c and docs/internals/confinement.md say the same.
 * `unit_test_confinement --write` renews the generated part of the page.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>

#include "os/role_confinement.h"

#define PAGE "docs/internals/confinement.md"
#define BEGIN \
	"<!-- tables: begin (printed from lib/os/role_confinement.c; unit_test_confinement --write) -->\n"
#define END "<!-- tables: end -->\n"

static char page[1 << 17];

static bool
read_page(void)
{
	FILE *f = fopen(PAGE, "r");
	if (f == NULL)
		return false;
	size_t n = fread(page, 1, sizeof(page) - 1, f);
	page[n] = '\0';
	(void)fclose(f);
	return true;
}

static void
test_page(void **state)
{
	MF_UNUSED(state);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, sizeof(page));
	assert_true(read_page());
	char *at = strstr(page, BEGIN), *end = strstr(page, END);
	assert_non_null(at);
	assert_non_null(end);
	at += strlen(BEGIN);
	*end = '\0';
	mf_confinement_print_all(&b);
	const char *now = mf_buf_cstr(&b);
	assert_non_null(now);
	if (strcmp(at, now) != 0)
		fail_msg(
		    "%s is not what the tables say: run unit_test_confinement --write at the top of the tree",
		    PAGE);
}

static void
test_tables(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	for (const struct mf_confinement *const *c = mf_confinements; *c != NULL; c++)
		if (mf_confinement_check(*c, &err) != MF_OK)
			fail_msg("%s", err.msg);
	/* Every group of a role is explained on the page. */
	for (const struct mf_confinement *const *c = mf_confinements; *c != NULL; c++) {
		for (const struct mf_syscall_group *const *g = (*c)->groups; *g != NULL; g++) {
			bool found = false;
			for (const struct mf_syscall_group *const *p = mf_confinement_groups; *p != NULL; p++)
				found = found || *p == *g;
			assert_true(found);
		}
	}
}

static void
test_check(void **state)
{
	MF_UNUSED(state);
	static const struct mf_syscall_rule bad[] = {
		{ "no_such_call", NULL, 0, { { 0 } } },
		{ "read", "words without a test", 0, { { 0 } } },
		{ "read", NULL, 0, { { 0, MF_ARG_EQ, 0, 1 } } },
		{ "read", NULL, -1, { { 0 } } },
	};
	struct mf_err err = { 0 };
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		struct mf_syscall_group g = { "g", "r", &bad[i], 1 };
		const struct mf_syscall_group *const groups[] = { &g, NULL };
		struct mf_confinement c = { .role = "r", .groups = groups };
		assert_int_equal(mf_confinement_check(&c, &err), MF_E_INVALID);
	}
}

static int
write_page(void)
{
	struct mf_buf b;
	mf_buf_init(&b, sizeof(page));
	char *at = NULL, *end = NULL;
	if (read_page()) {
		at = strstr(page, BEGIN);
		end = strstr(page, END);
	}
	if (at == NULL || end == NULL) {
		(void)fprintf(stderr, "%s has no \"tables\" marks; run at the top of the tree\n", PAGE);
		return 1;
	}
	mf_confinement_print_all(&b);
	FILE *f = fopen(PAGE ".new", "w");
	if (f == NULL)
		return 1;
	size_t head = (size_t)(at - page) + strlen(BEGIN);
	bool ok = fwrite(page, 1, head, f) == head && fwrite(b.p, 1, b.n, f) == b.n && fputs(end, f) >= 0;
	ok = fclose(f) == 0 && ok && rename(PAGE ".new", PAGE) == 0;
	mf_buf_fini(&b);
	return ok ? 0 : 1;
}

int
main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--write") == 0)
		return write_page();
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_page), cmocka_unit_test(test_tables),
		cmocka_unit_test(test_check) };
	return cmocka_run_group_tests_name("confinement", tests, NULL, NULL);
}
