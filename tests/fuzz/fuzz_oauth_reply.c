/* Replies of authorization servers, and the documents of an issuer. The first byte chooses the task and the status. */
#include <stdlib.h>

#include "broker/backends/token_backend.h"
#include "broker/courier/fetch.h"
#include "rpc/pb_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *
text(const char *s)
{
	return (char *)(uintptr_t)s;
}

static void
packs(const ProtobufCMessage *m)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 1 << 20);
	if (mf_pb_pack(m, &b, NULL) != MF_OK)
		abort();
}

static void
fetch(const struct mf_http_reply *reply)
{
	Mayfly__Roles__V1__CloudFetchRequest f = MAYFLY__ROLES__V1__CLOUD_FETCH_REQUEST__INIT;
	Mayfly__Roles__V1__CloudFetchResult res = MAYFLY__ROLES__V1__CLOUD_FETCH_RESULT__INIT;
	struct mf_fetch *op = NULL;
	struct mf_http_request req;
	f.issuer = text("https://a");
	if (mf_fetch_new(&f, &op, NULL) != MF_OK)
		abort();
	enum mf_cloud_step s = mf_fetch_next(op, NULL, &req);
	for (unsigned i = 0; s == MF_CLOUD_SEND; i++) {
		if (i > 2)
			abort();
		s = mf_fetch_next(op, reply, &req);
	}
	mf_fetch_result(op, &res);
	packs(&res.base);
	mf_fetch_free(op);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned statuses[] = { 200, 400, 401, 503 };
	static uint8_t bytes[] = "a.b.c";
	Mayfly__Roles__V1__CloudTarget t = MAYFLY__ROLES__V1__CLOUD_TARGET__INIT;
	Mayfly__Roles__V1__MintRequest m = MAYFLY__ROLES__V1__MINT_REQUEST__INIT;
	Mayfly__Roles__V1__CloudProbeRequest p = MAYFLY__ROLES__V1__CLOUD_PROBE_REQUEST__INIT;
	Mayfly__Roles__V1__MintResult mr = MAYFLY__ROLES__V1__MINT_RESULT__INIT;
	Mayfly__Roles__V1__CloudProbeResult pr = MAYFLY__ROLES__V1__CLOUD_PROBE_RESULT__INIT;
	struct mf_cloud_op *op = NULL;
	struct mf_http_request req;
	if (size == 0)
		return 0;
	struct mf_http_reply reply = {
		.status = statuses[data[0] & 3], .sent = true, .body = mf_slice(data + 1, size - 1)
	};
	fetch(&reply);
	bool probe = (data[0] & 4) != 0;
	t.endpoint = t.introspection_endpoint = text("https://op/token");
	t.revocation_endpoint = text("https://op/revoke");
	t.flow = text("jwt-bearer");
	m.assertion = p.handle = (ProtobufCBinaryData) { sizeof(bytes) - 1, bytes };
	struct mf_cloud_job job = { .target = &t, .mint = &m, .probe = &p, .now_s = 1795300000 };
	if (mf_backend_oauth.start(probe ? MF_CLOUD_PROBE : MF_CLOUD_MINT, &job, &op, NULL) != MF_OK ||
	    mf_backend_oauth.next(op, NULL, &req) != MF_CLOUD_SEND ||
	    mf_backend_oauth.next(op, &reply, &req) != MF_CLOUD_DONE)
		abort();
	if (probe) {
		mf_backend_oauth.probe_result(op, &pr);
		packs(&pr.base);
	} else {
		mf_backend_oauth.mint_result(op, &mr);
		packs(&mr.base);
	}
	mf_backend_oauth.free(op);
	return 0;
}
