#include "codec/jwk_set.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/text.h"
#include "codec/json.h"

#define USE_JWT "jwt-svid"
#define NUMBER_MAX 1024 /* bytes: RSA of 8192 bits */

struct jwk {
	struct mf_slice kid, crv, a, b; /* a, b: x, y or n, e, in base64url as they stand */
	struct mf_jws_pub *pub;
	bool rsa, has_alg;
	enum mf_jws_alg alg;
};

struct mf_jwk_set {
	atomic_uint refs;
	struct mf_json *json; /* what the slices point into */
	struct jwk *keys;
	size_t n;
};

void
mf_jwk_set_free(struct mf_jwk_set *set)
{
	if (set == NULL || atomic_fetch_sub(&set->refs, 1) > 1)
		return;
	for (size_t i = 0; i < set->n; i++)
		mf_jws_pub_free(set->keys[i].pub);
	free(set->keys);
	mf_json_free(set->json);
	free(set);
}

struct mf_jwk_set *
mf_jwk_set_ref(struct mf_jwk_set *set)
{
	atomic_fetch_add(&set->refs, 1);
	return set;
}

/* BND-5 and what RFC 7517 4.3 says of key_ops: is this a key that could verify here at all? */
static bool
concerns_us(const struct mf_json_value *jwk, enum mf_jwk_set_kind kind, struct jwk *k)
{
	struct mf_slice kty, use, alg, op;
	enum mf_jws_curve curve;
	const struct mf_json_value *v = mf_json_get(jwk, "use"), *ops = mf_json_get(jwk, "key_ops");
	/* JWT-13: "the use parameter ... case-sensitive" */
	if ((v != NULL || kind == MF_JWKS_SPIFFE) &&
	    (!mf_json_string(v, &use) || !mf_slice_eq_str(use, USE_JWT)))
		return false;
	if (!mf_json_string(mf_json_get(jwk, "kty"), &kty))
		return false;
	k->rsa = mf_slice_eq_str(kty, "RSA");
	if (!k->rsa && !(mf_slice_eq_str(kty, "EC") && mf_json_string(mf_json_get(jwk, "crv"), &k->crv) &&
			   mf_jws_curve_parse(k->crv, &curve)))
		return false;
	v = mf_json_get(jwk, "alg");
	k->has_alg = v != NULL;
	if (v != NULL && (!mf_json_string(v, &alg) || !mf_jws_alg_parse(alg, &k->alg)))
		return false;
	for (size_t i = 0; ops != NULL && i < mf_json_size(ops); i++)
		if (mf_json_string(mf_json_at(ops, i), &op) && mf_slice_eq_str(op, "verify"))
			return true;
	return ops == NULL;
}

static enum mf_status
number(const struct mf_json_value *jwk, const char *name, struct mf_slice *ret_text, struct mf_buf *to,
    struct mf_err *err)
{
	if (!mf_json_string(mf_json_get(jwk, name), ret_text))
		return MF_FAIL(err, MF_E_INVALID, "no %s", name);
	if (mf_base64url_get(*ret_text, to, err) != MF_OK)
		return mf_err_wrap(err, MF_E_INVALID, "%s", name);
	return MF_OK;
}

static enum mf_status
read_key(const struct mf_json_value *jwk, struct jwk *k, struct mf_err *err)
{
	static const char *const private_names[] = { "d", "p", "q", "dp", "dq", "qi", "oth", "k" };
	enum mf_jws_curve curve;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf a, b;
	mf_buf_init(&a, NUMBER_MAX);
	mf_buf_init(&b, NUMBER_MAX);
	for (size_t i = 0; i < MF_COUNT(private_names); i++)
		if (mf_json_get(jwk, private_names[i]) != NULL)
			return MF_FAIL(err, MF_E_INVALID,
			    "it holds a private key: whoever published it must replace that key");
	/* JWT-12: "the kid parameter MUST be set" */
	if (!mf_json_string(mf_json_get(jwk, "kid"), &k->kid) || k->kid.n == 0)
		return MF_FAIL(err, MF_E_INVALID, "no kid");
	MF_TRY(number(jwk, k->rsa ? "n" : "x", &k->a, &a, err));
	MF_TRY(number(jwk, k->rsa ? "e" : "y", &k->b, &b, err));
	if (k->rsa)
		return mf_jws_pub_rsa(mf_buf_slice(&a), mf_buf_slice(&b), &k->pub, err);
	if (!mf_jws_curve_parse(k->crv, &curve))
		return MF_FAIL(err, MF_E_INTERNAL, "an unknown curve");
	return mf_jws_pub_ec(curve, mf_buf_slice(&a), mf_buf_slice(&b), &k->pub, err);
}

