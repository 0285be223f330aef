#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/defs.h"
#include "os/seqpacket.h"

#define QUEUE (1u << 20)

static size_t
open_fds(void)
{
	size_t n = 0;
	DIR *d = opendir("/proc/self/fd");
	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	(void)closedir(d);
	return n;
}

struct pair {
	struct mf_seqpacket *a, *b;
	size_t fds_before;
};

static int
setup(void **state)
{
	static struct pair p;
	int fds[2];
	p.fds_before = open_fds();
	assert_int_equal(mf_seqpacket_pair(fds, NULL), MF_OK);
	assert_int_equal(mf_seqpacket_new(fds[0], QUEUE, &p.a, NULL), MF_OK);
	assert_int_equal(mf_seqpacket_new(fds[1], QUEUE, &p.b, NULL), MF_OK);
	*state = &p;
	return 0;
}

static int
teardown(void **state)
{
	struct pair *p = *state;
	mf_seqpacket_free(p->a);
	mf_seqpacket_free(p->b);
	assert_int_equal(open_fds(), p->fds_before); /* no test leaks a descriptor, whatever was sent */
	return 0;
}

static void
test_round_trip(void **state)
{
	struct pair *p = *state;
	struct mf_packet m;
	struct mf_err err = { 0 };
	assert_int_equal(mf_seqpacket_recv(p->b, &m, &err), MF_E_AGAIN);
	assert_int_equal(mf_seqpacket_send(p->a, 7, MF_SLICE_LIT("hello"), -1, &err), MF_OK);
	assert_int_equal(mf_seqpacket_send(p->a, 65535, MF_SLICE_LIT(""), -1, &err), MF_OK);
	assert_false(mf_seqpacket_wants_write(p->a));
	assert_int_equal(mf_seqpacket_recv(p->b, &m, &err), MF_OK);
	assert_int_equal(m.type, 7);
	assert_true(mf_slice_eq_str(m.payload, "hello"));
	assert_int_equal(m.fd, -1);
	assert_int_equal(mf_seqpacket_recv(p->b, &m, &err), MF_OK);
	assert_int_equal(m.type, 65535);
	assert_int_equal(m.payload.n, 0);
	assert_int_equal(mf_seqpacket_recv(p->b, &m, &err), MF_E_AGAIN);
}

/* A message may be a token: the next look for one wipes it, also when there is none. */
static void
test_nothing_is_left(void **state)
{
	struct pair *p = *state;
	struct mf_packet m, none;
	assert_int_equal(mf_seqpacket_send(p->a, 7, MF_SLICE_LIT("a token"), -1, NULL), MF_OK);
	assert_int_equal(mf_seqpacket_recv(p->b, &m, NULL), MF_OK);
	assert_true(mf_slice_eq_str(m.payload, "a token"));
	assert_int_equal(mf_seqpacket_recv(p->b, &none, NULL), MF_E_AGAIN);
	for (size_t i = 0; i < m.payload.n; i++)
		assert_int_equal(m.payload.p[i], 0);
}

static void
test_largest(void **state)
{
	struct pair *p = *state;
	struct mf_packet m;
	struct mf_err err = { 0 };
	uint8_t *big = calloc(1, MF_LIM_IPC_MESSAGE + 1);
	assert_non_null(big);
	assert_int_equal(mf_seqpacket_send(p->a, 1, mf_slice(big, MF_PACKET_PAYLOAD_MAX), -1, &err), MF_OK);
	assert_int_equal(mf_seqpacket_recv(p->b, &m, &err), MF_OK);
	assert_int_equal(m.payload.n, MF_PACKET_PAYLOAD_MAX);
	assert_int_equal(
	    mf_seqpacket_send(p->a, 1, mf_slice(big, MF_PACKET_PAYLOAD_MAX + 1), -1, &err), MF_E_TOOBIG);
	/* Our own refusal does not end the link; a peer's oversized datagram does. */
	assert_int_equal(mf_seqpacket_send(p->a, 2, MF_SLICE_LIT("x"), -1, &err), MF_OK);
	assert_int_equal(mf_seqpacket_recv(p->b, &m, &err), MF_OK);
	assert_int_equal(send(mf_seqpacket_fd(p->a), big, MF_LIM_IPC_MESSAGE + 1, 0), MF_LIM_IPC_MESSAGE + 1);
	assert_int_equal(mf_seqpacket_recv(p->b, &m, &err), MF_E_TOOBIG);
	assert_int_equal(mf_seqpacket_recv(p->b, &m, &err), MF_E_TOOBIG);
	assert_int_equal(mf_seqpacket_send(p->b, 1, MF_SLICE_LIT("x"), -1, &err), MF_E_TOOBIG);
	free(big);
}

