/*
 * Jobs of managers: many instances on many nodes, a manager's word against what the nodes see. The manager here is a
 * test double that speaks through the rig's nodes: no Slurm, no Kubernetes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/engine_jobs.h"

#define REFUSED(x) MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_##x
#define END(x) MAYFLY__AGENT__V1__MANAGER_END_KIND__MANAGER_END_##x
#define KEY "slurm/c1/77.0"

/* Nodes 1 to 3 compute; node 9 is the controller's: it speaks for slurm/c1. */
struct cluster {
	struct rig *r;
	char node[4][MF_STATE_ID_MAX], ctl[MF_STATE_ID_MAX], key[4][256];
};

static void
open_cluster(struct cluster *c)
{
	c->r = mf_rig_new();
	for (unsigned k = 1; k <= 3; k++) {
		char name[8];
		(void)snprintf(name, sizeof(name), "gpu%u", k);
		mf_rig_join_with(c->r, k, k, "name", name, c->node[k]);
		mf_rig_instance_key(c->key[k], c->node[k], RIG_BOOT, 1);
	}
	mf_rig_join_with(c->r, 9, 9, "manager", "slurm/c1", c->ctl);
}

static struct rig_attach
claim(const struct cluster *c, unsigned k, const char *job_key)
{
	return (struct rig_attach) { .key = c->key[k],
		.profile = "train",
		.user = "alice",
		.job_key = job_key,
		.selector = "slurm.job_id:77",
		.uid = 1000 };
}

static uint64_t
attach(struct cluster *c, unsigned k)
{
	struct rig_attach a = claim(c, k, KEY);
	uint64_t req = mf_rig_attach_as(c->r, k, k, &a);
	mf_rig_settle(c->r);
	return req;
}

static const struct mf_job *
job_of(const struct cluster *c, const char *key)
{
	return mf_state_job_by_key(mf_engine_state(c->r->e), mf_slice_str(key));
}

static const char *
reason_of(const struct cluster *c, uint64_t sid, uint64_t req)
{
	const Mayfly__Agent__V1__Down *d = mf_rig_answer(c->r, sid, req);
	return d != NULL && d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL ? d->refusal->reason : "";
}

static void
close_cluster(struct cluster *c)
{
	assert_false(c->r->sent_undurable);
	mf_rig_check_every_prefix(c->r);
	mf_rig_free(c->r);
}

static void
test_one_job_on_three_nodes(void **state)
{
	MF_UNUSED(state);
	struct cluster c;
	open_cluster(&c);
	const Mayfly__Agent__V1__Grant *g[4];
	for (unsigned k = 1; k <= 3; k++) {
		g[k] = mf_rig_grant(c.r, k, attach(&c, k));
		assert_non_null(g[k]);
		assert_int_equal(g[k]->instance, k);
		assert_string_equal(g[k]->job_key, KEY);
	}
	assert_string_equal(g[1]->job_id, g[3]->job_id);
	assert_string_equal(g[1]->issued[0]->spiffe_id, g[2]->issued[0]->spiffe_id); /* one identity */
	assert_string_not_equal(g[1]->lease_id, g[2]->lease_id);
	assert_int_equal(mf_rig_count(c.r, MF_REC_JOB_STARTED), 1);
	/* An instance's end ends that instance only. */
	(void)mf_rig_end(c.r, 1, 1, c.key[1], "");
	mf_rig_settle(c.r);
	assert_int_equal(job_of(&c, KEY)->live, 2);
	uint64_t renew = mf_rig_renew(c.r, 2, 2, g[2]->lease_id, 1);
	mf_rig_settle(c.r);
	assert_non_null(mf_rig_grant(c.r, 2, renew));
	uint64_t again = attach(&c, 1);
	assert_int_equal(mf_rig_refusal(c.r, 1, again), REFUSED(ENDED));
	/* The manager's word ends all of it, for good. */
	uint64_t end = mf_rig_word_end(c.r, 9, 9, KEY, END(FINAL));
	assert_false(mf_rig_word_taken(c.r, 9, end)); /* not before it is on disk */
	mf_rig_commit(c.r);
	assert_true(mf_rig_word_taken(c.r, 9, end));
	assert_true(job_of(&c, KEY)->ended);
	assert_string_equal(job_of(&c, KEY)->cause, "manager");
	assert_int_equal(mf_rig_pushes(c.r, 2, MAYFLY__AGENT__V1__DOWN__BODY_LEASE_ENDED), 1);
	mf_rig_instance_key(c.key[2], c.node[2], RIG_BOOT, 2);
	assert_int_equal(mf_rig_refusal(c.r, 2, attach(&c, 2)), REFUSED(ENDED));
	/* Said again: it is on record. */
	assert_true(mf_rig_word_taken(c.r, 9, mf_rig_word_end(c.r, 9, 9, KEY, END(FINAL))));
	close_cluster(&c);
}

