/* mayfly/jwt.h: JWT keys by trust domain, and what they validate. */
#include <mayfly/jwt.h>
#include <stdlib.h>

#include "client/fetch.h"
#include "client/handle.h"
#include "client/methods.h"
#include "client/status.h"
#include "client/take.h"
#include "codec/jwt_svid.h"
#include "workload.pb-c.h"

struct entry {
	char *td;
	struct mf_jwk_set *keys;
};

struct mayfly_jwt_bundles {
	atomic_uint refs;
	bool frozen;
	size_t n;
	struct entry *v;
};

struct mayfly_jwt {
	struct mf_jwt_svid *svid;
};

static enum mf_status
make(mayfly_jwt_bundles **ret, struct mf_err *err)
{
	mayfly_jwt_bundles *b = calloc(1, sizeof(*b));
	if (b == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "JWT bundles: out of memory");
	atomic_init(&b->refs, 1);
	*ret = b;
	return MF_OK;
}

mayfly_jwt_bundles *
mayfly_jwt_bundles_ref(const mayfly_jwt_bundles *bundles)
{
	mayfly_jwt_bundles *b = (mayfly_jwt_bundles *)(uintptr_t)bundles; /* as mayfly_bundles_ref */
	if (b != NULL)
		atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

void
mayfly_jwt_bundles_unref(const mayfly_jwt_bundles *bundles)
{
	mayfly_jwt_bundles *b = (mayfly_jwt_bundles *)(uintptr_t)bundles;
	if (b == NULL || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < b->n; i++) {
		free(b->v[i].td);
		mf_jwk_set_free(b->v[i].keys);
	}
	free(b->v);
	free(b);
}

static const struct mf_jwk_set *
keys_of(void *ctx, struct mf_slice td)
{
	const mayfly_jwt_bundles *b = ctx;
	for (size_t i = 0; i < b->n; i++)
		if (mf_slice_eq_str(td, b->v[i].td))
			return b->v[i].keys;
	return NULL;
}

static enum mf_status
put(mayfly_jwt_bundles *b, struct mf_slice td, struct mf_slice json, enum mf_jwk_set_kind kind,
    struct mf_err *err)
{
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
	MF_AUTO(mf_jwk_set_free) struct mf_jwk_set *keys = NULL;
	MF_TRY(mf_trust_domain_id(td, &id, err));
	struct mf_slice name = mf_spiffe_id_trust_domain(id);
	if (keys_of(b, name) != NULL)
		return MF_FAIL(err, MF_E_INVALID,
		    "JWT bundles: a trust domain is there already, and bundles are not merged");
	if (b->n >= MF_LIM_TRUST_DOMAINS)
		return MF_FAIL(
		    err, MF_E_TOOBIG, "JWT bundles: more than %u trust domains", MF_LIM_TRUST_DOMAINS);
	MF_TRY(mf_jwk_set_read(json, kind, &keys, err));
	struct entry *v = reallocarray(b->v, b->n + 1, sizeof(*v));
	if (v == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "JWT bundles: out of memory");
	b->v = v;
	v[b->n].td = mf_slice_dup_str(name);
	if (v[b->n].td == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "JWT bundles: out of memory");
	v[b->n++].keys = MF_TAKE(keys);
	return MF_OK;
}

MF_DEFINE_CLEANUP(mayfly_jwt_bundles, mayfly_jwt_bundles_unref)

enum mf_status
mf_take_jwt_bundles(const ProtobufCMessage *msg, mayfly_jwt_bundles **ret_bundles, struct mf_err *err)
{
	const JWTBundlesResponse *r = (const JWTBundlesResponse *)(const void *)msg;
	MF_AUTO(mayfly_jwt_bundles_unref) mayfly_jwt_bundles *b = NULL;
	if (r->n_bundles == 0)
		return MF_FAIL(err, MF_E_INVALID, "agent: an answer without a bundle");
	MF_TRY(make(&b, err));
	b->frozen = true;
	for (size_t i = 0; i < r->n_bundles; i++) {
		const JWTBundlesResponse__BundlesEntry *e = r->bundles[i];
		if (strncmp(e->key, "spiffe://", 9) != 0)
			return MF_FAIL(err, MF_E_INVALID,
			    "agent: bundle %zu is keyed by something else than spiffe://<trust domain>", i);
		if (e->value.len == 0) /* P-7: a trust domain without keys, whose tokens are all refused */
			continue;
		enum mf_status s = put(
		    b, mf_slice_str(e->key), mf_slice(e->value.data, e->value.len), MF_JWKS_WORKLOAD, err);
		if (s != MF_OK)
			return mf_err_wrap(err, s, "agent: bundle %zu", i);
	}
	*ret_bundles = MF_TAKE(b);
	return MF_OK;
}

static enum mf_status
take(void *ctx, const ProtobufCMessage *msg, struct mf_err *err)
{
	return mf_take_jwt_bundles(msg, ctx, err);
}

mayfly_status
mayfly_fetch_jwt_bundles(
    const mayfly_client *client, int timeout_ms, mayfly_jwt_bundles **ret_bundles, mayfly_error *err)
{
	const struct mf_fetch f = { &mf_wl_fetch_jwt_bundles, mf_wl_jwt_bundles_request, take, ret_bundles };
	return mf_fetch(client, &f, timeout_ms, err);
}

mayfly_status
mayfly_jwt_bundles_new(mayfly_jwt_bundles **ret_bundles, mayfly_error *err)
{
	struct mf_err e = { 0 };
	return mf_pub(make(ret_bundles, &e), &e, err);
}

mayfly_status
mayfly_jwt_bundles_add_json(
    mayfly_jwt_bundles *bundles, const char *trust_domain, const char *json, size_t n, mayfly_error *err)
{
	struct mf_err e = { 0 };
	enum mf_status s;
	if (bundles->frozen)
		s = MF_FAIL(&e, MF_E_STATE, "bundles of a snapshot do not change: make your own");
	else if (json == NULL)
		s = MF_FAIL(&e, MF_E_INVALID, "JWT bundles: no document");
	else
		s = put(bundles, mf_slice_str(trust_domain), mf_slice(json, n), MF_JWKS_SPIFFE, &e);
	return mf_pub(s, &e, err);
}

size_t
mayfly_jwt_bundles_count(const mayfly_jwt_bundles *bundles)
{
	return bundles->n;
}

const char *
mayfly_jwt_bundles_trust_domain(const mayfly_jwt_bundles *bundles, size_t i)
{
	return i < bundles->n ? bundles->v[i].td : NULL;
}

/* --- validation --- */

static enum mf_status
validate(const mayfly_jwt_bundles *bundles, const char *token, const char *audience, unsigned leeway_s,
    int64_t now_s, mayfly_jwt **ret_jwt, struct mf_err *err)
{
	if (bundles == NULL || token == NULL || audience == NULL || audience[0] == '\0')
		return MF_FAIL(err, MF_E_INVALID, "validation: without bundles, token or audience");
	if (leeway_s > MF_JWT_LEEWAY_MAX_S)
		return MF_FAIL(err, MF_E_INVALID, "validation: a leeway of %u s, at most %d", leeway_s,
		    MF_JWT_LEEWAY_MAX_S);
	const struct mf_jwt_svid_check check = { .audience = mf_slice_str(audience),
		.now_s = now_s == 0 ? mf_now().wall_us / 1000000 : now_s,
		.leeway_s = leeway_s,
		.keys_of = keys_of,
		.ctx = (void *)(uintptr_t)bundles };
	mayfly_jwt *jwt = calloc(1, sizeof(*jwt));
	if (jwt == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "validation: out of memory");
	enum mf_status s = mf_jwt_svid_validate(mf_slice_str(token), &check, &jwt->svid, err);
	if (s == MF_OK) {
		*ret_jwt = jwt;
		return s;
	}
	mayfly_jwt_free(jwt);
	return s == MF_E_NOMEM ? s : MF_E_UNAUTH; /* whatever is wrong with it, it is not accepted */
}

mayfly_status
mayfly_validate_jwt(const mayfly_jwt_bundles *bundles, const char *token, const char *audience,
    unsigned leeway_s, int64_t now_s, mayfly_jwt **ret_jwt, mayfly_error *err)
{
	struct mf_err e = { 0 };
	return mf_pub(validate(bundles, token, audience, leeway_s, now_s, ret_jwt, &e), &e, err);
}

void
mayfly_jwt_free(mayfly_jwt *jwt)
{
	if (jwt == NULL)
		return;
	mf_jwt_svid_free(jwt->svid);
	free(jwt);
}

const char *
mayfly_jwt_id(const mayfly_jwt *jwt)
{
	return mf_spiffe_id_str(mf_jwt_svid_id(jwt->svid));
}

int64_t
mayfly_jwt_expires(const mayfly_jwt *jwt)
{
	return mf_jwt_svid_exp_s(jwt->svid);
}

const char *
mayfly_jwt_claim(const mayfly_jwt *jwt, const char *name)
{
	struct mf_slice s;
	return mf_json_string(mf_json_get(mf_jwt_svid_claims(jwt->svid), name), &s) ? (const char *)s.p
										    : NULL;
}

mayfly_status
mayfly_jwt_claim_int(const mayfly_jwt *jwt, const char *name, int64_t *ret_value, mayfly_error *err)
{
	struct mf_err e = { 0 };
	if (mf_json_int(mf_json_get(mf_jwt_svid_claims(jwt->svid), name), ret_value))
		return MAYFLY_OK;
	return mf_pub(MF_FAIL(&e, MF_E_NOTFOUND, "the token has no such integer claim"), &e, err);
}

/* --- by the agent --- */

static enum mf_status
take_verdict(void *ctx, const ProtobufCMessage *msg, struct mf_err *err)
{
	const ValidateJWTSVIDResponse *r = (const ValidateJWTSVIDResponse *)(const void *)msg;
	char **ret_id = ctx;
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
	enum mf_status s = mf_spiffe_id_parse(mf_slice_str(r->spiffe_id), &id, err);
	if (s != MF_OK)
		return mf_err_wrap(err, s, "agent: its verdict");
	char *copy = mf_slice_dup_str(mf_spiffe_id_uri(id));
	if (copy == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "validation: out of memory");
	*ret_id = copy;
	return MF_OK;
}

mayfly_status
mayfly_validate_jwt_by_agent(const mayfly_client *client, const char *token, const char *audience,
    int timeout_ms, char **ret_id, mayfly_error *err)
{
	struct mf_err e = { 0 };
	mayfly_error answer = { .status = MAYFLY_OK };
	ValidateJWTSVIDRequest request = VALIDATE_JWTSVIDREQUEST__INIT;
	if (token == NULL || audience == NULL || token[0] == '\0' || audience[0] == '\0' ||
	    strlen(token) > MF_LIM_JWT)
		return mf_pub(
		    MF_FAIL(&e, MF_E_INVALID, "validation: no token or audience, or an overlong token"), &e,
		    err);
	request.svid = (char *)(uintptr_t)token; /* only read */
	request.audience = (char *)(uintptr_t)audience;
	const struct mf_fetch f = { &mf_wl_validate_jwt, &request.base, take_verdict, ret_id };
	mayfly_status s = mf_fetch(client, &f, timeout_ms, &answer);
	if (s == MAYFLY_E_INVALID && answer.grpc_code == (int)MF_GRPC_INVALID_ARGUMENT)
		s = answer.status =
		    MAYFLY_E_UNTRUSTED; /* what the standard makes an agent say of a bad token */
	if (s != MAYFLY_OK && err != NULL)
		*err = answer;
	return s;
}
