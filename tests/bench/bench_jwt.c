/*
 * bench_jwt [SECONDS]: JWT-SVIDs made and validated a second by one thread, ES256 and RS256: fields to token as the notary's
 * workers do it, and token to verdict as the agent does it. CPU time, so that a busy machine says the same. Figures,
 * nothing asserted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "codec/jwks.h"
#include "codec/jwt_svid.h"

#define NOW 1900000000
#define TURN 64 /* operations between two looks at the clock */

static double
cpu(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static const struct mf_jwk_set *
keys_of(void *ctx, struct mf_slice td)
{
	MF_UNUSED(td);
	return ctx;
}

static struct mf_jwk_set *
set_of(const struct mf_jws_key *key)
{
	struct mf_jw w;
	struct mf_jwk_set *set = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 8192);
	mf_jw_init(&w, &b, false);
	mf_jw_object_begin(&w);
	mf_jw_key(&w, "keys");
	mf_jw_array_begin(&w);
	mf_jwk_jws_put(&w, key, "jwt-svid");
	mf_jw_array_end(&w);
	mf_jw_object_end(&w);
	must(mf_jwk_set_read(mf_buf_slice(&b), MF_JWKS_SPIFFE, &set, NULL) == MF_OK);
	return set;
}

static void
run(enum mf_jws_alg alg, double seconds)
{
	MF_AUTO(mf_jws_key_free) struct mf_jws_key *key = NULL;
	MF_AUTO(mf_jws_signer_free) struct mf_jws_signer *signer = NULL;
	MF_AUTO(mf_jwk_set_free) struct mf_jwk_set *set = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf token;
	struct mf_slice aud = MF_SLICE_LIT("spiffe://example.org/tracking");
	mf_buf_init(&token, MF_LIM_JWT);
	must(mf_jws_key_generate(alg, &key, NULL) == MF_OK && mf_jws_signer_new(key, &signer, NULL) == MF_OK);
	set = set_of(key);
	const struct mf_jwt_svid_fields f = { alg, mf_slice_str(mf_jws_key_kid(key)),
		MF_SLICE_LIT("spiffe://example.org/default/train/dev/job/j-abcdefghijklmnopqrst"), &aud, 1,
		NOW - 30, NOW + 300, MF_SLICE_LIT("0123456789abcdef0123456789abcdef") };
	const struct mf_jwt_svid_check c = { aud, NOW, 5, keys_of, set };
	uint64_t made = 0, judged = 0;
	double begin = cpu(), made_in, judged_in;
	while ((made_in = cpu() - begin) < seconds)
		for (int i = 0; i < TURN; i++, made++) {
			mf_buf_reset(&token);
			must(mf_jwt_svid_put(&f, signer, &token, NULL) == MF_OK);
		}
	begin = cpu();
	while ((judged_in = cpu() - begin) < seconds)
		for (int i = 0; i < TURN; i++, judged++) {
			struct mf_jwt_svid *s = NULL;
			must(mf_jwt_svid_validate(mf_buf_slice(&token), &c, &s, NULL) == MF_OK);
			mf_jwt_svid_free(s);
		}
	printf("%s: %.0f made, %.0f validated per CPU second; %zu bytes each\n", mf_jws_alg_name(alg),
	    (double)made / made_in, (double)judged / judged_in, token.n);
}

int
main(int argc, char **argv)
{
	double seconds = argc > 1 ? strtod(argv[1], NULL) : 2;
	run(MF_JWS_ES256, seconds);
	run(MF_JWS_RS256, seconds);
	return 0;
}