/* The last instance is gone, the manager has not spoken: the job waits, and a late node still finds it. */
static void
test_waiting_for_the_manager(void **state)
{
	MF_UNUSED(state);
	struct cluster c;
	open_cluster(&c);
	(void)attach(&c, 1);
	(void)mf_rig_end(c.r, 1, 1, c.key[1], "");
	mf_rig_settle(c.r);
	assert_false(job_of(&c, KEY)->ended);
	mf_rig_advance(c.r, 240000);
	assert_non_null(mf_rig_grant(c.r, 2, attach(&c, 2)));
	assert_int_equal(job_of(&c, KEY)->instances, 2);
	for (int i = 0; i < 3; i++) { /* it lives: nobody waits */
		mf_rig_advance(c.r, 240000);
		(void)mf_rig_renew(
		    c.r, 2, 2, mf_state_lease_by_key(mf_engine_state(c.r->e), mf_slice_str(c.key[2]))->id, 1);
		mf_rig_settle(c.r);
	}
	assert_false(job_of(&c, KEY)->ended);
	(void)mf_rig_end(c.r, 2, 2, c.key[2], "");
	mf_rig_settle(c.r);
	/* The wait survives a crash, and is bounded. */
	mf_rig_crash(c.r);
	mf_rig_advance(c.r, 590000);
	assert_false(job_of(&c, KEY)->ended);
	mf_rig_advance(c.r, 11000);
	assert_true(job_of(&c, KEY)->ended);
	assert_string_equal(job_of(&c, KEY)->cause, "manager_silent");
	mf_rig_commit(c.r);
	close_cluster(&c);
	/* Its word meets a job that is empty already: confirmed, over at once. */
	open_cluster(&c);
	(void)attach(&c, 1);
	(void)mf_rig_end(c.r, 1, 1, c.key[1], "");
	(void)mf_rig_word_end(c.r, 9, 9, KEY, END(ANNOUNCED));
	mf_rig_commit(c.r);
	assert_true(job_of(&c, KEY)->ended);
	assert_int_equal(mf_rig_count(c.r, MF_REC_JOB_ENDING), 0);
	close_cluster(&c);
}

