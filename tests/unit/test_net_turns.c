/* Connections of a listener that take turns: nobody waits for another user's crowd. Counted, not timed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/grpc_conn.h"

#define CROWD 40
#define OTHER 4099u

struct place {
	char dir[64], path[96];
	struct mf_loop *l;
	struct mf_grpc_server server;
	struct mf_net_counters counters;
	struct mf_net_listener *ln;
	int opens, reads;
	uid_t read[8 * CROWD]; /* whose was read, in that order */
};

static bool
on_open(void *ctx, struct mf_net_conn *c)
{
	struct place *p = ctx;
	MF_UNUSED(c);
	p->opens++;
	return true;
}

static bool
on_sender(void *ctx, struct mf_net_conn *c, const struct mf_net_sender *s)
{
	struct place *p = ctx;
	MF_UNUSED(s);
	assert_true((size_t)p->reads < MF_COUNT(p->read));
	p->read[p->reads++] = mf_net_conn_peer(c).uid;
	return true;
}

static const struct mf_net_conn_ops ops = { .on_open = on_open, .on_sender = on_sender };

static int
setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	struct mf_err err = { 0 };
	int fd = -1;
	assert_non_null(p);
	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/mayfly-turns.XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	assert_int_equal(chmod(p->dir, 0755), 0);
	(void)snprintf(p->path, sizeof(p->path), "%s/s", p->dir);
	assert_int_equal(mf_loop_new(&p->l, &err), MF_OK);
	assert_int_equal(mf_net_listen_unix(p->path, 0666, &fd, &err), MF_OK);
	struct mf_net_listener_config cfg = { .fd = fd,
		.take_turns = true,
		.server = &p->server,
		.ops = &ops,
		.ctx = p,
		.counters = &p->counters };
	assert_int_equal(mf_net_listener_new(p->l, &cfg, &p->ln, &err), MF_OK);
	*state = p;
	return 0;
}

static int
teardown(void **state)
{
	struct place *p = *state;
	mf_net_listener_free(p->ln);
	mf_loop_free(p->l);
	(void)unlink(p->path);
	(void)rmdir(p->dir);
	free(p);
	return 0;
}

static int
dialled(const struct place *p)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", p->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static void
turn(struct place *p)
{
	assert_int_equal(mf_loop_turn(p->l, true, NULL), MF_OK);
}

static void
greet(int fd)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	assert_int_equal(send(fd, preface, sizeof(preface) - 1, 0), sizeof(preface) - 1);
}

/*
 * Forty connections of one user have bytes; another user's, which came last, is read as second of those that the loop knows
 * of: it asks the kernel for 32 at first, so that may be a turn later.
 */
static void
test_second(void **state)
{
	struct place *p = *state;
	int fd[CROWD + 1];
	if (geteuid() != 0) {
		print_message("skipped: needs root: it connects as two users\n");
		return;
	}
	for (int i = 0; i < CROWD; i++)
		fd[i] = dialled(p);
	assert_int_equal(seteuid(OTHER), 0);
	fd[CROWD] = dialled(p);
	assert_int_equal(seteuid(0), 0);
	while (p->opens < CROWD + 1)
		turn(p);
	assert_int_equal(p->reads, 0);
	for (int i = 0; i <= CROWD; i++)
		greet(fd[i]);
	while (p->reads < CROWD + 1)
		turn(p);
	int at = 0;
	while (p->read[at] != OTHER)
		at++;
	assert_in_range(at, 0, 4 + 1);
	for (int i = 0; i <= CROWD; i++)
		(void)close(fd[i]);
}

/* No turn of the loop reads more than a few of them, all are read in the end, and who goes meanwhile is forgotten. */
static void
test_a_few_at_a_time(void **state)
{
	struct place *p = *state;
	int fd[CROWD], most = 0;
	for (int i = 0; i < CROWD; i++)
		fd[i] = dialled(p);
	while (p->opens < CROWD)
		turn(p);
	for (int i = 0; i < CROWD; i++)
		greet(fd[i]);
	for (int before = 0; p->reads < CROWD; before = p->reads) {
		turn(p);
		if (p->reads - before > most)
			most = p->reads - before;
	}
	assert_in_range(most, 1, 4);
	for (int i = 0; i < CROWD; i++)
		greet(fd[i]); /* a frame that may not come here: they are ended */
	turn(p);
	for (int i = 0; i < CROWD; i++)
		(void)close(fd[i]);
	while (mf_net_listener_conns(p->ln) > 0)
		turn(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_second, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_few_at_a_time, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
