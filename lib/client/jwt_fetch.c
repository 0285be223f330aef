/* mayfly/jwt.h: tokens from the agent. They are looked at, not believed: their keys are the services' business. */
#include <mayfly/jwt.h>
#include <stdlib.h>

#include "client/fetch.h"
#include "client/handle.h"
#include "client/methods.h"
#include "client/status.h"
#include "codec/json.h"
#include "codec/jwt_svid.h"
#include "workload.pb-c.h"

#define BEARER "Bearer "

struct token {
	char *id, *hint;
	struct mf_buf bearer; /* "Bearer <token>" and a NUL; wiped */
	int64_t exp_s;
};

struct mayfly_jwts {
	size_t n;
	struct token v[];
};

/* What was asked for: answers are compared with it. */
struct question {
	const char *const *audiences;
	size_t n;
	const char *id; /* NULL: any */
	int64_t now_s;
	mayfly_jwts **ret;
};

void
mayfly_jwts_free(mayfly_jwts *jwts)
{
	if (jwts == NULL)
		return;
	for (size_t i = 0; i < jwts->n; i++) {
		free(jwts->v[i].id);
		free(jwts->v[i].hint);
		mf_buf_fini(&jwts->v[i].bearer);
	}
	free(jwts);
}
MF_DEFINE_CLEANUP(mayfly_jwts, mayfly_jwts_free)

static bool
has_audience(const struct mf_json_value *aud, const char *want)
{
	struct mf_slice s;
	if (mf_json_string(aud, &s))
		return mf_slice_eq_str(s, want);
	for (size_t i = 0; i < mf_json_size(aud); i++)
		if (mf_json_string(mf_json_at(aud, i), &s) && mf_slice_eq_str(s, want))
			return true;
	return false;
}

/* P-13, P-17, WAPI-17: subject, audiences and dates are those that were asked for. */
static enum mf_status
look(const JWTSVID *m, const struct question *q, int64_t *ret_exp_s, struct mf_err *err)
{
	MF_AUTO(mf_jws_free) struct mf_jws *jws = NULL;
	MF_AUTO(mf_json_free) struct mf_json *doc = NULL;
	struct mf_slice sub;
	MF_TRY(mf_jws_parse(mf_slice_str(m->svid), &jws, err));
	MF_TRY(mf_json_parse(mf_jws_payload(jws), 0, &doc, err));
	const struct mf_json_value *claims = mf_json_root(doc);
	MF_TRY(mf_json_need_string(claims, "sub", &sub, err));
	if (!mf_slice_eq_str(sub, m->spiffe_id))
		return MF_FAIL(err, MF_E_INVALID, "the token is of another SPIFFE ID");
	for (size_t i = 0; i < q->n; i++)
		if (!has_audience(mf_json_get(claims, "aud"), q->audiences[i]))
			return MF_FAIL(
			    err, MF_E_INVALID, "the token lacks audience %zu of those asked for", i);
	MF_TRY(mf_json_need_int(claims, "exp", ret_exp_s, err));
	if (*ret_exp_s <= q->now_s)
		return MF_FAIL(err, MF_E_INVALID, "the token has expired (is the agent's clock right?)");
	return MF_OK;
}

static enum mf_status
take_one(const JWTSVID *m, const struct question *q, struct token *t, struct mf_err *err)
{
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
	if (m->spiffe_id[0] == '\0' || m->svid[0] == '\0')
		return MF_FAIL(err, MF_E_INVALID, "a mandatory field is empty");
	if (strlen(m->hint) > MF_LIM_HINT)
		return MF_FAIL(err, MF_E_TOOBIG, "a hint of more than %u bytes", MF_LIM_HINT);
	MF_TRY(mf_spiffe_id_parse(mf_slice_str(m->spiffe_id), &id, err));
	if (q->id != NULL && strcmp(m->spiffe_id, q->id) != 0)
		return MF_FAIL(err, MF_E_INVALID, "a token of another identity than the one asked for");
	MF_TRY(look(m, q, &t->exp_s, err));
	mf_buf_put_str(&t->bearer, BEARER);
	mf_buf_put_str(&t->bearer, m->svid);
	t->id = mf_slice_dup_str(mf_slice_str(m->spiffe_id));
	t->hint = mf_slice_dup_str(mf_slice_str(m->hint));
	if (mf_buf_cstr(&t->bearer) == NULL || t->id == NULL || t->hint == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "token: out of memory");
	return MF_OK;
}

