/*
 * What a role must not do, it cannot: a child applies the role's real table and tries. And what it must do, works.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/confine_parts.h"
#include "probe.h"

/* Landlock's answer where the kernel has it. */
static int
landlock_says(int abi, int with, int without)
{
	return mf_landlock_abi() >= abi ? with : without;
}

static void
test_notary(void **state)
{
	MF_UNUSED(state);
	if (mf_probe_skip_instrumented())
		return;
	const struct mf_confinement *c = &mf_confinement_notary;
	int no = landlock_says(1, EACCES, WORKS);
	const struct probe p[] = {
		{ "keys", mf_use_dir, 0, WORKS, NULL },
		{ "log", mf_use_dir, 1, WORKS, NULL },
		{ "handles", mf_use_dir, 2, WORKS, NULL },
		{ "the front's directory", mf_use_dir, 3, landlock_says(1, EIO, WORKS), NULL },
		{ "/etc/passwd", mf_try_passwd, O_RDONLY, no, NULL },
		{ "a file beside", mf_try_neighbour, O_RDONLY, no, NULL },
		{ "..", mf_try_dotdot, 0, EACCES, NULL },
		{ "a new file outside", mf_try_new_file_outside, 0, EACCES, NULL },
		{ "socket inet", mf_try_socket, SOCK(AF_INET, SOCK_STREAM), KILLED, "socket" },
		{ "socket unix", mf_try_socket, SOCK(AF_UNIX, SOCK_STREAM), KILLED, "socket" },
		{ "socket netlink", mf_try_socket, SOCK(AF_NETLINK, SOCK_RAW), KILLED, "socket" },
		{ "connect", mf_try_connect_held, 0, KILLED, NULL },
		{ "accept4", mf_raw, SYS_accept4, KILLED, NULL },
		{ "listen", mf_raw, SYS_listen, KILLED, NULL },
		{ "pidfd_open", mf_raw, SYS_pidfd_open, KILLED, NULL },
		{ "open_by_handle_at", mf_raw, SYS_open_by_handle_at, KILLED, NULL },
		{ "readlinkat", mf_raw, SYS_readlinkat, KILLED, NULL },
		{ "executable pages", mf_try_exec_pages, 0, KILLED, "mmap" },
		{ "code made at run time", mf_try_make_executable, 0, KILLED, "mprotect" },
	};
	mf_probe_run_common(c);
	mf_probe_run(c, p, MF_COUNT(p));
}

/* SQLite without its header (one wrapper per library): the read model's way of using it. */
typedef int open_v2_fn(const char *, void **, int, const char *);
typedef int exec_fn(void *, const char *, void *, void *, char **);
static open_v2_fn *sqlite_open;
static exec_fn *sqlite_exec;

static int
use_sqlite(long unused)
{
	MF_UNUSED(unused);
	void *db = NULL;
	if (fchdir(mf_dir_fd("db")) != 0)
		return errno;
	int rc = sqlite_open("model.db", &db, 0x6 /* READWRITE | CREATE */, NULL);
	if (rc == 0)
		rc = sqlite_exec(db,
		    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE IF NOT EXISTS t(a "
		    "INTEGER PRIMARY KEY, b TEXT);"
		    "BEGIN; INSERT INTO t(b) VALUES('x'); COMMIT; SELECT * FROM t ORDER BY b; PRAGMA "
		    "wal_checkpoint(TRUNCATE);"
		    "PRAGMA integrity_check; DROP TABLE t; VACUUM;",
		    NULL, NULL, NULL);
	return rc == 0 ? 0 : 100;
}

static int
use_accept(long unused)
{
	MF_UNUSED(unused);
	int fd = accept4(mf_probe_world.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int one = 1;
	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof(one)) != 0)
		return errno;
	return mf_as_errno(send(fd, "x", 1, MSG_NOSIGNAL));
}

