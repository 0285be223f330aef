/* job_acts: `mayfly job end|extend`. */
#include "admin.pb-c.h"
#include "base/text.h"
#include "cli/connect.h"
#include "cli/removal.h"
#include "cli/show.h"
#include "cli/verbs.h"

int
mf_cli_job_end(struct mf_cli *c)
{
	Mayfly__Admin__V1__EndJobRequest req = MAYFLY__ADMIN__V1__END_JOB_REQUEST__INIT;
	req.match = c->argv[0];
	req.drain = mf_cli_has(c, "drain");
	if (mf_cli_has(c, "reason"))
		req.reason = mf_cli_get(c, "reason");
	return mf_cli_remove(c, &mf_cli_end_job, &req.base);
}

typedef Mayfly__Admin__V1__ExtendJobResponse extended;
#define COL(k, ty, field)                                                 \
	{                                                                 \
		.key = (k), .type = (ty), .at = offsetof(extended, field) \
	}
static const struct mf_col cols[] = {
	COL("job", MF_COL_STR, job_id),
	COL("deadline", MF_COL_TIME_S, deadline),
	COL("stop", MF_COL_TIME_S, stop),
	COL("before", MF_COL_TIME_S, before),
	COL("record_index", MF_COL_U64, record_index),
};

/* -1: go on; else an exit code. */
static int
read_times(struct mf_cli *c, Mayfly__Admin__V1__ExtendJobRequest *req)
{
	uint64_t by_ms = 0;
	int64_t until_us = 0;
	const char *until = mf_cli_get(c, "until");
	if (!mf_cli_duration(c, "by", &by_ms))
		return MF_EXIT_USAGE;
	if (mf_cli_has(c, "by") == (until != NULL))
		return mf_cli_usage(c, "either --by D or --until T is needed");
	if (until != NULL && mf_time_get(mf_slice_str(until), &until_us, NULL) != MF_OK)
		return mf_cli_usage(c, "--until %s: a time like 2026-11-22T19:37:00Z", until);
	if (until == NULL && by_ms < 1000)
		return mf_cli_usage(c, "--by: at least a second");
	req->by_s = (int64_t)(by_ms / 1000);
	req->until = until_us / 1000000;
	return -1;
}

int
mf_cli_job_extend(struct mf_cli *c)
{
	Mayfly__Admin__V1__ExtendJobRequest req = MAYFLY__ADMIN__V1__EXTEND_JOB_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	struct mf_now now = mf_now();
	mf_buf_init(&b, 4096);
	int rc = read_times(c, &req);
	if (rc >= 0)
		return rc;
	req.match = c->argv[0];
	if (mf_cli_has(c, "reason"))
		req.reason = mf_cli_get(c, "reason");
	rc = mf_cli_ask_admin(c, &mf_cli_extend_job, &req.base, &msg);
	if (rc != MF_EXIT_OK)
		return rc;
	const extended *r = (const extended *)(const void *)msg;
	const void *const row = msg;
	if (c->json)
		return mf_show_list(c, "Extension", MF_COLS(cols), &row, 1, "");
	mf_show_clean(&b, mf_slice_str(r->job_id));
	mf_buf_put_str(&b, "\ndeadline: ");
	mf_show_until(&b, r->deadline, now);
	mf_buf_put_str(&b, "\nwas: ");
	mf_time_put_s(&b, r->before);
	mf_buf_put_str(&b, "\nno credential of it is valid after ");
	mf_time_put_s(&b, r->stop);
	mf_buf_putf(&b, "\nrecorded: record %llu\n", (unsigned long long)r->record_index);
	mf_cli_write(c, mf_buf_slice(&b));
	return MF_EXIT_OK;
}
