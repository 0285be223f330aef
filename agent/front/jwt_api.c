#include <stdio.h>
#include <stdlib.h>

#include "agent/front/jwt_internal.h"
#include "agent/front/workload_api.h"
#include "base/rand.h"
#include "codec/jwt_svid.h"
#include "codec/spiffe_id.h"

#define TOKEN_AND_NAMES (MF_LIM_JWT + MF_LIM_SPIFFE_ID + MF_LIM_JWT_AUDIENCES * MF_LIM_JWT_AUDIENCE)

static void
call_free(struct jwt_call *c)
{
	mf_job_call_end(&c->job);
	mf_list_del(&c->node);
	mf_buf_fini(&c->text); /* a token may be in it: wiped */
	c->api->stats.streams -= c->kind == JWT_BUNDLES;
	free(c);
}

void
mf_jwt_finish(struct jwt_call *c, enum mf_grpc_code code, const char *text)
{
	struct mf_grpc_call *call = c->job.call;
	struct mf_jwt_api *j = c->api;
	j->stats.refused += code == MF_GRPC_PERMISSION_DENIED;
	j->stats.unavailable += code == MF_GRPC_UNAVAILABLE;
	call_free(c);
	mf_grpc_finish(call, code, text);
}

void
mf_jwt_reply(struct jwt_call *c, const ProtobufCMessage *msg)
{
	mf_grpc_reply(c->job.call, msg);
	call_free(c);
}

/* Look at caller and identity anew: the one place that decides what a call gets. */
static void
look(struct jwt_call *c)
{
	enum mf_job_view view = mf_job_call_view(&c->job);
	if (view == MF_JOB_WAIT)
		return;
	struct mf_svid_entry *e = mf_job_call_entry(&c->job);
	if (view == MF_JOB_DENIED || e == NULL || e->state == MF_SVID_REFUSED || e->state == MF_SVID_ENDED) {
		mf_jwt_finish(c, MF_GRPC_PERMISSION_DENIED, MF_NO_IDENTITY);
		return;
	}
	if (!mf_identities_servable(c->api->cfg.ids, e))
		return;
	if (c->kind == JWT_FETCH) {
		mf_jwt_fetch(c, e);
	} else if (mf_bundles_own(c->api->cfg.bundles) != NULL) {
		if (c->kind == JWT_VALIDATE)
			mf_jwt_validate(c);
		else
			mf_jwt_push_bundles(c, e);
	}
}

static void
on_changed(struct mf_job_call *j)
{
	look(MF_CONTAINER_OF(j, struct jwt_call, job));
}

static void
on_timeout(struct mf_job_call *j, const char *why)
{
	struct jwt_call *c = MF_CONTAINER_OF(j, struct jwt_call, job);
	const struct mf_svid_entry *e = mf_job_call_entry(j);
	char text[MF_SVID_TEXT_MAX + 64];
	bool known = e != NULL && mf_identities_servable(c->api->cfg.ids, e);
	const char *no_session = mf_identities_why_not(c->api->cfg.ids);
	(void)snprintf(text, sizeof(text), "not yet: %.400s; try again",
	    !known		    ? why
	    : no_session[0] != '\0' ? no_session
	    : c->kind == JWT_FETCH  ? "the broker has not answered"
				    : "the broker has not sent the JWT bundle");
	mf_jwt_finish(c, MF_GRPC_UNAVAILABLE, text);
}

static const struct mf_job_call_ops job_ops = { on_changed, on_timeout };

static struct jwt_call *
new_call(struct mf_grpc_call *call, enum jwt_kind kind)
{
	struct mf_jwt_api *j = mf_grpc_call_ctx(call);
	struct jwt_call *c = j->down ? NULL : calloc(1, sizeof(*c));
	j->stats.fetches++;
	if (c == NULL) {
		j->stats.unavailable++;
		mf_grpc_finish(call, MF_GRPC_UNAVAILABLE,
		    j->down ? "the agent is going down" : "the agent is out of memory; try again");
		return NULL;
	}
	c->api = j;
	c->kind = kind;
	mf_buf_init(&c->text, TOKEN_AND_NAMES);
	mf_list_init(&c->node);
	mf_list_add_tail(&j->calls, &c->node);
	j->stats.streams += kind == JWT_BUNDLES;
	mf_grpc_call_set_user(call, c);
	return c;
}

static void
begin(struct jwt_call *c, struct mf_grpc_call *call)
{
	mf_job_call_begin(&c->job, call, &job_ops, true);
	look(c);
}