static void
test_who_may_claim(void **state)
{
	MF_UNUSED(state);
	struct cluster c;
	open_cluster(&c);
	struct rig_attach a = claim(&c, 1, KEY);
	static const char *const bad[] = { "slurm/c1/77", "slurm/c1/077.0", "slurm/c1/77.-1",
		"local/x/y/cg-1", "slurm//77.0", "slurm/../77.0", "slurm/c1/77.0/x", "k8s/c/ns/Job",
		"nomad/c1/77.0" };
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		a.job_key = bad[i];
		assert_int_equal(mf_rig_refusal(c.r, 1, mf_rig_attach_as(c.r, 1, 1, &a)), REFUSED(INVALID));
	}
	a = claim(&c, 1, KEY);
	a.selector = NULL; /* nothing of that job was seen there */
	assert_int_equal(mf_rig_refusal(c.r, 1, mf_rig_attach_as(c.r, 1, 1, &a)), REFUSED(INVALID));
	a.selector = "slurm.job_id:78";
	assert_int_equal(mf_rig_refusal(c.r, 1, mf_rig_attach_as(c.r, 1, 1, &a)), REFUSED(INVALID));
	a.selector = "job.key:slurm/c1/77.0"; /* the key is no selector */
	assert_int_equal(mf_rig_refusal(c.r, 1, mf_rig_attach_as(c.r, 1, 1, &a)), REFUSED(INVALID));
	a = claim(&c, 1, KEY);
	a.grade = "W";
	assert_int_equal(mf_rig_refusal(c.r, 1, mf_rig_attach_as(c.r, 1, 1, &a)), REFUSED(INVALID));
	/* Policy places it, or nobody: another user's profile, and a node of another pool. */
	a = claim(&c, 1, KEY);
	a.user = "bob";
	uint64_t req = mf_rig_attach_as(c.r, 1, 1, &a);
	mf_rig_settle(c.r);
	assert_int_equal(mf_rig_refusal(c.r, 1, req), REFUSED(DENIED));
	/* Another person's instance does not join alice's job, though policy would let it have the profile. */
	assert_non_null(mf_rig_grant(c.r, 1, attach(&c, 1)));
	a = claim(&c, 2, KEY);
	a.user = "carol";
	a.profile = "shell";
	req = mf_rig_attach_as(c.r, 2, 2, &a);
	mf_rig_settle(c.r);
	assert_int_equal(mf_rig_refusal(c.r, 2, req), REFUSED(DENIED));
	/* One instance is part of one job. */
	a = claim(&c, 1, "slurm/c1/77.1");
	req = mf_rig_attach_as(c.r, 1, 1, &a);
	assert_int_equal(mf_rig_refusal(c.r, 1, req), REFUSED(INVALID));
	assert_int_equal(mf_rig_count(c.r, MF_REC_JOB_STARTED), 1);
	close_cluster(&c);
}

static void
test_who_may_speak(void **state)
{
	MF_UNUSED(state);
	struct cluster c;
	open_cluster(&c);
	(void)attach(&c, 1);
	/* A compute node's key, stolen, ends nobody's job and extends none; it is on record that it tried. */
	assert_int_equal(
	    mf_rig_refusal(c.r, 2, mf_rig_word_end(c.r, 2, 2, KEY, END(FINAL))), REFUSED(DENIED));
	assert_int_equal(mf_rig_refusal(c.r, 2, mf_rig_word(c.r, 2, 2, KEY, 1000, 0, NULL)), REFUSED(DENIED));
	/* The controller of c1 is not that of c2, and no Kubernetes. */
	assert_int_equal(
	    mf_rig_refusal(c.r, 9, mf_rig_word_end(c.r, 9, 9, "slurm/c2/77.0", END(FINAL))), REFUSED(DENIED));
	assert_int_equal(mf_rig_refusal(c.r, 9, mf_rig_word_end(c.r, 9, 9, "k8s/c1/ns/Job/u", END(FINAL))),
	    REFUSED(DENIED));
	assert_int_equal(mf_rig_count(c.r, MF_REC_NODE_REFUSED), 4);
	assert_int_equal(
	    mf_rig_refusal(c.r, 9, mf_rig_word_end(c.r, 9, 9, KEY, END(UNSPECIFIED))), REFUSED(INVALID));
	assert_int_equal(
	    mf_rig_refusal(c.r, 9, mf_rig_word_end(c.r, 9, 9, "x", END(FINAL))), REFUSED(INVALID));
	assert_int_equal(mf_rig_refusal(c.r, 9, mf_rig_word(c.r, 9, 9, KEY, 1, -1, NULL)), REFUSED(INVALID));
	assert_int_equal(mf_rig_refusal(c.r, 9, mf_rig_word(c.r, 9, 9, KEY, 1, 0, "a\nb")), REFUSED(INVALID));
	assert_false(job_of(&c, KEY)->ended || job_of(&c, KEY)->ending);
	mf_rig_commit(c.r);
	close_cluster(&c);
}

