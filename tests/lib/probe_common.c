/* What confined children try: single attempts, what no role may do, and what each needs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/secret.h"
#include "os/secure_file.h"
#include "probe.h"

/* ---- probes ---- */

int
mf_as_errno(long r)
{
	return r < 0 ? errno : 0;
}

/* A system call by number with arguments that do no harm should it be let through. */
int
mf_raw(long nr)
{
	return mf_as_errno(syscall(nr, -1, 0, 0, 0, 0, 0));
}

static int
try_execve(long unused)
{
	MF_UNUSED(unused);
	char *const none[] = { NULL };
	return mf_as_errno(execve("/bin/true", none, none));
}

static int
try_fork(long unused)
{
	MF_UNUSED(unused);
	pid_t p = fork();
	if (p == 0)
		_exit(0);
	return mf_as_errno(p);
}

static int
try_newuser(long unused)
{
	MF_UNUSED(unused);
	return mf_as_errno(syscall(SYS_clone, (long)CLONE_THREAD | CLONE_NEWUSER, 0, 0, 0, 0));
}

int
mf_try_socket(long packed)
{
	return mf_as_errno(socket((int)(packed >> 8), (int)(packed & 0xff), 0));
}
#define SOCK(domain, type) ((long)(domain) << 8 | (type))

int
mf_try_tcp_protocol(long protocol)
{
	return mf_as_errno(socket(AF_INET, SOCK_STREAM, (int)protocol));
}

int
mf_try_connect(long to_port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)to_port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return mf_as_errno(connect(fd, (const struct sockaddr *)&at, sizeof(at)));
}

int
mf_try_connect_held(long unused)
{
	MF_UNUSED(unused);
	struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = "/run/x" };
	return mf_as_errno(connect(mf_probe_world.pair_fd, (const struct sockaddr *)&at, sizeof(at)));
}

static int
try_bind_held(long unused)
{
	MF_UNUSED(unused);
	struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = "/run/x" };
	return mf_as_errno(bind(mf_probe_world.pair_fd, (const struct sockaddr *)&at, sizeof(at)));
}

int
mf_try_open(const char *path, int flags)
{
	return mf_as_errno(open(path, flags | O_CLOEXEC, 0600));
}

int
mf_try_passwd(long flags)
{
	return mf_try_open("/etc/passwd", (int)flags);
}

int
mf_try_neighbour(long flags)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/secret", mf_probe_world.top);
	return mf_try_open(path, (int)flags);
}

int
mf_dir_fd(const char *name)
{
	for (size_t i = 0; i < mf_probe_world.fd_count; i++)
		if (strcmp(mf_probe_world.fds[i].name, name) == 0)
			return mf_probe_world.fds[i].fd;
	return -1;
}

int
mf_try_dotdot(long which)
{
	static const char *const names[] = { "log", "db", "state" };
	return mf_as_errno(openat(mf_dir_fd(names[which]), "../secret", O_WRONLY | O_CLOEXEC));
}

int
mf_try_new_file_outside(long unused)
{
	MF_UNUSED(unused);
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/new", mf_probe_world.top);
	return mf_try_open(path, O_WRONLY | O_CREAT);
}

int
mf_try_device(long unused)
{
	MF_UNUSED(unused);
	return mf_try_open("/dev/null", O_RDWR);
}

int
mf_try_exec_pages(long unused)
{
	MF_UNUSED(unused);
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? errno : 0;
}

