/*
 * call_fail: the system calls of sockets and of the event loop, so that the n-th of one kind fails once, or does less than it was asked
 * to. It takes the place of libc's functions in the whole program, libraries too, and so is linked into those tests only
 * that include this (tests/CMakeLists.txt). Not for several threads.
 */
#ifndef MF_TESTS_CALL_FAIL_H
#define MF_TESTS_CALL_FAIL_H
#include "base/defs.h"

enum mf_call {
	MF_CALL_ACCEPT,
	MF_CALL_RECV,
	MF_CALL_RECVMSG,
	MF_CALL_SEND,
	MF_CALL_SENDMMSG,
	MF_CALL_SOCKET, /* also socketpair */
	MF_CALL_CONNECT,
	MF_CALL_DUP,	   /* fcntl F_DUPFD_CLOEXEC */
	MF_CALL_EPOLL_CTL, /* to watch; to watch no more cannot fail */
	MF_CALL_EPOLL_WAIT,
	MF_CALL_FD_MAKE, /* eventfd, timerfd_create, signalfd, epoll_create1 */
	MF_CALL_COUNT
};

/* For ${how}: no error, but one byte, or one message, only. */
#define MF_CALL_SHORT (-1)

/* The ${n}-th call of that kind from now on fails with the errno ${how}; 0: none does. */
void mf_call_fail(enum mf_call call, long n, int how);
/* Did it, since then? */
bool mf_call_failed(void);
/* While this is on nothing fails and nothing is counted down: for what a test does for itself. Returns what it was. */
bool mf_call_spare(bool on);
/* Calls on this descriptor are the test's own; -1: on all of them again. At most 8. */
void mf_call_spare_fd(int fd);
const char *mf_call_name(enum mf_call call);

/* How many descriptors this process has: the same before and after means that none was lost. */
int mf_call_open_fds(void);
#endif
