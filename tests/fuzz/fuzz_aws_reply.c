/*
 * Replies of STS and IAM: whatever comes, the ops end, and what they then say can be packed. The first byte chooses the task and
 * the status; the rest is the body of every reply.
 */
#include <stdlib.h>

#include "broker/backends/aws_sts/internal.h"
#include "broker/backends/aws_sts/xml.h"
#include "base/limits.h"
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
drive(enum mf_cloud_task task, const struct mf_cloud_job *job, const struct mf_http_reply *reply)
{
	struct mf_cloud_op *op = NULL;
	struct mf_http_request req;
	Mayfly__Roles__V1__MintResult m = MAYFLY__ROLES__V1__MINT_RESULT__INIT;
	Mayfly__Roles__V1__CloudRevokeResult r = MAYFLY__ROLES__V1__CLOUD_REVOKE_RESULT__INIT;
	if (mf_backend_aws_sts.start(task, job, &op, NULL) != MF_OK)
		abort();
	enum mf_cloud_step s = mf_backend_aws_sts.next(op, NULL, &req);
	for (unsigned i = 0; s == MF_CLOUD_SEND; i++) {
		if (i > 16)
			abort();
		s = mf_backend_aws_sts.next(op, reply, &req);
	}
	if (task == MF_CLOUD_MINT) {
		mf_backend_aws_sts.mint_result(op, &m);
		packs(&m.base);
	} else {
		mf_backend_aws_sts.revoke_result(op, &r);
		packs(&r.base);
	}
	mf_backend_aws_sts.free(op);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned statuses[] = { 200, 400, 403, 404, 409, 500, 503, 301 };
	static uint8_t bytes[] = "a.b.c";
	Mayfly__Roles__V1__CloudTarget t = MAYFLY__ROLES__V1__CLOUD_TARGET__INIT;
	Mayfly__Roles__V1__MintRequest m = MAYFLY__ROLES__V1__MINT_REQUEST__INIT;
	Mayfly__Roles__V1__CloudRevokeRequest r = MAYFLY__ROLES__V1__CLOUD_REVOKE_REQUEST__INIT;
	Mayfly__Roles__V1__CloudDeny d = MAYFLY__ROLES__V1__CLOUD_DENY__INIT, *list[] = { &d };
	struct mf_cloud_job job = { .target = &t, .now_s = 1795300000 };
	if (size == 0)
		return 0;
	t.endpoint = text("http://127.0.0.1:8000");
	t.access_key = t.secret_key = text("k");
	m.role = r.role = text("arn:aws:iam:::role/r");
	m.assertion = (ProtobufCBinaryData) { sizeof(bytes) - 1, bytes };
	d.tag = text("mayfly-job");
	d.value = text("j-1");
	r.deny = list;
	r.n_deny = 1;
	struct mf_http_reply reply = {
		.status = statuses[data[0] & 7], .sent = true, .body = mf_slice(data + 1, size - 1)
	};
	if ((data[0] & 8) == 0) {
		job.mint = &m;
		drive(MF_CLOUD_MINT, &job, &reply);
	} else {
		job.revoke = &r;
		drive(MF_CLOUD_REVOKE, &job, &reply);
	}
	/* A deny list that was read can be written and read again to the same. */
	MF_AUTO_IN(mf_aws_denies_fini) struct mf_aws_denies one = { 0 }, two = { 0 };
	MF_AUTO(mf_json_free) struct mf_json *a = NULL;
	MF_AUTO(mf_json_free) struct mf_json *b = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf doc;
	mf_buf_init(&doc, 1 << 20);
	if (mf_aws_deny_read(reply.body, &a, &one, NULL) == MF_OK && (one.n > 0 || one.older_than > 0) &&
	    (mf_aws_deny_write(&one, one.n, &doc, NULL) != MF_OK ||
		(doc.n <= MF_LIM_JSON && (mf_aws_deny_read(mf_buf_slice(&doc), &b, &two, NULL) != MF_OK ||
					     one.n != two.n || one.older_than != two.older_than))))
		abort();
	return 0;
}
