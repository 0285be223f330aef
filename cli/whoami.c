/* whoami: who the agent says that we are, what we may have, for how long, and why not more. And `token ls`. */
#include <stdlib.h>

#include "cli/connect.h"
#include "cli/show.h"
#include "cli/verbs.h"
#include "job.pb-c.h"

typedef Mayfly__Job__V1__WhoAmIResponse who;
typedef Mayfly__Job__V1__Identity identity;
typedef Mayfly__Job__V1__CloudState cloud_state;

static void
put_deadline(struct mf_buf *to, const void *msg, struct mf_now now)
{
	const who *w = msg;
	if (w->deadline != 0)
		mf_show_until(to, w->deadline, now);
}

static void
json_deadline(struct mf_jw *jw, const void *msg)
{
	const who *w = msg;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 64);
	if (w->deadline == 0) {
		mf_jw_null(jw);
		return;
	}
	mf_time_put_s(&b, w->deadline);
	mf_jw_string(jw, mf_buf_slice(&b));
}

static const struct mf_col identity_cols[] = {
	{ .head = "SPIFFE ID", .key = "spiffe_id", .type = MF_COL_STR, .at = offsetof(identity, spiffe_id) },
	{ .head = "HINT", .key = "hint", .type = MF_COL_STR, .at = offsetof(identity, hint) },
	{ .head = "SERIAL", .key = "serial", .type = MF_COL_STR, .at = offsetof(identity, serial) },
	{ .key = "not_before", .type = MF_COL_TIME_S, .at = offsetof(identity, not_before) },
	{ .head = "UNTIL", .key = "not_after", .type = MF_COL_TIME_S, .at = offsetof(identity, not_after) },
	{ .head = "LEFT", .type = MF_COL_LEFT_S, .at = offsetof(identity, not_after) },
};

static const struct mf_col cloud_cols[] = {
	{ .head = "GRANT", .key = "grant", .type = MF_COL_STR, .at = offsetof(cloud_state, grant) },
	{ .head = "KIND", .key = "kind", .type = MF_COL_STR, .at = offsetof(cloud_state, kind) },
	{ .head = "TARGET", .key = "target", .type = MF_COL_STR, .at = offsetof(cloud_state, target) },
	{ .head = "UNTIL", .key = "expires", .type = MF_COL_TIME_S, .at = offsetof(cloud_state, expires) },
	{ .head = "LEFT", .type = MF_COL_LEFT_S, .at = offsetof(cloud_state, expires) },
	{ .key = "credential", .type = MF_COL_STR, .at = offsetof(cloud_state, credential_id) },
	{ .head = "WHY NOT", .key = "reason", .type = MF_COL_STR, .at = offsetof(cloud_state, reason) },
};

static void
json_clouds(struct mf_jw *jw, const void *msg)
{
	const who *w = msg;
	mf_jw_array_begin(jw);
	for (size_t i = 0; i < w->n_cloud; i++) {
		mf_jw_object_begin(jw);
		mf_show_object(jw, MF_COLS(cloud_cols), w->cloud[i]);
		mf_jw_object_end(jw);
	}
	mf_jw_array_end(jw);
}

static void
json_identities(struct mf_jw *jw, const void *msg)
{
	const who *w = msg;
	mf_jw_array_begin(jw);
	for (size_t i = 0; i < w->n_identities; i++) {
		mf_jw_object_begin(jw);
		mf_show_object(jw, MF_COLS(identity_cols), w->identities[i]);
		mf_jw_object_end(jw);
	}
	mf_jw_array_end(jw);
}

#define STR(h, k, field)                                                                \
	{                                                                               \
		.head = (h), .key = (k), .type = MF_COL_STR, .at = offsetof(who, field) \
	}

