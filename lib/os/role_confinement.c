#include "os/role_confinement.h"

#include <errno.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "os/confine_parts.h"

/* clang-format off */
#define EQ(n, v) { (n), MF_ARG_EQ, 0, (uint64_t)(v) }
#define MASK(n, m, v) { (n), MF_ARG_MASK, (uint64_t)(m), (uint64_t)(v) }
#define SELF(n) { (n), MF_ARG_SELF, 0, 0 }
#define ALL(name) { name, NULL, 0, { { 0 } } }
#define WHEN(name, words, ...) { name, words, 0, { __VA_ARGS__ } }
#define SOFT(name, e) { name, NULL, (e), { { 0 } } }
#define SOFT_WHEN(name, e, words, ...) { name, words, (e), { __VA_ARGS__ } }
#define GROUP(id, title, why) \
	static const struct mf_syscall_group id = { title, why, id##_rules, MF_COUNT(id##_rules) }

#define NEW_NAMESPACES (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
	CLONE_NEWPID | CLONE_NEWNET)
#define TYPE_BITS 0xf /* of socket(2): without SOCK_CLOEXEC and SOCK_NONBLOCK */
/* _IOWR(0xFF, 11, struct pidfd_info): the size is the kernel's and grows, so only type and number are compared. */
#define PIDFD_GET_INFO_BITS 0xff0b

static const struct mf_syscall_rule runtime_rules[] = {
	ALL("brk"), ALL("munmap"), ALL("mremap"), ALL("madvise"), ALL("mlock"), ALL("mlock2"), ALL("munlock"),
	WHEN("mmap", "not executable", MASK(2, PROT_EXEC, 0)),
	WHEN("mprotect", "not executable", MASK(2, PROT_EXEC, 0)),
	ALL("futex"), ALL("set_robust_list"), ALL("rseq"), ALL("sched_yield"), ALL("sched_getaffinity"), ALL("getcpu"),
	WHEN("clone", "threads only", MASK(0, (uint64_t)CLONE_THREAD | (uint64_t)NEW_NAMESPACES, CLONE_THREAD)),
	SOFT("clone3", ENOSYS),
	ALL("rt_sigaction"), ALL("rt_sigprocmask"), ALL("rt_sigreturn"), ALL("sigaltstack"), ALL("restart_syscall"),
	WHEN("tgkill", "itself", SELF(0)),
	ALL("exit"), ALL("exit_group"),
	ALL("clock_gettime"), ALL("clock_getres"), ALL("clock_nanosleep"), ALL("nanosleep"), ALL("gettimeofday"), ALL("time"),
	ALL("getrandom"), ALL("getpid"), ALL("gettid"), ALL("getppid"), ALL("getuid"), ALL("geteuid"), ALL("getgid"),
	ALL("getegid"), ALL("uname"), ALL("sysinfo"), ALL("getrusage"),
	WHEN("prlimit64", "reading", EQ(2, 0)),
	WHEN("prctl", "PR_SET_NAME", EQ(0, PR_SET_NAME)), WHEN("prctl", "PR_GET_NAME", EQ(0, PR_GET_NAME)),
	WHEN("prctl", "PR_SET_VMA", EQ(0, 0x53564d41)), WHEN("prctl", "PR_GET_PDEATHSIG", EQ(0, PR_GET_PDEATHSIG)),
	WHEN("prctl", "PR_GET_DUMPABLE", EQ(0, PR_GET_DUMPABLE)),
};
GROUP(runtime, "runtime", "what libc needs for memory, threads, signals to itself, time and its end; clone3 hides its flags in memory, so threads are made by clone");

static const struct mf_syscall_rule held_rules[] = {
	ALL("read"), ALL("readv"), ALL("pread64"), ALL("preadv"), ALL("write"), ALL("writev"), ALL("pwrite64"), ALL("pwritev"),
	ALL("lseek"), ALL("close"), ALL("dup"), ALL("dup3"), ALL("fcntl"), ALL("fstat"), ALL("fstatfs"),
	WHEN("newfstatat", "AT_EMPTY_PATH", MASK(3, 0x1000, 0x1000)),
	ALL("ftruncate"), ALL("fdatasync"), ALL("fsync"),
	WHEN("ioctl", "FIONREAD", EQ(1, FIONREAD)), WHEN("ioctl", "FIONBIO", EQ(1, FIONBIO)),
	SOFT_WHEN("ioctl", ENOTTY, "TCGETS", EQ(1, TCGETS)),
};
GROUP(held, "held", "work on descriptors that the role was given: they are its authority");

