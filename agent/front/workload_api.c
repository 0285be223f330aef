#include "agent/front/workload_api.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "os/jlog.h"

#include "workload.pb-c.h"

#define CA_URI_MAX (sizeof("spiffe://") + MF_LIM_TRUST_DOMAIN)

struct mf_workload_api {
	struct mf_identities *ids;
	const struct mf_bundles *bundles;
	struct mf_grpc_service service;
	char own_td[CA_URI_MAX]; /* "spiffe://td" */
	struct mf_list streams;
	bool down;
	struct mf_workload_api_stats stats;
};

/* One open FetchX509SVID or FetchX509Bundles. */
struct stream {
	struct mf_job_call job;
	struct mf_workload_api *api;
	struct mf_list node;
	bool bundles;
	bool sent;		  /* a message went out */
	uint64_t marker, foreign; /* versions of what was sent last */
	bool blocked;		  /* the reader is slow: what is new then goes out when there is room */
};

enum mf_grpc_code
mf_workload_api_admit(void *ctx, struct mf_grpc_call *c, struct mf_err *why)
{
	MF_UNUSED(ctx);
	struct mf_slice value = mf_slice(NULL, 0);
	if (mf_slice_starts(mf_grpc_call_path(c), MF_SLICE_LIT("/grpc.health.v1.Health/")))
		return MF_GRPC_OK;
	if (mf_grpc_metadata(c, "workload.spiffe.io", &value) == 1 && mf_slice_eq_str(value, "true"))
		return MF_GRPC_OK;
	(void)MF_FAIL(why, MF_E_INVALID,
	    "security header missing or wrong: send the metadata workload.spiffe.io: true, exactly once");
	return MF_GRPC_INVALID_ARGUMENT;
}

static void
stream_free(struct stream *s)
{
	mf_job_call_end(&s->job);
	mf_list_del(&s->node);
	s->api->stats.streams--;
	free(s);
}

static void
finish(struct stream *s, enum mf_grpc_code code, const char *text)
{
	struct mf_grpc_call *c = s->job.call;
	if (code == MF_GRPC_PERMISSION_DENIED)
		s->api->stats.denied++;
	else
		s->api->stats.unavailable++;
	stream_free(s);
	mf_grpc_finish(c, code, text);
}

static ProtobufCBinaryData
data(struct mf_slice s)
{
	return (ProtobufCBinaryData) { s.n, (uint8_t *)(uintptr_t)s.p }; /* packing reads only */
}

static enum mf_status
send_svids(struct stream *s, const struct mf_svid_entry *e, struct mf_err *err)
{
	X509SVIDResponse m = X509_SVIDRESPONSE__INIT;
	X509SVID svids[MF_LIM_IDENTITIES], *list[MF_LIM_IDENTITIES];
	struct mf_slice bundle = mf_svid_cache_bundle(mf_identities_cache(s->api->ids));
	for (size_t i = 0; i < e->n_identities; i++) {
		const struct mf_svid_identity *id = &e->identities[i];
		svids[i] = (X509SVID)X509_SVID__INIT;
		svids[i].spiffe_id = id->spiffe_id;
		svids[i].hint = id->hint;
		svids[i].x509_svid = data(mf_buf_slice(&id->chain));
		svids[i].x509_svid_key = data(mf_secret_slice(id->key));
		svids[i].bundle = data(bundle);
		list[i] = &svids[i];
	}
	m.svids = list;
	m.n_svids = e->n_identities;
	/* WAPI-16: foreign trust domains only, by their ids; P-7: none that is empty. */
	X509SVIDResponse__FederatedBundlesEntry foreign[MF_LIM_FOREIGN], *flist[MF_LIM_FOREIGN];
	for (size_t i = 0; i < mf_bundles_foreign_count(s->api->bundles) && i < MF_LIM_FOREIGN; i++) {
		const struct mf_foreign *f = mf_bundles_foreign(s->api->bundles, i);
		if (f->x509.n == 0)
			continue;
		size_t k = m.n_federated_bundles++;
		foreign[k] =
		    (X509SVIDResponse__FederatedBundlesEntry)X509_SVIDRESPONSE__FEDERATED_BUNDLES_ENTRY__INIT;
		foreign[k].key = f->id;
		foreign[k].value = data(mf_buf_slice(&f->x509));
		flist[k] = &foreign[k];
	}
	m.federated_bundles = flist;
	return mf_grpc_send(s->job.call, &m.base, err);
}

