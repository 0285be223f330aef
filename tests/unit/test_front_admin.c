/* The admin API of the broker's front: who may, reading by pages, acting through the notary, and what happens without it. */
#include <grp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "front_world.h"

#define ADMIN(name) mayfly__admin__v1__##name##__descriptor

static int
setup(void **state)
{
	struct fw *w = malloc(sizeof(*w));
	assert_non_null(w);
	mf_fw_init(w);
	kit_history(&w->kit);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	mf_fw_fini(*state);
	free(*state);
	return 0;
}

/* The front serves the history; ${c} is an administrator. */
static void
serve(struct fw *w, struct fw_client *c)
{
	mf_fw_serve(w);
	mf_fn_records(w, 0, w->kit.n);
	FW_UNTIL(w, mf_fn_last(w, MF_MSG_LOG_ACK) != NULL);
	mf_fw_admin(w, c);
}

/* ---- who may ---- */

static void
test_allowed(void **state)
{
	static const uint32_t uids[] = { 1000, 1001 }, groups[] = { 7, 50, 9 };
	struct mf_admin_conf c = { .uids = uids, .n_uids = 2, .gid = 50 };
	(void)state;
	assert_true(mf_admin_allowed(&c, 0, 0, NULL, 0));
	assert_true(mf_admin_allowed(&c, 1001, 5, NULL, 0));
	assert_true(mf_admin_allowed(&c, 2000, 50, NULL, 0));
	assert_true(mf_admin_allowed(&c, 2000, 5, groups, 3));
	assert_false(mf_admin_allowed(&c, 2000, 5, groups, 1));
	assert_false(mf_admin_allowed(&c, 2000, 5, NULL, 0));
	c.gid = MF_ADMIN_NO_GROUP;
	assert_false(mf_admin_allowed(&c, 2000, MF_ADMIN_NO_GROUP, NULL, 0));
	assert_false(mf_admin_allowed(&c, 50, 50, groups, 3));
	assert_true(mf_admin_allowed(&c, 0, 50, groups, 3));
}

static bool
be(uid_t uid, gid_t gid, const gid_t *groups, size_t n)
{
	return (uid != 0 || setresuid(0, 0, 0) == 0) && setgroups(n, groups) == 0 &&
	       setresgid(gid, gid, 0) == 0 && setresuid(uid, uid, 0) == 0;
}

/* The kernel's word about a real other user, its group, its supplementary group. */
static void
test_other_users(void **state)
{
	static const struct {
		uid_t uid;
		gid_t gid, extra;
		enum mf_grpc_code want;
	} t[] = {
		{ 60931, 60931, 60940, MF_GRPC_PERMISSION_DENIED },
		{ 60932, 60931, 60940, MF_GRPC_OK }, /* listed */
		{ 60931, 60950, 60940, MF_GRPC_OK }, /* primary group */
		{ 60931, 60931, 60950, MF_GRPC_OK }, /* supplementary */
	};
	struct fw *w = *state;
	static struct fw_client c;
	Mayfly__Admin__V1__ListNodesRequest q = MAYFLY__ADMIN__V1__LIST_NODES_REQUEST__INIT;
	if (getuid() != 0) {
		print_message("skipped: other users: needs root\n");
		return;
	}
	w->conf.admin_gid = 60950;
	w->uids[0] = 60932;
	serve(w, &c);
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		struct fw_unary u;
		mf_fw_hang_up(w, &c);
		assert_true(be(t[i].uid, t[i].gid, &t[i].extra, 1));
		mf_fw_admin(w, &c);
		mf_fw_ask(&c, "ListNodes", &q.base, &ADMIN(list_nodes_response), &u);
		assert_true(be(0, 0, NULL, 0));
		assert_int_equal(u.code, t[i].want);
		if (u.code != MF_GRPC_OK) {
			assert_non_null(strstr(u.text, "uid 60931 may not administer"));
			assert_non_null(strstr(u.text, "admin_uids"));
		}
		mf_fw_unary_fini(&u);
	}
	/* A connection of one user that another one writes to is closed, unread. */
	mf_fw_hang_up(w, &c);
	assert_true(be(60931, 60931, NULL, 0));
	mf_fw_admin(w, &c);
	assert_true(be(0, 0, NULL, 0));
	struct fw_unary u;
	mf_fw_call(&c, "ListNodes", &q.base, &ADMIN(list_nodes_response), &u);
	FW_UNTIL(w, u.over && c.over);
	assert_int_equal(u.code, MF_GRPC_UNAVAILABLE);
	assert_null(u.reply);
}

