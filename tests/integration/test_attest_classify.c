/* Who belongs to which instance: live cgroups and live trees of processes. */
#include "integration/attest_util.h"

#include "agent/attestor/classify.h"

#define BOOT "0f3c9e6a-0000-4000-8000-000000000001"

static int
setup(void **state)
{
	static struct world w;
	world_open(&w);
	*state = &w;
	return 0;
}

static int
teardown(void **state)
{
	test_base_remove(*state);
	world_close(*state);
	return 0;
}

static void
connect_and_wait(void *arg)
{
	int fd = world_connect(arg);
	char b;
	(void)!read(fd, &b, 1);
}

/* The agent's own cgroup is where these tests run; seen from another agent's table, its path must be elsewhere. */
static struct mf_class
classify(struct world *w, struct mf_instances *t, int sock, struct mf_caller *ret_c)
{
	struct mf_class k;
	struct mf_err err = { 0 };
	enum mf_status s = mf_peer_attest(&w->env, sock, ret_c, &err);
	if (s != MF_OK)
		print_message("attest: %s\n", err.msg);
	assert_int_equal(s, MF_OK);
	assert_int_equal(mf_classify(&w->env, t, ret_c, &k, NULL), MF_OK);
	return k;
}

static struct mf_instance *
enter(struct mf_instances *t, const struct mf_class *k, const struct mf_caller *c)
{
	struct mf_instance *i = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf sel = { 0 };
	mf_buf_init(&sel, 65536);
	assert_int_equal(mf_instances_add(t, k->kind, k->id, &i, NULL), MF_OK);
	struct mf_peer_env env = { 0 };
	struct mf_selected what = {
		.kind = k->kind, .caller = c, .cgroup_id = c->cgroup_id, .cgroup_path = c->cgroup.path
	};
	assert_int_equal(mf_selectors_put(&sel, &env, &what, NULL), MF_OK);
	assert_int_equal(mf_instance_set(&i->selectors, mf_buf_slice(&sel), sel.n, NULL), MF_OK);
	i->uid = c->uid;
	i->gid = c->gid;
	i->interactive = c->interactive != MF_INTERACTIVE_NO;
	i->grade = k->grade;
	return i;
}

/* Two jobs of one user that share a cgroup: two instances, and neither is the other's. */
static void
test_two_without_cgroup(void **state)
{
	struct world *w = *state;
	MF_AUTO(mf_instances_free) struct mf_instances *t = NULL;
	assert_int_equal(mf_instances_new(BOOT, &t, NULL), MF_OK);
	pid_t p = spawn(connect_and_wait, w);
	int cp = world_accept(w);
	pid_t q = spawn(connect_and_wait, w);
	int cq = world_accept(w);
	struct mf_caller a = MF_CALLER_NONE, b = MF_CALLER_NONE;
	struct mf_class ka = classify(w, t, cp, &a), kb;
	assert_int_equal(ka.kind, MF_INSTANCE_PROCESS); /* the test's own cgroup holds the "agent" too */
	assert_null(ka.known);
	assert_int_equal(ka.grade, MF_GRADE_PIDFD);
	struct mf_instance *i = enter(t, &ka, &a);
	kb = classify(w, t, cq, &b);
	assert_null(kb.known);
	assert_true(kb.id != ka.id);
	mf_caller_fini(&a);
	ka = classify(w, t, cp, &a);
	assert_ptr_equal(ka.known, i);
	mf_caller_fini(&a);
	mf_caller_fini(&b);
	(void)close(cp);
	(void)close(cq);
	end_child(p);
	end_child(q);
}

struct gated {
	struct world *w;
	int gate; /* read a byte before going on */
	int depth;
};

static void
connect_when_told(void *arg)
{
	struct gated *g = arg;
	char b;
	(void)!read(g->gate, &b, 1);
	connect_and_wait(g->w);
}

static void
move_in(struct world *w, const struct mf_cgroup *c, pid_t p)
{
	int pidfd = -1;
	assert_int_equal(mf_pidfd_open(p, &pidfd, NULL), MF_OK);
	assert_int_equal(mf_cgroup_move(w->cgroups, c, pidfd, w->proc_fd, NULL), MF_OK);
	(void)close(pidfd);
}