static bool
has_kid(const struct mf_jwk_set *set, struct mf_slice kid)
{
	for (size_t i = 0; i < set->n; i++)
		if (mf_slice_eq(set->keys[i].kid, kid))
			return true;
	return false;
}

static enum mf_status
read_keys(
    const struct mf_json_value *keys, enum mf_jwk_set_kind kind, struct mf_jwk_set *set, struct mf_err *err)
{
	for (size_t i = 0; i < mf_json_size(keys); i++) {
		const struct mf_json_value *jwk = mf_json_at(keys, i);
		struct jwk k = { 0 };
		if (mf_json_type(jwk) != MF_JSON_OBJECT)
			return MF_FAIL(err, MF_E_INVALID, "jwks: keys[%zu] is not an object", i);
		if (!concerns_us(jwk, kind, &k))
			continue;
		enum mf_status s = read_key(jwk, &k, err);
		if (s != MF_OK)
			return mf_err_wrap(err, s, "jwks: keys[%zu]", i);
		if (has_kid(set, k.kid)) {
			mf_jws_pub_free(k.pub);
			return MF_FAIL(err, MF_E_INVALID, "jwks: keys[%zu] has the kid of another key", i);
		}
		set->keys[set->n++] = k;
	}
	return MF_OK;
}

enum mf_status
mf_jwk_set_read(
    struct mf_slice in, enum mf_jwk_set_kind kind, struct mf_jwk_set **ret_set, struct mf_err *err)
{
	MF_AUTO(mf_jwk_set_free) struct mf_jwk_set *set = calloc(1, sizeof(*set));
	if (set == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "jwks: out of memory");
	atomic_init(&set->refs, 1);
	MF_TRY(mf_json_parse(in, MF_LIM_BUNDLE_JSON, &set->json, err));
	const struct mf_json_value *keys = mf_json_get(mf_json_root(set->json), "keys");
	if (mf_json_type(keys) != MF_JSON_ARRAY)
		return MF_FAIL(err, MF_E_INVALID, "jwks: no array of keys: this is no JWK Set");
	if (mf_json_size(keys) > MF_LIM_BUNDLE_KEYS)
		return MF_FAIL(
		    err, MF_E_TOOBIG, "jwks: %zu keys, at most %u", mf_json_size(keys), MF_LIM_BUNDLE_KEYS);
	set->keys = calloc(mf_json_size(keys) + 1, sizeof(*set->keys));
	if (set->keys == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "jwks: out of memory");
	MF_TRY(read_keys(keys, kind, set, err));
	*ret_set = MF_TAKE(set);
	return MF_OK;
}

size_t
mf_jwk_set_count(const struct mf_jwk_set *set)
{
	return set->n;
}

struct mf_slice
mf_jwk_set_kid(const struct mf_jwk_set *set, size_t i)
{
	return i < set->n ? set->keys[i].kid : mf_slice(NULL, 0);
}

const struct mf_jws_pub *
mf_jwk_set_find(const struct mf_jwk_set *set, struct mf_slice kid, enum mf_jws_alg alg)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct jwk *k = &set->keys[i];
		if (mf_slice_eq(k->kid, kid))
			return mf_jws_pub_fits(k->pub, alg) && (!k->has_alg || k->alg == alg) ? k->pub : NULL;
	}
	return NULL;
}

void
mf_jwk_set_put(const struct mf_jwk_set *set, const char *use, struct mf_jw *w)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct jwk *k = &set->keys[i];
		mf_jw_object_begin(w);
		mf_jw_kstr(w, "kty", k->rsa ? "RSA" : "EC");
		if (use != NULL)
			mf_jw_kstr(w, "use", use);
		mf_jw_kstring(w, "kid", k->kid);
		if (!k->rsa)
			mf_jw_kstring(w, "crv", k->crv);
		mf_jw_kstring(w, k->rsa ? "n" : "x", k->a);
		mf_jw_kstring(w, k->rsa ? "e" : "y", k->b);
		mf_jw_object_end(w);
	}
}

enum mf_status
mf_jwk_set_put_workload(const struct mf_jwk_set *set, struct mf_buf *to, struct mf_err *err)
{
	struct mf_jw w;
	mf_jw_init(&w, to, false);
	mf_jw_object_begin(&w);
	mf_jw_key(&w, "keys");
	mf_jw_array_begin(&w);
	mf_jwk_set_put(set, NULL, &w);
	mf_jw_array_end(&w);
	mf_jw_object_end(&w);
	return mf_jw_finish(&w, err);
}
