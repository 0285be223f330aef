#include "cli/admin_cols.h"

#include "admin.pb-c.h"

typedef Mayfly__Admin__V1__Job job;
typedef Mayfly__Admin__V1__Instance instance;
typedef Mayfly__Admin__V1__Node node;
typedef Mayfly__Admin__V1__Credential credential;

#define COL(t, h, k, ty, field)                                                 \
	{                                                                       \
		.head = (h), .key = (k), .type = (ty), .at = offsetof(t, field) \
	}

static void
put_live(struct mf_buf *to, const void *msg, struct mf_now now)
{
	const job *j = msg;
	MF_UNUSED(now);
	mf_buf_putf(to, "%u/%u", j->live_instances, j->instances);
}

static const struct mf_col jobs[] = {
	COL(job, "JOB", "id", MF_COL_STR, id),
	COL(job, "NAME", "name", MF_COL_STR, name),
	COL(job, "STATE", "state", MF_COL_STR, state),
	COL(job, "PROFILE", "profile", MF_COL_STR, profile),
	COL(job, "PERSON", "person", MF_COL_STR, person),
	{ .head = "LIVE", .type = MF_COL_OWN, .put = put_live },
	COL(job, "AGE", "started", MF_COL_AGE_US, started_us),
	COL(job, "ENDED", "ended", MF_COL_TIME_US, ended_us),
	COL(job, "CAUSE", "end_cause", MF_COL_STR, end_cause),
	COL(job, NULL, "key", MF_COL_STR, key),
	COL(job, NULL, "run", MF_COL_STR, run_id),
	COL(job, NULL, "tenant", MF_COL_STR, tenant),
	COL(job, NULL, "rule", MF_COL_STR, rule),
	COL(job, NULL, "deadline", MF_COL_TIME_S, deadline),
	COL(job, NULL, "stop", MF_COL_TIME_S, stop),
	COL(job, NULL, "ending_until", MF_COL_TIME_S, ending_until),
	COL(job, NULL, "instance_count", MF_COL_U32, instances),
	COL(job, NULL, "live_instance_count", MF_COL_U32, live_instances),
	COL(job, NULL, "manifest_sha256", MF_COL_STR, manifest_sha256),
};
const struct mf_cols mf_cli_job_cols = MF_COLS_OF(jobs);

static void
put_deadline(struct mf_buf *to, const void *msg, struct mf_now now)
{
	const job *j = msg;
	if (j->deadline != 0 && j->ended_us == 0)
		mf_show_until(to, j->deadline, now);
	else if (j->deadline != 0)
		mf_time_put_s(to, j->deadline);
}

/* Of a drain that is on. */
static void
put_ending(struct mf_buf *to, const void *msg, struct mf_now now)
{
	const job *j = msg;
	if (j->ending_until != 0 && j->ended_us == 0)
		mf_show_until(to, j->ending_until, now);
}

static const struct mf_col job_block[] = {
	COL(job, "Job", NULL, MF_COL_STR, id),
	COL(job, "Key", NULL, MF_COL_STR, key),
	COL(job, "Name", NULL, MF_COL_STR, name),
	COL(job, "State", NULL, MF_COL_STR, state),
	COL(job, "Run", NULL, MF_COL_STR, run_id),
	COL(job, "Tenant", NULL, MF_COL_STR, tenant),
	COL(job, "Person", NULL, MF_COL_STR, person),
	COL(job, "Profile", NULL, MF_COL_STR, profile),
	COL(job, "By rule", NULL, MF_COL_STR, rule),
	COL(job, "Manifest", NULL, MF_COL_STR, manifest_sha256),
	COL(job, "Started", NULL, MF_COL_TIME_US, started_us),
	{ .head = "Deadline", .type = MF_COL_OWN, .put = put_deadline },
	{ .head = "Ending until", .type = MF_COL_OWN, .put = put_ending },
	COL(job, "Ended", NULL, MF_COL_TIME_US, ended_us),
	COL(job, "Cause", NULL, MF_COL_STR, end_cause),
	{ .head = "Live instances", .type = MF_COL_OWN, .put = put_live },
};
const struct mf_cols mf_cli_job_block = MF_COLS_OF(job_block);