static void
test_own_cgroups(void **state)
{
	struct world *w = *state;
	char base_name[64];
	if (!test_base(w, base_name, sizeof(base_name))) {
		print_message("skipped: no cgroup can be made here\n");
		skip();
	}
	MF_AUTO(mf_instances_free) struct mf_instances *t = NULL;
	assert_int_equal(mf_instances_new(BOOT, &t, NULL), MF_OK);
	struct mf_cgroup job = MF_CGROUP_NONE, nested = MF_CGROUP_NONE;
	assert_int_equal(mf_cgroup_make(w->cgroups, "j1", &job, NULL), MF_OK);
	assert_int_equal(mkdirat(job.fd, "deeper", 0755), 0);
	char path[MF_CGROUP_PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s/deeper", job.path);
	assert_int_equal(mf_cgroup_reopen(w->cgroups, path, 0, &nested, NULL), MF_OK);

	int gates[2][2];
	assert_int_equal(pipe2(gates[0], O_CLOEXEC), 0);
	assert_int_equal(pipe2(gates[1], O_CLOEXEC), 0);
	struct gated ga = { w, gates[0][0], 0 }, gb = { w, gates[1][0], 0 };
	pid_t p = spawn(connect_when_told, &ga), q = spawn(connect_when_told, &gb);
	move_in(w, &job, p);
	move_in(w, &nested, q);
	assert_int_equal(write(gates[0][1], "g", 1), 1);
	int cp = world_accept(w);
	assert_int_equal(write(gates[1][1], "g", 1), 1);
	int cq = world_accept(w);

	struct mf_caller a = MF_CALLER_NONE, b = MF_CALLER_NONE;
	struct mf_class ka = classify(w, t, cp, &a);
	assert_int_equal(ka.kind, MF_INSTANCE_CGROUP); /* below our base, but nobody started it here */
	assert_int_equal(ka.id, job.id);
	assert_int_equal(
	    ka.grade, mf_cgroup_delegated(w->cgroups, &job) ? MF_GRADE_CGROUP_DELEGATED : MF_GRADE_CGROUP);
	struct mf_instance *i = enter(t, &ka, &a);
	struct mf_class kb = classify(w, t, cq, &b); /* deeper: the same job */
	assert_int_equal(b.cgroup_id, nested.id);
	assert_ptr_equal(kb.known, i);
	assert_int_equal(kb.id, job.id);
	assert_int_equal(kb.prefix, strlen(job.path));
	/* Another user, or a person's terminal, in the same cgroup is not the job. */
	b.uid++;
	assert_int_equal(mf_classify(&w->env, t, &b, &kb, NULL), MF_OK);
	assert_int_equal(kb.kind, MF_INSTANCE_PROCESS);
	assert_int_equal(kb.id, b.proc_id);
	b.uid--;
	b.interactive = i->interactive ? MF_INTERACTIVE_NO : MF_INTERACTIVE_TTY;
	assert_int_equal(mf_classify(&w->env, t, &b, &kb, NULL), MF_OK);
	assert_int_equal(kb.kind, i->interactive ? MF_INSTANCE_CGROUP : MF_INSTANCE_PROCESS);
	mf_caller_fini(&a);
	mf_caller_fini(&b);
	(void)close(cp);
	(void)close(cq);
	end_child(p);
	end_child(q);
	mf_cgroup_fini(&nested);
	enum mf_status s;
	do { /* the kernel empties it a moment after the reap */
		s = mf_cgroup_remove(w->cgroups, "j1", job.id, NULL);
	} while (s == MF_E_AGAIN);
	assert_int_equal(s, MF_OK);
	mf_cgroup_fini(&job);
	for (int k = 0; k < 2; k++) {
		(void)close(gates[k][0]);
		(void)close(gates[k][1]);
	}
}

/* In a child: be a subreaper with a chain of children below, the last of which calls; the middle ones may die. */
static void
runner(void *arg)
{
	struct gated *g = arg;
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (int d = 0; d < g->depth; d++) {
		pid_t me = getpid(), p = fork();
		if (p != 0 && d == 1)
			_exit(0); /* a daemon's middle: the child goes to the subreaper */
		if (p != 0)
			pause_for_ever();
		while (d == 1 && getppid() == me)
			(void)poll(NULL, 0, 1);
		/* All go with their parent but the last one, which the test ends. */
		(void)prctl(PR_SET_PDEATHSIG, d + 1 == g->depth ? 0 : SIGKILL);
	}
	connect_and_wait(g->w);
	_exit(0);
}

static void
test_tree(void **state)
{
	struct world *w = *state;
	MF_AUTO(mf_instances_free) struct mf_instances *t = NULL;
	assert_int_equal(mf_instances_new(BOOT, &t, NULL), MF_OK);
	struct gated g = { w, -1, 4 };
	pid_t p = spawn(runner, &g);
	int c = world_accept(w), runner_fd = -1;
	uint64_t id = 0;
	assert_int_equal(mf_pidfd_open(p, &runner_fd, NULL), MF_OK);
	assert_int_equal(mf_pidfd_inode(runner_fd, &id, NULL), MF_OK);
	SKIP_IF(id == 0, "this kernel has no pidfs (6.9)");
	struct mf_caller k = MF_CALLER_NONE, self = MF_CALLER_NONE;
	struct mf_class found = classify(w, t, c, &k);
	assert_int_equal(found.kind, MF_INSTANCE_PROCESS); /* nobody said that it is a runner */
	assert_int_equal(mf_peer_attest_pidfd(&w->env, runner_fd, &self, NULL), MF_OK);
	struct mf_class as_tree = { .kind = MF_INSTANCE_TREE, .id = id, .grade = MF_GRADE_TREE };
	struct mf_instance *tree = enter(t, &as_tree, &self);
	mf_caller_fini(&k);
	found = classify(w, t, c, &k);
	assert_ptr_equal(found.known, tree);
	assert_int_equal(found.kind, MF_INSTANCE_TREE);
	assert_int_equal(found.grade, MF_GRADE_TREE);
	/* A process of the same user that is not below the runner is not of the tree. */
	pid_t q = spawn(connect_and_wait, w);
	int cq = world_accept(w);
	struct mf_caller other = MF_CALLER_NONE;
	struct mf_class stranger = classify(w, t, cq, &other);
	assert_int_equal(stranger.kind, MF_INSTANCE_PROCESS);
	assert_null(stranger.known);
	/* The runner is gone: whoever is left leads to nobody. */
	end_child(p);
	mf_caller_fini(&k);
	enum mf_status s = mf_peer_attest(&w->env, c, &k, NULL);
	if (s == MF_OK) {
		assert_int_equal(mf_classify(&w->env, t, &k, &found, NULL), MF_OK);
		assert_int_equal(found.kind, MF_INSTANCE_PROCESS);
		(void)kill(k.pid, SIGKILL);
		wait_readable(k.pidfd);
	}
	mf_caller_fini(&k);
	mf_caller_fini(&self);
	mf_caller_fini(&other);
	(void)close(c);
	(void)close(cq);
	(void)close(runner_fd);
	end_child(q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_without_cgroup),
		cmocka_unit_test(test_own_cgroups),
		cmocka_unit_test(test_tree),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
