#include "engine_jobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "broker/core/snapshot.h"

struct rig *
mf_rig_with_job(struct rig_job *j)
{
	struct rig *r = mf_rig_new();
	mf_rig_join(r, 1, 1, j->node, j->value);
	mf_rig_instance_key(j->key, j->node, RIG_BOOT, 1);
	uint64_t req = mf_rig_attach(r, 1, 1, j->key, "train", "alice");
	mf_rig_settle(r);
	const Mayfly__Agent__V1__Grant *g = mf_rig_grant(r, 1, req);
	assert_non_null(g);
	(void)snprintf(j->lease, sizeof(j->lease), "%s", g->lease_id);
	(void)snprintf(j->id, sizeof(j->id), "%s", g->job_id);
	j->epoch = g->epoch;
	j->deadline = g->deadline;
	return r;
}

const struct mf_job *
mf_rig_job(const struct rig *r, const char *id)
{
	const struct mf_job *j = mf_state_job(mf_engine_state(r->e), mf_slice_str(id));
	assert_non_null(j);
	return j;
}

const struct mf_lease *
mf_rig_lease(const struct rig *r, const char *id)
{
	const struct mf_lease *l = mf_state_lease(mf_engine_state(r->e), mf_slice_str(id));
	assert_non_null(l);
	return l;
}

const Mayfly__Admin__V1__RemovalResponse *
mf_rig_end_job(struct rig *r, const char *job, bool drain)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__EndJobRequest q = MAYFLY__ADMIN__V1__END_JOB_REQUEST__INIT;
	char text[MF_STATE_ID_MAX], reason[] = "enough";
	(void)snprintf(text, sizeof(text), "%s", job);
	q.match = text;
	q.reason = reason;
	q.drain = drain;
	call.call_id = 11;
	call.loginuid = UINT32_MAX;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_END_JOB;
	call.end_job = &q;
	size_t before = r->replies;
	mf_engine_admin(r->e, r->now, &call);
	mf_rig_commit(r);
	assert_int_equal(r->replies, before + 1);
	assert_int_equal(r->reply->what_case, MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_REMOVAL);
	return r->reply->removal;
}

const Mayfly__Roles__V1__AdminReply *
mf_rig_extend(struct rig *r, const char *job, int64_t by_s, int64_t until, const char *reason)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__ExtendJobRequest q = MAYFLY__ADMIN__V1__EXTEND_JOB_REQUEST__INIT;
	char text[MF_STATE_ID_MAX], why[1024];
	(void)snprintf(text, sizeof(text), "%s", job);
	(void)snprintf(why, sizeof(why), "%s", reason);
	q.match = text;
	q.reason = why;
	q.by_s = by_s;
	q.until = until;
	call.call_id = 12;
	call.uid = 1234;
	call.loginuid = 77;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_EXTEND_JOB;
	call.extend_job = &q;
	size_t before = r->replies;
	mf_engine_admin(r->e, r->now, &call);
	mf_rig_commit(r);
	assert_int_equal(r->replies, before + 1);
	return r->reply;
}

size_t
mf_rig_pushes(const struct rig *r, uint64_t sid, Mayfly__Agent__V1__Down__BodyCase kind)
{
	size_t n = 0;
	for (size_t i = 0; i < r->downs_n; i++)
		n += r->downs[i].sid == sid && r->downs[i].down->body_case == kind &&
		     r->downs[i].down->request_id == 0;
	return n;
}

static void
reads_back(const char *text, struct mf_state **ret_back)
{
	struct mf_err err = { 0 };
	assert_int_equal(mf_state_new(ret_back, NULL), MF_OK);
	if (mf_snapshot_read(mf_slice_str(text), *ret_back, &err) != MF_OK)
		fail_msg("snapshot: %s", err.msg);
	char *same = mf_rig_snapshot(*ret_back);
	assert_string_equal(text, same);
	free(same);
}