static void
test_bad_header(void **state)
{
	struct pair *p = *state;
	static const struct {
		const char *bytes;
		size_t n;
	} bad[] = { { "\0", 1 }, { "\0\1\0", 3 }, { "\0\1\0\1", 4 }, { "\0\1\200\0x", 5 } };
	struct mf_packet m;
	struct mf_err err = { 0 };
	for (size_t i = 0; i < MF_COUNT(bad); i++)
		assert_int_equal(mf_packet_parse(mf_slice(bad[i].bytes, bad[i].n), &m, &err), MF_E_INVALID);
	assert_int_equal(send(mf_seqpacket_fd(p->a), "\0\1\0", 3, 0), 3);
	assert_int_equal(send(mf_seqpacket_fd(p->a), "\0\1\0\0", 4, 0), 4);
	assert_int_equal(mf_seqpacket_recv(p->b, &m, &err), MF_E_INVALID);
	assert_int_equal(
	    mf_seqpacket_recv(p->b, &m, &err), MF_E_INVALID); /* over, though a good one follows */
}

static void
send_fds(int sock, const int *fds, size_t n)
{
	struct {
		_Alignas(struct cmsghdr) char bytes[CMSG_SPACE(sizeof(int) * 64)];
	} ctl = { 0 };
	char data[] = { 0, 1, 0, 0 };
	struct iovec iov = { data, sizeof(data) };
	struct msghdr h = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = ctl.bytes,
		.msg_controllen = CMSG_SPACE(sizeof(int) * n) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * n);
	memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	assert_int_equal(sendmsg(sock, &h, 0), sizeof(data));
}

