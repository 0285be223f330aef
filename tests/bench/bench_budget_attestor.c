/*
 * bench_budget_attestor attest N: a look by the attestor at a caller whose instance it knows, N times, to be counted by callgrind
 * (tests/integration/budgets.sh): from the front's question to its answer, each about a connection of its own. The attestor
 * runs in this process, between a fake front and a fake notary; only its turns are counted.
 */
#include <linux/openat2.h>
#include <sys/syscall.h>

#include "integration/attestor_rig.h"

#define FIRST 5 /* not counted: what is done once */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/*
 * In the place of libc's: valgrind 3.19 knows neither openat2 nor pidfd_open, so that nothing of the attestor ran to its end under it.
 * What the program asks for here is had in another way; what it counts of its own is the same.
 */
long
syscall(long nr, ...)
{
	va_list ap;
	long a[4];
	va_start(ap, nr);
	for (size_t i = 0; i < MF_COUNT(a); i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (nr == SYS_openat2) {
		const struct open_how *how = (const struct open_how *)a[2];
		return openat((int)a[0], (const char *)a[1], (int)how->flags, (mode_t)how->mode);
	}
	if (nr == SYS_renameat2)
		return renameat2((int)a[0], (const char *)a[1], (int)a[2], (const char *)a[3], 0);
	int fds[2], pidfd = -1;
	socklen_t n = sizeof(pidfd);
	if (nr != SYS_pidfd_open || a[0] != getpid() || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) {
		errno = ENOSYS;
		return -1;
	}
	int rc = getsockopt(fds[0], SOL_SOCKET, SO_PEERPIDFD, &pidfd, &n);
	(void)close(fds[0]);
	(void)close(fds[1]);
	return rc == 0 ? pidfd : -1;
}

static void
turn_once(struct mf_attestor *a)
{
	assert_int_equal(mf_attestor_turn(a, NULL), MF_OK);
}

/* What is counted: callgrind --toggle-collect=measured*. */
static __attribute__((noinline)) void
measured(struct mf_attestor *a)
{
	turn_once(a);
}

static void (*run)(struct mf_attestor *a) = turn_once;

static void
look(struct rig *r, uint64_t id)
{
	Mayfly__Roles__V1__WhoIs m = MAYFLY__ROLES__V1__WHO_IS__INIT;
	Mayfly__Roles__V1__ConnGone g = MAYFLY__ROLES__V1__CONN_GONE__INIT;
	int caller = world_connect(&r->w), sock = world_accept(&r->w);
	m.conn_id = g.conn_id = id;
	front_send(r, MF_MSG_WHO_IS, &m.base, sock);
	run(r->a);
	const Mayfly__Roles__V1__Caller *c = expect(r, MF_MSG_CALLER);
	if (!c->known || c->conn_id != id)
		fail_msg("%s", c->reason);
	(void)close(caller);
	front_send(r, MF_MSG_CONN_GONE, &g.base, -1);
	run(r->a);
}

int
main(int argc, char **argv)
{
	void *state = NULL;
	if (argc != 3 || strcmp(argv[1], "attest") != 0)
		return 2;
	unsigned n = (unsigned)strtoul(argv[2], NULL, 10);
	mf_jlog_init("attestor", MF_LOG_ERROR + 1);
	(void)setup(&state);
	struct rig *r = state;
	make_ready(r, true, 0, MAYFLY__AGENT__V1__VERDICT__VERDICT_KEEP);
	/* The instance begins; what stays open keeps it. */
	int first = world_connect(&r->w);
	if (!who_is(r, 1, world_accept(&r->w))->known)
		return 1;
	for (unsigned i = 0; i < FIRST + n; i++) {
		if (i == FIRST)
			run = measured;
		look(r, 2 + i);
	}
	(void)close(first);
	(void)teardown(&state);
	return 0;
}