void
mf_rig_check_replay(const struct rig *r)
{
	struct mf_state *st = mf_rig_replay(r, r->log_n), *back = NULL;
	char *live = mf_rig_snapshot(mf_engine_state(r->e)), *again = mf_rig_snapshot(st);
	assert_string_equal(live, again);
	reads_back(live, &back);
	mf_state_free(back);
	free(live);
	free(again);
	mf_state_free(st);
}

void
mf_rig_check_every_prefix(const struct rig *r)
{
	struct mf_state *whole = mf_rig_replay(r, r->log_n), *head = NULL;
	char *replayed = mf_rig_snapshot(whole);
	struct mf_err err = { 0 };
	assert_int_equal(mf_state_new(&head, NULL), MF_OK);
	for (size_t at = 0; at < r->log_n; at++) {
		struct mf_record_doc *doc = NULL;
		struct mf_state *back = NULL;
		assert_int_equal(mf_record_decode(mf_slice(r->log[at].p, r->log[at].n), &doc, NULL), MF_OK);
		assert_int_equal(mf_state_apply(head, at, mf_record_doc_get(doc), NULL), MF_OK);
		mf_record_doc_free(doc);
		char *text = mf_rig_snapshot(head);
		reads_back(text, &back);
		free(text);
		for (size_t i = at + 1; i < r->log_n; i++) {
			assert_int_equal(
			    mf_record_decode(mf_slice(r->log[i].p, r->log[i].n), &doc, NULL), MF_OK);
			if (mf_state_apply(back, i, mf_record_doc_get(doc), &err) != MF_OK)
				fail_msg("tail record %zu on the snapshot at %zu: %s", i, at + 1, err.msg);
			mf_record_doc_free(doc);
		}
		text = mf_rig_snapshot(back);
		assert_string_equal(text, replayed);
		free(text);
		mf_state_free(back);
	}
	free(replayed);
	mf_state_free(head);
	mf_state_free(whole);
}

/* ---- managers' jobs ---- */

uint64_t
mf_rig_attach_as(struct rig *r, uint64_t sid, unsigned k, const struct rig_attach *as)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__Attach a = MAYFLY__AGENT__V1__ATTACH__INIT;
	ProtobufCBinaryData points[2];
	uint8_t bytes[2][65];
	char text[5][512], selector[3][300], *ps[3] = { selector[0], selector[1], selector[2] },
					     grade[] = "pidfd+cgroup";
	(void)snprintf(text[0], 512, "%s", as->key);
	(void)snprintf(text[1], 512, "%s", as->profile);
	(void)snprintf(text[2], 512, "%s", as->user);
	(void)snprintf(text[3], 512, "%s", as->job_key == NULL ? "" : as->job_key);
	(void)snprintf(text[4], 512, "%s", as->job_key == NULL ? "" : as->grade == NULL ? "M" : as->grade);
	(void)snprintf(selector[0], 300, "unix.user:%s", as->user);
	a.n_selectors = 1;
	if (as->selector != NULL)
		(void)snprintf(selector[a.n_selectors++], 300, "%s", as->selector);
	if (as->uid != 0)
		(void)snprintf(selector[a.n_selectors++], 300, "unix.uid:%u", as->uid);
	for (size_t i = 0; i < 2; i++) {
		for (size_t b = 0; b < 65; b++)
			bytes[i][b] = (uint8_t)(r->next_request * 7 + b + i);
		points[i] = (ProtobufCBinaryData) { 65, bytes[i] };
	}
	a.instance_key = text[0];
	a.profile = text[1];
	a.unix_user = text[2];
	a.unix_uid = as->uid;
	a.grade = grade;
	a.selectors = ps;
	a.n_points = 2;
	a.points = points;
	a.job_key = text[3];
	a.job_grade = text[4];
	uint8_t manifest[2048];
	if (as->manifest != NULL) {
		a.manifest.len = strlen(as->manifest);
		assert_true(a.manifest.len <= sizeof(manifest));
		memcpy(manifest, as->manifest, a.manifest.len);
		a.manifest.data = manifest;
	}
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_ATTACH;
	up.attach = &a;
	return mf_rig_up(r, sid, k, &up);
}