static enum mf_status
send_bundles(struct stream *s, struct mf_err *err)
{
	X509BundlesResponse m = X509_BUNDLES_RESPONSE__INIT;
	X509BundlesResponse__BundlesEntry entry[1 + MF_LIM_FOREIGN], *list[1 + MF_LIM_FOREIGN];
	entry[0] = (X509BundlesResponse__BundlesEntry)X509_BUNDLES_RESPONSE__BUNDLES_ENTRY__INIT;
	entry[0].key = s->api->own_td;
	entry[0].value = data(mf_svid_cache_bundle(mf_identities_cache(s->api->ids)));
	list[0] = &entry[0];
	m.n_bundles = 1;
	for (size_t i = 0; i < mf_bundles_foreign_count(s->api->bundles) && i < MF_LIM_FOREIGN; i++) {
		const struct mf_foreign *f = mf_bundles_foreign(s->api->bundles, i);
		if (f->x509.n == 0)
			continue;
		size_t k = m.n_bundles++;
		entry[k] = (X509BundlesResponse__BundlesEntry)X509_BUNDLES_RESPONSE__BUNDLES_ENTRY__INIT;
		entry[k].key = f->id;
		entry[k].value = data(mf_buf_slice(&f->x509));
		list[k] = &entry[k];
	}
	m.bundles = list;
	return mf_grpc_send(s->job.call, &m.base, err);
}

/* Send the state unless it is what was sent last. */
static void
push(struct stream *s, struct mf_svid_entry *e)
{
	struct mf_err err = { 0 };
	uint64_t marker =
	    s->bundles ? mf_svid_cache_bundle_version(mf_identities_cache(s->api->ids)) : e->version;
	uint64_t foreign = mf_bundles_x509_version(s->api->bundles);
	if ((s->sent && s->marker == marker && s->foreign == foreign) || s->blocked)
		return;
	enum mf_status r = s->bundles ? send_bundles(s, &err) : send_svids(s, e, &err);
	if (r == MF_E_AGAIN) {
		s->blocked = true;
		return;
	}
	if (r != MF_OK) {
		mf_jlog_err(MF_LOG_ERROR, "workload.not_sent", "a message could not be sent", &err);
		finish(s, MF_GRPC_UNAVAILABLE, "the agent could not make its answer; try again");
		return;
	}
	s->marker = marker;
	s->foreign = foreign;
	s->api->stats.messages++;
	if (!s->sent) {
		s->sent = true;
		mf_job_call_settled(&s->job);
	}
	mf_identities_fetched(s->api->ids, e);
}

/* Look at caller and identity anew: the one place that decides what a stream gets. */
static void
look(struct stream *s)
{
	enum mf_job_view view = mf_job_call_view(&s->job);
	if (view == MF_JOB_WAIT)
		return;
	struct mf_svid_entry *e = mf_job_call_entry(&s->job);
	if (view == MF_JOB_DENIED || e == NULL || e->state == MF_SVID_REFUSED || e->state == MF_SVID_ENDED) {
		finish(s, MF_GRPC_PERMISSION_DENIED, MF_NO_IDENTITY);
		return;
	}
	if (mf_identities_servable(s->api->ids, e))
		push(s, e);
}

static void
on_changed(struct mf_job_call *j)
{
	look(MF_CONTAINER_OF(j, struct stream, job));
}

static void
on_timeout(struct mf_job_call *j, const char *why)
{
	char text[MF_SVID_TEXT_MAX + 64];
	(void)snprintf(text, sizeof(text), "no identity yet: %.400s; try again", why);
	finish(MF_CONTAINER_OF(j, struct stream, job), MF_GRPC_UNAVAILABLE, text);
}

static const struct mf_job_call_ops job_ops = { on_changed, on_timeout };