static const struct mf_col instances[] = {
	COL(instance, "INSTANCE", "id", MF_COL_STR, id),
	COL(instance, "STATE", "state", MF_COL_STR, state),
	COL(instance, "NODE", "node", MF_COL_STR, node_id),
	COL(instance, "GRADE", "grade", MF_COL_STR, grade),
	COL(instance, "LEASE", "lease", MF_COL_STR, lease_id),
	COL(instance, "EPOCH", "epoch", MF_COL_U32, epoch),
	COL(instance, "OPENED", "opened", MF_COL_TIME_US, opened_us),
	COL(instance, "ENDED", "ended", MF_COL_TIME_US, ended_us),
	COL(instance, "CAUSE", "end_cause", MF_COL_STR, end_cause),
	COL(instance, NULL, "key", MF_COL_STR, key),
	{ .key = "selectors",
	    .type = MF_COL_STRS,
	    .at = offsetof(instance, selectors),
	    .count = offsetof(instance, n_selectors) },
};
const struct mf_cols mf_cli_instance_cols = MF_COLS_OF(instances);

static void
put_attributes(struct mf_buf *to, const void *msg, struct mf_now now)
{
	const node *n = msg;
	MF_UNUSED(now);
	for (size_t i = 0; i < n->n_attributes; i++)
		mf_buf_putf(to, "%s%s=%s", i == 0 ? "" : ",", n->attributes[i]->key, n->attributes[i]->value);
}

static void
json_attributes(struct mf_jw *w, const void *msg)
{
	const node *n = msg;
	mf_jw_object_begin(w);
	for (size_t i = 0; i < n->n_attributes; i++)
		mf_jw_kstr(w, n->attributes[i]->key, n->attributes[i]->value);
	mf_jw_object_end(w);
}

static const struct mf_col nodes[] = {
	COL(node, "NODE", "id", MF_COL_STR, id),
	COL(node, "HOST", "hostname", MF_COL_STR, hostname),
	COL(node, "STATE", "state", MF_COL_STR, state),
	{ .head = "ATTRIBUTES",
	    .key = "attributes",
	    .type = MF_COL_OWN,
	    .put = put_attributes,
	    .json = json_attributes },
	COL(node, "LIVE", "live_instances", MF_COL_U32, live_instances),
	COL(node, "AGE", "registered", MF_COL_AGE_US, registered_us),
	COL(node, "EVICTED", "evicted", MF_COL_TIME_US, evicted_us),
	COL(node, "TURNED AWAY", "refused", MF_COL_TIME_US, refused_us),
	COL(node, NULL, "spiffe_id", MF_COL_STR, spiffe_id),
	COL(node, NULL, "token_id", MF_COL_STR, token_id),
	COL(node, NULL, "attestor", MF_COL_STR, attestor),
	COL(node, NULL, "evidence", MF_COL_STR, evidence),
	COL(node, NULL, "boot_id", MF_COL_STR, boot_id),
	COL(node, NULL, "session_since", MF_COL_TIME_US, session_us),
	COL(node, NULL, "evict_reason", MF_COL_STR, evict_reason),
	COL(node, NULL, "refused_reason", MF_COL_STR, refused),
	COL(node, NULL, "readmitted", MF_COL_TIME_US, readmitted_us),
};
const struct mf_cols mf_cli_node_cols = MF_COLS_OF(nodes);

static const struct mf_col node_block[] = {
	COL(node, "Node", NULL, MF_COL_STR, id),
	COL(node, "State", NULL, MF_COL_STR, state),
	COL(node, "Host", NULL, MF_COL_STR, hostname),
	COL(node, "SPIFFE ID", NULL, MF_COL_STR, spiffe_id),
	{ .head = "Attributes", .type = MF_COL_OWN, .put = put_attributes },
	COL(node, "Joined", NULL, MF_COL_TIME_US, registered_us),
	COL(node, "By", NULL, MF_COL_STR, attestor),
	COL(node, "Join token", NULL, MF_COL_STR, token_id),
	COL(node, "Certificate", NULL, MF_COL_STR, evidence),
	COL(node, "Live instances", NULL, MF_COL_U32, live_instances),
	COL(node, "Last session", NULL, MF_COL_TIME_US, session_us),
	COL(node, "Boot", NULL, MF_COL_STR, boot_id),
	COL(node, "Evicted", NULL, MF_COL_TIME_US, evicted_us),
	COL(node, "Because", NULL, MF_COL_STR, evict_reason),
	COL(node, "Readmitted", NULL, MF_COL_TIME_US, readmitted_us),
	COL(node, "Turned away", NULL, MF_COL_TIME_US, refused_us),
	COL(node, "Reason", NULL, MF_COL_STR, refused),
};
const struct mf_cols mf_cli_node_block = MF_COLS_OF(node_block);