void
mf_rig_join_with(struct rig *r, uint64_t sid, unsigned k, const char *name, const char *value, char *ret_node)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__CreateJoinTokenRequest q = MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__INIT;
	typedef Mayfly__Admin__V1__CreateJoinTokenRequest__AttributesEntry entry;
	entry a[2] = { MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__ATTRIBUTES_ENTRY__INIT,
		MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__ATTRIBUTES_ENTRY__INIT };
	entry *pa[2] = { &a[0], &a[1] };
	char text[2][128], pool[] = "pool", gpu[] = "gpu";
	a[0].key = pool;
	a[0].value = gpu;
	q.n_attributes = 1;
	if (name != NULL) {
		(void)snprintf(text[0], sizeof(text[0]), "%s", name);
		(void)snprintf(text[1], sizeof(text[1]), "%s", value);
		a[1].key = text[0];
		a[1].value = text[1];
		q.n_attributes = 2;
	}
	q.attributes = pa;
	q.uses = 1;
	q.ttl_s = 3600;
	call.call_id = 8;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_CREATE_JOIN_TOKEN;
	call.create_join_token = &q;
	mf_engine_admin(r->e, r->now, &call);
	mf_rig_commit(r);
	assert_int_equal(r->reply->what_case, MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_JOIN_TOKEN);
	char *token = strdup(r->reply->join_token->token);
	const Mayfly__Agent__V1__Down *d = mf_rig_hello(r, sid, k, RIG_BOOT, NULL, 0, token);
	free(token);
	assert_non_null(d);
	assert_int_equal(d->body_case, MAYFLY__AGENT__V1__DOWN__BODY_WELCOME);
	(void)snprintf(ret_node, MF_STATE_ID_MAX, "%s", d->welcome->node_id);
	assert_non_null(mf_rig_resync(r, sid, k, NULL, NULL, NULL, 0));
}

uint64_t
mf_rig_word(struct rig *r, uint64_t sid, unsigned k, const char *job_key, int64_t uid, int64_t deadline,
    const char *node)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__ManagerStarted w = MAYFLY__AGENT__V1__MANAGER_STARTED__INIT;
	char text[2][1024], *nodes[1] = { text[1] };
	(void)snprintf(text[0], sizeof(text[0]), "%s", job_key);
	w.job_key = text[0];
	w.owner_known = uid >= 0;
	w.owner_uid = uid >= 0 ? (uint32_t)uid : 0;
	w.deadline = deadline;
	if (node != NULL) {
		(void)snprintf(text[1], sizeof(text[1]), "%s", node);
		w.n_nodes = 1;
		w.nodes = nodes;
	}
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_MANAGER_STARTED;
	up.manager_started = &w;
	return mf_rig_up(r, sid, k, &up);
}

uint64_t
mf_rig_word_end(
    struct rig *r, uint64_t sid, unsigned k, const char *job_key, Mayfly__Agent__V1__ManagerEndKind kind)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__ManagerEnd w = MAYFLY__AGENT__V1__MANAGER_END__INIT;
	char text[1024];
	(void)snprintf(text, sizeof(text), "%s", job_key);
	w.job_key = text;
	w.kind = kind;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_MANAGER_END;
	up.manager_end = &w;
	return mf_rig_up(r, sid, k, &up);
}

bool
mf_rig_word_taken(const struct rig *r, uint64_t sid, uint64_t request)
{
	const Mayfly__Agent__V1__Down *d = mf_rig_answer(r, sid, request);
	return d != NULL && d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_MANAGER_ANSWER;
}

void
mf_rig_forget_answers(struct rig *r)
{
	for (size_t i = 0; i < r->downs_n; i++)
		mayfly__agent__v1__down__free_unpacked(r->downs[i].down, NULL);
	r->downs_n = 0;
}