int
mf_try_make_executable(long unused)
{
	MF_UNUSED(unused);
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return mf_as_errno(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int
try_prctl(long option)
{
	return mf_as_errno(prctl((int)option, 1, 0, 0, 0));
}

static int
try_kill(long sig)
{
	return mf_as_errno(kill(getppid(), (int)sig));
}

static int
try_tgkill_parent(long unused)
{
	MF_UNUSED(unused);
	return mf_as_errno(syscall(SYS_tgkill, getppid(), getppid(), 0));
}

static int
try_raise_limit(long unused)
{
	MF_UNUSED(unused);
	struct rlimit l = { RLIM_INFINITY, RLIM_INFINITY };
	return mf_as_errno(setrlimit(RLIMIT_CORE, &l));
}

static int
try_ioctl(long request)
{
	return mf_as_errno(ioctl(mf_probe_world.pair_fd, (unsigned long)request, 0));
}

#ifdef __x86_64__
static int
try_x32(long unused)
{
	MF_UNUSED(unused);
	return mf_as_errno(syscall(0x40000000 | SYS_getpid));
}

static int
try_int80(long unused)
{
	MF_UNUSED(unused);
	long r = 20; /* getpid of the 32-bit table */
	__asm__ volatile("int $0x80" : "+a"(r) : : "memory", "rbx", "rcx", "rdx");
	return r > 0 ? 0 : 1;
}
#endif

/* What no role may do, whatever it is. */
static const struct probe forbidden[] = {
	{ "execve", try_execve, 0, KILLED, NULL },
	{ "execveat", mf_raw, SYS_execveat, KILLED, NULL },
	{ "fork", try_fork, 0, KILLED, "clone" },
	{ "vfork", mf_raw, SYS_vfork, KILLED, NULL },
	{ "a thread with a user namespace", try_newuser, 0, KILLED, "clone" },
	{ "clone3", mf_raw, SYS_clone3, ENOSYS, NULL },
	{ "ptrace", mf_raw, SYS_ptrace, KILLED, NULL },
	{ "process_vm_readv", mf_raw, SYS_process_vm_readv, KILLED, NULL },
	{ "process_vm_writev", mf_raw, SYS_process_vm_writev, KILLED, NULL },
	{ "kill", try_kill, 0, KILLED, NULL },
	{ "tgkill", try_tgkill_parent, 0, KILLED, NULL },
	{ "tkill", mf_raw, SYS_tkill, KILLED, NULL },
	{ "pidfd_send_signal", mf_raw, SYS_pidfd_send_signal, KILLED, NULL },
	{ "pidfd_getfd", mf_raw, SYS_pidfd_getfd, KILLED, NULL },
	{ "mount", mf_raw, SYS_mount, KILLED, NULL },
	{ "umount2", mf_raw, SYS_umount2, KILLED, NULL },
	{ "move_mount", mf_raw, SYS_move_mount, KILLED, NULL },
	{ "open_tree", mf_raw, SYS_open_tree, KILLED, NULL },
	{ "mount_setattr", mf_raw, SYS_mount_setattr, KILLED, NULL },
	{ "pivot_root", mf_raw, SYS_pivot_root, KILLED, NULL },
	{ "chroot", mf_raw, SYS_chroot, KILLED, NULL },
	{ "unshare", mf_raw, SYS_unshare, KILLED, NULL },
	{ "setns", mf_raw, SYS_setns, KILLED, NULL },
	{ "bpf", mf_raw, SYS_bpf, KILLED, NULL },
	{ "perf_event_open", mf_raw, SYS_perf_event_open, KILLED, NULL },
	{ "io_uring_setup", mf_raw, SYS_io_uring_setup, KILLED, NULL },
	{ "userfaultfd", mf_raw, SYS_userfaultfd, KILLED, NULL },
	{ "memfd_create", mf_raw, SYS_memfd_create, KILLED, NULL },
	{ "keyctl", mf_raw, SYS_keyctl, KILLED, NULL },
	{ "add_key", mf_raw, SYS_add_key, KILLED, NULL },
	{ "seccomp", mf_raw, SYS_seccomp, KILLED, NULL },
	{ "setuid", mf_raw, SYS_setuid, KILLED, NULL },
	{ "setresuid", mf_raw, SYS_setresuid, KILLED, NULL },
	{ "setgroups", mf_raw, SYS_setgroups, KILLED, NULL },
	{ "capset", mf_raw, SYS_capset, KILLED, NULL },
	{ "personality", mf_raw, SYS_personality, KILLED, NULL },
	{ "init_module", mf_raw, SYS_init_module, KILLED, NULL },
	{ "finit_module", mf_raw, SYS_finit_module, KILLED, NULL },
	{ "kexec_load", mf_raw, SYS_kexec_load, KILLED, NULL },
	{ "settimeofday", mf_raw, SYS_settimeofday, KILLED, NULL },
	{ "clock_settime", mf_raw, SYS_clock_settime, KILLED, NULL },
	{ "sethostname", mf_raw, SYS_sethostname, KILLED, NULL },
	{ "quotactl", mf_raw, SYS_quotactl, KILLED, NULL },
	{ "symlinkat", mf_raw, SYS_symlinkat, KILLED, NULL },
	{ "linkat", mf_raw, SYS_linkat, KILLED, NULL },
	{ "mknodat", mf_raw, SYS_mknodat, KILLED, NULL },
	{ "setxattr", mf_raw, SYS_setxattr, KILLED, NULL },
	{ "fanotify_init", mf_raw, SYS_fanotify_init, KILLED, NULL },
	{ "shmget", mf_raw, SYS_shmget, KILLED, NULL },
	{ "msgget", mf_raw, SYS_msgget, KILLED, NULL },
	{ "setpriority", mf_raw, SYS_setpriority, KILLED, NULL },
	{ "setrlimit", try_raise_limit, 0, KILLED, "prlimit64" },
	{ "PR_SET_DUMPABLE", try_prctl, PR_SET_DUMPABLE, KILLED, "prctl" },
	{ "PR_SET_PDEATHSIG", try_prctl, PR_SET_PDEATHSIG, KILLED, "prctl" },
	{ "PR_SET_PTRACER", try_prctl, PR_SET_PTRACER, KILLED, "prctl" },
	{ "TIOCSTI", try_ioctl, 0x5412, KILLED, "ioctl" },
	{ "TIOCLINUX", try_ioctl, 0x541c, KILLED, "ioctl" },
	{ "bind", try_bind_held, 0, KILLED, NULL },
#ifdef __x86_64__
	{ "x32", try_x32, 0, KILLED_ABI, NULL },
	{ "int 0x80", try_int80, 0, KILLED_ABI, NULL },
#endif
};

/* ---- what must work ---- */

static void *
thread_body(void *arg)
{
	/* Enough to make malloc map and give back an arena of this thread. */
	void *p[64];
	for (size_t i = 0; i < MF_COUNT(p); i++)
		p[i] = calloc(1, 100000);
	for (size_t i = MF_COUNT(p); i-- > 0;)
		free(p[i]);
	*(int *)arg = 1;
	return NULL;
}

static int
use_threads(long unused)
{
	MF_UNUSED(unused);
	pthread_t t[4];
	int ran[4] = { 0 };
	for (size_t i = 0; i < 4; i++)
		if (pthread_create(&t[i], NULL, thread_body, &ran[i]) != 0)
			return EAGAIN;
	for (size_t i = 0; i < 4; i++)
		if (pthread_join(t[i], NULL) != 0 || ran[i] != 1)
			return EINVAL;
	return 0;
}

static int
use_loop(long unused)
{
	MF_UNUSED(unused);
	int ep = epoll_create1(EPOLL_CLOEXEC), ev = eventfd(1, EFD_CLOEXEC);
	struct epoll_event e = { .events = EPOLLIN }, got;
	if (ep < 0 || ev < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e) != 0 ||
	    epoll_wait(ep, &got, 1, 1000) != 1)
		return errno != 0 ? errno : EIO;
	struct pollfd p = { .fd = ev, .events = POLLIN };
	return poll(&p, 1, 1000) == 1 ? 0 : EIO;
}

static int
use_secret(long unused)
{
	MF_UNUSED(unused);
	struct mf_secret *s = NULL;
	if (mf_secret_new(32, &s, NULL) != MF_OK)
		return ENOMEM;
	mf_secret_free(s);
	return 0;
}

static int
use_abort(long unused)
{
	MF_UNUSED(unused);
	/* An assertion must end in SIGABRT and not look like a violation; seen from inside by a handler. */
	struct sigaction a = { .sa_handler = _exit };
	(void)sigaction(SIGABRT, &a, NULL);
	(void)raise(SIGABRT);
	return EIO;
}

static int
is_undumpable(long unused)
{
	MF_UNUSED(unused);
	return prctl(PR_GET_DUMPABLE) == 0 ? 0 : EPERM;
}

static int
use_one_dir(const char *name)
{
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 100);
	int d = mf_dir_fd(name);
	if (mf_file_write(d, "f", MF_SLICE_LIT("content"), 0600, &err) != MF_OK ||
	    mf_file_read(d, "f", &b, &err) != MF_OK || mf_file_remove(d, "f", &err) != MF_OK)
		return EIO;
	int fd = openat(d, "segment", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	bool reserve = strcmp(name, "state") != 0 && strcmp(name, "run") != 0;
	if (fd < 0 || (reserve && fallocate(fd, 0, 0, 65536) != 0) || pwrite(fd, "x", 1, 10) != 1 ||
	    fdatasync(fd) != 0)
		return errno;
	return mf_as_errno(renameat(d, "segment", d, "old"));
}

int
mf_use_dir(long which)
{
	static const char *const names[] = { "keys", "log", "handles", "db", "state", "run" };
	return use_one_dir(names[which]);
}

static const struct probe needed[] = {
	{ "threads", use_threads, 0, WORKS, NULL },
	{ "loops", use_loop, 0, WORKS, NULL },
	{ "secrets", use_secret, 0, WORKS, NULL },
	{ "abort", use_abort, 0, SIGABRT, NULL },
	{ "no dumps", is_undumpable, 0, WORKS, NULL },
};

void
mf_probe_run_common(const struct mf_confinement *c)
{
	mf_probe_run(c, needed, MF_COUNT(needed));
	mf_probe_run(c, forbidden, MF_COUNT(forbidden));
}