/* A rule of the request is broken: nobody is asked who calls. */
static void
invalid(struct mf_grpc_call *call, const char *text)
{
	mf_grpc_finish(call, MF_GRPC_INVALID_ARGUMENT, text);
}

/* ---- FetchJWTSVID ---- */

/* NULL when all of it may be asked for; else what is wrong, in ${err}. */
static const char *
fetch_trouble(const JWTSVIDRequest *m, struct mf_err *err)
{
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
	/* WAPI-7: "FetchJWTSVID no audience -> InvalidArgument" */
	if (m->n_audience == 0)
		return "audience is missing: a token is for somebody";
	if (m->n_audience > MF_LIM_JWT_AUDIENCES)
		return "more than 16 audiences in one token";
	for (size_t i = 0; i < m->n_audience; i++)
		if (mf_jwt_audience_check(mf_slice_str(m->audience[i]), err) != MF_OK)
			return err->msg;
	if (m->spiffe_id[0] != '\0' && mf_spiffe_id_parse(mf_slice_str(m->spiffe_id), &id, err) != MF_OK)
		return err->msg;
	return NULL;
}

static bool
keep_fetch(struct jwt_call *c, const JWTSVIDRequest *m)
{
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
	size_t at[MF_LIM_JWT_AUDIENCES];
	for (size_t i = 0; i < m->n_audience; i++) {
		at[i] = c->text.n;
		mf_buf_put_str(&c->text, m->audience[i]);
	}
	size_t name = c->text.n;
	if (m->spiffe_id[0] != '\0') {
		if (mf_spiffe_id_parse(mf_slice_str(m->spiffe_id), &id, NULL) != MF_OK)
			return false;
		mf_buf_put_slice(&c->text, mf_spiffe_id_uri(id)); /* folded (ID-6) */
	}
	if (mf_buf_check(&c->text, NULL) != MF_OK)
		return false;
	for (size_t i = 0; i < m->n_audience; i++)
		c->audiences[i] = mf_slice_sub(mf_buf_slice(&c->text), at[i], strlen(m->audience[i]));
	c->audiences_n = m->n_audience;
	c->spiffe_id = mf_slice_sub(mf_buf_slice(&c->text), name, c->text.n);
	return true;
}

static void
on_fetch(struct mf_grpc_call *call, const ProtobufCMessage *msg)
{
	const JWTSVIDRequest *m = (const void *)msg;
	struct mf_err err = { 0 };
	const char *why = fetch_trouble(m, &err);
	if (why != NULL) {
		invalid(call, why);
		return;
	}
	struct jwt_call *c = new_call(call, JWT_FETCH);
	if (c == NULL)
		return;
	if (keep_fetch(c, m)) {
		begin(c, call);
		return;
	}
	mf_job_call_begin(&c->job, call, &job_ops, true);
	mf_jwt_finish(c, MF_GRPC_UNAVAILABLE, "the agent is out of memory; try again");
}

/* ---- ValidateJWTSVID ---- */

static void
on_validate(struct mf_grpc_call *call, const ProtobufCMessage *msg)
{
	const ValidateJWTSVIDRequest *m = (const void *)msg;
	struct mf_err err = { 0 };
	size_t n = strlen(m->svid);
	/* WAPI-7, E-5: at once. */
	if (mf_jwt_audience_check(mf_slice_str(m->audience), &err) != MF_OK) {
		invalid(call, err.msg);
		return;
	}
	if (n == 0 || n > MF_LIM_JWT) {
		invalid(call, n == 0 ? "svid is missing" : "svid is longer than any JWT-SVID");
		return;
	}
	struct jwt_call *c = new_call(call, JWT_VALIDATE);
	if (c == NULL)
		return;
	size_t a = strlen(m->audience);
	mf_buf_put_str(&c->text, m->audience);
	mf_buf_put_str(&c->text, m->svid);
	if (mf_buf_check(&c->text, NULL) != MF_OK) {
		mf_job_call_begin(&c->job, call, &job_ops, true);
		mf_jwt_finish(c, MF_GRPC_UNAVAILABLE, "the agent is out of memory; try again");
		return;
	}
	c->audiences[0] = mf_slice_sub(mf_buf_slice(&c->text), 0, a);
	c->token = mf_slice_sub(mf_buf_slice(&c->text), a, n);
	begin(c, call);
}

/* ---- FetchJWTBundles ---- */

