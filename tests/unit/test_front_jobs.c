/* mayfly.job.v1 on the agent's front: Start and WhoAmI, before a fake attestor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "front_rig.h"

typedef Mayfly__Job__V1__StartEvent event;
typedef Mayfly__Job__V1__WhoAmIResponse whoami;

static struct rig *
rig(void **state)
{
	return *state;
}

static int
setup(void **state)
{
	*state = mf_frig_new();
	return 0;
}

static int
teardown(void **state)
{
	mf_frig_free(*state);
	return 0;
}

static void
send_spec(struct rig_client *c, const char *profile)
{
	Mayfly__Job__V1__StartRequest m = MAYFLY__JOB__V1__START_REQUEST__INIT;
	Mayfly__Job__V1__StartSpec s = MAYFLY__JOB__V1__START_SPEC__INIT;
	s.profile = (char *)(uintptr_t)profile;
	s.name = (char *)(uintptr_t) "train";
	m.body_case = MAYFLY__JOB__V1__START_REQUEST__BODY_SPEC;
	m.spec = &s;
	assert_int_equal(mf_grpc_sync_send(c->st, &m.base, NULL), MF_OK);
}

static void
send_place(struct rig_client *c, int32_t pid)
{
	Mayfly__Job__V1__StartRequest m = MAYFLY__JOB__V1__START_REQUEST__INIT;
	Mayfly__Job__V1__Place p = MAYFLY__JOB__V1__PLACE__INIT;
	p.pid = pid;
	m.body_case = MAYFLY__JOB__V1__START_REQUEST__BODY_PLACE;
	m.place = &p;
	assert_int_equal(mf_grpc_sync_send(c->st, &m.base, NULL), MF_OK);
}

static void
send_tree_empty(struct rig_client *c)
{
	Mayfly__Job__V1__StartRequest m = MAYFLY__JOB__V1__START_REQUEST__INIT;
	Mayfly__Job__V1__TreeEmpty t = MAYFLY__JOB__V1__TREE_EMPTY__INIT;
	m.body_case = MAYFLY__JOB__V1__START_REQUEST__BODY_TREE_EMPTY;
	m.tree_empty = &t;
	assert_int_equal(mf_grpc_sync_send(c->st, &m.base, NULL), MF_OK);
}

static const event *
next_event(struct rig_client *c, Mayfly__Job__V1__StartEvent__BodyCase want)
{
	const event *e = (const void *)mf_frig_next(c);
	if (e == NULL)
		fail_msg("no event, but %s: %s", mf_grpc_code_name(c->code), c->text);
	assert_int_equal(e->body_case, want);
	return e;
}

static bool
runner_told(void *ctx)
{
	return ((struct rig *)ctx)->runner_gone > 0;
}

/* Who was recognised without the attestor is shown to it before a job is started in its name. */
static void
test_run_of_a_known_process(void **state)
{
	struct rig *r = rig(state);
	struct rig_client c;
	r->looks = true;
	mf_frig_start(r);
	for (int i = 0; i < 2; i++) {
		mf_frig_open(r, &c, &mf_frig_fetch);
		assert_non_null(mf_frig_next(&c));
		mf_frig_close(&c);
	}
	unsigned before = r->who_is;
	assert_int_equal(before, r->looked ? 1 : 2);
	mf_frig_open(r, &c, &mf_frig_run);
	send_spec(&c, "dev");
	(void)next_event(&c, MAYFLY__JOB__V1__START_EVENT__BODY_CREATED);
	assert_int_equal(r->who_is, before + 1);
	mf_frig_close(&c);
}

/* The whole life; the identity is asked for before the child has its place. */
static void
test_run(void **state)
{
	struct rig *r = rig(state);
	struct rig_client c;
	mf_frig_start(r);
	mf_frig_open(r, &c, &mf_frig_run);
	send_spec(&c, "dev");
	const event *e = next_event(&c, MAYFLY__JOB__V1__START_EVENT__BODY_CREATED);
	assert_int_equal(e->created->placement, MAYFLY__JOB__V1__PLACEMENT__PLACEMENT_CGROUP);
	assert_string_equal(e->created->cgroup_path, "/sys/fs/cgroup/mayfly/j1");
	assert_string_equal(e->created->instance_key, "local/n-test/boot/cg-900");
	assert_string_equal(r->profile, "dev");
	e = next_event(&c, MAYFLY__JOB__V1__START_EVENT__BODY_GRANTED);
	assert_int_equal(r->place, 0);
	assert_string_equal(e->granted->job_id, "j-test");
	assert_string_equal(e->granted->profile, "dev");
	assert_int_equal(e->granted->n_spiffe_ids, 1);
	assert_string_equal(e->granted->spiffe_ids[0], "spiffe://example.org/default/job/107-0");
	send_place(&c, 4711);
	(void)next_event(&c, MAYFLY__JOB__V1__START_EVENT__BODY_PLACED);
	assert_int_equal(r->place, 1);
	/* the job asks: its identity is there already */
	struct rig_client job;
	r->handle = 107;
	(void)snprintf(r->key, sizeof(r->key), "local/n-test/boot/cg-900");
	mf_frig_open(r, &job, &mf_frig_fetch);
	assert_non_null(mf_frig_next(&job));
	assert_int_equal(r->attach, 1);
	mf_frig_ended(r, 107, false);
	e = next_event(&c, MAYFLY__JOB__V1__START_EVENT__BODY_ENDED);
	assert_string_equal(e->ended->cause, "empty");
	assert_int_equal(mf_frig_end(&c), MF_GRPC_OK);
	assert_int_equal(mf_frig_end(&job), MF_GRPC_PERMISSION_DENIED);
	mf_frig_close(&job);
	mf_frig_close(&c);
}