static const struct mf_syscall_rule waits_rules[] = {
	ALL("epoll_create1"), ALL("epoll_create"), ALL("epoll_ctl"), ALL("epoll_wait"), ALL("epoll_pwait"), ALL("epoll_pwait2"),
	ALL("poll"), ALL("ppoll"), ALL("select"), ALL("pselect6"), ALL("eventfd2"), ALL("timerfd_create"), ALL("timerfd_settime"),
	ALL("timerfd_gettime"), ALL("pipe2"), ALL("pipe"),
	WHEN("socketpair", "AF_UNIX", EQ(0, AF_UNIX)),
};
GROUP(waits, "wait", "event loops (libevent and poll) and their way to wake one another's threads");

static const struct mf_syscall_rule links_rules[] = {
	ALL("sendmsg"), ALL("sendmmsg"), ALL("sendto"), ALL("recvmsg"), ALL("recvmmsg"), ALL("recvfrom"), ALL("shutdown"),
	WHEN("getsockopt", "SOL_SOCKET", EQ(1, SOL_SOCKET)), WHEN("setsockopt", "SOL_SOCKET", EQ(1, SOL_SOCKET)),
	ALL("getsockname"), ALL("getpeername"),
};
GROUP(links, "link", "messages on sockets that the role was given: its links and what it serves");

static const struct mf_syscall_rule serves_rules[] = {
	ALL("accept4"), ALL("accept"), ALL("listen"),
};
GROUP(serves, "serve", "connections on listening sockets that the supervisor bound");

static const struct mf_syscall_rule tcp_rules[] = {
	WHEN("getsockopt", "TCP", EQ(1, IPPROTO_TCP)), WHEN("setsockopt", "TCP", EQ(1, IPPROTO_TCP)),
};
GROUP(tcp, "tcp", "options of TCP connections (no delay, user timeout)");

static const struct mf_syscall_rule dials_rules[] = {
	WHEN("socket", "AF_INET, stream, TCP", EQ(0, AF_INET), MASK(1, TYPE_BITS, SOCK_STREAM), EQ(2, IPPROTO_TCP)),
	WHEN("socket", "AF_INET, stream, default", EQ(0, AF_INET), MASK(1, TYPE_BITS, SOCK_STREAM), EQ(2, 0)),
	WHEN("socket", "AF_INET6, stream, TCP", EQ(0, AF_INET6), MASK(1, TYPE_BITS, SOCK_STREAM), EQ(2, IPPROTO_TCP)),
	WHEN("socket", "AF_INET6, stream, default", EQ(0, AF_INET6), MASK(1, TYPE_BITS, SOCK_STREAM), EQ(2, 0)),
	ALL("connect"),
};
GROUP(dials, "dial", "TCP to the broker, or to clouds; Landlock (from ABI 4) limits it to their ports");

static const struct mf_syscall_rule no_open_rules[] = {
	SOFT("open", EACCES), SOFT("openat", EACCES), SOFT("access", EACCES), SOFT("faccessat", EACCES),
	SOFT("readlink", EACCES), SOFT("readlinkat", EACCES),
};
GROUP(no_open, "no open", "libc itself asks for files now and then (malloc in threads reads /proc/sys/vm/overcommit_memory): it is told no and lives");

static const struct mf_syscall_rule files_rules[] = {
	ALL("openat"), ALL("openat2"), ALL("open"), ALL("newfstatat"), ALL("stat"), ALL("lstat"), ALL("statx"), ALL("getdents64"),
	ALL("unlinkat"), ALL("unlink"), ALL("renameat"), ALL("renameat2"), ALL("rename"), ALL("mkdirat"), ALL("mkdir"),
	ALL("fallocate"), ALL("fchmod"), ALL("flock"), ALL("sync_file_range"), ALL("fadvise64"),
};
GROUP(files, "files", "its own directories; which these are is the file system rule above");

