/*
 * The validator behind the signature: the input is the claims (or, after a first byte '!', a whole token), signed here
 * by a key that the validator trusts. Whatever is accepted has a SPIFFE ID of our trust domain, our audience, a date.
 */
#include <stdlib.h>

#include "codec/jwks.h"
#include "codec/jwt_svid.h"

#define NOW 1900000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mf_jws_key *key;
static struct mf_jws_signer *signer;
static struct mf_jwk_set *set;

static void
once(void)
{
	struct mf_jw w;
	struct mf_buf b;
	if (key != NULL)
		return;
	mf_buf_init(&b, 4096);
	if (mf_jws_key_generate(MF_JWS_ES256, &key, NULL) != MF_OK ||
	    mf_jws_signer_new(key, &signer, NULL) != MF_OK)
		abort();
	mf_jw_init(&w, &b, false);
	mf_jw_object_begin(&w);
	mf_jw_key(&w, "keys");
	mf_jw_array_begin(&w);
	mf_jwk_jws_put(&w, key, "jwt-svid");
	mf_jw_array_end(&w);
	mf_jw_object_end(&w);
	if (mf_jwk_set_read(mf_buf_slice(&b), MF_JWKS_SPIFFE, &set, NULL) != MF_OK)
		abort();
	mf_buf_fini(&b);
}

static const struct mf_jwk_set *
keys_of(void *ctx, struct mf_slice td)
{
	MF_UNUSED(ctx);
	return mf_slice_eq_str(td, "example.org") ? set : NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_jwt_svid_check c = { MF_SLICE_LIT("a"), NOW, 10, keys_of, NULL };
	struct mf_jwt_svid *s = NULL;
	struct mf_err err = { 0 };
	struct mf_buf token;
	once();
	mf_buf_init(&token, 3 * MF_LIM_JWT);
	if (size > 0 && data[0] == '!')
		mf_buf_put(&token, data + 1, size - 1);
	else if (size > MF_LIM_JWT || mf_jws_put(MF_JWS_ES256, mf_slice_str(mf_jws_key_kid(key)),
					  mf_slice(data, size), signer, &token, NULL) != MF_OK)
		goto out;
	if (mf_jwt_svid_validate(mf_buf_slice(&token), &c, &s, &err) != MF_OK) {
		if (err.msg[0] == '\0' || s != NULL)
			abort();
		goto out;
	}
	struct mf_slice td = mf_spiffe_id_trust_domain(mf_jwt_svid_id(s));
	if (!mf_slice_eq_str(td, "example.org") || mf_jwt_svid_exp_s(s) <= NOW - 10 ||
	    mf_json_type(mf_jwt_svid_claims(s)) != MF_JSON_OBJECT || (size > 0 && data[0] == '!'))
		abort(); /* nobody but this program has the key */
	mf_jwt_svid_free(s);
out:
	mf_buf_fini(&token);
	return 0;
}