/* ---- reading ---- */

static void
test_lists(void **state)
{
	struct fw *w = *state;
	static struct fw_client c;
	struct fw_unary u;
	Mayfly__Admin__V1__ListJobsRequest jobs = MAYFLY__ADMIN__V1__LIST_JOBS_REQUEST__INIT;
	serve(w, &c);
	mf_fw_ask(&c, "ListJobs", &jobs.base, &ADMIN(list_jobs_response), &u);
	assert_int_equal(u.code, MF_GRPC_OK);
	const Mayfly__Admin__V1__ListJobsResponse *r = (const void *)u.reply;
	assert_int_equal(r->n_jobs, 2);
	assert_int_equal(r->applied_index, w->kit.n);
	assert_string_equal(r->next_page, "");
	assert_string_equal(r->jobs[0]->id, KIT_JOB_2);
	assert_string_equal(r->jobs[0]->state, "open");
	assert_string_equal(r->jobs[0]->profile, "train");
	assert_string_equal(r->jobs[1]->name, "tiny");
	mf_fw_unary_fini(&u);
	jobs.all = true;
	jobs.limit = 2;
	char page[32] = "", slurm[] = "slurm/", none[] = "x", wrong[] = "1x";
	jobs.page = page;
	mf_fw_ask(&c, "ListJobs", &jobs.base, &ADMIN(list_jobs_response), &u);
	r = (const void *)u.reply;
	assert_int_equal(r->n_jobs, 2);
	assert_string_equal(r->jobs[0]->end_cause, "empty");
	(void)snprintf(page, sizeof(page), "%s", r->next_page);
	mf_fw_unary_fini(&u);
	mf_fw_ask(&c, "ListJobs", &jobs.base, &ADMIN(list_jobs_response), &u);
	r = (const void *)u.reply;
	assert_int_equal(r->n_jobs, 1);
	assert_string_equal(r->jobs[0]->id, KIT_JOB_1);
	assert_string_equal(r->next_page, "");
	mf_fw_unary_fini(&u);
	jobs.page = wrong;
	mf_fw_ask(&c, "ListJobs", &jobs.base, &ADMIN(list_jobs_response), &u);
	assert_int_equal(u.code, MF_GRPC_INVALID_ARGUMENT);
	jobs.page = page;
	page[0] = '\0';
	jobs.all = false;
	jobs.match = slurm;
	mf_fw_ask(&c, "ListJobs", &jobs.base, &ADMIN(list_jobs_response), &u);
	assert_int_equal(((const Mayfly__Admin__V1__ListJobsResponse *)(const void *)u.reply)->n_jobs, 1);
	mf_fw_unary_fini(&u);
	jobs.match = none;
	mf_fw_ask(&c, "ListJobs", &jobs.base, &ADMIN(list_jobs_response), &u);
	assert_int_equal(u.code, MF_GRPC_NOT_FOUND);
	mf_fw_unary_fini(&u);
}