static const struct mf_syscall_rule sqlite_rules[] = {
	ALL("access"), ALL("faccessat"), ALL("faccessat2"), ALL("getcwd"), ALL("readlink"), ALL("readlinkat"), ALL("rmdir"),
	ALL("fchown"), ALL("utimensat"), ALL("fchdir"),
};
GROUP(sqlite, "sqlite", "SQLite looks at names, permissions and the journal beside the database; it wants names, so its directory becomes the working directory");

static const struct mf_syscall_rule look_rules[] = {
	ALL("openat"), ALL("openat2"), ALL("open"), ALL("newfstatat"), ALL("stat"), ALL("lstat"), ALL("statx"), ALL("statfs"),
	ALL("getdents64"), ALL("readlinkat"), ALL("readlink"), ALL("name_to_handle_at"), ALL("access"), ALL("faccessat"),
	ALL("faccessat2"),
};
GROUP(look, "look", "facts in /proc and /sys/fs/cgroup");

static const struct mf_syscall_rule reads_rules[] = {
	ALL("openat2"), ALL("openat"), ALL("open"), ALL("newfstatat"), ALL("statx"),
};
GROUP(reads, "read", "the files that it shows, opened anew for each request; which these are is the file system rule above");

static const struct mf_syscall_rule watch_rules[] = {
	ALL("pidfd_open"), WHEN("ioctl", "PIDFD_GET_INFO", MASK(1, 0xffff, PIDFD_GET_INFO_BITS)),
	ALL("inotify_init1"), ALL("inotify_add_watch"), ALL("inotify_rm_watch"),
};
GROUP(watch, "watch", "the end of jobs: pidfds and cgroup.events");

static const struct mf_syscall_rule peers_rules[] = {
	WHEN("ioctl", "PIDFD_GET_INFO", MASK(1, 0xffff, PIDFD_GET_INFO_BITS)),
};
GROUP(peers, "peers", "ids and cgroup of the process that connected, by the pidfd that its socket gives: whoever was attested before is recognised");

static const struct mf_syscall_rule keeps_rules[] = {
	ALL("mkdirat"), ALL("mkdir"), ALL("unlinkat"), ALL("unlink"), ALL("rmdir"), ALL("renameat"), ALL("renameat2"), ALL("rename"),
	ALL("fchmod"), ALL("flock"),
};
GROUP(keeps, "keep", "cgroups of jobs (made, removed) and the attestor's own files");

static const struct mf_syscall_rule users_rules[] = {
	SOFT("socket", EACCES), SOFT_WHEN("mmap", EACCES, "executable", MASK(2, PROT_EXEC, PROT_EXEC)),
	SOFT_WHEN("mprotect", EACCES, "executable", MASK(2, PROT_EXEC, PROT_EXEC)),
};
GROUP(users, "users", "getpwuid asks nscd and loads NSS modules: it is told no, reads /etc/passwd, and lives");

static const struct mf_syscall_rule handles_rules[] = {
	SOFT("open_by_handle_at", EPERM),
};
GROUP(handles, "handles", "a file handle opens any inode of a file system through any mount of it, past the read-only ones: cgroups are found by path");

/* Not runtime: no threads, no pipes, nothing that makes a descriptor. */
static const struct mf_syscall_rule once_rules[] = {
	ALL("brk"), ALL("munmap"), ALL("mremap"), ALL("madvise"),
	WHEN("mmap", "not executable", MASK(2, PROT_EXEC, 0)), WHEN("mprotect", "not executable", MASK(2, PROT_EXEC, 0)),
	ALL("futex"), ALL("rt_sigaction"), ALL("rt_sigprocmask"), ALL("rt_sigreturn"), ALL("restart_syscall"),
	WHEN("tgkill", "itself", SELF(0)), ALL("getpid"), ALL("gettid"), ALL("exit"), ALL("exit_group"),
	ALL("clock_gettime"), ALL("gettimeofday"), ALL("time"), ALL("getrandom"),
	WHEN("prctl", "PR_GET_PDEATHSIG", EQ(0, PR_GET_PDEATHSIG)), WHEN("prctl", "PR_SET_VMA", EQ(0, 0x53564d41)), ALL("geteuid"),
	ALL("poll"), ALL("ppoll"), ALL("sendmsg"), ALL("sendmmsg"), ALL("recvmsg"), ALL("write"), ALL("close"), ALL("fcntl"),
};
GROUP(once, "once", "one task: memory, the clock, its one socket, its log line, its end");

