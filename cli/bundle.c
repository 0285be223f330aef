/* bundle: the CA certificates of the trust domain: from the agent inside a job, else from the broker; its JWT keys. */
#include "admin.pb-c.h"
#include "base/limits.h"
#include "base/text.h"
#include "cli/connect.h"
#include "cli/show.h"
#include "cli/verbs.h"
#include "codec/bundle.h"
#include "codec/pem.h"
#include "codec/x509_peek.h"
#include "job.pb-c.h"
#include "workload.pb-c.h"

#define BUNDLES_MAX 32u

struct bundle {
	const char *trust_domain; /* without "spiffe://" */
	struct mf_slice der;
};

struct bundles {
	ProtobufCMessage *msg; /* holds what the rest points to */
	struct bundle v[BUNDLES_MAX];
	size_t n;
};

static void
fini(struct bundles *b)
{
	mf_pb_free(b->msg);
}

static const char *
bare(const char *td)
{
	return strncmp(td, "spiffe://", 9) == 0 ? td + 9 : td;
}

static enum mf_status
from_agent(struct mf_cli *c, struct bundles *ret, struct mf_err *err)
{
	X509BundlesRequest req = X509_BUNDLES_REQUEST__INIT;
	MF_AUTO(mf_grpc_sync_free) struct mf_grpc_sync *sync = NULL;
	MF_AUTO(mf_grpc_sync_stream_free) struct mf_grpc_sync_stream *st = NULL;
	MF_TRY(mf_cli_agent(c, &sync, err));
	MF_TRY(mf_grpc_sync_open(sync, &mf_cli_fetch_x509_bundles, &st, err));
	MF_TRY(mf_grpc_sync_send(st, &req.base, err));
	MF_TRY(mf_grpc_sync_half_close(st, err));
	MF_TRY(mf_grpc_sync_recv(st, c->timeout_ms, &ret->msg, err));
	const X509BundlesResponse *r = (const X509BundlesResponse *)(const void *)ret->msg;
	if (r->n_bundles > BUNDLES_MAX)
		return MF_FAIL(
		    err, MF_E_TOOBIG, "more than %u trust domains in the agent's answer", BUNDLES_MAX);
	for (; ret->n < r->n_bundles; ret->n++)
		ret->v[ret->n] = (struct bundle) { bare(r->bundles[ret->n]->key),
			mf_slice(r->bundles[ret->n]->value.data, r->bundles[ret->n]->value.len) };
	return MF_OK;
}

static enum mf_status
from_broker(struct mf_cli *c, struct bundles *ret, struct mf_err *err)
{
	Mayfly__Admin__V1__GetBundleRequest req = MAYFLY__ADMIN__V1__GET_BUNDLE_REQUEST__INIT;
	MF_AUTO(mf_grpc_sync_free) struct mf_grpc_sync *sync = NULL;
	MF_TRY(mf_cli_admin(c, &sync, err));
	MF_TRY(mf_grpc_sync_unary(sync, &mf_cli_get_bundle, &req.base, &ret->msg, err));
	const Mayfly__Admin__V1__GetBundleResponse *r =
	    (const Mayfly__Admin__V1__GetBundleResponse *)(const void *)ret->msg;
	ret->v[ret->n++] = (struct bundle) { bare(r->trust_domain), mf_slice(r->ca_der.data, r->ca_der.len) };
	return MF_OK;
}

/* Inside a job the agent answers; whoever is none may still be an operator. */
static enum mf_status
get(struct mf_cli *c, struct bundles *ret, struct mf_err *err)
{
	struct mf_err second = { 0 };
	enum mf_status s = from_agent(c, ret, err);
	if (s != MF_E_DENIED && s != MF_E_UNAVAILABLE && s != MF_E_DEADLINE)
		return s;
	if (from_broker(c, ret, &second) == MF_OK)
		return MF_OK;
	char first[MF_ERR_MSG_MAX];
	memcpy(first, err->msg, sizeof(first));
	return MF_FAIL(err, s, "%.160s. Outside of a job the broker answers, but: %.160s", first, second.msg);
}

static enum mf_status
put_pem(struct mf_buf *to, struct mf_slice der, struct mf_err *err)
{
	struct mf_slice certs[MF_LIM_BUNDLE_CERTS];
	size_t n = 0;
	MF_TRY(mf_bundle_split(der, certs, MF_COUNT(certs), &n, err));
	for (size_t i = 0; i < n; i++)
		mf_pem_put(to, MF_PEM_CERTIFICATE, certs[i]);
	return mf_buf_check(to, err);
}

static enum mf_status
json_bundle(struct mf_jw *w, const struct bundle *b, struct mf_err *err)
{
	struct mf_slice certs[MF_LIM_BUNDLE_CERTS];
	size_t n = 0;
	MF_TRY(mf_bundle_split(b->der, certs, MF_COUNT(certs), &n, err));
	mf_jw_object_begin(w);
	mf_jw_kstr(w, "trust_domain", b->trust_domain);
	mf_jw_key(w, "certificates");
	mf_jw_array_begin(w);
	for (size_t i = 0; i < n; i++) {
		struct mf_x509_peek p;
		MF_AUTO_IN(mf_buf_fini) struct mf_buf t;
		mf_buf_init(&t, 128);
		MF_TRY(mf_x509_peek(certs[i], &p, err));
		mf_jw_object_begin(w);
		mf_jw_khex(w, "serial", p.serial);
		mf_time_put_s(&t, p.not_before_s);
		mf_jw_kstring(w, "not_before", mf_buf_slice(&t));
		mf_buf_reset(&t);
		mf_time_put_s(&t, p.not_after_s);
		mf_jw_kstring(w, "not_after", mf_buf_slice(&t));
		mf_show_pem_json(w, "pem", certs[i]);
		mf_jw_object_end(w);
	}
	mf_jw_array_end(w);
	mf_jw_object_end(w);
	return MF_OK;
}