/* More than one answer can hold: every row comes once, whatever cuts the pages. */
static void
test_pages(void **state)
{
	struct fw *w = *state;
	static struct fw_client c;
	struct fw_unary u;
	char id[32], token[] = "t-many", name[300], page[32] = "";
	Mayfly__Admin__V1__ListJobsRequest jobs = MAYFLY__ADMIN__V1__LIST_JOBS_REQUEST__INIT;
	Mayfly__Admin__V1__ListNodesRequest nodes = MAYFLY__ADMIN__V1__LIST_NODES_REQUEST__INIT;
	Mayfly__Admin__V1__GetJobRequest job = MAYFLY__ADMIN__V1__GET_JOB_REQUEST__INIT;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	kit_token(&w->kit, token, 3000);
	for (unsigned i = 0; i < 1200; i++) {
		(void)snprintf(id, sizeof(id), "j-page%04u", i);
		kit_job(&w->kit, id, id, name);
		(void)snprintf(id, sizeof(id), "n-page%04u", i);
		kit_node(&w->kit, id, token, name);
		(void)snprintf(id, sizeof(id), "LP%04u.b1", i);
		kit_lease(&w->kit, id, "j-page0000", id, KIT_NODE_A, i + 1);
	}
	serve(w, &c);
	FW_UNTIL(
	    w, ((const Mayfly__Roles__V1__LogAck *)mf_fn_last(w, MF_MSG_LOG_ACK))->applied_index == w->kit.n);
	size_t n = 0, pages = 0;
	jobs.all = nodes.all = true;
	jobs.page = nodes.page = job.page = page;
	do {
		mf_fw_ask(&c, "ListJobs", &jobs.base, &ADMIN(list_jobs_response), &u);
		assert_int_equal(u.code, MF_GRPC_OK);
		const Mayfly__Admin__V1__ListJobsResponse *r = (const void *)u.reply;
		for (size_t i = 0; i < r->n_jobs && n + i < 1200; i++) {
			(void)snprintf(id, sizeof(id), "j-page%04u", (unsigned)(1199 - n - i));
			assert_string_equal(r->jobs[i]->id, id);
		}
		n += r->n_jobs;
		pages++;
		(void)snprintf(page, sizeof(page), "%s", r->next_page);
		mf_fw_unary_fini(&u);
	} while (page[0] != '\0');
	assert_int_equal(n, 1203);
	assert_true(pages > 1);
	n = pages = 0;
	do {
		mf_fw_ask(&c, "ListNodes", &nodes.base, &ADMIN(list_nodes_response), &u);
		assert_int_equal(u.code, MF_GRPC_OK);
		const Mayfly__Admin__V1__ListNodesResponse *r = (const void *)u.reply;
		for (size_t i = n < 2 ? 2 : 0; i < r->n_nodes; i++) {
			(void)snprintf(id, sizeof(id), "n-page%04u", (unsigned)(n + i - 2));
			assert_string_equal(r->nodes[i]->id, id);
		}
		n += r->n_nodes;
		pages++;
		(void)snprintf(page, sizeof(page), "%s", r->next_page);
		mf_fw_unary_fini(&u);
	} while (page[0] != '\0');
	assert_int_equal(n, 1202);
	assert_true(pages > 1);
	n = pages = 0;
	char match[] = "j-page0000";
	job.match = match;
	w->n.on_call = NULL;
	mf_fn_unlink(w); /* no credentials: only rows */
	do {
		mf_fw_ask(&c, "GetJob", &job.base, &ADMIN(get_job_response), &u);
		assert_int_equal(u.code, MF_GRPC_OK);
		const Mayfly__Admin__V1__GetJobResponse *r = (const void *)u.reply;
		assert_string_equal(r->job->id, "j-page0000");
		for (size_t i = 0; i < r->n_instances; i++) {
			(void)snprintf(id, sizeof(id), "j-page0000/n%u", (unsigned)(n + i + 1));
			assert_string_equal(r->instances[i]->id, id);
		}
		n += r->n_instances;
		pages++;
		(void)snprintf(page, sizeof(page), "%s", r->next_page);
		mf_fw_unary_fini(&u);
	} while (page[0] != '\0');
	assert_int_equal(n, 1200);
	assert_true(pages > 1);
}

static void
answer_credentials(struct fake_notary *n, const Mayfly__Roles__V1__AdminCall *call)
{
	Mayfly__Roles__V1__AdminReply m = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	Mayfly__Admin__V1__ListCredentialsResponse r = MAYFLY__ADMIN__V1__LIST_CREDENTIALS_RESPONSE__INIT;
	Mayfly__Admin__V1__Credential one = MAYFLY__ADMIN__V1__CREDENTIAL__INIT, *v[] = { &one };
	char serial[] = "00aa";
	assert_int_equal(call->what_case, MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_LIST_CREDENTIALS);
	one.id = serial;
	one.job_id = call->list_credentials->job;
	r.n_credentials = 1;
	r.credentials = v;
	m.call_id = call->call_id;
	m.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_CREDENTIALS;
	m.credentials = &r;
	mf_fn_say(n->w, MF_MSG_ADMIN_REPLY, &m.base);
}