/* Owner, nodes and deadline as the manager says them, before anybody attaches and after. */
static void
test_word_before_and_after(void **state)
{
	MF_UNUSED(state);
	struct cluster c;
	open_cluster(&c);
	int64_t now_s = c.r->now.wall_us / 1000000;
	uint64_t word = mf_rig_word(c.r, 9, 9, KEY, 1000, now_s + 600, "gpu1");
	mf_rig_commit(c.r);
	assert_true(mf_rig_word_taken(c.r, 9, word));
	size_t n = c.r->log_n;
	assert_true(mf_rig_word_taken(c.r, 9, mf_rig_word(c.r, 9, 9, KEY, 1000, now_s + 600, "gpu1")));
	assert_int_equal(c.r->log_n, n); /* the same again changes nothing */
	mf_rig_crash(c.r);		 /* and it is remembered */
	for (unsigned k = 1; k <= 3; k++)
		mf_rig_join_with(c.r, k, k + 10, "name", k == 1 ? "gpu1" : "gpux", c.node[k]);
	for (unsigned k = 1; k <= 3; k++)
		mf_rig_instance_key(c.key[k], c.node[k], RIG_BOOT, 1);
	mf_rig_join_with(c.r, 9, 19, "manager", "slurm/c1", c.ctl);
	struct rig_attach a = claim(&c, 2, KEY);
	uint64_t elsewhere = mf_rig_attach_as(c.r, 2, 12, &a);
	a = claim(&c, 1, KEY);
	a.uid = 1001;
	uint64_t other = mf_rig_attach_as(c.r, 1, 11, &a);
	mf_rig_settle(c.r);
	assert_int_equal(mf_rig_refusal(c.r, 2, elsewhere), REFUSED(DENIED));
	assert_non_null(strstr(reason_of(&c, 2, elsewhere), "did not place it on this node"));
	assert_int_equal(mf_rig_refusal(c.r, 1, other), REFUSED(DENIED));
	assert_non_null(strstr(reason_of(&c, 1, other), "another owner"));
	a.uid = 1000;
	uint64_t mine = mf_rig_attach_as(c.r, 1, 11, &a);
	mf_rig_settle(c.r);
	assert_non_null(mf_rig_grant(c.r, 1, mine));
	/* min(manager's, profile's) and the drain cap what it gets. */
	assert_int_equal(job_of(&c, KEY)->deadline, now_s + 600);
	assert_true(mf_rig_grant(c.r, 1, mine)->issued[0]->not_after <= now_s + 660);
	/* Longer: told to the node, never beyond max_job. Shorter: at once. */
	(void)mf_rig_word(c.r, 9, 19, KEY, 1000, now_s + 900000, NULL);
	mf_rig_commit(c.r);
	assert_int_equal(job_of(&c, KEY)->deadline, now_s + 3600);
	assert_int_equal(mf_rig_count(c.r, MF_REC_JOB_EXTENDED), 1);
	assert_int_equal(mf_rig_pushes(c.r, 1, MAYFLY__AGENT__V1__DOWN__BODY_LEASE_DEADLINE), 1);
	mf_engine_log_room(c.r->e, false); /* a removal: no room is no excuse */
	assert_int_equal(mf_rig_refusal(c.r, 9, mf_rig_word(c.r, 9, 19, KEY, 1000, now_s + 300, NULL)),
	    REFUSED(UNAVAILABLE));
	assert_int_equal(job_of(&c, KEY)->deadline, now_s + 300);
	assert_true(c.r->log[c.r->log_n - 1].removal);
	mf_engine_log_room(c.r->e, true);
	/* Now without nodes named, and the second node is let in. */
	(void)mf_rig_word(c.r, 9, 19, KEY, 1000, now_s + 300, NULL);
	a = claim(&c, 2, KEY);
	elsewhere = mf_rig_attach_as(c.r, 2, 12, &a);
	mf_rig_settle(c.r);
	assert_non_null(mf_rig_grant(c.r, 2, elsewhere));
	/* The manager corrects the owner: who is not the owner is out, at once. */
	(void)mf_rig_word(c.r, 9, 19, KEY, 4711, now_s + 300, NULL);
	mf_rig_settle(c.r);
	assert_int_equal(job_of(&c, KEY)->live, 0);
	assert_int_equal(mf_rig_pushes(c.r, 2, MAYFLY__AGENT__V1__DOWN__BODY_LEASE_ENDED), 1);
	close_cluster(&c);
}