static void
test_broker_front(void **state)
{
	MF_UNUSED(state);
	if (mf_probe_skip_instrumented())
		return;
	const struct mf_confinement *c = &mf_confinement_broker_front;
	int no = landlock_says(1, EACCES, WORKS);
	const struct probe p[] = {
		{ "db", mf_use_dir, 3, WORKS, NULL },
		{ "keys", mf_use_dir, 0, landlock_says(1, EIO, WORKS), NULL },
		{ "log", mf_use_dir, 1, landlock_says(1, EIO, WORKS), NULL },
		{ "/etc/passwd", mf_try_passwd, O_RDONLY, no, NULL },
		{ "a file beside", mf_try_neighbour, O_RDONLY, no, NULL },
		{ "..", mf_try_dotdot, 1, EACCES, NULL },
		{ "socket inet", mf_try_socket, SOCK(AF_INET, SOCK_STREAM), KILLED, "socket" },
		{ "socket unix", mf_try_socket, SOCK(AF_UNIX, SOCK_STREAM), KILLED, "socket" },
		{ "connect", mf_try_connect_held, 0, KILLED, NULL },
		{ "pidfd_open", mf_raw, SYS_pidfd_open, KILLED, NULL },
		{ "open_by_handle_at", mf_raw, SYS_open_by_handle_at, KILLED, NULL },
		{ "executable pages", mf_try_exec_pages, 0, KILLED, "mmap" },
		{ "code made at run time", mf_try_make_executable, 0, KILLED, "mprotect" },
	};
	mf_probe_run_common(c);
	mf_probe_run(c, p, MF_COUNT(p));
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(mf_probe_world.port) };
	assert_int_equal(connect(client, (const struct sockaddr *)&at, sizeof(at)), 0);
	const struct probe serve = { "accept", use_accept, 0, WORKS, NULL };
	mf_probe_run(c, &serve, 1);
	(void)close(client);
	void *lib = dlopen("libsqlite3.so.0", RTLD_NOW);
	if (lib == NULL) {
		print_message("skipped: no libsqlite3.so.0 to run under the table\n");
		return;
	}
	*(void **)(void *)&sqlite_open = dlsym(lib, "sqlite3_open_v2");
	*(void **)(void *)&sqlite_exec = dlsym(lib, "sqlite3_exec");
	const struct probe sql = { "SQLite", use_sqlite, 0, WORKS, NULL };
	mf_probe_run(c, &sql, 1);
}

static void
test_agent_front(void **state)
{
	MF_UNUSED(state);
	if (mf_probe_skip_instrumented())
		return;
	const struct mf_confinement *c = &mf_confinement_agent_front;
	const struct probe p[] = {
		{ "the broker's mf_probe_world.port", mf_try_connect, mf_probe_world.port, WORKS, NULL },
		{ "another mf_probe_world.port", mf_try_connect, mf_probe_world.other_port,
		    landlock_says(4, EACCES, WORKS), NULL },
		{ "socket udp", mf_try_socket, SOCK(AF_INET, SOCK_DGRAM), KILLED, "socket" },
		{ "socket raw", mf_try_socket, SOCK(AF_INET, SOCK_RAW), KILLED, "socket" },
		{ "socket udp6", mf_try_socket, SOCK(AF_INET6, SOCK_DGRAM), KILLED, "socket" },
		{ "socket sctp", mf_try_tcp_protocol, 132, KILLED, "socket" },
		{ "socket mptcp", mf_try_tcp_protocol, 262, KILLED, "socket" },
		{ "socket unix", mf_try_socket, SOCK(AF_UNIX, SOCK_STREAM), KILLED, "socket" },
		{ "socket netlink", mf_try_socket, SOCK(AF_NETLINK, SOCK_RAW), KILLED, "socket" },
		{ "socket packet", mf_try_socket, SOCK(AF_PACKET, SOCK_RAW), KILLED, "socket" },
		{ "socket vsock", mf_try_socket, SOCK(AF_VSOCK, SOCK_STREAM), KILLED, "socket" },
		{ "pidfd_open", mf_raw, SYS_pidfd_open, KILLED, NULL },
		{ "open_by_handle_at", mf_raw, SYS_open_by_handle_at, KILLED, NULL },
		{ "inotify_init1", mf_raw, SYS_inotify_init1, KILLED, NULL },
		{ "/etc/passwd", mf_try_passwd, O_RDONLY, EACCES, NULL },
		{ "a file beside", mf_try_neighbour, O_RDONLY, EACCES, NULL },
		{ "openat2", mf_raw, SYS_openat2, KILLED, NULL },
		{ "unlinkat", mf_raw, SYS_unlinkat, KILLED, NULL },
		{ "mkdirat", mf_raw, SYS_mkdirat, KILLED, NULL },
		{ "executable pages", mf_try_exec_pages, 0, KILLED, "mmap" },
		{ "code made at run time", mf_try_make_executable, 0, KILLED, "mprotect" },
	};
	mf_probe_run_common(c);
	mf_probe_run(c, p, MF_COUNT(p));
}