static const struct mf_col credentials[] = {
	COL(credential, "KIND", "kind", MF_COL_STR, kind),
	COL(credential, "ID", "id", MF_COL_STR, id),
	COL(credential, "JOB", "job", MF_COL_STR, job_id),
	COL(credential, "SPIFFE ID", "spiffe_id", MF_COL_STR, spiffe_id),
	COL(credential, "STATE", "state", MF_COL_STR, state),
	COL(credential, "GRANTED", "not_before", MF_COL_TIME_S, not_before),
	COL(credential, "EXPIRES", "not_after", MF_COL_TIME_S, not_after),
	COL(credential, "ENDS WITH THE JOB", "ends_with_job", MF_COL_STR, ends_with_job),
	COL(credential, NULL, "instance", MF_COL_STR, instance_id),
	COL(credential, NULL, "node", MF_COL_STR, node_id),
	COL(credential, NULL, "grant", MF_COL_STR, grant),
	COL(credential, NULL, "level", MF_COL_STR, level),
	COL(credential, NULL, "dead_at", MF_COL_TIME_S, dead_at),
	COL(credential, NULL, "record_index", MF_COL_U64, record_index),
};
const struct mf_cols mf_cli_credential_cols = MF_COLS_OF(credentials);

static const struct mf_col credential_block[] = {
	COL(credential, "Credential", NULL, MF_COL_STR, id),
	COL(credential, "Kind", NULL, MF_COL_STR, kind),
	COL(credential, "State", NULL, MF_COL_STR, state),
	COL(credential, "Job", NULL, MF_COL_STR, job_id),
	COL(credential, "Instance", NULL, MF_COL_STR, instance_id),
	COL(credential, "Node", NULL, MF_COL_STR, node_id),
	COL(credential, "SPIFFE ID", NULL, MF_COL_STR, spiffe_id),
	COL(credential, "Granted", NULL, MF_COL_TIME_S, not_before),
	COL(credential, "Expires", NULL, MF_COL_TIME_S, not_after),
	COL(credential, "Ends with the job", NULL, MF_COL_STR, ends_with_job),
	COL(credential, "Level", NULL, MF_COL_STR, level),
	COL(credential, "Dead from", NULL, MF_COL_TIME_S, dead_at),
};
const struct mf_cols mf_cli_credential_block = MF_COLS_OF(credential_block);

static void
put_what(struct mf_buf *to, const void *msg, struct mf_now now)
{
	const credential *c = msg;
	mf_cli_put_death(to, c, now.wall_us / 1000000);
}

static const struct mf_col deaths[] = {
	COL(credential, "KIND", "kind", MF_COL_STR, kind),
	COL(credential, "ID", "id", MF_COL_STR, id),
	COL(credential, "JOB", "job", MF_COL_STR, job_id),
	COL(credential, "LEVEL", "level", MF_COL_STR, level),
	{ .head = "DEAD", .type = MF_COL_OWN, .put = put_what },
	COL(credential, NULL, "dead_at", MF_COL_TIME_S, dead_at),
	COL(credential, "RECORD", "record_index", MF_COL_U64, record_index),
};
const struct mf_cols mf_cli_death_cols = MF_COLS_OF(deaths);

bool
mf_cli_only_expires(const struct Mayfly__Admin__V1__Credential *c)
{
	return strcmp(c->level, "stopped") == 0 || (c->level[0] != '\0' && c->dead_at >= c->not_after);
}

void
mf_cli_put_death(struct mf_buf *to, const struct Mayfly__Admin__V1__Credential *c, int64_t now_s)
{
	if (c->level[0] == '\0') {
		mf_buf_put_str(
		    to, c->not_after <= now_s ? "by its own expiry since " : "not confirmed; expires at ");
		mf_time_put_s(to, c->not_after);
		return;
	}
	bool only = mf_cli_only_expires(c);
	mf_buf_put_str(to, c->dead_at <= now_s ? "since " : only ? "no: expires at " : "from ");
	mf_time_put_s(to, c->dead_at);
}

void
mf_cli_put_still_accepted(struct mf_buf *to, const void *const *v, size_t n)
{
	struct mf_now now = mf_now();
	size_t left = 0;
	for (size_t i = 0; i < n; i++) {
		const credential *c = v[i];
		if (c->not_after <= now.wall_us / 1000000)
			continue;
		if (left++ == 0)
			mf_buf_put_str(to, "copies that left the job stay accepted by servers that look at "
					   "certificates only:\n");
		mf_buf_put_str(to, "  ");
		mf_show_clean(to, mf_slice_str(c->kind));
		mf_buf_put_u8(to, ' ');
		mf_show_clean(to, mf_slice_str(c->id));
		mf_buf_put_str(to, " (");
		mf_show_clean(to, mf_slice_str(c->spiffe_id));
		mf_buf_put_str(to, ") until ");
		mf_show_until(to, c->not_after, now);
		mf_buf_put_u8(to, '\n');
	}
	if (left == 0)
		mf_buf_put_str(to, "no credential of it was still valid\n");
}
