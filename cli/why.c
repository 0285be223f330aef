/*
 * why: what policy says, and which rule says it: of the caller's own job, or of one that it could start, by the agent; of
 * any job by the broker.
 */
#include "admin.pb-c.h"
#include "base/clock.h"
#include "base/limits.h"
#include "cli/connect.h"
#include "cli/show.h"
#include "cli/verbs.h"
#include "job.pb-c.h"

typedef Mayfly__Job__V1__WhoAmIResponse who;
typedef Mayfly__Job__V1__PastRefusal past;
typedef Mayfly__Admin__V1__Explanation explanation;
typedef Mayfly__Job__V1__ExplainResponse dry;

#define WHO(h, k, field)                                                                \
	{                                                                               \
		.head = (h), .key = (k), .type = MF_COL_STR, .at = offsetof(who, field) \
	}
static const struct mf_col who_cols[] = {
	WHO("State", "state", state),
	WHO("Job", "job", job_id),
	WHO("Profile", "profile", profile),
	WHO("By rule", "rule", rule),
	WHO("Why not more", "reason", reason),
};

#define PAST(h, k, field)                                                                \
	{                                                                                \
		.head = (h), .key = (k), .type = MF_COL_STR, .at = offsetof(past, field) \
	}
static const struct mf_col past_cols[] = {
	{ .head = "When", .key = "at", .type = MF_COL_TIME_US, .at = offsetof(past, at_us) },
	PAST("Profile asked for", "profile", profile),
	PAST("Rule", "rule", rule),
	PAST("Why", "reason", reason),
};

#define EXPLAIN(h, k, field)                                                                    \
	{                                                                                       \
		.head = (h), .key = (k), .type = MF_COL_STR, .at = offsetof(explanation, field) \
	}
static const struct mf_col explain_cols[] = {
	EXPLAIN("Job", "job", job_id),
	EXPLAIN("Profile", "profile", profile),
	{ .head = "Permitted now",
	    .key = "permit",
	    .type = MF_COL_BOOL,
	    .at = offsetof(explanation, permit) },
	EXPLAIN("By rule", "rule", rule),
	EXPLAIN("Attribute", "attribute", attribute),
	EXPLAIN("Why", "reason", reason),
	EXPLAIN("Cure", "cure", cure),
	EXPLAIN("Began by rule", "given_by", given_by),
	EXPLAIN("Policy", "policy_sha256", policy_sha256),
};

#define DRY(h, k, field)                                                                \
	{                                                                               \
		.head = (h), .key = (k), .type = MF_COL_STR, .at = offsetof(dry, field) \
	}
static const struct mf_col dry_cols[] = {
	DRY("Profile", "profile", profile),
	{ .head = "Permitted", .key = "permit", .type = MF_COL_BOOL, .at = offsetof(dry, permit) },
	DRY("By rule", "rule", rule),
	DRY("Attribute", "attribute", attribute),
	DRY("Why", "reason", reason),
	DRY("Cure", "cure", cure),
	DRY("Policy", "policy_sha256", policy_sha256),
};

static int
print(struct mf_cli *c, struct mf_buf *b, enum mf_status s, const struct mf_err *err)
{
	if (s != MF_OK)
		return mf_cli_fail(c, err);
	mf_cli_write(c, mf_buf_slice(b));
	return MF_EXIT_OK;
}

static enum mf_status
render_own(const struct mf_cli *c, const who *w, struct mf_buf *to, struct mf_err *err)
{
	struct mf_now now = mf_now();
	if (c->json) {
		struct mf_jw jw;
		mf_show_json_begin(&jw, to, "Why");
		mf_jw_object_begin(&jw);
		mf_show_object(&jw, MF_COLS(who_cols), w);
		mf_jw_key(&jw, "last_refusal");
		if (w->last_refusal == NULL) {
			mf_jw_null(&jw);
		} else {
			mf_jw_object_begin(&jw);
			mf_show_object(&jw, MF_COLS(past_cols), w->last_refusal);
			mf_jw_object_end(&jw);
		}
		mf_jw_object_end(&jw);
		return mf_show_json_end(&jw, err);
	}
	MF_TRY(mf_show_block(to, MF_COLS(who_cols), w, now, err));
	if (w->last_refusal == NULL)
		return MF_OK;
	mf_buf_put_str(to, "\nThe last refusal of this user here\n");
	return mf_show_block(to, MF_COLS(past_cols), w->last_refusal, now, err);
}

