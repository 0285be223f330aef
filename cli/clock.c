/* clock: `mayfly clock confirm`. */
#include "admin.pb-c.h"
#include "cli/connect.h"
#include "cli/show.h"
#include "cli/verbs.h"

typedef Mayfly__Admin__V1__ConfirmClockResponse answer;

static const struct mf_col cols[] = {
	{ .head = "Broker's clock", .key = "wall", .type = MF_COL_TIME_US, .at = offsetof(answer, wall_us) },
	{ .head = "Record", .key = "record_index", .type = MF_COL_U64, .at = offsetof(answer, record_index) },
};

int
mf_cli_clock_confirm(struct mf_cli *c)
{
	Mayfly__Admin__V1__ConfirmClockRequest req = MAYFLY__ADMIN__V1__CONFIRM_CLOCK_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_SHOW_MAX);
	/* A request that goes round for signatures is older than any comparison of clocks. */
	if (!mf_cli_has(c, "offline-request"))
		req.wall_s = mf_now().wall_us / 1000000;
	if (mf_cli_has(c, "reason"))
		req.reason = mf_cli_get(c, "reason");
	int rc = mf_cli_ask_admin(c, &mf_cli_confirm_clock, &req.base, &msg);
	if (rc != MF_EXIT_OK)
		return rc;
	const void *const row = msg;
	if (c->json)
		return mf_show_list(c, "ClockConfirmed", MF_COLS(cols), &row, 1, "");
	if (mf_show_block(&b, MF_COLS(cols), msg, mf_now(), &err) != MF_OK)
		return mf_cli_fail(c, &err);
	mf_cli_write(c, mf_buf_slice(&b));
	return MF_EXIT_OK;
}