/* It ended before anybody attached: who comes late finds nothing, whatever the end was. */
static void
test_end_before_the_first_attach(void **state)
{
	MF_UNUSED(state);
	static const Mayfly__Agent__V1__ManagerEndKind kinds[] = { END(ANNOUNCED), END(FINAL),
		END(REQUEUED) };
	for (size_t i = 0; i < MF_COUNT(kinds); i++) {
		struct cluster c;
		open_cluster(&c);
		(void)mf_rig_word(c.r, 9, 9, KEY, 1000, 0, NULL);
		mf_engine_log_room(c.r->e, false);
		uint64_t end = mf_rig_word_end(c.r, 9, 9, KEY, kinds[i]);
		mf_engine_log_room(c.r->e, true);
		mf_rig_commit(c.r);
		assert_true(mf_rig_word_taken(c.r, 9, end));
		assert_int_equal(mf_rig_refusal(c.r, 1, attach(&c, 1)), REFUSED(ENDED));
		assert_int_equal(
		    mf_rig_refusal(c.r, 9, mf_rig_word(c.r, 9, 9, KEY, 1000, 0, NULL)), REFUSED(ENDED));
		assert_int_equal(mf_rig_count(c.r, MF_REC_JOB_STARTED), 0);
		close_cluster(&c);
	}
}

/*
 * 10,000 jobs of three instances: the first instance's end, the manager's word and the attach of a late node meet in
 * every order; and the log itself shows that nothing was issued after an end.
 */
static void
test_races(void **state)
{
	MF_UNUSED(state);
	struct cluster c;
	open_cluster(&c);
	size_t granted = 0, refused = 0;
	for (unsigned i = 0; i < 10000; i++) {
		char key[64], selector[64], inst[4][256];
		(void)snprintf(key, sizeof(key), "slurm/c1/%u.0", 1000 + i);
		(void)snprintf(selector, sizeof(selector), "slurm.job_id:%u", 1000 + i);
		for (unsigned k = 1; k <= 3; k++)
			mf_rig_instance_key(inst[k], c.node[k], RIG_BOOT, 100 + i);
		struct rig_attach a = {
			.profile = "train", .user = "alice", .job_key = key, .selector = selector, .uid = 1000
		};
		a.key = inst[1];
		(void)mf_rig_attach_as(c.r, 1, 1, &a);
		mf_rig_settle(c.r);
		/* Four events; which of them goes before which is i's digits. */
		bool end_first = (i & 1) != 0, announce = (i & 2) != 0;
		unsigned when = (i >> 2) % 4;
		a.key = inst[2];
		if (end_first)
			(void)mf_rig_end(c.r, 1, 1, inst[1], "");
		if (when == 0)
			(void)mf_rig_word_end(c.r, 9, 9, key, announce ? END(ANNOUNCED) : END(FINAL));
		uint64_t late = mf_rig_attach_as(c.r, 2, 2, &a);
		if (when == 1)
			(void)mf_rig_word_end(c.r, 9, 9, key, announce ? END(ANNOUNCED) : END(FINAL));
		mf_rig_sign(c.r, true);
		if (when == 2)
			(void)mf_rig_word_end(c.r, 9, 9, key, announce ? END(ANNOUNCED) : END(FINAL));
		mf_rig_commit(c.r);
		if (when == 3)
			(void)mf_rig_word_end(c.r, 9, 9, key, announce ? END(ANNOUNCED) : END(FINAL));
		if (!end_first)
			(void)mf_rig_end(c.r, 1, 1, inst[1], "");
		mf_rig_settle(c.r);
		bool got = mf_rig_grant(c.r, 2, late) != NULL;
		/* Recorded before the end: had it been final, it is not sent; had it been announced, it drains. */
		assert_true(got == (when == 3 || (when == 2 && announce)));
		granted += got;
		refused += !got;
		(void)mf_rig_end(c.r, 2, 2, inst[2], "");
		a.key = inst[3];
		uint64_t after = mf_rig_attach_as(c.r, 3, 3, &a);
		mf_rig_settle(c.r);
		assert_int_equal(mf_rig_refusal(c.r, 3, after), REFUSED(ENDED));
		assert_true(job_of(&c, key)->ended);
		if (i % 50 == 49)
			mf_rig_forget_answers(c.r);
	}
	assert_int_equal(granted + refused, 10000);
	assert_false(c.r->sent_undurable);
	struct mf_state *st = mf_rig_replay(c.r, c.r->log_n); /* apply refuses what comes after an end */
	mf_state_free(st);
	mf_rig_free(c.r);
}

