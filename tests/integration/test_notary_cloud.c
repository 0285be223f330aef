/*
 * Cloud tokens through the notary as it is run: an honest attestor asks, the test is the courier, honest or not. What the courier
 * is given, what it may say, and what is on disk before anything leaves.
 */
#include "integration/cloud_rig.h"

static struct courier courier;

static int
setup(void **state)
{
	struct nrig *r = cr_new("https://sts.example", "");
	*state = r;
	cr_link(r, &courier);
	return 0;
}

static int
teardown(void **state)
{
	cr_end(*state, &courier);
	return 0;
}

static void
test_from_the_job_to_the_courier_and_back(void **state)
{
	struct nrig *r = *state;
	cr_job(r, 1);
	cr_ask(r, &r->peer[0]);
	Mayfly__Roles__V1__MintRequest *q = cr_next_mint(r, &courier);
	struct mf_slice scope = mf_slice(q->scope.data, q->scope.len);
	assert_non_null(memmem(scope.p, scope.n, "lab/runs/r-", 11));
	assert_non_null(memmem(q->assertion.data, q->assertion.len, ".", 1));
	assert_string_equal(q->target, "lab");
	assert_int_equal(q->ttl_s, CR_TTL_S);
	cr_mints(&courier, q);
	if (cr_answer(r, &courier, &r->peer[0]) != CLOUD_GRANT)
		fail_msg("no token: %s", r->refusal);
	assert_int_equal(nr_count(r, MF_REC_CLOUD_ISSUED), 1);
	const Mayfly__Agent__V1__CloudGrant *g =
	    ((const Mayfly__Agent__V1__Down *)(const void *)r->peer[0].down)->cloud_grant;
	assert_string_equal(g->credential_id, q->credential_id);
	assert_non_null(memmem(g->token.data, g->token.len, "canary-secret", 13));
	cr_free_mint(q);
}

static void
test_the_courier_dies_in_between(void **state)
{
	struct nrig *r = *state;
	cr_job(r, 1);
	for (unsigned i = 0; i < 5; i++) {
		cr_ask(r, &r->peer[0]);
		cr_free_mint(cr_next_mint(r, &courier));
		mf_seqpacket_free(courier.pkt);
		courier.pkt = NULL;
		assert_int_equal(cr_answer(r, &courier, &r->peer[0]), REFUSAL); /* an answer, and soon */
		NR_UNTIL(r, nr_count(r, MF_REC_CLOUD_RECONCILED) == i + 1);
		cr_ask(r, &r->peer[0]); /* without one it is refused at once */
		assert_int_equal(cr_answer(r, &courier, &r->peer[0]), REFUSAL);
		cr_link(r, &courier);
	}
	assert_int_equal(nr_count(r, MF_REC_CLOUD_ISSUED), 0);
}

static void
test_too_late(void **state)
{
	struct nrig *r = *state;
	cr_job(r, 1);
	cr_ask(r, &r->peer[0]);
	Mayfly__Roles__V1__MintRequest *q = cr_next_mint(r, &courier);
	nr_end(r, &r->peer[0], 1);
	NR_UNTIL(r, nr_count(r, MF_REC_LEASE_ENDED) == 1);
	cr_mints(&courier, q);
	NR_UNTIL(r, nr_count(r, MF_REC_CLOUD_RECONCILED) == 1);
	assert_int_equal(nr_count(r, MF_REC_CLOUD_ISSUED), 0);
	cr_free_mint(q);
}

/* Garbage ends its link, and nothing else. */
static void
test_garbage(void **state)
{
	struct nrig *r = *state;
	static const char junk[] = "\xff\xff\xff";
	cr_job(r, 1);
	cr_ask(r, &r->peer[0]);
	cr_free_mint(cr_next_mint(r, &courier));
	cr_raw(&courier, MF_MSG_MINT_RESULT, mf_slice(junk, sizeof(junk) - 1), -1);
	assert_int_equal(cr_answer(r, &courier, &r->peer[0]), REFUSAL);
	cr_link(r, &courier);
	cr_ask(r, &r->peer[0]);
	Mayfly__Roles__V1__MintRequest *q = cr_next_mint(r, &courier);
	cr_mints(&courier, q);
	assert_int_equal(cr_answer(r, &courier, &r->peer[0]), CLOUD_GRANT);
	cr_free_mint(q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_from_the_job_to_the_courier_and_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_courier_dies_in_between, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_late, setup, teardown),
		cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
