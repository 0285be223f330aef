/* GetBundle: the SPIFFE bundle document, for those who may have the bundles of the Workload API, and when they may. */
#include <stdio.h>
#include <stdlib.h>

#include "agent/front/jobs_internal.h"
#include "agent/front/workload_api.h"
#include "base/limits.h"
#include "codec/bundle_json.h"

/* How often whoever stores the document should look for a newer one. */
#define REFRESH_HINT_S 300u

struct ask {
	struct mf_job_call job;
	struct mf_jobs_api *api;
	char trust_domain[MF_LIM_TRUST_DOMAIN + 1];
};

static void
ask_free(struct ask *a)
{
	mf_job_call_end(&a->job);
	free(a);
}

static void
finish(struct ask *a, enum mf_grpc_code code, const char *text)
{
	struct mf_grpc_call *c = a->job.call;
	ask_free(a);
	mf_grpc_finish(c, code, text);
}

static enum mf_status
put_document(const struct ask *a, struct mf_buf *to, struct mf_err *err)
{
	const struct mf_jobs_api_config *cfg = &a->api->cfg;
	const struct mf_bundles *b = cfg->bundles;
	const struct mf_svid_cache *cache = mf_identities_cache(cfg->ids);
	if (strcmp(a->trust_domain, mf_svid_cache_trust_domain(cache)) == 0) {
		if (mf_bundles_own(b) == NULL)
			return MF_FAIL(
			    err, MF_E_UNAVAILABLE, "the broker has not sent the JWT keys yet; try again");
		return mf_bundle_json_put(mf_svid_cache_bundle(cache), mf_bundles_own(b),
		    mf_bundles_sequence(b), REFRESH_HINT_S, to, err);
	}
	for (size_t i = 0; i < mf_bundles_foreign_count(b); i++) {
		const struct mf_foreign *f = mf_bundles_foreign(b, i);
		if (strcmp(a->trust_domain, f->trust_domain) == 0) /* its sequence is not ours to say */
			return mf_bundle_json_put(mf_buf_slice(&f->x509), f->jwt, 0, REFRESH_HINT_S, to, err);
	}
	return MF_FAIL(err, MF_E_NOTFOUND,
	    "no bundle of that trust domain: it is neither our own nor one of foreign_bundles in "
	    "broker.yaml");
}

static void
reply(struct ask *a)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf document;
	Mayfly__Job__V1__GetBundleResponse m = MAYFLY__JOB__V1__GET_BUNDLE_RESPONSE__INIT;
	struct mf_grpc_call *c = a->job.call;
	struct mf_err err = { 0 };
	mf_buf_init(&document, MF_LIM_BUNDLE_JSON);
	enum mf_status s = put_document(a, &document, &err);
	m.trust_domain = a->trust_domain;
	m.document = (ProtobufCBinaryData) { document.n, document.p };
	if (s == MF_OK)
		mf_grpc_reply(c, &m.base);
	else
		mf_grpc_fail(c, s, &err);
	ask_free(a);
}

static void
look(struct ask *a)
{
	enum mf_job_view view = mf_job_call_view(&a->job);
	if (view == MF_JOB_WAIT)
		return;
	struct mf_svid_entry *e = mf_job_call_entry(&a->job);
	if (view == MF_JOB_DENIED || e == NULL || e->state == MF_SVID_REFUSED || e->state == MF_SVID_ENDED)
		finish(a, MF_GRPC_PERMISSION_DENIED, MF_NO_IDENTITY);
	else if (mf_identities_servable(a->api->cfg.ids, e))
		reply(a);
}

static void
on_changed(struct mf_job_call *j)
{
	look(MF_CONTAINER_OF(j, struct ask, job));
}

static void
on_timeout(struct mf_job_call *j, const char *why)
{
	char text[MF_SVID_TEXT_MAX + 64];
	(void)snprintf(text, sizeof(text), "no identity yet: %.400s; try again", why);
	finish(MF_CONTAINER_OF(j, struct ask, job), MF_GRPC_UNAVAILABLE, text);
}

static const struct mf_job_call_ops job_ops = { on_changed, on_timeout };

static void
on_message(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	const Mayfly__Job__V1__GetBundleRequest *q = (const void *)msg;
	struct mf_jobs_api *api = mf_grpc_call_ctx(c);
	const char *td = q->trust_domain[0] != '\0'
			     ? q->trust_domain
			     : mf_svid_cache_trust_domain(mf_identities_cache(api->cfg.ids));
	if (strlen(td) > MF_LIM_TRUST_DOMAIN) {
		mf_grpc_finish(c, MF_GRPC_INVALID_ARGUMENT, "trust_domain is longer than any name");
		return;
	}
	struct ask *a = api->down ? NULL : calloc(1, sizeof(*a));
	if (a == NULL) {
		mf_grpc_finish(c, MF_GRPC_UNAVAILABLE,
		    api->down ? "the agent is going down" : "out of memory; try again");
		return;
	}
	a->api = api;
	memcpy(a->trust_domain, td, strlen(td) + 1);
	mf_grpc_call_set_user(c, a);
	mf_job_call_begin(&a->job, c, &job_ops, true);
	look(a);
}

static void
on_cancel(struct mf_grpc_call *c, enum mf_grpc_code why)
{
	MF_UNUSED(why);
	struct ask *a = mf_grpc_call_user(c);
	if (a != NULL)
		ask_free(a);
}

const struct mf_grpc_server_ops mf_jobs_bundle_ops = { .on_message = on_message, .on_cancel = on_cancel };
