/* What came of it, as tests look at it: answers, records counted, the state as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "broker/core/snapshot.h"
#include "engine_rig.h"

const Mayfly__Agent__V1__Down *
mf_rig_answer(const struct rig *r, uint64_t sid, uint64_t request)
{
	for (size_t i = 0; i < r->downs_n; i++)
		if (r->downs[i].sid == sid && r->downs[i].down->request_id == request)
			return r->downs[i].down;
	return NULL;
}

const Mayfly__Agent__V1__Grant *
mf_rig_grant(const struct rig *r, uint64_t sid, uint64_t request)
{
	const Mayfly__Agent__V1__Down *d = mf_rig_answer(r, sid, request);
	return d != NULL && d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_GRANT ? d->grant : NULL;
}

Mayfly__Agent__V1__RefusalCode
mf_rig_refusal(const struct rig *r, uint64_t sid, uint64_t request)
{
	const Mayfly__Agent__V1__Down *d = mf_rig_answer(r, sid, request);
	return d != NULL && d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL
		   ? d->refusal->code
		   : MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNSPECIFIED;
}

size_t
mf_rig_count(const struct rig *r, enum mf_record_type type)
{
	char want[64];
	size_t n = 0;
	(void)snprintf(want, sizeof(want), "\"type\":\"%s\"", mf_record_type_name(type));
	for (size_t i = 0; i < r->log_n; i++)
		n += memmem(r->log[i].p, r->log[i].n, want, strlen(want)) != NULL;
	return n;
}

char *
mf_rig_snapshot(const struct mf_state *st)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	struct mf_err err = { 0 };
	mf_buf_init(&b, MF_SNAPSHOT_MAX);
	if (mf_snapshot_write(st, &b, &err) != MF_OK)
		fail_msg("snapshot: %s", err.msg);
	return mf_slice_dup_str(mf_buf_slice(&b));
}

void
mf_rig_op_server_certificate(void *ctx, struct mf_slice chain, int64_t not_after)
{
	MF_UNUSED(ctx);
	MF_UNUSED(chain);
	MF_UNUSED(not_after);
}
