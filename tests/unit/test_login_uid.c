/* Whose login a caller's is: read for a living peer only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/login_uid.h"

/* A process that connected by a pair of its own and sent us our end; with ${login} it becomes that login before. */
struct peer {
	pid_t pid;
	int sock; /* connected by it */
	int hold; /* it ends when we close this */
};

static bool
become(const char *login)
{
	int fd = open("/proc/self/loginuid", O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, login, strlen(login)) > 0;
	if (fd >= 0)
		(void)close(fd);
	return done;
}

static void
send_fd(int by, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	char byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	(void)sendmsg(by, &m, 0);
}

static int
recv_fd(int from)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	char byte;
	int fd = -1;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control) };
	assert_true(recvmsg(from, &m, MSG_CMSG_CLOEXEC) > 0);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	assert_non_null(c);
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static void
begin(struct peer *p, const char *login)
{
	int way[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, way), 0);
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (p->pid == 0) {
		int pair[2];
		char byte;
		(void)close(way[0]);
		if ((login != NULL && !become(login)) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
			_exit(1);
		send_fd(way[1], pair[0]);
		(void)!read(way[1], &byte, 1); /* until it is let go */
		_exit(0);
	}
	(void)close(way[1]);
	p->hold = way[0];
	p->sock = recv_fd(way[0]);
}

static void
end(struct peer *p)
{
	(void)close(p->hold);
	assert_int_equal(waitpid(p->pid, NULL, 0), p->pid);
}

static bool
kernel_pins_peers(int sock)
{
	uint32_t uid;
	return mf_login_uid_of_peer(sock, &uid, NULL) != MF_E_UNSUPPORTED;
}

static void
test_living(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	struct peer p;
	uint32_t uid = 0, own = MF_NO_LOGIN_UID;
	FILE *f = fopen("/proc/self/loginuid", "re");
	if (f == NULL || fscanf(f, "%u", &own) != 1) /* NOLINT: the kernel's own number */
		skip();
	(void)fclose(f);
	begin(&p, NULL);
	if (!kernel_pins_peers(p.sock))
		skip(); /* before Linux 6.5 */
	assert_int_equal(mf_login_uid_of_peer(p.sock, &uid, &err), MF_OK);
	assert_int_equal(uid, own);
	end(&p);
	/* What it read would be another's by now. */
	uid = 5;
	assert_int_equal(mf_login_uid_of_peer(p.sock, &uid, &err), MF_E_NOTFOUND);
	assert_int_equal(uid, 5);
	(void)close(p.sock);
}

static void
test_another_login(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	struct peer p;
	uint32_t uid = 0;
	pid_t can = fork();
	if (can == 0)
		_exit(become("4711") ? 0 : 1);
	int st = 0;
	assert_int_equal(waitpid(can, &st, 0), can);
	if (st != 0)
		skip(); /* only root sets a login, on a kernel with audit */
	begin(&p, "4711");
	if (!kernel_pins_peers(p.sock))
		skip();
	assert_int_equal(mf_login_uid_of_peer(p.sock, &uid, &err), MF_OK);
	assert_int_equal(uid, 4711);
	end(&p);
	(void)close(p.sock);
}

static void
test_no_peer(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	uint32_t uid = 5;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC),
	    tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
	    lone = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(mf_login_uid_of_peer(null, &uid, &err), MF_E_INVALID);
	assert_int_equal(mf_login_uid_of_peer(-1, &uid, &err), MF_E_INVALID);
	assert_int_equal(mf_login_uid_of_peer(tcp, &uid, &err), MF_E_NOTFOUND);
	assert_int_equal(mf_login_uid_of_peer(lone, &uid, &err), MF_E_NOTFOUND);
	assert_int_equal(uid, 5);
	(void)close(null);
	(void)close(tcp);
	(void)close(lone);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_living),
		cmocka_unit_test(test_another_login), cmocka_unit_test(test_no_peer) };
	return cmocka_run_group_tests_name("login_uid", tests, NULL, NULL);
}