static void
test_fd(void **state)
{
	struct pair *p = *state;
	struct mf_packet m;
	struct mf_err err = { 0 };
	int pipefd[2];
	assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
	assert_int_equal(mf_seqpacket_send(p->a, 3, MF_SLICE_LIT("fd"), pipefd[1], &err), MF_OK);
	assert_int_equal(mf_seqpacket_recv(p->b, &m, &err), MF_OK);
	assert_true(m.fd >= 0);
	int got = mf_seqpacket_take_fd(p->b);
	assert_int_equal(got, m.fd);
	assert_int_equal(mf_seqpacket_take_fd(p->b), -1);
	assert_int_equal(fcntl(got, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(write(got, "!", 1), 1);
	char c = 0;
	assert_int_equal(read(pipefd[0], &c, 1), 1);
	/* Not taken: closed by the next recv. The pipe then has no writer. */
	assert_int_equal(mf_seqpacket_send(p->a, 3, MF_SLICE_LIT("fd"), got, &err), MF_OK);
	assert_int_equal(mf_seqpacket_recv(p->b, &m, &err), MF_OK);
	assert_int_equal(mf_seqpacket_recv(p->b, &m, &err), MF_E_AGAIN);
	assert_int_equal(read(pipefd[0], &c, 1), 0);
	(void)close(pipefd[0]);
}

static void
test_many_fds(void **state)
{
	struct pair *p = *state;
	struct mf_packet m;
	struct mf_err err = { 0 };
	int two[] = { 0, 1 };
	send_fds(mf_seqpacket_fd(p->a), two, 2);
	assert_int_equal(mf_seqpacket_recv(p->b, &m, &err), MF_E_INVALID);
}

static void
test_cut_fds(void **state)
{
	struct pair *p = *state;
	struct mf_packet m;
	struct mf_err err = { 0 };
	int many[40];
	for (size_t i = 0; i < MF_COUNT(many); i++)
		many[i] = 0;
	send_fds(mf_seqpacket_fd(p->a), many, MF_COUNT(many)); /* more than the receiver has room for */
	assert_int_equal(mf_seqpacket_recv(p->b, &m, &err), MF_E_INVALID);
}

static void
test_malformed_with_fd(void **state)
{
	struct pair *p = *state;
	struct mf_packet m;
	struct mf_err err = { 0 };
	struct {
		_Alignas(struct cmsghdr) char bytes[CMSG_SPACE(sizeof(int))];
	} ctl = { 0 };
	char data[] = { 0, 1, 0, 1 };
	int zero = 0;
	struct iovec iov = { data, sizeof(data) };
	struct msghdr h = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = ctl.bytes,
		.msg_controllen = sizeof(ctl.bytes) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &zero, sizeof(int));
	assert_int_equal(sendmsg(mf_seqpacket_fd(p->a), &h, 0), sizeof(data));
	assert_int_equal(mf_seqpacket_recv(p->b, &m, &err), MF_E_INVALID);
}

static void
test_queue_cap(void **state)
{
	struct pair *p = *state;
	struct mf_packet m;
	struct mf_err err = { 0 };
	static uint8_t kb[1024];
	size_t queued = 0;
	enum mf_status s;
	/* The kernel takes some, the queue takes QUEUE bytes, then the sender is told; nothing is lost. */
	while ((s = mf_seqpacket_send(p->a, 9, mf_slice(kb, sizeof(kb)), -1, &err)) == MF_OK)
		queued++;
	assert_int_equal(s, MF_E_EXHAUSTED);
	assert_true(mf_seqpacket_wants_write(p->a));
	assert_true(mf_seqpacket_queued(p->a) <= QUEUE);
	size_t got = 0;
	while (got < queued) {
		s = mf_seqpacket_recv(p->b, &m, &err);
		if (s == MF_E_AGAIN) {
			assert_int_equal(mf_seqpacket_flush(p->a, &err), MF_OK);
			continue;
		}
		assert_int_equal(s, MF_OK);
		assert_int_equal(m.type, 9);
		got++;
	}
	assert_int_equal(mf_seqpacket_queued(p->a), 0);
	assert_false(mf_seqpacket_wants_write(p->a));
}

static void
test_peer_gone(void **state)
{
	struct pair *p = *state;
	struct mf_packet m;
	struct mf_err err = { 0 };
	assert_int_equal(mf_seqpacket_send(p->b, 1, MF_SLICE_LIT("last words"), -1, &err), MF_OK);
	mf_seqpacket_free(MF_TAKE(p->b));
	assert_int_equal(mf_seqpacket_recv(p->a, &m, &err), MF_OK);
	assert_true(mf_slice_eq_str(m.payload, "last words"));
	assert_int_equal(mf_seqpacket_recv(p->a, &m, &err), MF_E_CLOSED);
	assert_int_equal(mf_seqpacket_send(p->a, 1, MF_SLICE_LIT("x"), -1, &err), MF_E_CLOSED);
}

static void
test_peer_gone_on_send(void **state)
{
	struct pair *p = *state;
	struct mf_err err = { 0 };
	int fd = dup(0);
	assert_true(fd >= 0);
	assert_int_equal(mf_seqpacket_queue(p->a, 1, MF_SLICE_LIT("x"), fd, &err), MF_OK);
	mf_seqpacket_free(MF_TAKE(p->b));
	assert_int_equal(mf_seqpacket_flush(p->a, &err), MF_E_CLOSED);
	assert_int_equal(
	    mf_seqpacket_queued(p->a), 0); /* and the queued descriptor is closed: see teardown */
}

static void
test_wrong_kind(void **state)
{
	MF_UNUSED(state);
	struct mf_seqpacket *s = NULL;
	struct mf_err err = { 0 };
	int fds[2];
	assert_int_equal(mf_seqpacket_new(0, QUEUE, &s, &err), MF_E_INVALID);
	assert_int_equal(mf_seqpacket_new(-1, QUEUE, &s, &err), MF_E_INVALID);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(mf_seqpacket_new(fds[0], QUEUE, &s, &err), MF_E_INVALID);
	(void)close(fds[0]);
	(void)close(fds[1]);
	mf_seqpacket_free(NULL);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_round_trip),
		T(test_nothing_is_left),
		T(test_largest),
		T(test_bad_header),
		T(test_fd),
		T(test_many_fds),
		T(test_cut_fds),
		T(test_malformed_with_fd),
		T(test_queue_cap),
		T(test_peer_gone),
		T(test_peer_gone_on_send),
		cmocka_unit_test(test_wrong_kind),
	};
	return cmocka_run_group_tests_name("seqpacket", tests, NULL, NULL);
}