/* ---- runs ---- */

static const char *
run_of(const struct cluster *c, uint64_t sid, uint64_t req)
{
	const Mayfly__Agent__V1__Grant *g = mf_rig_grant(c->r, sid, req);
	if (g == NULL)
		fail_msg("no grant: %s", reason_of(c, sid, req));
	return g->run_id;
}

static void
test_run_over_requeues_and_chains(void **state)
{
	MF_UNUSED(state);
	struct cluster c;
	char run[MF_STATE_ID_MAX], first[MF_STATE_ID_MAX], key[256], manifest[256];
	open_cluster(&c);
	(void)snprintf(run, sizeof(run), "%s", run_of(&c, 1, attach(&c, 1)));
	(void)snprintf(first, sizeof(first), "%s", job_of(&c, KEY)->id);
	(void)mf_rig_word_end(c.r, 9, 9, KEY, END(REQUEUED));
	mf_rig_commit(c.r);
	assert_string_equal(job_of(&c, KEY)->cause, "requeued");
	/* The next restart: a new job, the same run; also from another node, also after a crash. */
	mf_rig_instance_key(key, c.node[2], RIG_BOOT, 2);
	struct rig_attach a = claim(&c, 2, "slurm/c1/77.1");
	a.key = key;
	uint64_t req = mf_rig_attach_as(c.r, 2, 2, &a);
	mf_rig_settle(c.r);
	assert_string_equal(run_of(&c, 2, req), run);
	assert_string_not_equal(mf_rig_grant(c.r, 2, req)->job_id, first);
	/* A local job that names the run, then one that names a job of it. */
	(void)snprintf(manifest, sizeof(manifest), "{\"mayfly_manifest\":1,\"run\":\"%s\"}", run);
	mf_rig_instance_key(key, c.node[3], RIG_BOOT, 3);
	a = (struct rig_attach) { .key = key, .profile = "train", .user = "alice", .manifest = manifest };
	req = mf_rig_attach_as(c.r, 3, 3, &a);
	mf_rig_settle(c.r);
	assert_string_equal(run_of(&c, 3, req), run);
	(void)snprintf(manifest, sizeof(manifest), "{\"mayfly_manifest\":1,\"run\":\"%s\"}", first);
	mf_rig_instance_key(key, c.node[3], RIG_BOOT, 4);
	req = mf_rig_attach_as(c.r, 3, 3, &a);
	mf_rig_settle(c.r);
	assert_string_equal(run_of(&c, 3, req), run);
	/* Somebody else's, another profile's: refused, recorded, with a reason that names no one. */
	mf_rig_instance_key(key, c.node[3], RIG_BOOT, 5);
	a.user = "carol";
	a.profile = "shell";
	req = mf_rig_attach_as(c.r, 3, 3, &a);
	mf_rig_settle(c.r);
	assert_int_equal(mf_rig_refusal(c.r, 3, req), REFUSED(DENIED));
	assert_non_null(strstr(reason_of(&c, 3, req), "a run is one person's"));
	assert_null(strstr(reason_of(&c, 3, req), "alice"));
	assert_int_equal(mf_rig_count(c.r, MF_REC_AUTHZ_DENIED), 1);
	/* One that nobody knows. A name that is no id is a label, not a reference. */
	a.user = "alice";
	a.profile = "train";
	a.manifest = "{\"mayfly_manifest\":1,\"run\":\"r-aaaaaaaaaaaaaaaaaaaa\"}";
	req = mf_rig_attach_as(c.r, 3, 3, &a);
	mf_rig_settle(c.r);
	assert_int_equal(mf_rig_refusal(c.r, 3, req), REFUSED(DENIED));
	a.manifest = "{\"mayfly_manifest\":1,\"run\":\"nightly\"}";
	req = mf_rig_attach_as(c.r, 3, 3, &a);
	mf_rig_settle(c.r);
	assert_string_not_equal(run_of(&c, 3, req), run);
	close_cluster(&c);
}

