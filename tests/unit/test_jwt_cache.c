/* The cache of tokens of one instance: half-life, exact keys, single flight, caps, wiping. Time is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/core/jwt_cache.h"
#include "base/limits.h"

#define TOKEN MF_SLICE_LIT("a.b.c")
#define JTI MF_SLICE_LIT("0123")

static struct mf_jwt_item *
get(struct mf_jwt_cache *c, const char *id, struct mf_slice audience)
{
	struct mf_jwt_item *i = NULL;
	assert_int_equal(mf_jwt_cache_get(c, id, &audience, 1, &i, NULL), MF_OK);
	return i;
}

/* P-30 */
static void
test_half_life(void **state)
{
	MF_UNUSED(state);
	struct mf_jwt_cache c;
	mf_jwt_cache_init(&c);
	struct mf_jwt_item *i = get(&c, "x", MF_SLICE_LIT("a"));
	assert_int_equal(mf_jwt_item_view(i, 1000), MF_JWT_NONE);
	assert_int_equal(mf_jwt_item_grant(i, TOKEN, JTI, 1300, 1000, NULL), MF_OK);
	assert_int_equal(mf_jwt_item_view(i, 1149), MF_JWT_FRESH);
	assert_int_equal(mf_jwt_item_view(i, 1150), MF_JWT_STALE);
	/* The broker is busy: what is held serves on. It says no: it does not. */
	mf_jwt_item_refuse(i, 2, MF_SLICE_LIT("busy"), false, 5);
	assert_int_equal(mf_jwt_item_view(i, 1299), MF_JWT_STALE);
	assert_int_equal(mf_jwt_item_view(i, 1300), MF_JWT_NONE);
	mf_jwt_item_refuse(i, 1, MF_SLICE_LIT("no"), true, 5);
	assert_int_equal(mf_jwt_item_view(i, 1000), MF_JWT_NONE);
	assert_int_equal(i->token.n, 0);
	assert_true(i->refused && strcmp(i->reason, "no") == 0);
	/* A grant answers it. */
	assert_int_equal(mf_jwt_item_grant(i, TOKEN, JTI, 1300, 1000, NULL), MF_OK);
	assert_false(i->refused);
	mf_jwt_cache_wipe(&c);
	assert_int_equal(c.n, 0);
}

/* One that was revoked is served no more; the next one is. */
static void
test_end(void **state)
{
	MF_UNUSED(state);
	struct mf_jwt_cache c;
	mf_jwt_cache_init(&c);
	struct mf_jwt_item *a = get(&c, "x", MF_SLICE_LIT("a")), *b = get(&c, "x", MF_SLICE_LIT("b"));
	assert_int_equal(mf_jwt_item_grant(a, TOKEN, JTI, 1300, 1000, NULL), MF_OK);
	assert_int_equal(mf_jwt_item_grant(b, TOKEN, MF_SLICE_LIT("01234"), 1300, 1000, NULL), MF_OK);
	assert_false(mf_jwt_cache_end(&c, "012"));
	assert_true(mf_jwt_cache_end(&c, "0123"));
	assert_int_equal(mf_jwt_item_view(a, 1000), MF_JWT_NONE);
	assert_int_equal(mf_jwt_item_view(b, 1000), MF_JWT_FRESH);
	assert_false(mf_jwt_cache_end(&c, "0123")); /* again */
	assert_int_equal(mf_jwt_item_grant(a, TOKEN, MF_SLICE_LIT("4567"), 1300, 1000, NULL), MF_OK);
	assert_false(mf_jwt_cache_end(&c, "0123"));
	assert_int_equal(mf_jwt_item_view(a, 1000), MF_JWT_FRESH);
	mf_jwt_cache_wipe(&c);
}