static void
test_runner_dies(void **state)
{
	struct rig *r = rig(state);
	struct rig_client c;
	mf_frig_start(r);
	mf_frig_open(r, &c, &mf_frig_run);
	send_spec(&c, "dev");
	(void)next_event(&c, MAYFLY__JOB__V1__START_EVENT__BODY_CREATED);
	mf_frig_close(&c);
	assert_true(mf_frig_until(r, runner_told, r));
	assert_int_equal(r->runner_gone, 1);
	assert_int_equal(r->tree_empty, 0);
}

static void
test_subreaper(void **state)
{
	struct rig *r = rig(state);
	struct rig_client c;
	r->placement = MAYFLY__JOB__V1__PLACEMENT__PLACEMENT_SUBREAPER;
	mf_frig_start(r);
	mf_frig_open(r, &c, &mf_frig_run);
	send_spec(&c, "");
	(void)next_event(&c, MAYFLY__JOB__V1__START_EVENT__BODY_CREATED);
	send_place(&c, 4711);
	send_tree_empty(&c);
	assert_true(mf_frig_until(r, runner_told, r));
	assert_int_equal(r->tree_empty, 1);
	mf_frig_close(&c);
	mf_frig_settle(r);
	assert_int_equal(r->runner_gone, 1); /* once */
}

static void
test_refused(void **state)
{
	struct rig *r = rig(state);
	struct rig_client c;
	r->answer = RIG_REFUSE;
	mf_frig_start(r);
	mf_frig_open(r, &c, &mf_frig_run);
	send_spec(&c, "secret-profile");
	(void)next_event(&c, MAYFLY__JOB__V1__START_EVENT__BODY_CREATED);
	const event *e = next_event(&c, MAYFLY__JOB__V1__START_EVENT__BODY_REFUSED);
	assert_string_equal(e->refused->code, "denied");
	assert_string_equal(e->refused->reason, "no rule permits this");
	assert_string_equal(e->refused->rule, "rule-9");
	assert_true(mf_frig_quiet(&c)); /* what to do now is the runner's business */
	mf_frig_close(&c);
}

static void
test_failures(void **state)
{
	struct rig *r = rig(state);
	struct rig_client c;
	mf_frig_start(r);
	r->start_fails = true;
	mf_frig_open(r, &c, &mf_frig_run);
	send_spec(&c, "dev");
	assert_int_equal(mf_frig_end(&c), MF_GRPC_FAILED_PRECONDITION);
	assert_string_equal(c.text, "no cgroup can be made");
	mf_frig_close(&c);
	r->start_fails = false;
	r->place_fails = true;
	mf_frig_open(r, &c, &mf_frig_run);
	send_spec(&c, "dev");
	(void)next_event(&c, MAYFLY__JOB__V1__START_EVENT__BODY_CREATED);
	send_place(&c, 4711);
	assert_int_equal(mf_frig_end(&c), MF_GRPC_FAILED_PRECONDITION);
	assert_string_equal(c.text, "not a child of the runner");
	assert_int_equal(r->runner_gone, 1);
	mf_frig_close(&c);
	r->who = RIG_STRANGER;
	mf_frig_open(r, &c, &mf_frig_run);
	send_spec(&c, "dev");
	assert_int_equal(mf_frig_end(&c), MF_GRPC_PERMISSION_DENIED);
	mf_frig_close(&c);
	r->who = RIG_SILENT;
	mf_frig_open(r, &c, &mf_frig_run);
	send_spec(&c, "dev");
	assert_int_equal(mf_frig_end(&c), MF_GRPC_UNAVAILABLE);
	mf_frig_close(&c);
	assert_int_equal(r->runner_gone, 1); /* nothing was begun for these */
}

