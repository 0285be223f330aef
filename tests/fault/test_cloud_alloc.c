/*
 * Every allocation fails once while backends mint and the courier reads its targets: a word of the table and a text, never half
 * a token, nothing leaked. The allocator is ours in the whole program. (Signatures are not among it: SHA-256 ends a process that has
 * no memory, crypto/hash.h.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "alloc_fail.h"

#include "backend_kit.h"
#include "broker/backends/aws_sts/internal.h"
#include "broker/courier/fetch.h"
#include "broker/courier/targets.h"

#ifdef MF_INSTRUMENTED
int
main(void)
{
	printf("skipped: the sanitizer's allocator cannot be replaced\n");
	return 0;
}
#else

#define ROUNDS 5000 /* more allocations than any operation makes: a hang limit */

/* ${op}: true when it did what it would do with memory; else it has checked that it failed as it should. */
static void
fail_each(bool (*op)(void))
{
	long rounds = 0;
	assert_true(op()); /* what libraries keep for ever is made here */
	do {
		long before = mf_alloc_live();
		mf_alloc_fail(++rounds);
		bool good = op();
		mf_alloc_fail(0);
		assert_int_equal(mf_alloc_live(), before);
		assert_true(good || mf_alloc_failed());
	} while (mf_alloc_failed() && rounds < ROUNDS);
	assert_false(mf_alloc_failed());
	assert_true(rounds > 2);
}

static bool
mint(const struct backend_kit *k)
{
	const struct mf_token_backend *b = mf_token_backend_find(k->name);
	Mayfly__Roles__V1__CloudTarget t;
	Mayfly__Roles__V1__MintRequest m;
	Mayfly__Roles__V1__MintResult r = MAYFLY__ROLES__V1__MINT_RESULT__INIT;
	struct mf_cloud_op *op = NULL;
	struct mf_http_request req;
	struct mf_err err = { 0 };
	struct mf_http_reply reply = { .status = 200, .sent = true, .body = mf_slice_str(k->good) };
	mf_backend_target(k, &t);
	mf_backend_mint_request(&m);
	struct mf_cloud_job job = { .target = &t, .mint = &m, .now_s = BACKEND_NOW };
	if (b->start(MF_CLOUD_MINT, &job, &op, &err) != MF_OK) {
		assert_int_equal(err.code, MF_E_NOMEM);
		return false;
	}
	bool sent = b->next(op, NULL, &req) == MF_CLOUD_SEND;
	if (sent)
		assert_int_equal(b->next(op, &reply, &req), MF_CLOUD_DONE);
	b->mint_result(op, &r);
	bool minted = r.minted;
	if (minted)
		assert_true(r.token.len > 0 && r.error[0] == '\0' && r.expires > 0);
	else
		assert_true(r.token.len == 0 && r.reason[0] != '\0' &&
			    strcmp(r.error, sent ? "unknown" : "bug") == 0);
	b->free(op);
	return minted;
}

static bool
op_aws(void)
{
	return mint(&mf_backend_kits[0]);
}

static bool
op_oauth(void)
{
	return mint(&mf_backend_kits[1]);
}

static bool
op_deny(void)
{
	static const char doc[] = "{\"Statement\":[{\"Effect\":\"Deny\",\"Condition\":{\"StringEquals\":{"
				  "\"aws:PrincipalTag/mayfly-job\":[\"j-1\",\"j-2\"]}}}]}";
	MF_AUTO_IN(mf_aws_denies_fini) struct mf_aws_denies d = { 0 };
	MF_AUTO(mf_json_free) struct mf_json *keep = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	struct mf_err err = { 0 };
	mf_buf_init(&b, 65536);
	enum mf_status s = mf_aws_deny_read(mf_slice_str(doc), &keep, &d, &err);
	if (s == MF_OK)
		s = mf_aws_deny_write(&d, d.n, &b, &err);
	assert_true(s == MF_OK || err.msg[0] != '\0');
	return s == MF_OK;
}

static bool
op_targets(void)
{
	Mayfly__Roles__V1__CloudConf conf = MAYFLY__ROLES__V1__CLOUD_CONF__INIT;
	Mayfly__Roles__V1__CloudTarget t, *p[] = { &t };
	MF_AUTO(mf_targets_unref) struct mf_targets *made = NULL;
	uint8_t packed[1024];
	struct mf_err err = { 0 };
	mf_backend_target(&mf_backend_kits[0], &t);
	conf.targets = p;
	conf.n_targets = 1;
	size_t n = mayfly__roles__v1__cloud_conf__pack(&conf, packed);
	enum mf_status s = mf_targets_new(mf_slice(packed, n), &made, &err);
	assert_true(s == MF_OK || (err.msg[0] != '\0' && made == NULL));
	return s == MF_OK;
}

static bool
op_fetch(void)
{
	Mayfly__Roles__V1__CloudFetchRequest q = MAYFLY__ROLES__V1__CLOUD_FETCH_REQUEST__INIT;
	Mayfly__Roles__V1__CloudFetchResult r = MAYFLY__ROLES__V1__CLOUD_FETCH_RESULT__INIT;
	static char issuer[] = "https://a";
	struct mf_fetch *f = NULL;
	struct mf_http_request req;
	struct mf_http_reply reply = { .status = 200,
		.sent = true,
		.body = MF_SLICE_LIT("{\"issuer\":\"https://a\",\"jwks_uri\":\"https://a/k\"}") };
	q.issuer = issuer;
	if (mf_fetch_new(&q, &f, NULL) != MF_OK)
		return false;
	enum mf_cloud_step s = mf_fetch_next(f, NULL, &req);
	while (s == MF_CLOUD_SEND)
		s = mf_fetch_next(f, &reply, &req);
	mf_fetch_result(f, &r);
	bool good = r.error[0] == '\0';
	assert_true(good ? r.jwks.len > 0 && r.discovery.len > 0 : r.reason[0] != '\0');
	mf_fetch_free(f);
	return good;
}

static void
test_backends(void **state)
{
	MF_UNUSED(state);
	fail_each(op_aws);
	fail_each(op_oauth);
	fail_each(op_deny);
}

static void
test_courier(void **state)
{
	MF_UNUSED(state);
	fail_each(op_targets);
	fail_each(op_fetch);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_backends),
		cmocka_unit_test(test_courier),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