static void
test_bad_grants(void **state)
{
	MF_UNUSED(state);
	struct mf_jwt_cache c;
	struct mf_err err = { 0 };
	char *big = calloc(1, MF_LIM_JWT + 2);
	assert_non_null(big);
	memset(big, '.', 2);
	mf_jwt_cache_init(&c);
	struct mf_jwt_item *i = get(&c, "x", MF_SLICE_LIT("a"));
	i->mint_id = 7;
	assert_int_equal(
	    mf_jwt_item_grant(i, TOKEN, JTI, 1000, 1000, &err), MF_E_INVALID); /* it has expired */
	assert_int_equal(i->mint_id, 0);
	assert_int_equal(mf_jwt_item_grant(i, MF_SLICE_LIT("a.b"), JTI, 1300, 1000, &err), MF_E_INVALID);
	assert_int_equal(mf_jwt_item_grant(i, MF_SLICE_LIT(""), JTI, 1300, 1000, &err), MF_E_INVALID);
	assert_int_equal(
	    mf_jwt_item_grant(i, mf_slice(big, MF_LIM_JWT + 1), JTI, 1300, 1000, &err), MF_E_INVALID);
	free(big);
	mf_jwt_cache_wipe(&c);
}

/* E-2: audiences compare by length, lists as wholes, identities apart. */
static void
test_keys(void **state)
{
	MF_UNUSED(state);
	struct mf_jwt_cache c;
	mf_jwt_cache_init(&c);
	struct mf_slice ab[] = { MF_SLICE_LIT("a"), MF_SLICE_LIT("b") },
			ba[] = { MF_SLICE_LIT("b"), MF_SLICE_LIT("a") }, joined[] = { MF_SLICE_LIT("ab") },
			nul[] = { mf_slice("a\0b", 3) }, a[] = { MF_SLICE_LIT("a") };
	const struct {
		const char *id;
		const struct mf_slice *v;
		size_t n;
	} all[] = { { "x", ab, 2 }, { "x", ba, 2 }, { "x", joined, 1 }, { "x", nul, 1 }, { "x", a, 1 },
		{ "y", a, 1 } };
	struct mf_jwt_item *first[MF_COUNT(all)], *again = NULL;
	for (size_t i = 0; i < MF_COUNT(all); i++)
		assert_int_equal(mf_jwt_cache_get(&c, all[i].id, all[i].v, all[i].n, &first[i], NULL), MF_OK);
	assert_int_equal(c.n, MF_COUNT(all));
	for (size_t i = 0; i < MF_COUNT(all); i++) {
		assert_int_equal(mf_jwt_cache_get(&c, all[i].id, all[i].v, all[i].n, &again, NULL), MF_OK);
		assert_ptr_equal(again, first[i]);
	}
	first[2]->mint_id = 9;
	assert_ptr_equal(mf_jwt_cache_by_mint(&c, 9), first[2]);
	assert_null(mf_jwt_cache_by_mint(&c, 0));
	assert_null(mf_jwt_cache_by_mint(&c, 8));
	mf_jwt_cache_void(&c);
	assert_null(mf_jwt_cache_by_mint(&c, 9));
	mf_jwt_cache_wipe(&c);
}

/* Full: the one that was used longest ago goes, but none that is being asked for. */
static void
test_cap(void **state)
{
	MF_UNUSED(state);
	struct mf_jwt_cache c;
	char name[32];
	struct mf_jwt_item *i = NULL;
	struct mf_err err = { 0 };
	mf_jwt_cache_init(&c);
	for (unsigned k = 0; k < MF_JWT_CACHE_MAX; k++) {
		(void)snprintf(name, sizeof(name), "a%u", k);
		i = get(&c, "x", mf_slice_str(name));
		i->mint_id = k + 1;
	}
	struct mf_slice more = MF_SLICE_LIT("more");
	assert_int_equal(mf_jwt_cache_get(&c, "x", &more, 1, &i, &err), MF_E_EXHAUSTED);
	assert_non_null(strstr(err.msg, "wait for the answers"));
	mf_jwt_cache_void(&c);
	struct mf_jwt_item *used = get(&c, "x", MF_SLICE_LIT("a0")); /* used just now: the next oldest goes */
	(void)get(&c, "x", more);
	assert_int_equal(c.n, MF_JWT_CACHE_MAX);
	assert_ptr_equal(get(&c, "x", MF_SLICE_LIT("a0")), used);
	struct mf_jwt_item *fresh = get(&c, "x", MF_SLICE_LIT("a1"));
	assert_int_equal(fresh->token.n, 0);
	mf_jwt_cache_wipe(&c);
	assert_int_equal(c.n, 0);
	mf_jwt_cache_wipe(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_half_life),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_bad_grants),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_cap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