static int
look_at_process(long unused)
{
	MF_UNUSED(unused);
	static const char *const links[] = { "exe", "ns/pid", "ns/mnt" };
	static const char *const files[] = { "status", "stat", "cgroup" };
	char path[64], to[256];
	for (size_t i = 0; i < MF_COUNT(links); i++) {
		(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)mf_probe_world.sleeper, links[i]);
		if (readlink(path, to, sizeof(to)) < 0)
			return errno;
	}
	for (size_t i = 0; i < MF_COUNT(files); i++) {
		(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)mf_probe_world.sleeper, files[i]);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || read(fd, to, sizeof(to)) <= 0)
			return errno;
	}
	return 0;
}

static int
watch_process(long unused)
{
	MF_UNUSED(unused);
	int fd = (int)syscall(SYS_pidfd_open, mf_probe_world.sleeper, 0);
	if (fd < 0)
		return errno;
	uint64_t info[8] = { 1 | 2 | 4 };
	/* An older kernel answers ENOTTY; the filter would have killed. */
	if (ioctl(fd, _IOC(_IOC_READ | _IOC_WRITE, 0xff, 11, sizeof(info)), info) != 0 && errno != ENOTTY)
		return errno;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return poll(&p, 1, 0) == 0 ? 0 : EIO;
}

static int
watch_file(long unused)
{
	MF_UNUSED(unused);
	char path[128];
	int fd = inotify_init1(IN_CLOEXEC);
	(void)snprintf(path, sizeof(path), "%s/secret", mf_probe_world.top);
	return fd < 0 ? errno : mf_as_errno(inotify_add_watch(fd, path, IN_MODIFY));
}

static int
write_proc_mem(long unused)
{
	MF_UNUSED(unused);
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)mf_probe_world.sleeper);
	return mf_try_open(path, O_RDWR);
}

static int
look_up_user(long unused)
{
	MF_UNUSED(unused);
	return mf_try_socket(SOCK(AF_UNIX, SOCK_STREAM)); /* what nscd's client does */
}

