/* The rig's log as tests look at it: records counted, the state as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "broker/core/snapshot.h"
#include "engine_rig.h"

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
