/*
 * Wycheproof's JWS and JWK cases (tests/data/wycheproof_jws.txt says which) against our parser, key reader and verifier.
 * Where we refuse what Wycheproof calls valid, the case stands in a table with the reason: nothing is skipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/jwk_set.h"
#include "codec/jws.h"

/* Of json_web_signature_test.json. */
static const struct {
	unsigned id;
	const char *why;
} stricter[] = {
	{ 346, "Figure20: the JWK says PS256, the header PS384: a JWK's alg binds (RFC 7517 4.4)" },
	{ 347, "Figure27: the JWK's alg is ES521, which is no algorithm: the element is ignored" },
	{ 350, "Figure20 with key_ops: as 346" },
	{ 351, "Figure27 with key_ops: as 347" },
};

static bool
accepts(const struct mf_jwk_set *keys, struct mf_slice token)
{
	MF_AUTO(mf_jws_free) struct mf_jws *j = NULL;
	if (mf_jws_parse(token, &j, NULL) != MF_OK)
		return false;
	const struct mf_jws_pub *pub = mf_jwk_set_find(keys, mf_jws_kid(j), mf_jws_alg(j));
	return pub != NULL &&
	       mf_jws_pub_verify(pub, mf_jws_alg(j), mf_jws_input(j), mf_jws_sig(j), NULL) == MF_OK;
}

static bool
is_stricter(bool signatures, unsigned id)
{
	for (size_t i = 0; signatures && i < MF_COUNT(stricter); i++)
		if (stricter[i].id == id)
			return true;
	return false;
}

struct run {
	struct mf_jwk_set *keys;
	struct mf_buf prefix;
	bool signatures;
	unsigned cases, valid, bad;
};

/* "T 12 valid TOKEN" */
static void
one_case(struct run *r, const char *line)
{
	char result[8];
	unsigned id = 0;
	int at = 0;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf token;
	mf_buf_init(&token, MF_LIM_JWT);
	assert_int_equal(sscanf(line, "T %u %7s %n", &id, result, &at), 2);
	const char *text = line + at;
	if (text[0] == '~') {
		mf_buf_put_slice(&token, mf_buf_slice(&r->prefix));
		text++;
	}
	mf_buf_put_str(&token, strcmp(text, "-") == 0 ? "" : text);
	bool want = strcmp(result, "valid") == 0 && !is_stricter(r->signatures, id);
	bool got = r->keys != NULL && accepts(r->keys, mf_buf_slice(&token));
	r->cases++;
	r->valid += want;
	if (got == want)
		return;
	print_error("tcId %u: wycheproof says %s, we say %s\n", id, result, got ? "valid" : "invalid");
	r->bad++;
}

static void
test_cases(void **state)
{
	MF_UNUSED(state);
	struct run r = { 0 };
	char *line = NULL;
	size_t cap = 0;
	FILE *f = fopen("tests/data/wycheproof_jws.txt", "re");
	assert_non_null(f);
	mf_buf_init(&r.prefix, MF_LIM_JWT);
	for (ssize_t n; (n = getline(&line, &cap, f)) > 0;) {
		line[n - 1] = '\0';
		if (line[0] == 'S') {
			r.signatures = strcmp(line + 2, "json_web_signature_test.json") == 0;
		} else if (line[0] == 'K') {
			/* A set that cannot be read verifies nothing. */
			mf_jwk_set_free(r.keys);
			r.keys = NULL;
			(void)!mf_jwk_set_read(mf_slice_str(line + 2), MF_JWKS_WORKLOAD, &r.keys, NULL);
			mf_buf_reset(&r.prefix);
		} else if (line[0] == 'P') {
			mf_buf_put_str(&r.prefix, line + 2);
		} else if (line[0] == 'T') {
			one_case(&r, line);
		}
	}
	free(line);
	(void)fclose(f);
	mf_jwk_set_free(r.keys);
	mf_buf_fini(&r.prefix);
	print_message("%u cases, %u of them valid\n", r.cases, r.valid);
	assert_int_equal(r.bad, 0);
	assert_int_equal(r.cases, 372);
	assert_true(r.valid > 25);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_cases) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