static const struct mf_syscall_rule names_rules[] = {
	ALL("openat"), ALL("open"), ALL("read"), ALL("lseek"), ALL("fstat"), ALL("newfstatat"), ALL("stat"), ALL("lstat"),
	ALL("statx"), ALL("access"), ALL("faccessat"), ALL("readlink"), ALL("readlinkat"), ALL("getdents64"),
	WHEN("socket", "AF_INET, datagram", EQ(0, AF_INET), MASK(1, TYPE_BITS, SOCK_DGRAM)),
	WHEN("socket", "AF_INET, stream", EQ(0, AF_INET), MASK(1, TYPE_BITS, SOCK_STREAM)),
	WHEN("socket", "AF_INET6, datagram", EQ(0, AF_INET6), MASK(1, TYPE_BITS, SOCK_DGRAM)),
	WHEN("socket", "AF_INET6, stream", EQ(0, AF_INET6), MASK(1, TYPE_BITS, SOCK_STREAM)),
	SOFT_WHEN("socket", EACCES, "AF_UNIX", EQ(0, AF_UNIX)), SOFT_WHEN("socket", EACCES, "AF_NETLINK", EQ(0, AF_NETLINK)),
	ALL("connect"), ALL("sendto"), ALL("recvfrom"), ALL("recvmmsg"), ALL("getsockname"), ALL("getpeername"), ALL("setsockopt"), ALL("getsockopt"),
	WHEN("ioctl", "FIONREAD", EQ(1, FIONREAD)),
	SOFT_WHEN("mmap", EACCES, "executable", MASK(2, PROT_EXEC, PROT_EXEC)),
	SOFT_WHEN("mprotect", EACCES, "executable", MASK(2, PROT_EXEC, PROT_EXEC)),
	ALL("uname"), ALL("sysinfo"), ALL("getuid"), ALL("getgid"), ALL("getegid"), ALL("getppid"), ALL("rseq"), ALL("clock_nanosleep"),
};
GROUP(names, "names", "hosts and DNS as libc reads and asks them; nscd, netlink and modules of others are told no, and libc does without");

#ifdef MF_INSTRUMENTED
static const struct mf_syscall_rule instrumented_rules[] = {
	ALL("mmap"), ALL("mprotect"), ALL("openat"), ALL("open"), ALL("newfstatat"), ALL("stat"), ALL("lstat"), ALL("statx"),
	ALL("readlink"), ALL("readlinkat"), ALL("unlink"), ALL("unlinkat"), ALL("mkdir"), ALL("mkdirat"), ALL("getcwd"),
	ALL("access"), ALL("getdents"), ALL("getdents64"), ALL("clone"), ALL("prctl"), ALL("ptrace"), ALL("wait4"), ALL("process_vm_readv"),
	ALL("personality"), ALL("sched_getaffinity"), ALL("prlimit64"), ALL("ioctl"), ALL("kill"), ALL("fallocate"),
	ALL("membarrier"), ALL("socketpair"), ALL("setrlimit"), ALL("getrlimit"), ALL("fork"), ALL("pipe"), ALL("umask"),
};
GROUP(instrumented, "instrumented", "sanitizers read /proc and stop threads at exit; coverage writes its counts");
const struct mf_syscall_group *const mf_confine_instrumented = &instrumented;
#else
const struct mf_syscall_group *const mf_confine_instrumented = NULL;
#endif

#define LIMIT(r, n) { RLIMIT_##r, #r, (n) }
/* clang-format on */