static int
use_cgroup(long unused)
{
	MF_UNUSED(unused);
	char name[32];
	int top = mf_dir_fd("cgroup");
	(void)snprintf(name, sizeof(name), PROBE_CGROUP "/%d", (int)getpid());
	if (mkdirat(top, name, 0755) != 0)
		return errno;
	int c = openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int events = openat(c, "cgroup.events", O_RDONLY | O_CLOEXEC);
	int procs = openat(c, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	char text[128];
	bool ok = events >= 0 && procs >= 0 && read(events, text, sizeof(text)) > 0;
	int saved = errno;
	(void)snprintf(text, sizeof(text), "%d", (int)mf_probe_world.sleeper);
	if (ok && write(procs, text, strlen(text)) < 0)
		ok = (saved = errno) == 0;
	int back = openat(top, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	(void)!write(back, text, strlen(text));
	if (unlinkat(top, name, AT_REMOVEDIR) != 0)
		return errno;
	return ok ? 0 : saved;
}

static void
test_attestor(void **state)
{
	MF_UNUSED(state);
	if (mf_probe_skip_instrumented())
		return;
	const struct mf_confinement *c = &mf_confinement_attestor;
	/* As root it must have its own mounts; a plain user has the file modes. */
	bool root = getuid() == 0;
	int no = root ? EROFS : WORKS;
	const struct probe p[] = {
		{ "state", mf_use_dir, 4, WORKS, NULL },
		{ "run", mf_use_dir, 5, WORKS, NULL },
		{ "a process", look_at_process, 0, WORKS, NULL },
		{ "the end of a process", watch_process, 0, WORKS, NULL },
		{ "inotify", watch_file, 0, WORKS, NULL },
		{ "/etc/passwd", mf_try_passwd, O_RDONLY, WORKS, NULL },
		{ "/etc/passwd to write", mf_try_passwd, O_RDWR, root ? EROFS : EACCES, NULL },
		{ "a file beside", mf_try_neighbour, O_RDWR, no, NULL },
		{ "..", mf_try_dotdot, 2, no, NULL },
		{ "a new file outside", mf_try_new_file_outside, 0, no, NULL },
		{ "a device", mf_try_device, 0, root ? EACCES : WORKS, NULL },
		{ "memory of a process", write_proc_mem, 0, root ? EROFS : WORKS, NULL },
		{ "nscd", look_up_user, 0, EACCES, NULL },
		{ "open_by_handle_at", mf_raw, SYS_open_by_handle_at, EPERM, NULL },
		{ "socket inet", mf_try_socket, SOCK(AF_INET, SOCK_STREAM), EACCES, NULL },
		{ "socket netlink", mf_try_socket, SOCK(AF_NETLINK, SOCK_RAW), EACCES, NULL },
		{ "connect", mf_try_connect_held, 0, KILLED, NULL },
		{ "accept4", mf_raw, SYS_accept4, KILLED, NULL },
		{ "executable pages", mf_try_exec_pages, 0, EACCES, NULL },
		{ "code made at run time", mf_try_make_executable, 0, EACCES, NULL },
	};
	mf_probe_run_common(c);
	mf_probe_run(c, p, MF_COUNT(p));
	const struct probe cgroup = { "a cgroup for a job, with a process of another user", use_cgroup, 0,
		WORKS, NULL };
	if (mf_dir_fd("cgroup") >= 0)
		mf_probe_run(c, &cgroup, 1);
	else
		print_message("skipped: cgroup2 cannot be mounted here\n");
}

/* Too much memory is refused, not granted. */
static int
take_memory(long bytes)
{
	void *p = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return errno;
	(void)munmap(p, (size_t)bytes);
	return 0;
}

static void
test_verifier(void **state)
{
	MF_UNUSED(state);
	if (mf_probe_skip_instrumented())
		return;
	const struct probe p[] = {
		{ "a megabyte", take_memory, 1 << 20, WORKS, NULL },
		{ "half a gigabyte", take_memory, 512l << 20, ENOMEM, NULL },
		{ "/etc/passwd", mf_try_passwd, O_RDONLY, EACCES, NULL },
		{ "a file beside", mf_try_neighbour, O_RDONLY, EACCES, NULL },
		{ "a new file outside", mf_try_new_file_outside, 0, EACCES, NULL },
		{ "socket inet", mf_try_socket, SOCK(AF_INET, SOCK_STREAM), KILLED, "socket" },
		{ "socket unix", mf_try_socket, SOCK(AF_UNIX, SOCK_STREAM), KILLED, "socket" },
		{ "connect", mf_try_connect_held, 0, KILLED, NULL },
		{ "socketpair", mf_raw, SYS_socketpair, KILLED, NULL },
		{ "clone", mf_raw, SYS_clone, KILLED, NULL },
		{ "clone3", mf_raw, SYS_clone3, KILLED, NULL },
		{ "execveat", mf_raw, SYS_execveat, KILLED, NULL },
		{ "pipe2", mf_raw, SYS_pipe2, KILLED, NULL },
		{ "epoll_create1", mf_raw, SYS_epoll_create1, KILLED, NULL },
		{ "memfd_create", mf_raw, SYS_memfd_create, KILLED, NULL },
		{ "openat2", mf_raw, SYS_openat2, KILLED, NULL },
		{ "read", mf_raw, SYS_read, KILLED, NULL },
		{ "dup", mf_raw, SYS_dup, KILLED, NULL },
		{ "kill", mf_raw, SYS_kill, KILLED, NULL },
		{ "ptrace", mf_raw, SYS_ptrace, KILLED, NULL },
		{ "executable pages", mf_try_exec_pages, 0, KILLED, "mmap" },
		{ "code made at run time", mf_try_make_executable, 0, KILLED, "mprotect" },
	};
	mf_probe_run(&mf_confinement_verifier, p, MF_COUNT(p));
}

/* It reads what is published, answers on the socket it was given, and that is all. */
static void
test_publisher(void **state)
{
	MF_UNUSED(state);
	if (mf_probe_skip_instrumented())
		return;
	const struct mf_confinement *c = &mf_confinement_publisher;
	int no = landlock_says(1, EACCES, WORKS);
	const struct probe p[] = {
		{ "/etc/passwd", mf_try_passwd, O_RDONLY, no, NULL },
		{ "a file beside", mf_try_neighbour, O_RDONLY, no, NULL },
		{ "socket inet", mf_try_socket, SOCK(AF_INET, SOCK_STREAM), KILLED, "socket" },
		{ "socket unix", mf_try_socket, SOCK(AF_UNIX, SOCK_STREAM), KILLED, "socket" },
		{ "connect", mf_try_connect_held, 0, KILLED, NULL },
		{ "unlinkat", mf_raw, SYS_unlinkat, KILLED, NULL },
		{ "renameat2", mf_raw, SYS_renameat2, KILLED, NULL },
		{ "mkdirat", mf_raw, SYS_mkdirat, KILLED, NULL },
		{ "fchmod", mf_raw, SYS_fchmod, KILLED, NULL },
		{ "execveat", mf_raw, SYS_execveat, KILLED, NULL },
		{ "kill", mf_raw, SYS_kill, KILLED, NULL },
		{ "ptrace", mf_raw, SYS_ptrace, KILLED, NULL },
		{ "pidfd_open", mf_raw, SYS_pidfd_open, KILLED, NULL },
		{ "executable pages", mf_try_exec_pages, 0, KILLED, "mmap" },
		{ "code made at run time", mf_try_make_executable, 0, KILLED, "mprotect" },
	};
	mf_probe_run(c, p, MF_COUNT(p));
}

/* It may read what libc reads, and ask; it writes nothing, runs nothing, and reaches no socket of this machine. */
static void
test_resolver(void **state)
{
	MF_UNUSED(state);
	if (mf_probe_skip_instrumented())
		return;
	const struct probe p[] = {
		{ "a file beside", mf_try_neighbour, O_RDONLY, EACCES, NULL },
		{ "a new file outside", mf_try_new_file_outside, 0, EACCES, NULL },
		{ "socket unix", mf_try_socket, SOCK(AF_UNIX, SOCK_STREAM), EACCES, NULL },
		{ "socket netlink", mf_try_socket, SOCK(AF_NETLINK, SOCK_RAW), EACCES, NULL },
		{ "socket packet", mf_try_socket, SOCK(AF_PACKET, SOCK_RAW), KILLED, "socket" },
		{ "socket inet", mf_try_socket, SOCK(AF_INET, SOCK_DGRAM), WORKS, NULL },
		{ "half a gigabyte", take_memory, 512l << 20, ENOMEM, NULL },
		{ "bind", mf_raw, SYS_bind, KILLED, NULL },
		{ "listen", mf_raw, SYS_listen, KILLED, NULL },
		{ "clone", mf_raw, SYS_clone, KILLED, NULL },
		{ "execveat", mf_raw, SYS_execveat, KILLED, NULL },
		{ "unlink", mf_raw, SYS_unlink, KILLED, NULL },
		{ "kill", mf_raw, SYS_kill, KILLED, NULL },
		{ "ptrace", mf_raw, SYS_ptrace, KILLED, NULL },
		{ "executable pages", mf_try_exec_pages, 0, EACCES, NULL },
		{ "code made at run time", mf_try_make_executable, 0, EACCES, NULL },
	};
	mf_probe_run(&mf_confinement_resolver, p, MF_COUNT(p));
}

/* As the resolver, and TCP; but no file, no socket of this machine and no port that no target has. */
static void
test_courier(void **state)
{
	MF_UNUSED(state);
	if (mf_probe_skip_instrumented())
		return;
	const struct probe p[] = {
		{ "a file beside", mf_try_neighbour, O_RDONLY, EACCES, NULL },
		{ "a new file outside", mf_try_new_file_outside, 0, EACCES, NULL },
		{ "socket unix", mf_try_socket, SOCK(AF_UNIX, SOCK_STREAM), EACCES, NULL },
		{ "socket netlink", mf_try_socket, SOCK(AF_NETLINK, SOCK_RAW), EACCES, NULL },
		{ "socket packet", mf_try_socket, SOCK(AF_PACKET, SOCK_RAW), KILLED, "socket" },
		{ "socket inet", mf_try_socket, SOCK(AF_INET, SOCK_STREAM), WORKS, NULL },
		{ "bind", mf_raw, SYS_bind, KILLED, NULL },
		{ "listen", mf_raw, SYS_listen, KILLED, NULL },
		{ "accept4", mf_raw, SYS_accept4, KILLED, NULL },
		{ "execveat", mf_raw, SYS_execveat, KILLED, NULL },
		{ "unlink", mf_raw, SYS_unlink, KILLED, NULL },
		{ "memfd_create", mf_raw, SYS_memfd_create, KILLED, NULL },
		{ "kill", mf_raw, SYS_kill, KILLED, NULL },
		{ "ptrace", mf_raw, SYS_ptrace, KILLED, NULL },
		{ "executable pages", mf_try_exec_pages, 0, EACCES, NULL },
		{ "code made at run time", mf_try_make_executable, 0, EACCES, NULL },
	};
	mf_probe_run(&mf_confinement_courier, p, MF_COUNT(p));
}

static int
never(long unused)
{
	MF_UNUSED(unused);
	return 0;
}

static void
test_refuses_root(void **state)
{
	MF_UNUSED(state);
	if (getuid() != 0) {
		print_message("skipped: needs root\n");
		return;
	}
	struct mf_confinement c = mf_confinement_notary;
	struct mf_confine_env env = { 0 };
	struct mf_confined done;
	struct mf_err err = { 0 };
	pid_t pid = fork();
	int st = 0;
	if (pid == 0)
		_exit(mf_confine(&c, &env, &done, &err) == MF_E_DENIED ? never(0) : 1);
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_int_equal(st, 0);
}

static void *
idle(void *arg)
{
	MF_UNUSED(arg);
	(void)pause();
	return NULL;
}

static void
test_refuses_threads(void **state)
{
	MF_UNUSED(state);
	if (mf_probe_skip_instrumented())
		return;
	struct mf_confine_env env = { 0 };
	struct mf_confined done;
	pid_t pid = fork();
	int st = 0;
	if (pid == 0) {
		pthread_t t;
		(void)alarm(60);
		if (pthread_create(&t, NULL, idle, NULL) != 0)
			_exit(2);
		_exit(mf_confine(&mf_confinement_notary, &env, &done, NULL) == MF_E_STATE ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_int_equal(st, 0);
}

/* In a plain chroot a role with mounts of its own says why it does not start, and what would help. */
static void
test_says_chroot(void **state)
{
	MF_UNUSED(state);
	if (mf_probe_skip_instrumented())
		return;
	if (geteuid() != 0)
		skip();
	char dir[] = "/tmp/mayfly-test-chroot-XXXXXX";
	assert_non_null(mkdtemp(dir));
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		bool done = false;
		struct mf_err err = { 0 };
		struct mf_confine_env env = { 0 };
		if (chroot(dir) != 0 || chdir("/") != 0)
			_exit(2);
		enum mf_status s = mf_confine_own_mounts(&mf_confinement_attestor, &env, &done, &err);
		_exit(s == MF_E_UNSUPPORTED && !done && strstr(err.msg, "pivot_root") != NULL ? 0 : 1);
	}
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(status, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_notary), cmocka_unit_test(test_says_chroot),
		cmocka_unit_test(test_broker_front), cmocka_unit_test(test_agent_front),
		cmocka_unit_test(test_attestor), cmocka_unit_test(test_verifier),
		cmocka_unit_test(test_resolver), cmocka_unit_test(test_courier),
		cmocka_unit_test(test_publisher), cmocka_unit_test(test_refuses_root),
		cmocka_unit_test(test_refuses_threads) };
	return cmocka_run_group_tests_name("confinement", tests, mf_probe_setup, mf_probe_teardown);
}
