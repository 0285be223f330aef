/* The cloud tokens of one instance: offers, half-life, the last seconds, single flight, growing waits, ends. Time is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/core/cloud_cache.h"

static struct mf_now
at(int64_t s)
{
	return (struct mf_now) { .wall_us = s * 1000000, .mono_ms = (uint64_t)s * 1000 };
}

static struct mf_cloud_offer
offer(const char *grant, const char *kind)
{
	return (struct mf_cloud_offer) { mf_slice_str(grant), mf_slice_str(kind), MF_SLICE_LIT("t"),
		MF_SLICE_LIT("eu-1"), MF_SLICE_LIT("http://127.0.0.1:8000") };
}

static struct mf_cloud_granted
granted(
    const char *grant, const char *kind, const char *id, int64_t issued, int64_t effective, int64_t expires)
{
	return (struct mf_cloud_granted) { mf_slice_str(grant), mf_slice_str(kind), mf_slice_str(id),
		MF_SLICE_LIT("packed"), issued, expires, effective };
}

static struct mf_cloud_item *
with_one(struct mf_cloud_cache *c)
{
	struct mf_cloud_offer o = offer("data", "aws");
	mf_cloud_cache_init(c);
	assert_int_equal(mf_cloud_cache_offer(c, &o, 1, NULL), MF_OK);
	struct mf_cloud_item *i = mf_cloud_cache_find(c, MF_SLICE_LIT("data"));
	assert_non_null(i);
	return i;
}

static void
test_life(void **state)
{
	MF_UNUSED(state);
	struct mf_cloud_cache c;
	struct mf_cloud_item *i = with_one(&c);
	struct mf_cloud_granted g = granted("data", "aws", "c1", 1000, 2000, 4600);
	assert_int_equal(mf_cloud_item_view(i, at(1000)), MF_CLOUD_NONE);
	/* Half of the effective life, moved by a tenth of it either way: 1400 to 1600. */
	for (uint64_t random = 0; random < 1000; random += 7) {
		assert_int_equal(mf_cloud_item_grant(i, &g, at(1000), random, NULL), MF_OK);
		assert_in_range(i->renew_s, 1400, 1600);
	}
	assert_int_equal(mf_cloud_item_view(i, at(i->renew_s - 1)), MF_CLOUD_FRESH);
	assert_int_equal(mf_cloud_item_view(i, at(i->renew_s)), MF_CLOUD_STALE);
	/* Nobody can be asked: it serves on until 5 s before its permissions end. */
	mf_cloud_item_failed(i, MF_SLICE_LIT("the cloud is away"), at(1600), 0);
	assert_int_equal(mf_cloud_item_view(i, at(1994)), MF_CLOUD_STALE);
	assert_int_equal(mf_cloud_item_view(i, at(1995)), MF_CLOUD_NONE);
	assert_string_equal(i->reason, "the cloud is away");
	mf_cloud_cache_wipe(&c);
	assert_int_equal(c.n, 0);
}