static enum mf_status
render(const char *format, const struct bundle *v, size_t n, struct mf_buf *to, struct mf_err *err)
{
	struct mf_jw w;
	if (strcmp(format, "json") == 0) {
		mf_show_json_begin(&w, to, "BundleList");
		for (size_t i = 0; i < n; i++)
			MF_TRY(json_bundle(&w, &v[i], err));
		return mf_show_json_end(&w, err);
	}
	/* Two trust domains in one file of CA certificates would be trusted for each other's names. */
	if (n != 1)
		return MF_FAIL(err, MF_E_INVALID,
		    "there are bundles of %zu trust domains; choose one with --trust-domain TD (-o json "
		    "lists them)",
		    n);
	if (strcmp(format, "pem") == 0)
		return put_pem(to, v[0].der, err);
	mf_buf_put_slice(to, v[0].der);
	return mf_buf_check(to, err);
}

/* -o jwks: what verifies JWT-SVIDs, as the agent says it. */
static enum mf_status
show_jwks(struct mf_cli *c, const char *td, struct mf_err *err)
{
	JWTBundlesRequest req = JWTBUNDLES_REQUEST__INIT;
	MF_AUTO(mf_grpc_sync_free) struct mf_grpc_sync *sync = NULL;
	MF_AUTO(mf_grpc_sync_stream_free) struct mf_grpc_sync_stream *st = NULL;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	MF_TRY(mf_cli_agent(c, &sync, err));
	MF_TRY(mf_grpc_sync_open(sync, &mf_cli_fetch_jwt_bundles, &st, err));
	MF_TRY(mf_grpc_sync_send(st, &req.base, err));
	MF_TRY(mf_grpc_sync_half_close(st, err));
	MF_TRY(mf_grpc_sync_recv(st, c->timeout_ms, &msg, err));
	const JWTBundlesResponse *m = (const JWTBundlesResponse *)(const void *)msg;
	const JWTBundlesResponse__BundlesEntry *one = NULL;
	size_t n = 0;
	for (size_t i = 0; i < m->n_bundles; i++) {
		if (td != NULL && strcmp(bare(m->bundles[i]->key), bare(td)) != 0)
			continue;
		one = m->bundles[i];
		n++;
	}
	if (n == 0)
		return MF_FAIL(err, MF_E_NOTFOUND, "no JWT keys of trust domain %s", td == NULL ? "" : td);
	if (n > 1) /* keys of two trust domains in one set would be trusted for each other's names */
		return MF_FAIL(err, MF_E_INVALID,
		    "there are JWT keys of %zu trust domains; choose one with --trust-domain TD", n);
	mf_cli_write(c, mf_slice(one->value.data, one->value.len));
	mf_cli_write(c, MF_SLICE_LIT("\n"));
	return MF_OK;
}

/* -o spiffe: the bundle document with both kinds of keys, as the agent makes it. */
static enum mf_status
show_spiffe(struct mf_cli *c, const char *td, struct mf_err *err)
{
	Mayfly__Job__V1__GetBundleRequest req = MAYFLY__JOB__V1__GET_BUNDLE_REQUEST__INIT;
	MF_AUTO(mf_grpc_sync_free) struct mf_grpc_sync *sync = NULL;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	if (td != NULL)
		req.trust_domain = (char *)(uintptr_t)bare(td);
	MF_TRY(mf_cli_agent(c, &sync, err));
	MF_TRY(mf_grpc_sync_unary(sync, &mf_cli_job_bundle, &req.base, &msg, err));
	const Mayfly__Job__V1__GetBundleResponse *m =
	    (const Mayfly__Job__V1__GetBundleResponse *)(const void *)msg;
	mf_cli_write(c, mf_slice(m->document.data, m->document.len));
	mf_cli_write(c, MF_SLICE_LIT("\n"));
	return MF_OK;
}

int
mf_cli_bundle_show(struct mf_cli *c)
{
	struct mf_err err = { 0 };
	MF_AUTO_IN(fini) struct bundles b = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out;
	mf_buf_init(&out, MF_SHOW_MAX);
	const char *format = mf_cli_get(c, "output"), *td = mf_cli_get(c, "trust-domain");
	if (format == NULL)
		format = "pem";
	if (strcmp(format, "jwks") == 0)
		return show_jwks(c, td, &err) == MF_OK ? MF_EXIT_OK : mf_cli_fail(c, &err);
	if (strcmp(format, "spiffe") == 0)
		return show_spiffe(c, td, &err) == MF_OK ? MF_EXIT_OK : mf_cli_fail(c, &err);
	if (strcmp(format, "pem") != 0 && strcmp(format, "der") != 0 && strcmp(format, "json") != 0)
		return mf_cli_usage(c, "-o %s: must be pem, der, json, jwks or spiffe", format);
	enum mf_status s = get(c, &b, &err);
	if (s == MF_OK && td != NULL) {
		size_t kept = 0;
		for (size_t i = 0; i < b.n; i++)
			if (strcmp(b.v[i].trust_domain, bare(td)) == 0)
				b.v[kept++] = b.v[i];
		b.n = kept;
		if (kept == 0)
			s = MF_FAIL(&err, MF_E_NOTFOUND, "no bundle of trust domain %s", td);
	}
	if (s == MF_OK)
		s = render(format, b.v, b.n, &out, &err);
	if (s != MF_OK)
		return mf_cli_fail(c, &err);
	mf_cli_write(c, mf_buf_slice(&out));
	return MF_EXIT_OK;
}
