#include "cli/removal.h"

#include "admin.pb-c.h"
#include "cli/admin_cols.h"
#include "cli/connect.h"
#include "cli/sessions.h"

typedef Mayfly__Admin__V1__RemovalResponse removal;

static void
json_credentials(struct mf_jw *w, const void *msg)
{
	const removal *r = msg;
	mf_jw_array_begin(w);
	for (size_t i = 0; i < r->n_credentials; i++) {
		mf_jw_object_begin(w);
		mf_show_object(w, mf_cli_credential_cols, r->credentials[i]);
		mf_jw_object_end(w);
	}
	mf_jw_array_end(w);
}

static void
json_sessions(struct mf_jw *w, const void *msg)
{
	mf_cli_sessions_json(w, ((const removal *)msg)->sessions);
}

#define COL(k, ty, field)                                                \
	{                                                                \
		.key = (k), .type = (ty), .at = offsetof(removal, field) \
	}

static const struct mf_col cols[] = {
	COL("subject", MF_COL_STR, subject),
	COL("effective", MF_COL_BOOL, effective),
	COL("recorded", MF_COL_BOOL, recorded),
	COL("record_index", MF_COL_U64, record_index),
	COL("jobs", MF_COL_U32, jobs),
	COL("leases", MF_COL_U32, leases),
	COL("ending_until", MF_COL_TIME_S, ending_until),
	COL("credentials_ended", MF_COL_U32, credentials_ended),
	COL("grant_ended", MF_COL_STR, grant_ended),
	{ .key = "credentials", .type = MF_COL_OWN, .json = json_credentials },
	{ .key = "sessions", .type = MF_COL_OWN, .json = json_sessions },
};

static void
put_ended(struct mf_buf *to, const removal *r)
{
	mf_buf_putf(to, "effective: %u credential%s ended; nothing else of the job is", r->credentials_ended,
	    r->credentials_ended == 1 ? "" : "s");
	if (r->grant_ended[0] != '\0') {
		mf_buf_put_str(to, "\nfor good: ");
		mf_show_clean(to, mf_slice_str(r->grant_ended));
		mf_buf_put_str(to, " is refused to that instance from now on");
	}
	mf_buf_put_u8(to, '\n');
}

static enum mf_status
render(const struct mf_cli *c, const removal *r, bool credentials, struct mf_buf *to, struct mf_err *err)
{
	if (c->json) {
		struct mf_jw w;
		mf_show_json_begin(&w, to, "Removal");
		mf_jw_object_begin(&w);
		mf_show_object(&w, MF_COLS(cols), r);
		mf_jw_object_end(&w);
		return mf_show_json_end(&w, err);
	}
	mf_show_clean(to, mf_slice_str(r->subject));
	mf_buf_put_str(to, "\n");
	if (r->sessions != NULL)
		mf_cli_sessions_put(to, r->sessions);
	else if (r->effective && (r->credentials_ended > 0 || r->grant_ended[0] != '\0'))
		put_ended(to, r);
	else if (r->effective && r->jobs == 0 && r->leases == 0)
		mf_buf_put_str(to, "effective: nothing of it was open any more\n");
	else if (r->effective && r->ending_until != 0) {
		mf_buf_putf(to,
		    "effective: the end is announced; what its %u lease%s held is served and renewed until ",
		    r->leases, r->leases == 1 ? "" : "s");
		mf_show_until(to, r->ending_until, mf_now());
		mf_buf_put_str(to, ", nothing new is granted\n");
	} else if (r->effective)
		mf_buf_putf(to,
		    "effective: %u job%s and %u lease%s ended; nothing is served or issued for them\n",
		    r->jobs, r->jobs == 1 ? "" : "s", r->leases, r->leases == 1 ? "" : "s");
	else
		mf_buf_put_str(to, "not effective: nothing was changed\n");
	if (r->recorded)
		mf_buf_putf(to, "recorded: record %llu\n", (unsigned long long)r->record_index);
	else if (r->effective)
		mf_buf_put_str(to,
		    "NOT recorded yet: the log cannot be written; the broker keeps trying, and a crash of "
		    "the machine before that would lose it\n");
	if (r->effective && r->ending_until == 0 && credentials)
		mf_cli_put_still_accepted(to, (const void *const *)r->credentials, r->n_credentials);
	return mf_buf_check(to, err);
}

int
mf_cli_removal_show(struct mf_cli *c, const removal *r, bool credentials)
{
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_SHOW_MAX);
	if (render(c, r, credentials, &b, &err) != MF_OK)
		return mf_cli_fail(c, &err);
	mf_cli_write(c, mf_buf_slice(&b));
	if (r->sessions != NULL && r->sessions->dry_run)
		return MF_EXIT_OK;
	if (!r->effective)
		return MF_EXIT_FAILED;
	return r->recorded ? MF_EXIT_OK : MF_EXIT_NOT_RECORDED;
}

int
mf_cli_remove(struct mf_cli *c, const struct mf_grpc_method *m, ProtobufCMessage *request)
{
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	int rc = mf_cli_ask_admin(c, m, request, &msg);
	return rc != MF_EXIT_OK ? rc : mf_cli_removal_show(c, (const removal *)(const void *)msg, true);
}