static void
test_get_job(void **state)
{
	struct fw *w = *state;
	static struct fw_client c;
	struct fw_unary u;
	Mayfly__Admin__V1__GetJobRequest q = MAYFLY__ADMIN__V1__GET_JOB_REQUEST__INIT;
	Mayfly__Admin__V1__ListCredentialsRequest lc = MAYFLY__ADMIN__V1__LIST_CREDENTIALS_REQUEST__INIT;
	char match[] = "slurm/c1/77.0", vague[] = "j-ccc";
	serve(w, &c);
	w->n.on_call = answer_credentials;
	q.match = match;
	mf_fw_ask(&c, "GetJob", &q.base, &ADMIN(get_job_response), &u);
	assert_int_equal(u.code, MF_GRPC_OK);
	const Mayfly__Admin__V1__GetJobResponse *r = (const void *)u.reply;
	assert_string_equal(r->job->id, KIT_JOB_2);
	assert_int_equal(r->n_instances, 2);
	assert_string_equal(r->instances[1]->id, KIT_JOB_2 "/n2");
	assert_string_equal(r->instances[1]->state, "suspended");
	assert_int_equal(r->instances[0]->n_selectors, 2);
	assert_string_equal(r->instances[0]->selectors[0], "unix.user:alice");
	assert_int_equal(r->n_credentials, 1);
	assert_string_equal(r->credentials[0]->job_id, KIT_JOB_2); /* the notary was asked by full id */
	assert_string_equal(r->incomplete, "");
	mf_fw_unary_fini(&u);
	lc.job = match;
	mf_fw_ask(&c, "ListCredentials", &lc.base, &ADMIN(list_credentials_response), &u);
	assert_int_equal(
	    ((const Mayfly__Admin__V1__ListCredentialsResponse *)(const void *)u.reply)->n_credentials, 1);
	mf_fw_unary_fini(&u);
	q.match = vague;
	mf_fw_ask(&c, "GetJob", &q.base, &ADMIN(get_job_response), &u);
	assert_int_equal(u.code, MF_GRPC_INVALID_ARGUMENT);
	assert_non_null(strstr(u.text, KIT_JOB_1 ", " KIT_JOB_2));
	/* Without the notary the rest is told, and what is missing. */
	mf_fn_unlink(w);
	q.match = match;
	mf_fw_ask(&c, "GetJob", &q.base, &ADMIN(get_job_response), &u);
	assert_int_equal(u.code, MF_GRPC_OK);
	r = (const void *)u.reply;
	assert_int_equal(r->n_instances, 2);
	assert_int_equal(r->n_credentials, 0);
	assert_non_null(strstr(r->incomplete, "credentials: the notary"));
	mf_fw_unary_fini(&u);
	mf_fw_ask(&c, "ListCredentials", &lc.base, &ADMIN(list_credentials_response), &u);
	assert_int_equal(u.code, MF_GRPC_UNAVAILABLE);
}

static void
answer_status(struct fake_notary *n, const Mayfly__Roles__V1__AdminCall *call)
{
	Mayfly__Roles__V1__AdminReply m = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	Mayfly__Admin__V1__Status st = MAYFLY__ADMIN__V1__STATUS__INIT;
	st.issuing = true;
	st.credentials_live = 5;
	m.call_id = call->call_id;
	m.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_STATUS;
	m.status = &st;
	mf_fn_say(n->w, MF_MSG_ADMIN_REPLY, &m.base);
}

static void
test_status_and_bundle(void **state)
{
	struct fw *w = *state;
	static struct fw_client c;
	struct fw_unary u;
	Mayfly__Admin__V1__GetStatusRequest q = MAYFLY__ADMIN__V1__GET_STATUS_REQUEST__INIT;
	Mayfly__Admin__V1__GetBundleRequest b = MAYFLY__ADMIN__V1__GET_BUNDLE_REQUEST__INIT;
	serve(w, &c);
	w->n.on_call = answer_status;
	mf_fw_ask(&c, "GetStatus", &q.base, &ADMIN(status), &u);
	const Mayfly__Admin__V1__Status *st = (const void *)u.reply;
	assert_true(st->issuing);
	assert_int_equal(st->credentials_live, 5);
	assert_int_equal(st->applied_index, w->kit.n);
	assert_string_equal(st->log_vkey, "example.org/mayfly/b1+deadbeef+AQID");
	mf_fw_unary_fini(&u);
	mf_fw_ask(&c, "GetBundle", &b.base, &ADMIN(get_bundle_response), &u);
	const Mayfly__Admin__V1__GetBundleResponse *g = (const void *)u.reply;
	assert_true(mf_slice_eq(mf_slice(g->ca_der.data, g->ca_der.len), mf_mint_ca(w->mint)));
	assert_string_equal(g->trust_domain, FW_TD);
	assert_int_equal(g->sequence, 1);
	mf_fw_unary_fini(&u);
	mf_fn_unlink(w);
	mf_fw_ask(&c, "GetStatus", &q.base, &ADMIN(status), &u);
	assert_int_equal(u.code, MF_GRPC_OK);
	st = (const void *)u.reply;
	assert_false(st->issuing);
	assert_non_null(strstr(st->issuing_reason, "notary"));
	assert_int_equal(st->jobs_live, 2);
	assert_int_equal(st->leases_open, 2);
	assert_int_equal(st->nodes, 1);
	mf_fw_unary_fini(&u);
}