/* A day after its end a job is forgotten; its run goes on for thirty, and is then a stranger. */
static void
test_run_outlives_its_jobs(void **state)
{
	MF_UNUSED(state);
	struct cluster c;
	char run[MF_STATE_ID_MAX], first[MF_STATE_ID_MAX], key[256], manifest[256];
	open_cluster(&c);
	(void)snprintf(run, sizeof(run), "%s", run_of(&c, 1, attach(&c, 1)));
	(void)snprintf(first, sizeof(first), "%s", job_of(&c, KEY)->id);
	(void)mf_rig_word_end(c.r, 9, 9, KEY, END(FINAL));
	mf_rig_settle(c.r);
	for (unsigned day = 1; day <= 33; day += 16) {
		c.r->now.wall_us += INT64_C(16) * 86400 * 1000000;
		c.r->now.mono_ms += UINT64_C(16) * 86400 * 1000;
		mf_rig_crash(c.r);
		mf_rig_join_with(c.r, 100 + day, 100 + day, NULL, NULL, c.node[1]);
		(void)snprintf(manifest, sizeof(manifest), "{\"mayfly_manifest\":1,\"run\":\"%s\"}",
		    day == 1 ? first : run);
		mf_rig_instance_key(key, c.node[1], RIG_BOOT, day);
		struct rig_attach a = {
			.key = key, .profile = "train", .user = "alice", .manifest = manifest
		};
		assert_null(mf_state_job(mf_engine_state(c.r->e), mf_slice_str(first)));
		uint64_t req = mf_rig_attach_as(c.r, 100 + day, 100 + day, &a);
		mf_rig_settle(c.r);
		assert_string_equal(
		    run_of(&c, 100 + day, req), run); /* by its last job's id, then by its own */
		(void)mf_rig_end(c.r, 100 + day, 100 + day, key, "");
		mf_rig_settle(c.r);
	}
	c.r->now.wall_us += INT64_C(31) * 86400 * 1000000;
	c.r->now.mono_ms += UINT64_C(31) * 86400 * 1000;
	mf_rig_crash(c.r);
	assert_null(mf_state_run(mf_engine_state(c.r->e), mf_slice_str(run)));
	close_cluster(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_job_on_three_nodes),
		cmocka_unit_test(test_waiting_for_the_manager),
		cmocka_unit_test(test_who_may_claim),
		cmocka_unit_test(test_who_may_speak),
		cmocka_unit_test(test_word_before_and_after),
		cmocka_unit_test(test_end_before_the_first_attach),
		cmocka_unit_test(test_races),
		cmocka_unit_test(test_run_over_requeues_and_chains),
		cmocka_unit_test(test_run_outlives_its_jobs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
