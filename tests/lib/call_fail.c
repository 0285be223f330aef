/* Without the inline recv of the fortified headers: it is ours here. */
#undef _FORTIFY_SOURCE

#include "call_fail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define KERNEL_SIGSET_SIZE 8

static enum mf_call which;
static long countdown; /* 0: none fails */
static int how;
static bool fired, spared;
static int own[8];
static unsigned n_own;

void
mf_call_fail(enum mf_call call, long n, int with)
{
	which = call;
	countdown = n;
	how = with;
	if (n > 0)
		fired = false;
}

bool
mf_call_failed(void)
{
	return fired;
}

bool
mf_call_spare(bool on)
{
	bool was = spared;
	spared = on;
	return was;
}

void
mf_call_spare_fd(int fd)
{
	if (fd < 0)
		n_own = 0;
	else if (n_own < MF_COUNT(own))
		own[n_own++] = fd;
}

const char *
mf_call_name(enum mf_call call)
{
	static const char *const names[] = { "accept4", "recv", "recvmsg", "send", "sendmmsg", "socket",
		"connect", "dup", "epoll_ctl", "epoll_wait", "eventfd and its like" };
	return names[call];
}

int
mf_call_open_fds(void)
{
	int n = 0;
	DIR *d = opendir("/proc/self/fd");
	if (d == NULL)
		return -1;
	while (readdir(d) != NULL)
		n++;
	(void)closedir(d);
	return n;
}

/* Is it this one? What it then has to do is in ${how}. */
static bool
hit(enum mf_call call, int fd)
{
	if (countdown == 0 || spared || call != which)
		return false;
	for (unsigned i = 0; i < n_own; i++)
		if (own[i] == fd)
			return false;
	if (--countdown > 0)
		return false;
	fired = true;
	return true;
}

/* True: it fails, with errno set. False with *ret_short: it does less. */
static bool
fails(enum mf_call call, int fd, bool *ret_short)
{
	*ret_short = false;
	if (!hit(call, fd))
		return false;
	if (how == MF_CALL_SHORT) {
		*ret_short = true;
		return false;
	}
	errno = how;
	return true;
}

static bool
fails_whole(enum mf_call call, int fd)
{
	bool less;
	return fails(call, fd, &less);
}

/* ---- in the place of libc's ---- */

int
accept4(int fd, __SOCKADDR_ARG addr, socklen_t *restrict n, int flags)
{
	return fails_whole(MF_CALL_ACCEPT, fd) ? -1
					       : (int)syscall(SYS_accept4, fd, addr.__sockaddr__, n, flags);
}

ssize_t
recv(int fd, void *to, size_t n, int flags)
{
	bool less;
	if (fails(MF_CALL_RECV, fd, &less))
		return -1;
	return syscall(SYS_recvfrom, fd, to, less && n > 1 ? 1 : n, flags, NULL, NULL);
}

ssize_t
recvmsg(int fd, struct msghdr *m, int flags)
{
	bool less;
	if (fails(MF_CALL_RECVMSG, fd, &less))
		return -1;
	if (!less || m->msg_iovlen == 0)
		return syscall(SYS_recvmsg, fd, m, flags);
	size_t n = m->msg_iov->iov_len;
	m->msg_iov->iov_len = 1;
	ssize_t got = syscall(SYS_recvmsg, fd, m, flags);
	m->msg_iov->iov_len = n;
	return got;
}

ssize_t
send(int fd, const void *from, size_t n, int flags)
{
	bool less;
	if (fails(MF_CALL_SEND, fd, &less))
		return -1;
	return syscall(SYS_sendto, fd, from, less && n > 1 ? 1 : n, flags, NULL, 0);
}

int
sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags)
{
	bool less;
	if (fails(MF_CALL_SENDMMSG, fd, &less))
		return -1;
	return (int)syscall(SYS_sendmmsg, fd, m, less && n > 1 ? 1 : n, flags);
}

int
socket(int domain, int type, int protocol)
{
	return fails_whole(MF_CALL_SOCKET, -1) ? -1 : (int)syscall(SYS_socket, domain, type, protocol);
}

int
socketpair(int domain, int type, int protocol, int fds[2])
{
	return fails_whole(MF_CALL_SOCKET, -1) ? -1
					       : (int)syscall(SYS_socketpair, domain, type, protocol, fds);
}

int
connect(int fd, __CONST_SOCKADDR_ARG to, socklen_t n)
{
	return fails_whole(MF_CALL_CONNECT, fd) ? -1 : (int)syscall(SYS_connect, fd, to.__sockaddr__, n);
}

int
fcntl(int fd, int cmd, ...)
{
	va_list ap;
	va_start(ap, cmd);
	long arg = va_arg(ap, long);
	va_end(ap);
	if (cmd == F_DUPFD_CLOEXEC && fails_whole(MF_CALL_DUP, fd))
		return -1;
	return (int)syscall(SYS_fcntl, fd, cmd, arg);
}

int
epoll_ctl(int epoll, int op, int fd, struct epoll_event *e)
{
	if (op != EPOLL_CTL_DEL && fails_whole(MF_CALL_EPOLL_CTL, fd))
		return -1;
	return (int)syscall(SYS_epoll_ctl, epoll, op, fd, e);
}

int
epoll_wait(int epoll, struct epoll_event *to, int n, int timeout_ms)
{
	if (fails_whole(MF_CALL_EPOLL_WAIT, epoll))
		return -1;
	return (int)syscall(SYS_epoll_pwait, epoll, to, n, timeout_ms, NULL, KERNEL_SIGSET_SIZE);
}

int
eventfd(unsigned first, int flags)
{
	return fails_whole(MF_CALL_FD_MAKE, -1) ? -1 : (int)syscall(SYS_eventfd2, first, flags);
}

int
timerfd_create(clockid_t clock, int flags)
{
	return fails_whole(MF_CALL_FD_MAKE, -1) ? -1 : (int)syscall(SYS_timerfd_create, clock, flags);
}

int
signalfd(int fd, const sigset_t *set, int flags)
{
	return fails_whole(MF_CALL_FD_MAKE, -1)
		   ? -1
		   : (int)syscall(SYS_signalfd4, fd, set, KERNEL_SIGSET_SIZE, flags);
}

int
epoll_create1(int flags)
{
	return fails_whole(MF_CALL_FD_MAKE, -1) ? -1 : (int)syscall(SYS_epoll_create1, flags);
}