static void
test_no_bundle_yet(void **state)
{
	struct fw *w = *state;
	static struct fw_client c;
	struct fw_unary u;
	Mayfly__Admin__V1__GetBundleRequest b = MAYFLY__ADMIN__V1__GET_BUNDLE_REQUEST__INIT;
	Mayfly__Admin__V1__ListJobsRequest jobs = MAYFLY__ADMIN__V1__LIST_JOBS_REQUEST__INIT;
	mf_fw_start(w);
	mf_fw_admin(w, &c);
	mf_fw_ask(&c, "GetBundle", &b.base, &ADMIN(get_bundle_response), &u);
	assert_int_equal(u.code, MF_GRPC_UNAVAILABLE);
	mf_fw_ask(&c, "ListJobs", &jobs.base, &ADMIN(list_jobs_response), &u);
	assert_int_equal(u.code, MF_GRPC_OK);
	mf_fw_unary_fini(&u);
	mf_fw_ask(&c, "NoSuchMethod", &jobs.base, &ADMIN(list_jobs_response), &u);
	assert_int_equal(u.code, MF_GRPC_UNIMPLEMENTED);
}

/* ---- acting ---- */

static void
answer_removal(struct fw *w, uint64_t call_id, uint64_t index, bool recorded)
{
	Mayfly__Roles__V1__AdminReply m = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	Mayfly__Admin__V1__RemovalResponse r = MAYFLY__ADMIN__V1__REMOVAL_RESPONSE__INIT;
	r.effective = true;
	r.recorded = recorded;
	r.record_index = index;
	r.leases = 2;
	m.call_id = call_id;
	m.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_REMOVAL;
	m.removal = &r;
	mf_fn_say(w, MF_MSG_ADMIN_REPLY, &m.base);
}

static const Mayfly__Roles__V1__AdminCall *
last_call(const struct fw *w)
{
	return mf_fn_last(w, MF_MSG_ADMIN_CALL);
}