static void
test_asking(void **state)
{
	MF_UNUSED(state);
	struct mf_cloud_cache c;
	struct mf_cloud_item *i = with_one(&c);
	struct mf_now now = at(1000);
	assert_true(mf_cloud_item_may_ask(i, now));
	mf_cloud_item_asked(i, 7, now);
	assert_false(mf_cloud_item_may_ask(i, now));
	assert_ptr_equal(mf_cloud_cache_by_mint(&c, 7), i);
	assert_null(mf_cloud_cache_by_mint(&c, 0));
	now.mono_ms += MF_CLOUD_ANSWER_MS; /* never answered */
	assert_true(mf_cloud_item_may_ask(i, now));
	assert_null(mf_cloud_cache_by_mint(&c, 7));
	mf_cloud_item_asked(i, 8, now);
	mf_cloud_cache_void(&c);
	assert_true(mf_cloud_item_may_ask(i, now));
	/* Waits grow, and no further than they should. */
	for (unsigned k = 0; k < 20; k++) {
		uint64_t most = k < 5 ? (uint64_t)MF_CLOUD_RETRY_MS << k : MF_CLOUD_RETRY_MAX_MS;
		mf_cloud_item_failed(i, MF_SLICE_LIT("x"), now, 12345 + k);
		assert_false(mf_cloud_item_may_ask(i, now));
		assert_in_range(i->not_before_ms - now.mono_ms, most / 2, most);
		now.mono_ms = i->not_before_ms;
		assert_true(mf_cloud_item_may_ask(i, now));
	}
	/* A no wipes, and is repeated for a while. */
	struct mf_cloud_granted g = granted("data", "aws", "c1", 1000, 2000, 4600);
	assert_int_equal(mf_cloud_item_grant(i, &g, at(1000), 1, NULL), MF_OK);
	assert_int_equal(i->failures, 0);
	mf_cloud_item_deny(i, MF_SLICE_LIT("no"), 5000, at(1010));
	assert_int_equal(mf_cloud_item_view(i, at(1010)), MF_CLOUD_NONE);
	assert_int_equal(i->token.n, 0);
	assert_true(i->denied);
	assert_false(mf_cloud_item_may_ask(i, at(1014)));
	assert_true(mf_cloud_item_may_ask(i, at(1015)));
	mf_cloud_cache_wipe(&c);
}

static void
test_bad_grants(void **state)
{
	MF_UNUSED(state);
	struct mf_cloud_cache c;
	struct mf_cloud_item *i = with_one(&c);
	struct mf_err err = { 0 };
	struct mf_cloud_granted good = granted("data", "aws", "c1", 1000, 2000, 4600), bad[] = {
		granted("other", "aws", "c1", 1000, 2000, 4600),
		granted("data", "bearer", "c1", 1000, 2000, 4600),
		granted("data", "", "c1", 1000, 2000, 4600),
		granted("data", "aws", "c1", 1000, 1005, 4600), /* in its last seconds */
		granted("data", "aws", "c1", 1000, 900, 4600),
		granted("data", "aws", "c1", 1000, 5000, 4600), /* longer than itself */
		good,
		good,
	};
	static const uint8_t much[MF_CLOUD_TOKEN_MAX + 1];
	bad[6].token = mf_slice(NULL, 0);
	bad[7].token = mf_slice(much, sizeof(much));
	assert_int_equal(mf_cloud_item_grant(i, &good, at(1000), 1, NULL), MF_OK);
	for (size_t k = 0; k < MF_COUNT(bad); k++) {
		uint64_t version = i->version;
		mf_cloud_item_asked(i, 9, at(1000));
		assert_int_equal(mf_cloud_item_grant(i, &bad[k], at(1000), 1, &err), MF_E_INVALID);
		assert_int_equal(i->mint_id, 0);
		assert_int_equal(i->version, version); /* what was held stays */
		assert_int_equal(mf_cloud_item_view(i, at(1001)), MF_CLOUD_FRESH);
	}
	mf_cloud_cache_wipe(&c);
}

static void
test_ends(void **state)
{
	MF_UNUSED(state);
	struct mf_cloud_cache c;
	struct mf_cloud_item *i = with_one(&c);
	struct mf_cloud_granted g = granted("data", "aws", "c1", 1000, 2000, 4600);
	assert_int_equal(mf_cloud_item_grant(i, &g, at(1000), 1, NULL), MF_OK);
	/* An older generation's end is not this one's. */
	assert_false(mf_cloud_item_end(i, MF_SLICE_LIT("c0"), MF_SLICE_LIT("superseded"), false));
	assert_int_equal(mf_cloud_item_view(i, at(1000)), MF_CLOUD_FRESH);
	assert_true(mf_cloud_item_end(i, MF_SLICE_LIT("c1"), MF_SLICE_LIT("leaked"), true));
	assert_int_equal(mf_cloud_item_view(i, at(1000)), MF_CLOUD_NONE);
	assert_int_equal(i->token.n, 0);
	assert_string_equal(i->reason, "leaked");
	assert_true(mf_cloud_item_may_ask(i, at(1000)));
	assert_false(mf_cloud_item_end(i, MF_SLICE_LIT("c1"), MF_SLICE_LIT("again"), false));
	/* What is under way when all of it ends is not taken. */
	mf_cloud_item_asked(i, 5, at(1000));
	assert_true(mf_cloud_item_end(i, mf_slice(NULL, 0), MF_SLICE_LIT("policy"), false));
	assert_null(mf_cloud_cache_by_mint(&c, 5));
	assert_true(i->over);
	assert_false(mf_cloud_item_may_ask(i, at(100000)));
	mf_cloud_cache_wipe(&c);
}