/* WAPI-11 */
static bool
hint_is_taken(const mayfly_jwts *j, const char *hint)
{
	for (size_t i = 0; hint[0] != '\0' && i < j->n; i++)
		if (strcmp(j->v[i].hint, hint) == 0)
			return true;
	return false;
}

static enum mf_status
take(void *ctx, const ProtobufCMessage *msg, struct mf_err *err)
{
	const JWTSVIDResponse *r = (const JWTSVIDResponse *)(const void *)msg;
	const struct question *q = ctx;
	if (r->n_svids == 0)
		return MF_FAIL(err, MF_E_INVALID, "agent: an answer without a token");
	if (r->n_svids > MF_LIM_CLIENT_SVIDS)
		return MF_FAIL(
		    err, MF_E_TOOBIG, "agent: %zu tokens, at most %u", r->n_svids, MF_LIM_CLIENT_SVIDS);
	MF_AUTO(mayfly_jwts_free) mayfly_jwts *j = calloc(1, sizeof(*j) + r->n_svids * sizeof(j->v[0]));
	if (j == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "token: out of memory");
	for (size_t i = 0; i < r->n_svids; i++) {
		if (hint_is_taken(j, r->svids[i]->hint))
			continue;
		struct token *t = &j->v[j->n++];
		mf_buf_init(&t->bearer, sizeof(BEARER) + MF_LIM_JWT);
		enum mf_status s = take_one(r->svids[i], q, t, err);
		if (s != MF_OK)
			return mf_err_wrap(err, s, "agent: token %zu", i);
	}
	*q->ret = MF_TAKE(j);
	return MF_OK;
}

static enum mf_status
check_question(const struct question *q, struct mf_err *err)
{
	if (q->audiences == NULL || q->n == 0 || q->n > MF_LIM_JWT_AUDIENCES)
		return MF_FAIL(
		    err, MF_E_INVALID, "token: %zu audiences, not 1 to %u", q->n, MF_LIM_JWT_AUDIENCES);
	for (size_t i = 0; i < q->n; i++)
		MF_TRY(mf_jwt_audience_check(mf_slice_str(q->audiences[i]), err));
	return MF_OK;
}

mayfly_status
mayfly_fetch_jwt(const mayfly_client *client, const char *const *audiences, size_t n, const char *spiffe_id,
    int timeout_ms, mayfly_jwts **ret_jwts, mayfly_error *err)
{
	struct mf_err e = { 0 };
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
	struct question q = { audiences, n, NULL, mf_now().wall_us / 1000000, ret_jwts };
	enum mf_status s = check_question(&q, &e);
	if (s == MF_OK && spiffe_id != NULL)
		s = mf_spiffe_id_parse(mf_slice_str(spiffe_id), &id, &e);
	if (s != MF_OK)
		return mf_pub(s, &e, err);
	/* protobuf-c's strings are not const; it only reads them. */
	char *aud[MF_LIM_JWT_AUDIENCES];
	JWTSVIDRequest request = JWTSVIDREQUEST__INIT;
	for (size_t i = 0; i < n; i++)
		aud[i] = (char *)(uintptr_t)audiences[i];
	request.audience = aud;
	request.n_audience = n;
	if (id != NULL) {
		q.id = mf_spiffe_id_str(id);
		request.spiffe_id = (char *)(uintptr_t)q.id;
	}
	const struct mf_fetch f = { &mf_wl_fetch_jwt, &request.base, take, &q };
	return mf_fetch(client, &f, timeout_ms, err);
}

size_t
mayfly_jwts_count(const mayfly_jwts *jwts)
{
	return jwts->n;
}

const char *
mayfly_jwts_authorization(const mayfly_jwts *jwts, size_t i)
{
	return i < jwts->n ? (const char *)jwts->v[i].bearer.p : NULL;
}

const char *
mayfly_jwts_token(const mayfly_jwts *jwts, size_t i)
{
	const char *bearer = mayfly_jwts_authorization(jwts, i);
	return bearer == NULL ? NULL : bearer + sizeof(BEARER) - 1;
}

const char *
mayfly_jwts_id(const mayfly_jwts *jwts, size_t i)
{
	return i < jwts->n ? jwts->v[i].id : NULL;
}

const char *
mayfly_jwts_hint(const mayfly_jwts *jwts, size_t i)
{
	return i < jwts->n ? jwts->v[i].hint : NULL;
}

int64_t
mayfly_jwts_expires(const mayfly_jwts *jwts, size_t i)
{
	return i < jwts->n ? jwts->v[i].exp_s : 0;
}