/* The drain is passed on, and so is an extension, under the full id; the answer waits for the tables. */
static void
test_drain_and_extend(void **state)
{
	struct fw *w = *state;
	static struct fw_client c;
	struct fw_unary u;
	Mayfly__Admin__V1__EndJobRequest e = MAYFLY__ADMIN__V1__END_JOB_REQUEST__INIT;
	Mayfly__Admin__V1__ExtendJobRequest q = MAYFLY__ADMIN__V1__EXTEND_JOB_REQUEST__INIT;
	Mayfly__Roles__V1__AdminReply m = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	Mayfly__Admin__V1__ExtendJobResponse done = MAYFLY__ADMIN__V1__EXTEND_JOB_RESPONSE__INIT;
	char match[] = "slurm/c1/77", none[] = "j-nobody", id[] = KIT_JOB_2, reason[] = "epochs";
	serve(w, &c);
	q.match = none;
	q.by_s = 60;
	mf_fw_ask(&c, "ExtendJob", &q.base, &ADMIN(extend_job_response), &u);
	assert_int_equal(u.code, MF_GRPC_NOT_FOUND);
	mf_fw_unary_fini(&u);
	q.match = match;
	q.reason = reason;
	size_t at = w->kit.n;
	mf_fw_call(&c, "ExtendJob", &q.base, &ADMIN(extend_job_response), &u);
	FW_UNTIL(w, last_call(w) != NULL);
	assert_int_equal(last_call(w)->what_case, MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_EXTEND_JOB);
	assert_string_equal(last_call(w)->extend_job->match, KIT_JOB_2);
	assert_string_equal(last_call(w)->extend_job->reason, "epochs");
	assert_int_equal(last_call(w)->extend_job->by_s, 60);
	done.job_id = id;
	done.deadline = KIT_US / 1000000 + 3 * 86400;
	done.record_index = at;
	m.call_id = last_call(w)->call_id;
	m.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_EXTENDED;
	m.extended = &done;
	mf_fn_say(w, MF_MSG_ADMIN_REPLY, &m.base);
	mf_fw_settle(w);
	assert_false(u.over);
	kit_job_moved(&w->kit, MF_REC_JOB_EXTENDED, KIT_JOB_2, done.deadline);
	mf_fn_records(w, at, w->kit.n);
	FW_UNTIL(w, u.over);
	assert_int_equal(u.code, MF_GRPC_OK);
	mf_fw_unary_fini(&u);
	e.match = match;
	e.drain = true;
	mf_fw_call(&c, "EndJob", &e.base, &ADMIN(removal_response), &u);
	FW_UNTIL(w, mf_fn_count(w, MF_MSG_ADMIN_CALL) == 2);
	assert_int_equal(last_call(w)->what_case, MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_END_JOB);
	assert_true(last_call(w)->end_job->drain);
	Mayfly__Admin__V1__RemovalResponse r = MAYFLY__ADMIN__V1__REMOVAL_RESPONSE__INIT;
	at = w->kit.n;
	kit_lease_moved(&w->kit, MF_REC_LEASE_ENDED, "L3.b1", KIT_JOB_2, 1);
	kit_job_moved(&w->kit, MF_REC_JOB_ENDING, KIT_JOB_2, done.deadline);
	r.effective = r.recorded = true;
	r.record_index = w->kit.n - 1;
	r.ending_until = done.deadline;
	m.call_id = last_call(w)->call_id;
	m.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_REMOVAL;
	m.removal = &r;
	mf_fn_say(w, MF_MSG_ADMIN_REPLY, &m.base);
	mf_fn_records(w, at, w->kit.n);
	FW_UNTIL(w, u.over);
	assert_int_equal(u.code, MF_GRPC_OK);
	assert_int_equal(
	    ((const Mayfly__Admin__V1__RemovalResponse *)(const void *)u.reply)->ending_until, done.deadline);
	mf_fw_unary_fini(&u);
	mf_fw_hang_up(w, &c);
}

static void
test_end_job(void **state)
{
	struct fw *w = *state;
	static struct fw_client c;
	struct fw_unary u, list;
	Mayfly__Admin__V1__EndJobRequest q = MAYFLY__ADMIN__V1__END_JOB_REQUEST__INIT;
	Mayfly__Admin__V1__ListJobsRequest jobs = MAYFLY__ADMIN__V1__LIST_JOBS_REQUEST__INIT;
	char match[] = "slurm/", reason[] = "enough", gone[] = "j-none";
	serve(w, &c);
	q.match = match;
	q.reason = reason;
	mf_fw_call(&c, "EndJob", &q.base, &ADMIN(removal_response), &u);
	FW_UNTIL(w, last_call(w) != NULL);
	const Mayfly__Roles__V1__AdminCall *call = last_call(w);
	assert_int_equal(call->what_case, MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_END_JOB);
	assert_string_equal(call->end_job->match, KIT_JOB_2);
	assert_string_equal(call->end_job->reason, "enough");
	assert_int_equal(call->uid, getuid());
	assert_int_equal(call->pid, getpid());
	assert_int_equal(call->loginuid, UINT32_MAX);
	/* Answered when the tables have it: the next listing shows what was done. */
	size_t before = w->kit.n;
	kit_lease_moved(&w->kit, MF_REC_LEASE_ENDED, "L2.b1", KIT_JOB_2, 2);
	kit_lease_moved(&w->kit, MF_REC_LEASE_ENDED, "L3.b1", KIT_JOB_2, 1);
	kit_job_ended(&w->kit, KIT_JOB_2);
	answer_removal(w, call->call_id, w->kit.n - 1, true);
	mf_fn_records(w, before, w->kit.n - 1);
	mf_fw_settle(w);
	assert_false(u.over);
	mf_fn_records(w, w->kit.n - 1, w->kit.n);
	FW_UNTIL(w, u.over);
	assert_int_equal(u.code, MF_GRPC_OK);
	const Mayfly__Admin__V1__RemovalResponse *r = (const void *)u.reply;
	assert_true(r->effective && r->recorded);
	assert_int_equal(r->leases, 2);
	mf_fw_unary_fini(&u);
	mf_fw_ask(&c, "ListJobs", &jobs.base, &ADMIN(list_jobs_response), &list);
	assert_int_equal(((const Mayfly__Admin__V1__ListJobsResponse *)(const void *)list.reply)->n_jobs, 1);
	mf_fw_unary_fini(&list);
	/* What is not recorded yet is said at once. */
	mf_fw_call(&c, "EndJob", &q.base, &ADMIN(removal_response), &u);
	FW_UNTIL(w, mf_fn_count(w, MF_MSG_ADMIN_CALL) == 2);
	answer_removal(w, last_call(w)->call_id, 0, false);
	FW_UNTIL(w, u.over);
	r = (const void *)u.reply;
	assert_true(r->effective && !r->recorded);
	mf_fw_unary_fini(&u);
	q.match = gone;
	mf_fw_ask(&c, "EndJob", &q.base, &ADMIN(removal_response), &u);
	assert_int_equal(u.code, MF_GRPC_NOT_FOUND);
	assert_int_equal(mf_fn_count(w, MF_MSG_ADMIN_CALL), 2); /* the notary was not asked */
}