static void
begin(struct mf_grpc_call *c, bool bundles)
{
	struct mf_workload_api *w = mf_grpc_call_ctx(c);
	w->stats.fetches++;
	if (w->down) {
		w->stats.unavailable++;
		mf_grpc_finish(c, MF_GRPC_UNAVAILABLE, "the agent is going down");
		return;
	}
	struct stream *s = calloc(1, sizeof(*s));
	if (s == NULL) {
		w->stats.unavailable++;
		mf_grpc_finish(c, MF_GRPC_UNAVAILABLE, "the agent is out of memory; try again");
		return;
	}
	s->api = w;
	s->bundles = bundles;
	mf_list_init(&s->node);
	mf_list_add_tail(&w->streams, &s->node);
	w->stats.streams++;
	mf_grpc_call_set_user(c, s);
	mf_job_call_begin(&s->job, c, &job_ops, true);
	look(s);
}

static void
on_svid_message(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	MF_UNUSED(msg);
	begin(c, false);
}

static void
on_bundles_message(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	MF_UNUSED(msg);
	begin(c, true);
}

static void
on_writable(struct mf_grpc_call *c)
{
	struct stream *s = mf_grpc_call_user(c);
	if (s == NULL)
		return;
	s->blocked = false;
	look(s); /* by what is so now: entitlement is looked at again before each message (WAPI-25) */
}

static void
on_cancel(struct mf_grpc_call *c, enum mf_grpc_code why)
{
	MF_UNUSED(why);
	struct stream *s = mf_grpc_call_user(c);
	if (s != NULL)
		stream_free(s);
}

static const struct mf_grpc_server_ops svid_ops = {
	.on_message = on_svid_message, .on_writable = on_writable, .on_cancel = on_cancel
};
static const struct mf_grpc_server_ops bundles_ops = {
	.on_message = on_bundles_message, .on_writable = on_writable, .on_cancel = on_cancel
};

static const struct mf_grpc_method methods[] = {
	{ .path = "/SpiffeWorkloadAPI/FetchX509SVID",
	    .request = &x509_svidrequest__descriptor,
	    .response = &x509_svidresponse__descriptor,
	    .flags = MF_GRPC_SERVER_STREAM,
	    .ops = &svid_ops,
	    .max_message = 4096 },
	{ .path = "/SpiffeWorkloadAPI/FetchX509Bundles",
	    .request = &x509_bundles_request__descriptor,
	    .response = &x509_bundles_response__descriptor,
	    .flags = MF_GRPC_SERVER_STREAM,
	    .ops = &bundles_ops,
	    .max_message = 4096 },
};

enum mf_status
mf_workload_api_new(struct mf_identities *ids, const struct mf_bundles *bundles,
    struct mf_workload_api **ret_w, struct mf_err *err)
{
	struct mf_workload_api *w = calloc(1, sizeof(*w));
	if (w == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "workload api: out of memory");
	w->ids = ids;
	w->bundles = bundles;
	w->service = (struct mf_grpc_service) { methods, MF_COUNT(methods), w };
	mf_list_init(&w->streams);
	(void)snprintf(w->own_td, sizeof(w->own_td), "spiffe://%s",
	    mf_svid_cache_trust_domain(mf_identities_cache(ids)));
	*ret_w = w;
	return MF_OK;
}

void
mf_workload_api_free(struct mf_workload_api *w)
{
	free(w);
}

const struct mf_grpc_service *
mf_workload_api_service(const struct mf_workload_api *w)
{
	return &w->service;
}

struct mf_workload_api_stats
mf_workload_api_stats(const struct mf_workload_api *w)
{
	return w->stats;
}

void
mf_workload_api_bundles_changed(struct mf_workload_api *w)
{
	MF_LIST_EACH(n, &w->streams)
	look(MF_LIST_ITEM(n, struct stream, node));
}

void
mf_workload_api_shutdown(struct mf_workload_api *w)
{
	w->down = true;
	MF_LIST_EACH(n, &w->streams)
	finish(MF_LIST_ITEM(n, struct stream, node), MF_GRPC_UNAVAILABLE, "the agent is going down");
}