static void
on_bundles(struct mf_grpc_call *call, const ProtobufCMessage *msg)
{
	MF_UNUSED(msg);
	struct jwt_call *c = new_call(call, JWT_BUNDLES);
	if (c != NULL)
		begin(c, call);
}

static void
on_writable(struct mf_grpc_call *call)
{
	struct jwt_call *c = mf_grpc_call_user(call);
	if (c == NULL)
		return;
	c->blocked = false;
	look(c); /* by what is so now (WAPI-25) */
}

static void
on_cancel(struct mf_grpc_call *call, enum mf_grpc_code why)
{
	MF_UNUSED(why);
	struct jwt_call *c = mf_grpc_call_user(call);
	if (c != NULL)
		call_free(c);
}

/* ---- all calls ---- */

void
mf_jwt_api_look(struct mf_jwt_api *j)
{
	MF_LIST_EACH(p, &j->calls)
	look(MF_LIST_ITEM(p, struct jwt_call, node));
}

void
mf_jwt_api_distrust(struct mf_jwt_api *j, const struct mf_distrust *d)
{
	j->distrust = *d;
	MF_SVID_EACH(e, mf_identities_cache(j->cfg.ids))
	j->stats.distrusted += mf_jwt_cache_distrust(&e->jwts, d);
}

void
mf_jwt_api_bundles_changed(struct mf_jwt_api *j)
{
	mf_jwt_api_look(j);
}

void
mf_jwt_api_link_closed(struct mf_jwt_api *j)
{
	/* What was asked is void; who waits asks again when there is somebody to ask. */
	mf_jwt_mint_fini(j);
	MF_SVID_EACH(e, mf_identities_cache(j->cfg.ids))
	mf_jwt_cache_void(&e->jwts);
}

void
mf_jwt_api_shutdown(struct mf_jwt_api *j)
{
	j->down = true;
	MF_LIST_EACH(p, &j->calls)
	mf_jwt_finish(MF_LIST_ITEM(p, struct jwt_call, node), MF_GRPC_UNAVAILABLE, "the agent is going down");
}

static const struct mf_grpc_server_ops fetch_ops = { .on_message = on_fetch, .on_cancel = on_cancel };
static const struct mf_grpc_server_ops validate_ops = { .on_message = on_validate, .on_cancel = on_cancel };
static const struct mf_grpc_server_ops bundles_ops = {
	.on_message = on_bundles, .on_writable = on_writable, .on_cancel = on_cancel
};

static const struct mf_grpc_method methods[] = {
	{ .path = "/SpiffeWorkloadAPI/FetchJWTSVID",
	    .request = &jwtsvidrequest__descriptor,
	    .response = &jwtsvidresponse__descriptor,
	    .flags = MF_GRPC_UNARY,
	    .ops = &fetch_ops,
	    .max_message = 131072 },
	{ .path = "/SpiffeWorkloadAPI/FetchJWTBundles",
	    .request = &jwtbundles_request__descriptor,
	    .response = &jwtbundles_response__descriptor,
	    .flags = MF_GRPC_SERVER_STREAM,
	    .ops = &bundles_ops,
	    .max_message = 4096 },
	{ .path = "/SpiffeWorkloadAPI/ValidateJWTSVID",
	    .request = &validate_jwtsvidrequest__descriptor,
	    .response = &validate_jwtsvidresponse__descriptor,
	    .flags = MF_GRPC_UNARY,
	    .ops = &validate_ops,
	    .max_message = 131072 },
};

enum mf_status
mf_jwt_api_new(const struct mf_jwt_api_config *cfg, struct mf_jwt_api **ret_j, struct mf_err *err)
{
	struct mf_jwt_api *j = calloc(1, sizeof(*j));
	if (j == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "jwt api: out of memory");
	j->cfg = *cfg;
	j->service = (struct mf_grpc_service) { methods, MF_COUNT(methods), j };
	mf_list_init(&j->calls);
	mf_rand_bytes(&j->next_mint, sizeof(j->next_mint)); /* an older front's answers are nobody's */
	*ret_j = j;
	return MF_OK;
}

void
mf_jwt_api_free(struct mf_jwt_api *j)
{
	if (j == NULL)
		return;
	mf_jwt_mint_fini(j);
	free(j);
}

const struct mf_grpc_service *
mf_jwt_api_service(const struct mf_jwt_api *j)
{
	return &j->service;
}

struct mf_jwt_api_stats
mf_jwt_api_stats(const struct mf_jwt_api *j)
{
	return j->stats;
}