/* The tables lag (a full disk): the answer comes all the same, after two seconds. */
static void
test_tables_lag(void **state)
{
	struct fw *w = *state;
	static struct fw_client c;
	struct fw_unary u;
	Mayfly__Admin__V1__EvictNodeRequest q = MAYFLY__ADMIN__V1__EVICT_NODE_REQUEST__INIT;
	char match[] = "gpu-07", reason[] = "";
	serve(w, &c);
	q.match = match;
	q.reason = reason;
	mf_fw_call(&c, "EvictNode", &q.base, &ADMIN(removal_response), &u);
	FW_UNTIL(w, last_call(w) != NULL);
	assert_int_equal(last_call(w)->what_case, MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_EVICT_NODE);
	assert_string_equal(last_call(w)->evict_node->match, KIT_NODE_A);
	answer_removal(w, last_call(w)->call_id, w->kit.n + 5, true);
	FW_UNTIL(w, u.over);
	assert_int_equal(u.code, MF_GRPC_OK);
	mf_fw_unary_fini(&u);
}

static void
test_revoke(void **state)
{
	struct fw *w = *state;
	static struct fw_client c;
	struct fw_unary u;
	Mayfly__Admin__V1__RevokeRequest q = MAYFLY__ADMIN__V1__REVOKE_REQUEST__INIT;
	char job[] = "j-z", node[] = "n-aaaab", reason[] = "leaked";
	serve(w, &c);
	mf_fw_ask(&c, "Revoke", &q.base, &ADMIN(removal_response), &u);
	assert_int_equal(u.code, MF_GRPC_INVALID_ARGUMENT);
	q.reason = reason;
	q.what_case = MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_JOB;
	q.job = job;
	mf_fw_call(&c, "Revoke", &q.base, &ADMIN(removal_response), &u);
	FW_UNTIL(w, last_call(w) != NULL);
	assert_string_equal(last_call(w)->end_job->match, KIT_JOB_3);
	mf_fn_fail(&w->n, last_call(w)->call_id, "wrong_state", "the job has ended");
	FW_UNTIL(w, u.over);
	assert_int_equal(u.code, MF_GRPC_FAILED_PRECONDITION);
	assert_string_equal(u.text, "the job has ended");
	q.what_case = MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_NODE;
	q.node = node;
	mf_fw_call(&c, "Revoke", &q.base, &ADMIN(removal_response), &u);
	FW_UNTIL(w, mf_fn_count(w, MF_MSG_ADMIN_CALL) == 2);
	assert_string_equal(last_call(w)->evict_node->match, KIT_NODE_B);
	mf_fn_fail(&w->n, last_call(w)->call_id, "no such word", "?");
	FW_UNTIL(w, u.over);
	assert_int_equal(u.code, MF_GRPC_INTERNAL);
}

