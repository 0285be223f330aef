/* Assertions for cloud providers: every claim where a provider looks for it, and nothing that lives for long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/assertion.h"
#include "codec/jws.h"

static struct mf_jws_key *key;
static struct mf_jws_signer *signer;

static int
setup(void **state)
{
	MF_UNUSED(state);
	return mf_jws_key_generate(MF_JWS_RS256, &key, NULL) == MF_OK &&
		       mf_jws_signer_new(key, &signer, NULL) == MF_OK
		   ? 0
		   : -1;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	mf_jws_signer_free(signer);
	mf_jws_key_free(key);
	return 0;
}

static struct mf_assertion_fields
fields(void)
{
	return (struct mf_assertion_fields) { .iss = MF_SLICE_LIT("https://issuer.example"),
		.sub = MF_SLICE_LIT("spiffe://example.org/job/j-1"),
		.aud = MF_SLICE_LIT("sts.example"),
		.jti = MF_SLICE_LIT("id-1"),
		.iat_s = 1800000000,
		.exp_s = 1800000060 };
}

static void
says(const struct mf_assertion_fields *f, const char *claims)
{
	struct mf_buf b;
	struct mf_jws *jws = NULL;
	mf_buf_init(&b, 1 << 16);
	assert_int_equal(mf_assertion_put(f, key, signer, &b, NULL), MF_OK);
	assert_int_equal(mf_jws_parse(mf_buf_slice(&b), &jws, NULL), MF_OK);
	assert_int_equal(mf_jws_alg(jws), MF_JWS_RS256);
	assert_true(mf_slice_eq_str(mf_jws_kid(jws), mf_jws_key_kid(key)));
	if (!mf_slice_eq_str(mf_jws_payload(jws), claims))
		fail_msg("%.*s", (int)mf_jws_payload(jws).n, (const char *)mf_jws_payload(jws).p);
	mf_jws_free(jws);
	mf_buf_fini(&b);
}

static void
test_claims(void **state)
{
	MF_UNUSED(state);
	struct mf_assertion_fields f = fields();
	says(&f, "{\"aud\":\"sts.example\",\"exp\":1800000060,\"iat\":1800000000,\"iss\":\"https://"
		 "issuer.example\","
		 "\"jti\":\"id-1\",\"nbf\":1800000000,\"sub\":\"spiffe://example.org/job/j-1\"}");
	const struct mf_assertion_tag tags[] = { { MF_SLICE_LIT("mayfly-cred"), MF_SLICE_LIT("c-1") },
		{ MF_SLICE_LIT("person"), MF_SLICE_LIT("") }, { MF_SLICE_LIT("run"), MF_SLICE_LIT("r-1") } };
	f.tags = tags;
	f.tags_n = 3;
	f.source_identity = MF_SLICE_LIT("j-1");
	says(&f,
	    "{\"aud\":\"sts.example\",\"exp\":1800000060,\"https://aws.amazon.com/source_identity\":\"j-1\","
	    "\"https://aws.amazon.com/"
	    "tags\":{\"principal_tags\":{\"mayfly-cred\":[\"c-1\"],\"run\":[\"r-1\"]},"
	    "\"transitive_tag_keys\":[\"mayfly-cred\",\"run\"]},\"iat\":1800000000,"
	    "\"iss\":\"https://issuer.example\",\"jti\":\"id-1\",\"nbf\":1800000000,"
	    "\"sub\":\"spiffe://example.org/job/j-1\"}");
}

static void
refuses(const struct mf_assertion_fields *f)
{
	struct mf_buf b;
	mf_buf_init(&b, 1 << 16);
	assert_int_equal(mf_assertion_put(f, key, signer, &b, NULL), MF_E_INVALID);
	assert_int_equal(b.n, 0);
	mf_buf_fini(&b);
}

static void
test_what_is_refused(void **state)
{
	MF_UNUSED(state);
	const struct mf_slice none = mf_slice(NULL, 0);
	struct mf_assertion_fields f = fields();
	f.exp_s = f.iat_s + MF_ASSERTION_MAX_S + 1;
	refuses(&f);
	f.exp_s = f.iat_s;
	refuses(&f);
	f = fields();
	f.iss = none;
	refuses(&f);
	f = fields();
	f.sub = none;
	refuses(&f);
	f = fields();
	f.aud = none;
	refuses(&f);
	f = fields();
	f.jti = none;
	refuses(&f);
	f = fields();
	f.tags_n = MF_ASSERTION_TAGS + 1;
	refuses(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_what_is_refused),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
