/* The attestor and `mayfly run`: cgroups, trees, runners that go; and what a restart finds. */
#include "integration/attestor_runner.h"

static void
need_base(struct rig *r)
{
	if (r->w.cgroups == NULL || mf_cgroup_base_path(r->w.cgroups)[0] == '\0') {
		print_message(
		    "skipped: no cgroup can be made here (needs cgroup2 and root, or a delegated cgroup)\n");
		skip();
	}
}

static void
test_run_cgroup(void **state)
{
	struct rig *r = *state;
	struct run x = { 0 };
	need_base(r);
	make_ready(r, true, 0, MAYFLY__AGENT__V1__VERDICT__VERDICT_KEEP);
	start_runner(r, &x);
	uint64_t runner = who_is(r, 1, x.sock)->handle;
	const Mayfly__Roles__V1__JobCreated *j = start_job(r, 5, 1);
	assert_false(j->failed);
	assert_int_equal(j->placement, 1);
	assert_int_equal(j->weak, geteuid() != 0);
	uint64_t job = j->handle;
	assert_true(job != runner);
	char path[MF_CGROUP_PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s", j->cgroup_path);
	assert_int_equal(access(path, F_OK), 0);
	assert_true(start_job(r, 5, 1)->failed);  /* once */
	assert_true(start_job(r, 6, 99)->failed); /* nobody that was attested */
	/* Somebody else's process is not moved on a runner's word, nor one that is not there. */
	pid_t victim = spawn(connect_and_wait, &r->w);
	(void)close(world_accept(&r->w));
	assert_false(place(r, 5, victim));
	assert_false(place(r, 5, x.runner));
	assert_false(place(r, 5, 0x3ffffff));
	assert_false(place(r, 9, x.child));
	end_child(victim);
	assert_true(place(r, 5, x.child));
	assert_int_equal(write(x.gate[1], "g", 1), 1);
	const Mayfly__Roles__V1__Caller *c = who_is(r, 2, world_accept(&r->w));
	assert_true(c->known);
	assert_int_equal(c->handle, job);
	assert_int_equal(c->pid, x.child);
	ask_keys(r, MF_MSG_ATTACH_INSTANCE, job);
	const Mayfly__Agent__V1__Up *up = expect_up(r, MAYFLY__AGENT__V1__UP__BODY_ATTACH);
	assert_string_equal(up->attach->profile, "train");
	assert_string_equal(up->attach->name, "digits");
	assert_string_equal(up->attach->grade, geteuid() == 0 ? "pidfd+cgroup" : "pidfd+cgroup-delegated");
	char key[128];
	(void)snprintf(key, sizeof(key), "%s", up->attach->instance_key);
	send_grant(r, up->request_id, "l-1");
	(void)expect(r, MF_MSG_INSTANCE_GRANT);
	/* Inside of it another run only narrows it. */
	j = start_job(r, 7, 2);
	assert_int_equal(j->placement, 3);
	assert_int_equal(j->handle, job);
	runner_gone(r, 7, false);
	/* The runner may go, its job lives on in the cgroup; when that is empty it is over, and the place is gone. */
	runner_gone(r, 5, false);
	(void)kill(x.child, SIGKILL);
	const Mayfly__Roles__V1__InstanceEnded *e = expect(r, MF_MSG_INSTANCE_ENDED);
	assert_int_equal(e->handle, job);
	up = expect_up(r, MAYFLY__AGENT__V1__UP__BODY_END);
	assert_int_equal(up->end->cause, MAYFLY__AGENT__V1__END_CAUSE__END_EMPTY);
	send_end_answer(r, key, true);
	end_runner(&x);
	(void)expect(r, MF_MSG_INSTANCE_ENDED);
	while (count(r) > 0 || access(path, F_OK) == 0)
		(void)step(r);
}

/* A job whose child never comes is over with its runner. */
static void
test_run_never_placed(void **state)
{
	struct rig *r = *state;
	struct run x = { 0 };
	need_base(r);
	start_runner(r, &x);
	(void)who_is(r, 1, x.sock);
	const Mayfly__Roles__V1__JobCreated *j = start_job(r, 5, 1);
	uint64_t job = j->handle;
	char path[MF_CGROUP_PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s", j->cgroup_path);
	runner_gone(r, 5, false);
	const Mayfly__Roles__V1__InstanceEnded *e = expect(r, MF_MSG_INSTANCE_ENDED);
	assert_int_equal(e->handle, job);
	assert_int_equal(access(path, F_OK), -1);
	/* The same when the front dies with all its streams. */
	j = start_job(r, 6, 1);
	(void)snprintf(path, sizeof(path), "%s", j->cgroup_path);
	front_connect(r);
	assert_int_equal(access(path, F_OK), -1);
	end_runner(&x);
	while (count(r) > 0)
		(void)step(r);
}

static void
test_run_tree(void **state)
{
	struct rig *r = *state;
	struct run x = { 0 };
	/* An agent that may make no cgroups. */
	mf_attestor_free(r->a);
	char base[sizeof(r->base)];
	memcpy(base, r->base, sizeof(base));
	memset(r->base, '.', sizeof(r->base) - 1);
	attestor_start(r);
	memcpy(r->base, base, sizeof(base));
	front_connect(r);
	start_runner(r, &x);
	uint64_t runner = who_is(r, 1, x.sock)->handle;
	const Mayfly__Roles__V1__JobCreated *j = start_job(r, 5, 1);
	assert_false(j->failed);
	assert_int_equal(j->placement, 2);
	assert_true(j->weak);
	assert_true(j->reason[0] != '\0');
	assert_int_equal(j->handle, runner); /* the tree is called after its runner */
	assert_false(place(r, 5, getpid()));
	assert_true(place(r, 5, x.child));
	assert_int_equal(write(x.gate[1], "g", 1), 1);
	const Mayfly__Roles__V1__Caller *c = who_is(r, 2, world_accept(&r->w));
	assert_true(c->known);
	assert_int_equal(c->handle, runner);
	assert_string_equal(c->grade, "tree");
	runner_gone(r, 5, true);
	const Mayfly__Roles__V1__InstanceEnded *e = expect(r, MF_MSG_INSTANCE_ENDED);
	assert_int_equal(e->handle, runner);
	assert_string_equal(e->cause, "empty");
	end_runner(&x);
}

/* The attestor is restarted: what lives is adopted, what ended meanwhile is told, nothing is taken for another. */
static void
test_restart(void **state)
{
	struct rig *r = *state;
	struct run x = { 0 };
	bool cgroups = r->w.cgroups != NULL && mf_cgroup_base_path(r->w.cgroups)[0] != '\0';
	pid_t p[3];
	int sock[3];
	uint64_t handle[3];
	char lease[8], lost_key[128] = "";
	make_ready(r, true, 0, MAYFLY__AGENT__V1__VERDICT__VERDICT_KEEP);
	for (unsigned k = 0; k < 3; k++) {
		p[k] = spawn(connect_and_wait, &r->w);
		sock[k] = world_accept(&r->w);
		handle[k] = who_is(r, k, dup(sock[k]))->handle;
		ask_keys(r, MF_MSG_ATTACH_INSTANCE, handle[k]);
		const Mayfly__Agent__V1__Up *up = expect_up(r, MAYFLY__AGENT__V1__UP__BODY_ATTACH);
		if (k == 1)
			(void)snprintf(lost_key, sizeof(lost_key), "%s", up->attach->instance_key);
		(void)snprintf(lease, sizeof(lease), "l-%u", k);
		if (k < 2) { /* the third one's answer is lost with the attestor */
			send_grant(r, up->request_id, lease);
			(void)expect(r, MF_MSG_INSTANCE_GRANT);
		}
	}
	uint64_t job = 0;
	if (cgroups) {
		start_runner(r, &x);
		(void)who_is(r, 9, x.sock);
		job = start_job(r, 5, 9)->handle;
		assert_true(place(r, 5, x.child));
	}
	while (step(r))
		continue;
	/* What asked for something is stored before the asking; the job that did not, within a moment. */
	struct mf_attestor_poll want;
	for (turn(r, &want); want.due_ms <= mf_now().mono_ms + 1000; turn(r, &want))
		(void)poll(NULL, 0, 50);
	mf_attestor_free(r->a);
	end_child(p[1]); /* while nobody looks */
	attestor_start(r);
	front_connect(r);

	send_welcome(r, open_session(r, MAYFLY__AGENT__V1__UP__BODY_HELLO));
	(void)expect_up(r, MAYFLY__AGENT__V1__UP__BODY_SESSION_STORED);
	const Mayfly__Agent__V1__Up *up =
	    expect_up(r, MAYFLY__AGENT__V1__UP__BODY_END); /* before the resync */
	assert_string_equal(up->end->instance_key, lost_key);
	assert_int_equal(up->end->cause, MAYFLY__AGENT__V1__END_CAUSE__END_WHILE_AWAY);
	up = expect_up(r, MAYFLY__AGENT__V1__UP__BODY_RESYNC);
	/* The one with a lease, and the one whose answer was lost. */
	assert_int_equal(up->resync->n_instances, 2);
	assert_string_equal(up->resync->instances[0]->lease_id, "l-0");
	assert_string_equal(up->resync->instances[1]->lease_id, "");
	/* The same processes are the same instances; the cgroup too. */
	assert_int_equal(who_is(r, 0, sock[0])->handle, handle[0]);
	assert_int_equal(who_is(r, 2, sock[2])->handle, handle[2]);
	(void)close(sock[1]);
	if (cgroups) {
		assert_int_equal(write(x.gate[1], "g", 1), 1);
		assert_int_equal(who_is(r, 10, world_accept(&r->w))->handle, job);
		end_runner(&x);
		(void)expect(r, MF_MSG_INSTANCE_ENDED);
		(void)expect(r, MF_MSG_INSTANCE_ENDED);
	}
	end_child(p[0]);
	(void)expect(r, MF_MSG_INSTANCE_ENDED);
	end_child(p[2]);
}

int
main(void)
{
	mf_jlog_to(getenv("VERBOSE") ? 2 : open("/dev/null", O_WRONLY | O_CLOEXEC));
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_run_cgroup, setup, teardown),
		cmocka_unit_test_setup_teardown(test_run_never_placed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_run_tree, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