static void
test_offers(void **state)
{
	MF_UNUSED(state);
	struct mf_cloud_cache c;
	struct mf_cloud_item *i = with_one(&c);
	struct mf_cloud_granted g = granted("data", "aws", "c1", 1000, 2000, 4600);
	assert_int_equal(mf_cloud_item_grant(i, &g, at(1000), 1, NULL), MF_OK);
	struct mf_cloud_offer more[] = { offer("api", "bearer"), offer("later", "of-a-later-release"),
		offer("data", "aws") };
	assert_int_equal(mf_cloud_cache_offer(&c, more, 3, NULL), MF_OK);
	assert_int_equal(c.n, 2);
	assert_ptr_equal(mf_cloud_cache_find(&c, MF_SLICE_LIT("data")), i);
	assert_int_equal(mf_cloud_item_view(i, at(1000)), MF_CLOUD_FRESH);
	assert_null(mf_cloud_cache_find(&c, MF_SLICE_LIT("later")));
	assert_string_equal(MF_LIST_ITEM(c.items.next, struct mf_cloud_item, at)->grant, "api");
	assert_string_equal(i->region, "eu-1");
	static const char *const names[] = { "", "a/b", "a b", "-a", ".a", "a\nb", "a=b", "\xc3\xa4",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	for (size_t k = 0; k < MF_COUNT(names); k++) {
		more[1] = offer(names[k], "aws");
		assert_int_equal(mf_cloud_cache_offer(&c, more, 3, NULL), MF_OK);
		assert_int_equal(c.n, 2); /* left out */
	}
	more[1] = more[0];
	assert_int_equal(mf_cloud_cache_offer(&c, more, 3, NULL), MF_E_INVALID); /* twice */
	struct mf_cloud_offer many[MF_CLOUD_GRANTS + 1];
	char text[MF_CLOUD_GRANTS + 1][8];
	for (size_t k = 0; k <= MF_CLOUD_GRANTS; k++) {
		(void)snprintf(text[k], sizeof(text[k]), "g%zu", k);
		many[k] = offer(text[k], "aws");
	}
	assert_int_equal(mf_cloud_cache_offer(&c, many, MF_CLOUD_GRANTS + 1, NULL), MF_E_INVALID);
	assert_int_equal(c.n, 2); /* nothing changed */
	/* Of another kind now: what was held is another thing. */
	more[0] = offer("data", "bearer");
	assert_int_equal(mf_cloud_cache_offer(&c, more, 1, NULL), MF_OK);
	assert_int_equal(c.n, 1);
	i = mf_cloud_cache_find(&c, MF_SLICE_LIT("data"));
	assert_int_equal(mf_cloud_item_view(i, at(1000)), MF_CLOUD_NONE);
	assert_int_equal(mf_cloud_cache_offer(&c, NULL, 0, NULL), MF_OK);
	assert_int_equal(c.n, 0);
	assert_true(c.offered);
	mf_cloud_cache_wipe(&c);
	assert_false(c.offered);
	assert_string_equal(mf_cloud_kind_name(MF_CLOUD_AWS), "aws");
	assert_string_equal(mf_cloud_kind_name((enum mf_cloud_kind)9), "?");
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_life), cmocka_unit_test(test_asking),
		cmocka_unit_test(test_bad_grants), cmocka_unit_test(test_ends),
		cmocka_unit_test(test_offers) };
	return cmocka_run_group_tests_name("cloud_cache", tests, NULL, NULL);
}