static void
test_join_token(void **state)
{
	struct fw *w = *state;
	static struct fw_client c;
	struct fw_unary u;
	Mayfly__Admin__V1__CreateJoinTokenRequest q = MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__INIT;
	Mayfly__Admin__V1__CreateJoinTokenRequest__AttributesEntry a =
	    MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__ATTRIBUTES_ENTRY__INIT;
	Mayfly__Admin__V1__CreateJoinTokenRequest__AttributesEntry *av[] = { &a };
	Mayfly__Roles__V1__AdminReply m = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	Mayfly__Admin__V1__CreateJoinTokenResponse r = MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_RESPONSE__INIT;
	static char big[40000];
	char key[] = "pool", value[] = "gpu-a", token[] = "mfj1.x";
	serve(w, &c);
	a.key = key;
	a.value = value;
	q.n_attributes = 1;
	q.attributes = av;
	q.uses = 3;
	mf_fw_call(&c, "CreateJoinToken", &q.base, &ADMIN(create_join_token_response), &u);
	FW_UNTIL(w, last_call(w) != NULL);
	assert_int_equal(last_call(w)->create_join_token->uses, 3);
	assert_string_equal(last_call(w)->create_join_token->attributes[0]->value, "gpu-a");
	r.token = token;
	m.call_id = last_call(w)->call_id;
	m.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_JOIN_TOKEN;
	m.join_token = &r;
	mf_fn_say(w, MF_MSG_ADMIN_REPLY, &m.base);
	FW_UNTIL(w, u.over);
	assert_string_equal(
	    ((const Mayfly__Admin__V1__CreateJoinTokenResponse *)(const void *)u.reply)->token, "mfj1.x");
	mf_fw_unary_fini(&u);
	/* What a role message cannot hold is refused, the link lives. */
	memset(big, 'x', sizeof(big) - 1);
	a.value = big;
	mf_fw_ask(&c, "CreateJoinToken", &q.base, &ADMIN(create_join_token_response), &u);
	assert_int_equal(u.code, MF_GRPC_RESOURCE_EXHAUSTED);
	assert_int_equal(w->left, -1);
	/* An answer to another question is nobody's answer. */
	a.value = value;
	mf_fw_call(&c, "CreateJoinToken", &q.base, &ADMIN(create_join_token_response), &u);
	FW_UNTIL(w, mf_fn_count(w, MF_MSG_ADMIN_CALL) == 2);
	answer_removal(w, last_call(w)->call_id, 0, true);
	FW_UNTIL(w, u.over);
	assert_int_equal(u.code, MF_GRPC_INTERNAL);
}

static void
test_no_answer(void **state)
{
	struct fw *w = *state;
	static struct fw_client c, other;
	struct fw_unary u, v;
	Mayfly__Admin__V1__CreateJoinTokenRequest q = MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__INIT;
	w->conf.call_ms = 200;
	serve(w, &c);
	mf_fw_ask(&c, "CreateJoinToken", &q.base, &ADMIN(create_join_token_response), &u);
	assert_int_equal(u.code, MF_GRPC_UNAVAILABLE);
	assert_non_null(strstr(u.text, "is not known"));
	uint64_t id = last_call(w)->call_id;
	mf_fn_fail(&w->n, id, "denied", "late"); /* nobody waits for it any more */
	mf_fn_fail(&w->n, 12345, "denied", "never asked");
	/* The caller goes while the notary thinks; the notary goes while a caller waits. */
	mf_fw_admin(w, &other);
	mf_fw_call(&other, "CreateJoinToken", &q.base, &ADMIN(create_join_token_response), &v);
	FW_UNTIL(w, mf_fn_count(w, MF_MSG_ADMIN_CALL) == 2);
	mf_fw_hang_up(w, &other);
	mf_fn_fail(&w->n, last_call(w)->call_id, "denied", "he is gone");
	mf_fw_settle(w);
	mf_fw_call(&c, "CreateJoinToken", &q.base, &ADMIN(create_join_token_response), &u);
	FW_UNTIL(w, mf_fn_count(w, MF_MSG_ADMIN_CALL) == 3);
	mf_fn_unlink(w);
	FW_UNTIL(w, u.over);
	assert_int_equal(u.code, MF_GRPC_UNAVAILABLE);
	mf_fw_ask(&c, "CreateJoinToken", &q.base, &ADMIN(create_join_token_response), &u);
	assert_int_equal(u.code, MF_GRPC_UNAVAILABLE);
	assert_non_null(strstr(u.text, "being started again"));
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_allowed),
		TEST(test_other_users),
		TEST(test_lists),
		TEST(test_pages),
		TEST(test_get_job),
		TEST(test_status_and_bundle),
		TEST(test_no_bundle_yet),
		TEST(test_drain_and_extend),
		TEST(test_end_job),
		TEST(test_tables_lag),
		TEST(test_revoke),
		TEST(test_join_token),
		TEST(test_no_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