static int
why_own(struct mf_cli *c)
{
	Mayfly__Job__V1__WhoAmIRequest req = MAYFLY__JOB__V1__WHO_AM_IREQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	struct mf_err err = { 0 };
	mf_buf_init(&b, MF_SHOW_MAX);
	int rc = mf_cli_ask_agent(c, &mf_cli_who_am_i, &req.base, &msg);
	if (rc != MF_EXIT_OK)
		return rc;
	enum mf_status s = render_own(c, (const who *)(const void *)msg, &b, &err);
	return print(c, &b, s, &err);
}

static enum mf_status
render_job(const struct mf_cli *c, const explanation *x, struct mf_buf *to, struct mf_err *err)
{
	if (!c->json)
		return mf_show_block(to, MF_COLS(explain_cols), x, mf_now(), err);
	struct mf_jw jw;
	mf_show_json_begin(&jw, to, "Explanation");
	mf_jw_object_begin(&jw);
	mf_show_object(&jw, MF_COLS(explain_cols), x);
	mf_jw_object_end(&jw);
	return mf_show_json_end(&jw, err);
}

static int
why_job(struct mf_cli *c, char *job)
{
	Mayfly__Admin__V1__ExplainJobRequest req = MAYFLY__ADMIN__V1__EXPLAIN_JOB_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	struct mf_err err = { 0 };
	req.match = job;
	mf_buf_init(&b, MF_SHOW_MAX);
	int rc = mf_cli_ask_admin(c, &mf_cli_explain_job, &req.base, &msg);
	if (rc != MF_EXIT_OK)
		return rc;
	enum mf_status s = render_job(c, (const explanation *)(const void *)msg, &b, &err);
	return print(c, &b, s, &err);
}

static enum mf_status
render_dry(const struct mf_cli *c, const dry *x, struct mf_buf *to, struct mf_err *err)
{
	if (!c->json)
		return mf_show_block(to, MF_COLS(dry_cols), x, mf_now(), err);
	struct mf_jw jw;
	mf_show_json_begin(&jw, to, "Explanation");
	mf_jw_object_begin(&jw);
	mf_show_object(&jw, MF_COLS(dry_cols), x);
	mf_jw_object_end(&jw);
	return mf_show_json_end(&jw, err);
}

/* Before there is a job: what would `mayfly run` with these options get? */
static int
why_dry(struct mf_cli *c)
{
	Mayfly__Job__V1__ExplainRequest req = MAYFLY__JOB__V1__EXPLAIN_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf manifest;
	struct mf_err err = { 0 };
	const char *file = mf_cli_get(c, "manifest");
	mf_buf_init(&b, MF_SHOW_MAX);
	mf_buf_init(&manifest, MF_LIM_MANIFEST);
	if (file != NULL && mf_cli_read_manifest(file, &manifest, &err) != MF_OK)
		return mf_cli_fail(c, &err);
	if (mf_cli_has(c, "profile"))
		req.profile = mf_cli_get(c, "profile");
	if (mf_cli_has(c, "name"))
		req.name = mf_cli_get(c, "name");
	req.manifest = (ProtobufCBinaryData) { manifest.n, manifest.p };
	int rc = mf_cli_ask_agent(c, &mf_cli_explain, &req.base, &msg);
	if (rc != MF_EXIT_OK)
		return rc;
	const dry *x = (const dry *)(const void *)msg;
	enum mf_status s = render_dry(c, x, &b, &err);
	rc = print(c, &b, s, &err);
	return rc == MF_EXIT_OK && !x->permit ? MF_EXIT_FAILED : rc;
}

int
mf_cli_why(struct mf_cli *c)
{
	char *job = mf_cli_get(c, "job");
	bool what = mf_cli_has(c, "profile") || mf_cli_has(c, "manifest");
	if (job != NULL && (what || mf_cli_has(c, "name")))
		return mf_cli_usage(
		    c, "--job is about a job that there is; --profile, --manifest and --name about none yet");
	if (!what && mf_cli_has(c, "name"))
		return mf_cli_usage(c, "--name goes with --profile or --manifest");
	return job != NULL ? why_job(c, job) : what ? why_dry(c) : why_own(c);
}