static const struct mf_rlimit_rule notary_limits[] = { LIMIT(NOFILE, 256) };
static const struct mf_rlimit_rule broker_front_limits[] = { LIMIT(NOFILE, 65536) };
static const struct mf_rlimit_rule agent_front_limits[] = { LIMIT(NOFILE, 16384) };
#define ADDRESS_SPACE (256u * 1024u * 1024u)
static const struct mf_rlimit_rule verifier_limits[] = { LIMIT(NOFILE, 64), LIMIT(NPROC, 0), LIMIT(CPU, 2),
	LIMIT(AS, ADDRESS_SPACE) };
static const struct mf_rlimit_rule publisher_limits[] = { LIMIT(NOFILE, 1024), LIMIT(NPROC, 0) };
static const struct mf_rlimit_rule attestor_limits[] = { LIMIT(NOFILE, 32768) };

static const struct mf_syscall_group *const notary_groups[] = { &runtime, &held, &waits, &links, &files,
	NULL };
static const struct mf_fs_rule notary_fs[] = {
	{ "keys", MF_FS_WRITE, "sealed keys" },
	{ "log", MF_FS_WRITE, "the log, its snapshots and heads" },
	{ "handles", MF_FS_WRITE, "sealed secrets that revocations need" },
	{ "public", MF_FS_WRITE, "the OIDC documents" },
};
const struct mf_confinement mf_confinement_notary = {
	.role = "notary",
	.summary = "Decides, records, signs, seals. No network, no exec, no file outside its directories.",
	.groups = notary_groups,
	.fs = notary_fs,
	.fs_count = MF_COUNT(notary_fs),
	.rlimits = notary_limits,
	.rlimit_count = MF_COUNT(notary_limits),
};

static const struct mf_syscall_group *const broker_front_groups[] = { &runtime, &held, &waits, &links,
	&serves, &tcp, &files, &sqlite, NULL };
static const struct mf_fs_rule broker_front_fs[] = { { "db", MF_FS_WRITE, "the read model" } };
const struct mf_confinement mf_confinement_broker_front = {
	.role = "broker-front",
	.summary =
	    "Serves agents, admins and scrapers on sockets that were bound for it. Makes no socket, connects "
	    "nowhere, runs nothing.",
	.groups = broker_front_groups,
	.fs = broker_front_fs,
	.fs_count = MF_COUNT(broker_front_fs),
	.rlimits = broker_front_limits,
	.rlimit_count = MF_COUNT(broker_front_limits),
};

static const struct mf_syscall_group *const agent_front_groups[] = { &runtime, &held, &waits, &links, &serves,
	&tcp, &dials, &no_open, &peers, NULL };
const struct mf_confinement mf_confinement_agent_front = {
	.role = "agent-front",
	.summary = "Serves hostile jobs and carries sealed messages to the broker. Opens no file, makes no "
		   "Unix socket, "
		   "has no pidfd_open, runs nothing.",
	.groups = agent_front_groups,
	.rlimits = agent_front_limits,
	.rlimit_count = MF_COUNT(agent_front_limits),
	.connects = true,
};

static const struct mf_syscall_group *const attestor_groups[] = { &runtime, &held, &waits, &links, &look,
	&watch, &keeps, &users, &handles, NULL };
static const struct mf_fs_rule attestor_fs[] = {
	{ "state", MF_FS_WRITE, "inner key, session value, trust" },
	{ "run", MF_FS_WRITE, "instances and spool of this boot" },
	{ "cgroup", MF_FS_WRITE, "cgroups of jobs" },
};
static const int attestor_caps[] = { CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, -1 };
const struct mf_confinement mf_confinement_attestor = {
	.role = "attestor",
	.summary = "Says what is so: reads /proc and cgroups, watches jobs end. No network, no exec, no "
		   "signals, no ptrace. "
		   "A Landlock domain may not look at foreign processes, so it has its own mounts instead.",
	.groups = attestor_groups,
	.fs = attestor_fs,
	.fs_count = MF_COUNT(attestor_fs),
	.rlimits = attestor_limits,
	.rlimit_count = MF_COUNT(attestor_limits),
	.own_mounts = true,
	.keeps_root = true,
	.keep_caps = attestor_caps,
};

static const struct mf_syscall_group *const courier_groups[] = { &runtime, &held, &waits, &links, &tcp,
	&dials, &names, NULL };
