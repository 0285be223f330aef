/*
 * attestor_runner: a `mayfly run` for tests: a process that connects, and a child of it that waits to be placed.
 * Header only.
 */
#ifndef MF_TEST_ATTESTOR_RUNNER_H
#define MF_TEST_ATTESTOR_RUNNER_H
#include "integration/attestor_rig.h"

struct runner_args {
	struct world *w;
	int tell, gate; /* pid of the child goes out; a byte lets it connect */
};

/* mayfly run: connect, have a child that waits at a gate, then connects; stay. */
static inline void
run_runner(void *arg)
{
	struct runner_args *x = arg;
	int fd = world_connect(x->w);
	pid_t child = fork();
	char b;
	if (child == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)!read(x->gate, &b, 1);
		connect_and_wait(x->w);
		_exit(0);
	}
	(void)!write(x->tell, &child, sizeof(child));
	(void)waitpid(child, NULL, 0);
	(void)!read(fd, &b, 1);
}

struct run {
	pid_t runner, child;
	int tell[2], gate[2], sock;
};

static inline void
start_runner(struct rig *r, struct run *x)
{
	assert_int_equal(pipe2(x->tell, O_CLOEXEC), 0);
	assert_int_equal(pipe2(x->gate, O_CLOEXEC), 0);
	struct runner_args args = { &r->w, x->tell[1], x->gate[0] };
	x->runner = spawn(run_runner, &args);
	x->sock = world_accept(&r->w);
	wait_readable(x->tell[0]);
	assert_int_equal(read(x->tell[0], &x->child, sizeof(x->child)), sizeof(x->child));
}

static inline void
end_runner(struct run *x)
{
	(void)kill(x->child, SIGKILL);
	end_child(x->runner);
	for (int k = 0; k < 2; k++) {
		(void)close(x->tell[k]);
		(void)close(x->gate[k]);
	}
}

static inline const Mayfly__Roles__V1__JobCreated *
start_job(struct rig *r, uint64_t start, uint64_t conn)
{
	Mayfly__Roles__V1__StartJob m = MAYFLY__ROLES__V1__START_JOB__INIT;
	char profile[] = "train", name[] = "digits";
	m.start_id = start;
	m.conn_id = conn;
	m.profile = profile;
	m.name = name;
	front_send(r, MF_MSG_START_JOB, &m.base, -1);
	const Mayfly__Roles__V1__JobCreated *j = expect(r, MF_MSG_JOB_CREATED);
	assert_int_equal(j->start_id, start);
	return j;
}

static inline bool
place(struct rig *r, uint64_t start, pid_t pid)
{
	Mayfly__Roles__V1__PlaceChild m = MAYFLY__ROLES__V1__PLACE_CHILD__INIT;
	m.start_id = start;
	m.pid = pid;
	front_send(r, MF_MSG_PLACE_CHILD, &m.base, -1);
	const Mayfly__Roles__V1__JobPlaced *p = expect(r, MF_MSG_JOB_PLACED);
	assert_int_equal(p->start_id, start);
	assert_true(p->done || p->reason[0] != '\0');
	return p->done;
}

static inline void
runner_gone(struct rig *r, uint64_t start, bool tree_empty)
{
	Mayfly__Roles__V1__RunnerGone m = MAYFLY__ROLES__V1__RUNNER_GONE__INIT;
	m.start_id = start;
	m.tree_empty = tree_empty;
	front_send(r, MF_MSG_RUNNER_GONE, &m.base, -1);
}
#endif