/* Requests in a wrong order, or of nonsense. */
static void
test_disorder(void **state)
{
	struct rig *r = rig(state);
	struct rig_client c;
	char big[300];
	memset(big, 'p', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	mf_frig_start(r);
	mf_frig_open(r, &c, &mf_frig_run);
	send_place(&c, 1);
	assert_int_equal(mf_frig_end(&c), MF_GRPC_FAILED_PRECONDITION);
	mf_frig_close(&c);
	mf_frig_open(r, &c, &mf_frig_run);
	send_spec(&c, "dev");
	send_spec(&c, "dev");
	assert_int_equal(mf_frig_end(&c), MF_GRPC_FAILED_PRECONDITION);
	mf_frig_close(&c);
	mf_frig_open(r, &c, &mf_frig_run);
	send_spec(&c, big);
	assert_int_equal(mf_frig_end(&c), mf_grpc_code_of(MF_E_TOOBIG));
	mf_frig_close(&c);
	for (int32_t pid = -1; pid <= 0; pid++) {
		mf_frig_open(r, &c, &mf_frig_run);
		send_spec(&c, "dev");
		(void)next_event(&c, MAYFLY__JOB__V1__START_EVENT__BODY_CREATED);
		send_place(&c, pid);
		while (mf_frig_next(&c) != NULL)
			;
		assert_int_equal(c.code, MF_GRPC_INVALID_ARGUMENT);
		mf_frig_close(&c);
	}
	mf_frig_open(r, &c, &mf_frig_run);
	send_spec(&c, "dev");
	(void)next_event(&c, MAYFLY__JOB__V1__START_EVENT__BODY_CREATED);
	send_tree_empty(&c); /* a cgroup's job ends with its cgroup */
	assert_int_equal(mf_frig_end(&c), MF_GRPC_FAILED_PRECONDITION);
	mf_frig_close(&c);
}

/* A run goes on over the attestor's restart; what was under way is failed. */
static void
test_attestor_restart(void **state)
{
	struct rig *r = rig(state);
	struct rig_client c, d;
	mf_frig_start(r);
	mf_frig_open(r, &c, &mf_frig_run);
	send_spec(&c, "dev");
	(void)next_event(&c, MAYFLY__JOB__V1__START_EVENT__BODY_CREATED);
	(void)next_event(&c, MAYFLY__JOB__V1__START_EVENT__BODY_GRANTED);
	send_place(&c, 4711);
	(void)next_event(&c, MAYFLY__JOB__V1__START_EVENT__BODY_PLACED);
	mf_frig_attestor_dies(r);
	mf_frig_settle(r);
	assert_true(mf_frig_quiet(&c));
	mf_frig_attestor(r);
	mf_frig_settle(r);
	assert_true(mf_frig_quiet(&c));
	mf_frig_ended(r, 107, false); /* handles are never used twice: the old one still means this job */
	(void)next_event(&c, MAYFLY__JOB__V1__START_EVENT__BODY_ENDED);
	assert_int_equal(mf_frig_end(&c), MF_GRPC_OK);
	mf_frig_close(&c);
	assert_int_equal(r->runner_gone, 0); /* the new attestor watches runners by itself */
	/* its place is there and its identity is not yet: nobody would ask for it again */
	r->answer = RIG_MUTE;
	mf_frig_open(r, &c, &mf_frig_run);
	send_spec(&c, "dev");
	(void)next_event(&c, MAYFLY__JOB__V1__START_EVENT__BODY_CREATED);
	mf_frig_attestor_dies(r);
	assert_int_equal(mf_frig_end(&c), MF_GRPC_UNAVAILABLE);
	assert_non_null(strstr(c.text, "run the job again"));
	mf_frig_close(&c);
	mf_frig_attestor(r);
	r->answer = RIG_GRANT;
	/* StartJob is out, and the attestor dies */
	r->placement = 77; /* and before that one that makes no sense */
	mf_frig_open(r, &d, &mf_frig_run);
	send_spec(&d, "dev");
	assert_int_equal(mf_frig_end(&d), MF_GRPC_INTERNAL);
	mf_frig_close(&d);
}

/* --- WhoAmI --- */

static const whoami *
who(struct rig *r, struct rig_client *c)
{
	mf_frig_open(r, c, &mf_frig_whoami);
	const whoami *m = (const void *)mf_frig_next(c);
	if (m == NULL)
		fail_msg("no answer, but %s: %s", mf_grpc_code_name(c->code), c->text);
	return m;
}

static void
test_whoami(void **state)
{
	struct rig *r = rig(state);
	struct rig_client c;
	r->identities = 2;
	r->hint = NULL;
	mf_frig_start(r);
	const whoami *m = who(r, &c);
	assert_string_equal(m->state, "granted");
	assert_string_equal(m->job_id, "j-test");
	assert_string_equal(m->run_id, "r-test");
	assert_string_equal(m->instance_id, "j-test/n1");
	assert_string_equal(m->tenant, "default");
	assert_string_equal(m->profile, "dev");
	assert_string_equal(m->rule, "rule-1");
	assert_string_equal(m->grade, "pidfd");
	assert_string_equal(m->trust_domain, "example.org");
	assert_string_equal(m->node_id, "n-test");
	assert_int_equal(m->uid, getuid());
	assert_int_equal(m->pid, getpid());
	assert_int_equal(m->n_selectors, 2);
	assert_string_equal(m->selectors[0], "unix.uid:4242");
	assert_true(m->broker_reachable);
	assert_int_equal(m->n_identities, 2);
	assert_string_equal(m->identities[1]->spiffe_id, "spiffe://example.org/default/job/7-1");
	assert_int_equal(strlen(m->identities[0]->serial), 32);
	assert_true(m->identities[0]->not_after > m->identities[0]->not_before);
	mf_frig_close(&c);
}

/* The announced end: served on, said so; a later deadline renews what the old one cut short. */
static void
test_whoami_ending(void **state)
{
	struct rig *r = rig(state);
	struct rig_client c, s;
	Mayfly__Roles__V1__InstanceEnding e = MAYFLY__ROLES__V1__INSTANCE_ENDING__INIT;
	Mayfly__Roles__V1__InstanceDeadline d = MAYFLY__ROLES__V1__INSTANCE_DEADLINE__INIT;
	mf_frig_start(r);
	mf_frig_open(r, &s, &mf_frig_fetch);
	assert_non_null(mf_frig_next(&s));
	const whoami *m = who(r, &c);
	assert_string_equal(m->state, "granted");
	assert_int_equal(m->ending_until, 0);
	int64_t deadline = m->deadline;
	mf_frig_close(&c);
	d.handle = e.handle = r->handle;
	d.deadline = deadline + 3600;
	mf_frig_send(r, MF_MSG_INSTANCE_DEADLINE, &d.base);
	mf_frig_settle(r);
	m = who(r, &c);
	assert_int_equal(m->deadline, deadline + 3600);
	mf_frig_close(&c);
	e.until = deadline + 60;
	e.cause = (char *)(uintptr_t) "manager";
	mf_frig_send(r, MF_MSG_INSTANCE_ENDING, &e.base);
	mf_frig_settle(r);
	m = who(r, &c);
	assert_string_equal(m->state, "ending");
	assert_int_equal(m->ending_until, deadline + 60);
	assert_int_equal(m->n_identities, 1);
	mf_frig_close(&c);
	assert_true(mf_frig_quiet(&s)); /* the stream stays: nothing that it shows has changed */
	/* And then it is over. */
	mf_frig_ended(r, r->handle, false);
	assert_int_equal(mf_frig_end(&s), MF_GRPC_PERMISSION_DENIED);
	mf_frig_close(&s);
}

static void
test_whoami_otherwise(void **state)
{
	struct rig *r = rig(state);
	struct rig_client c;
	mf_frig_start(r);
	r->answer = RIG_REFUSE;
	const whoami *m = who(r, &c);
	assert_string_equal(m->state, "refused");
	assert_string_equal(m->reason, "no rule permits this");
	assert_string_equal(m->rule, "rule-9");
	assert_int_equal(m->n_identities, 0);
	mf_frig_close(&c);
	r->who = RIG_NOT_YET;
	m = who(r, &c);
	assert_string_equal(m->state, "pending");
	assert_string_equal(m->reason, "resync");
	mf_frig_close(&c);
	r->who = RIG_KNOWN;
	r->handle = 8;
	(void)snprintf(r->key, sizeof(r->key), "local/n-test/boot/p-8");
	mf_frig_session(r, false);
	mf_frig_settle(r);
	m = who(r, &c);
	assert_string_equal(m->state, "pending");
	assert_string_equal(m->reason, "the broker is away");
	assert_false(m->broker_reachable);
	mf_frig_close(&c);
	r->who = RIG_STRANGER; /* last: a "no" is remembered of this process for a while */
	m = who(r, &c);
	assert_string_equal(m->state, "refused");
	assert_string_equal(m->reason, "no cgroup of ours");
	mf_frig_close(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		TEST(test_run),
		TEST(test_run_of_a_known_process),
		TEST(test_runner_dies),
		TEST(test_subreaper),
		TEST(test_refused),
		TEST(test_failures),
		TEST(test_disorder),
		TEST(test_attestor_restart),
		TEST(test_whoami),
		TEST(test_whoami_ending),
		TEST(test_whoami_otherwise),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
