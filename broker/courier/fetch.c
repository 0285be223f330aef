#include "broker/courier/fetch.h"

#include <stdlib.h>

#include "broker/backends/common/outcome.h"
#include "codec/json.h"
#include "codec/url.h"

#define WELL_KNOWN "/.well-known/openid-configuration"

struct mf_fetch {
	const Mayfly__Roles__V1__CloudFetchRequest *req;
	struct mf_cloud_outcome out;
	struct mf_buf url, discovery, jwks;
	struct mf_http_header accept;
	bool second;
};

enum mf_status
mf_fetch_new(const Mayfly__Roles__V1__CloudFetchRequest *req, struct mf_fetch **ret_f, struct mf_err *err)
{
	struct mf_url u;
	MF_TRY(mf_url_parse(mf_slice_str(req->issuer), &u, err));
	struct mf_fetch *f = calloc(1, sizeof(*f));
	if (f == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "fetch: out of memory");
	f->req = req;
	f->accept = (struct mf_http_header) { "Accept", "application/json" };
	mf_outcome_init(&f->out, 0);
	mf_buf_init(&f->url, 2 * MF_URL_MAX);
	mf_buf_init(&f->discovery, MF_FETCH_DOCUMENT);
	mf_buf_init(&f->jwks, MF_FETCH_DOCUMENT);
	*ret_f = f;
	return MF_OK;
}

void
mf_fetch_free(struct mf_fetch *f)
{
	if (f == NULL)
		return;
	mf_buf_fini(&f->url);
	mf_buf_fini(&f->discovery);
	mf_buf_fini(&f->jwks);
	free(f);
}

static enum mf_cloud_step
get(struct mf_fetch *f, struct mf_http_request *to)
{
	*to = (struct mf_http_request) {
		.method = "GET", .url = mf_buf_cstr(&f->url), .headers = &f->accept, .headers_n = 1
	};
	if (to->url != NULL)
		return MF_CLOUD_SEND;
	mf_outcome_set(&f->out, "bug", "fetch: a URL that is too long");
	return MF_CLOUD_DONE;
}

/* "jwks_uri" of the discovery document, whose "issuer" must be the one that was asked for. */
static bool
read_discovery(struct mf_fetch *f)
{
	MF_AUTO(mf_json_free) struct mf_json *doc = NULL;
	struct mf_slice issuer, uri;
	struct mf_url u;
	if (mf_json_parse(mf_buf_slice(&f->discovery), 0, &doc, NULL) != MF_OK ||
	    !mf_json_string(mf_json_get(mf_json_root(doc), "issuer"), &issuer) ||
	    !mf_json_string(mf_json_get(mf_json_root(doc), "jwks_uri"), &uri)) {
		mf_outcome_set(&f->out, "issuer", "discovery: no JSON object with issuer and jwks_uri");
		return false;
	}
	if (!mf_slice_eq_str(issuer, f->req->issuer)) {
		mf_outcome_set(&f->out, "issuer",
		    "discovery: it names another issuer: they must be equal byte for byte");
		return false;
	}
	if (mf_url_parse(uri, &u, NULL) != MF_OK || (!u.https && !f->req->loopback)) {
		mf_outcome_set(&f->out, "issuer", "discovery: jwks_uri must be an https URL");
		return false;
	}
	mf_buf_reset(&f->url);
	mf_buf_put_slice(&f->url, uri);
	return true;
}

enum mf_cloud_step
mf_fetch_next(struct mf_fetch *f, const struct mf_http_reply *reply, struct mf_http_request *to)
{
	if (reply == NULL) {
		mf_buf_put_str(&f->url, f->req->issuer);
		mf_buf_put_str(&f->url, WELL_KNOWN);
		return get(f, to);
	}
	const char *what = f->second ? "jwks" : "discovery";
	struct mf_buf *doc = f->second ? &f->jwks : &f->discovery;
	if (reply->status == 0) {
		mf_outcome_no_reply(&f->out, what, reply, false);
		return MF_CLOUD_DONE;
	}
	mf_buf_put_slice(doc, reply->body);
	if (reply->status != 200 || reply->cut || doc->failed != MF_OK) {
		mf_outcome_set(&f->out, "issuer", "%s: HTTP %u%s", what, reply->status,
		    reply->cut || doc->failed != MF_OK ? ", cut or too long" : "");
		return MF_CLOUD_DONE;
	}
	if (f->second || !read_discovery(f))
		return MF_CLOUD_DONE;
	f->second = true;
	return get(f, to);
}

void
mf_fetch_result(const struct mf_fetch *f, Mayfly__Roles__V1__CloudFetchResult *to)
{
	to->error = (char *)(uintptr_t)f->out.error;
	to->reason = (char *)(uintptr_t)f->out.reason;
	if (f->out.error[0] != '\0')
		return;
	to->discovery = (ProtobufCBinaryData) { f->discovery.n, f->discovery.p };
	to->jwks = (ProtobufCBinaryData) { f->jwks.n, f->jwks.p };
}