static const struct mf_col cols[] = {
	STR("State", "state", state),
	STR("Job", "job", job_id),
	STR("Key", "job_key", job_key),
	STR("Run", "run", run_id),
	STR("Instance", "instance", instance_id),
	STR("Node", "node", node_id),
	STR("Trust domain", "trust_domain", trust_domain),
	STR("Tenant", "tenant", tenant),
	STR("Profile", "profile", profile),
	STR("By rule", "rule", rule),
	STR("Grade", "grade", grade),
	{ .head = "Deadline",
	    .key = "deadline",
	    .type = MF_COL_OWN,
	    .put = put_deadline,
	    .json = json_deadline },
	{ .head = "Ending until",
	    .key = "ending_until",
	    .type = MF_COL_TIME_S,
	    .at = offsetof(who, ending_until) },
	{ .key = "identities", .type = MF_COL_OWN, .json = json_identities },
	{ .key = "cloud", .type = MF_COL_OWN, .json = json_clouds },
	STR("Why not more", "reason", reason),
	{ .head = "Selectors",
	    .key = "selectors",
	    .type = MF_COL_STRS,
	    .at = offsetof(who, selectors),
	    .count = offsetof(who, n_selectors) },
	{ .key = "uid", .type = MF_COL_U32, .at = offsetof(who, uid) },
	{ .key = "pid", .type = MF_COL_U32, .at = offsetof(who, pid) },
	{ .head = "Broker reachable",
	    .key = "broker_reachable",
	    .type = MF_COL_BOOL,
	    .at = offsetof(who, broker_reachable) },
};

static enum mf_status
render(const struct mf_cli *c, const who *w, struct mf_buf *to, struct mf_err *err)
{
	if (c->json) {
		struct mf_jw jw;
		mf_show_json_begin(&jw, to, "WhoAmI");
		mf_jw_object_begin(&jw);
		mf_show_object(&jw, MF_COLS(cols), w);
		mf_jw_object_end(&jw);
		return mf_show_json_end(&jw, err);
	}
	struct mf_now now = mf_now();
	MF_TRY(mf_show_block(to, MF_COLS(cols), w, now, err));
	if (w->n_identities > 0) {
		mf_buf_put_str(to, "\nIdentities\n");
		MF_TRY(mf_show_table(to, "  ", MF_COLS(identity_cols), (const void *const *)w->identities,
		    w->n_identities, now, err));
	}
	if (w->n_cloud == 0)
		return MF_OK;
	mf_buf_put_str(to, "\nCloud grants\n");
	return mf_show_table(
	    to, "  ", MF_COLS(cloud_cols), (const void *const *)w->cloud, w->n_cloud, now, err);
}

/* What the answer means for a script. */
static int
exit_of(const who *w)
{
	if (strcmp(w->state, "granted") == 0 || strcmp(w->state, "ending") == 0)
		return MF_EXIT_OK;
	return strcmp(w->state, "pending") == 0 ? MF_EXIT_UNREACHABLE : MF_EXIT_FAILED;
}

int
mf_cli_whoami(struct mf_cli *c)
{
	Mayfly__Job__V1__WhoAmIRequest req = MAYFLY__JOB__V1__WHO_AM_IREQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	struct mf_err err = { 0 };
	int rc = mf_cli_ask_agent(c, &mf_cli_who_am_i, &req.base, &msg);
	if (rc != MF_EXIT_OK)
		return rc;
	const who *w = (const who *)(const void *)msg;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_SHOW_MAX);
	if (render(c, w, &b, &err) != MF_OK)
		return mf_cli_fail(c, &err);
	mf_cli_write(c, mf_buf_slice(&b));
	return exit_of(w);
}

static enum mf_status
render_clouds(const struct mf_cli *c, const who *w, struct mf_buf *to, struct mf_err *err)
{
	struct mf_jw jw;
	if (!c->json)
		return mf_show_table(
		    to, "", MF_COLS(cloud_cols), (const void *const *)w->cloud, w->n_cloud, mf_now(), err);
	mf_show_json_begin(&jw, to, "CloudGrantList");
	for (size_t i = 0; i < w->n_cloud; i++) {
		mf_jw_object_begin(&jw);
		mf_show_object(&jw, MF_COLS(cloud_cols), w->cloud[i]);
		mf_jw_object_end(&jw);
	}
	return mf_show_json_end(&jw, err);
}

int
mf_cli_token_ls(struct mf_cli *c)
{
	Mayfly__Job__V1__WhoAmIRequest req = MAYFLY__JOB__V1__WHO_AM_IREQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	struct mf_err err = { 0 };
	int rc = mf_cli_ask_agent(c, &mf_cli_who_am_i, &req.base, &msg);
	if (rc != MF_EXIT_OK)
		return rc;
	const who *w = (const who *)(const void *)msg;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_SHOW_MAX);
	if (render_clouds(c, w, &b, &err) != MF_OK)
		return mf_cli_fail(c, &err);
	mf_cli_write(c, mf_buf_slice(&b));
	if (exit_of(w) != MF_EXIT_OK)
		mf_cli_note(c, "mayfly: this process has no identity: %s", w->reason);
	return exit_of(w);
}