static const struct mf_fs_rule courier_fs[] = {
	{ "etc", MF_FS_READ, "hosts, resolv.conf, nsswitch.conf; the system's CA certificates" },
	{ "run", MF_FS_READ, "where resolv.conf leads to" },
	{ "certs", MF_FS_READ, "where certificates in /etc/ssl/certs lead to" },
};
static const struct mf_rlimit_rule courier_limits[] = { LIMIT(NOFILE, 1024) };
const struct mf_confinement mf_confinement_courier = {
	.role = "courier",
	.summary = "Speaks to the clouds that the operator configured, by HTTPS, and to the notary. TCP to "
		   "the ports of "
		   "those and of "
		   "DNS only; no file of ours, no exec, no other socket.",
	.groups = courier_groups,
	.fs = courier_fs,
	.fs_count = MF_COUNT(courier_fs),
	.rlimits = courier_limits,
	.rlimit_count = MF_COUNT(courier_limits),
	.connects = true,
};

static const struct mf_syscall_group *const verifier_groups[] = { &once, &no_open, NULL };
const struct mf_confinement mf_confinement_verifier = {
	.role = "verifier",
	.summary =
	    "Reads the evidence of one node that wants to join, says what it found, and ends. Its only "
	    "socket is the notary's; no file, no thread, two seconds of a processor.",
	.groups = verifier_groups,
	.rlimits = verifier_limits,
	.rlimit_count = MF_COUNT(verifier_limits),
};

static const struct mf_syscall_group *const publisher_groups[] = { &runtime, &held, &waits, &links, &serves,
	&tcp, &reads, NULL };
static const struct mf_fs_rule publisher_fs[] = { { "public", MF_FS_READ, "the OIDC documents" } };
const struct mf_confinement mf_confinement_publisher = {
	.role = "publisher",
	.summary = "Shows the OIDC documents to whoever asks, on a socket that was bound for it. Has no link "
		   "to another "
		   "role, makes no socket, writes no file, runs nothing.",
	.groups = publisher_groups,
	.fs = publisher_fs,
	.fs_count = MF_COUNT(publisher_fs),
	.rlimits = publisher_limits,
	.rlimit_count = MF_COUNT(publisher_limits),
};

static const struct mf_syscall_group *const resolver_groups[] = { &once, &names, NULL };
static const struct mf_fs_rule resolver_fs[] = {
	{ "etc", MF_FS_READ, "hosts, resolv.conf, nsswitch.conf" },
	{ "run", MF_FS_READ, "where resolv.conf leads to" },
};
const struct mf_confinement mf_confinement_resolver = {
	.role = "resolver",
	.summary = "Asks libc for the addresses of one name, the broker's, says them to the agent's front, "
		   "and ends. DNS "
		   "by datagram, by TCP to port 53 only; two seconds of a processor.",
	.groups = resolver_groups,
	.fs = resolver_fs,
	.fs_count = MF_COUNT(resolver_fs),
	.rlimits = verifier_limits,
	.rlimit_count = MF_COUNT(verifier_limits),
	.connects = true,
};

const struct mf_confinement *const mf_confinements[] = { &mf_confinement_notary, &mf_confinement_broker_front,
	&mf_confinement_courier, &mf_confinement_agent_front, &mf_confinement_attestor,
	&mf_confinement_verifier, &mf_confinement_resolver, &mf_confinement_publisher, NULL };
const struct mf_syscall_group *const mf_confinement_groups[] = { &runtime, &held, &waits, &links, &serves,
	&tcp, &dials, &no_open, &files, &sqlite, &look, &reads, &watch, &peers, &keeps, &users, &handles,
	&once, &names, NULL };

void
mf_confinement_print_all(struct mf_buf *to)
{
	for (const struct mf_confinement *const *c = mf_confinements; *c != NULL; c++)
		mf_confinement_print(*c, to);
	mf_buf_put_str(to, "### Groups of system calls\n\n");
	for (const struct mf_syscall_group *const *g = mf_confinement_groups; *g != NULL; g++)
		mf_confinement_print_group(*g, to);
}
