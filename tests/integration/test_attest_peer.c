/* The sandwich against a live kernel: reuse, inheritance, exec, namespaces, set-id, other sockets. */
#include "integration/attest_util.h"

#include <grp.h>
#include <sched.h>

static int
setup(void **state)
{
	static struct world w;
	world_open(&w);
	*state = &w;
	return 0;
}

static int
teardown(void **state)
{
	world_close(*state);
	return 0;
}

static void
connect_and_wait(void *arg)
{
	int fd = world_connect(arg);
	char b;
	(void)!read(fd, &b, 1); /* until the test hangs up */
}

static void
test_facts(void **state)
{
	struct world *w = *state;
	pid_t p = spawn(connect_and_wait, w);
	int c = world_accept(w);
	for (int way = 0; way < 3; way++) {
		struct mf_peer_env env = w->env;
		struct mf_caller k = MF_CALLER_NONE;
		struct mf_err err = { 0 };
		env.no_ioctl = way >= 1;
		env.no_peerpidfd = env.legacy_peercred = way == 2;
		enum mf_status s = mf_peer_attest(&env, c, &k, &err);
		if (s == MF_E_UNSUPPORTED) {
			print_message("skipped: %s\n", err.msg);
			continue;
		}
		assert_int_equal(s, MF_OK);
		assert_int_equal(k.pid, p);
		assert_int_equal(k.ppid, getpid());
		assert_int_equal(k.uid, getuid());
		assert_int_equal(k.gid, getgid());
		assert_int_equal(k.grade, way == 2 ? MF_GRADE_LEGACY : MF_GRADE_PIDFD);
		assert_true(k.proc_id != 0 && k.start_time != 0);
		assert_true(k.ns_user != 0);
		assert_non_null(k.exe);
		assert_non_null(strstr(k.exe, "test_attest_peer"));
		if (w->cgroups != NULL) {
			assert_true(k.cgroup_id != 0);
			assert_int_equal(k.cgroup.id, k.cgroup_id);
			assert_non_null(k.cgroup.path);
		}
		assert_true(mf_peer_sender_ok(&k, p, getuid(), -1));
		assert_true(mf_peer_sender_ok(&k, p, getuid(), k.pidfd));
		assert_false(mf_peer_sender_ok(&k, getpid(), getuid(), -1));
		assert_false(mf_peer_sender_ok(&k, p, getuid() + 1, -1));
		struct mf_caller again = MF_CALLER_NONE;
		assert_int_equal(mf_peer_attest_pidfd(&env, k.pidfd, &again, NULL), MF_OK);
		assert_true(again.proc_id == k.proc_id && again.pid == k.pid);
		mf_caller_fini(&again);
		mf_caller_fini(&k);
	}
	/* Without the switch, a kernel that has no SO_PEERPIDFD gets nobody anything. */
	struct mf_peer_env env = w->env;
	struct mf_caller k = MF_CALLER_NONE;
	env.no_peerpidfd = true;
	assert_int_equal(mf_peer_attest(&env, c, &k, NULL), MF_E_UNSUPPORTED);
	(void)close(c);
	end_child(p);
}

/* P-28 */
static void
test_dead_caller(void **state)
{
	struct world *w = *state;
	pid_t p = spawn(connect_and_wait, w);
	int c = world_accept(w);
	struct mf_caller before = MF_CALLER_NONE, k = MF_CALLER_NONE;
	assert_int_equal(mf_peer_attest(&w->env, c, &before, NULL), MF_OK);
	(void)kill(p, SIGKILL);
	wait_readable(before.pidfd);
	assert_int_equal(mf_peer_attest(&w->env, c, &k, NULL), MF_E_NOTFOUND); /* a zombie */
	assert_false(mf_peer_sender_ok(&before, p, getuid(), -1));
	end_child(p);
	assert_int_equal(mf_peer_attest(&w->env, c, &k, NULL), MF_E_NOTFOUND); /* reaped */
	mf_caller_fini(&before);
	(void)close(c);
}

struct fork_args {
	struct world *w;
	int tell; /* the child writes a byte here */
};

static void
connect_and_leave_socket(void *arg)
{
	struct fork_args *a = arg;
	int fd = world_connect(a->w);
	pid_t keeper = fork();
	if (keeper == 0) {
		(void)prctl(PR_SET_PDEATHSIG, 0);
		char b;
		(void)!write(a->tell, "k", 1);
		(void)!read(fd, &b, 1); /* holds the socket until the test closes it */
		_exit(0);
	}
}

static void
idle(void *arg)
{
	MF_UNUSED(arg);
	pause_for_ever();
}

/* Make the kernel hand out ${want} next; false where that is forbidden. */
static bool
force_next_pid(pid_t want)
{
	char text[16];
	MF_AUTO_IN(mf_fd_close) int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	int n = snprintf(text, sizeof(text), "%d", (int)want - 1);
	return fd >= 0 && write(fd, text, (size_t)n) == n;
}

/* P-28 */
static void
test_pid_reuse(void **state)
{
	struct world *w = *state;
	int hit = 0, rounds = 20;
	for (int turn = 0; turn < rounds; turn++) {
		int pipefd[2];
		assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
		struct fork_args a = { w, pipefd[1] };
		pid_t p = spawn(connect_and_leave_socket, &a);
		assert_int_equal(read_byte(pipefd[0]), 'k');
		assert_int_equal(waitpid(p, NULL, 0), p);
		int c = world_accept(w);
		pid_t impostor = 0;
		for (int tries = 0; tries < 50 && impostor != p; tries++) {
			if (impostor != 0)
				end_child(impostor);
			SKIP_IF(
			    !force_next_pid(p), "ns_last_pid cannot be written here (needs CAP_SYS_ADMIN)");
			impostor = spawn(idle, NULL);
		}
		if (impostor == p) {
			/* The number is somebody else's now, of the same user: SO_PEERCRED would believe it. */
			hit++;
			struct ucred cred;
			socklen_t n = sizeof(cred);
			assert_int_equal(getsockopt(c, SOL_SOCKET, SO_PEERCRED, &cred, &n), 0);
			assert_int_equal(cred.pid, impostor);
			assert_int_equal(kill(impostor, 0), 0);
			struct mf_caller k = MF_CALLER_NONE;
			assert_int_equal(mf_peer_attest(&w->env, c, &k, NULL), MF_E_NOTFOUND);
		}
		end_child(impostor);
		(void)close(c);
		(void)close(pipefd[0]);
		(void)close(pipefd[1]);
	}
	print_message("pid reuse forced in %d of %d rounds, refused every time\n", hit, rounds);
	assert_true(hit > 0);
}

struct speak_args {
	struct world *w;
	int tell;
};

/* Connect, leave the socket with a child that speaks, become a trusted program. */
static void
connect_then_exec(void *arg)
{
	struct speak_args *a = arg;
	int fd = world_connect(a->w);
	if (fork() == 0) {
		(void)!write(fd, "give", 4);
		pause_for_ever();
	}
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	(void)execl("/bin/sleep", "sleep", "60", (char *)NULL);
	_exit(97);
}

static struct ucred
receive(int c)
{
	char data[16];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
	} u;
	struct iovec iov = { .iov_base = data, .iov_len = sizeof(data) };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u)
	};
	wait_readable(c);
	assert_true(recvmsg(c, &m, 0) > 0);
	struct ucred cred = { 0 };
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h != NULL; h = CMSG_NXTHDR(&m, h))
		if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_CREDENTIALS)
			memcpy(&cred, CMSG_DATA(h), sizeof(cred));
	assert_true(cred.pid != 0);
	return cred;
}

static void
test_connect_then_exec(void **state)
{
	struct world *w = *state;
	struct speak_args a = { w, -1 };
	/* Own process group, so that the speaking grandchild goes with the test. */
	pid_t p = spawn(connect_then_exec, &a);
	int c = world_accept(w);
	struct ucred sender = receive(c);
	struct mf_caller k = MF_CALLER_NONE, other = MF_CALLER_NONE;
	bool trusted = false;
	for (int i = 0; i < 1000 && !trusted; i++) { /* until the exec happened: the fact is a weak one */
		mf_caller_fini(&k);
		assert_int_equal(mf_peer_attest(&w->env, c, &k, NULL), MF_OK);
		trusted = k.exe != NULL && strstr(k.exe, "test_attest") == NULL;
		if (!trusted)
			(void)poll(NULL, 0, 5);
	}
	assert_true(trusted); /* the exe says sleep, which never wrote a byte */
	assert_int_equal(k.pid, p);
	assert_true(sender.pid != p);
	assert_false(mf_peer_sender_ok(&k, sender.pid, sender.uid, -1));
	/* The sender on its own is another process. */
	int pidfd = -1;
	assert_int_equal(mf_pidfd_open(sender.pid, &pidfd, NULL), MF_OK);
	assert_false(mf_peer_sender_ok(&k, p, sender.uid, pidfd)); /* a lied number with the true pidfd */
	assert_int_equal(mf_peer_attest_pidfd(&w->env, pidfd, &other, NULL), MF_OK);
	assert_true(other.proc_id != k.proc_id);
	mf_caller_fini(&k);
	mf_caller_fini(&other);
	(void)close(pidfd);
	(void)kill(sender.pid, SIGKILL);
	(void)close(c);
	end_child(p);
}

static void
give_socket_away(void *arg)
{
	struct fork_args *a = arg;
	int fd = world_connect(a->w);
	char data = 'x';
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} u;
	memset(&u, 0, sizeof(u));
	struct iovec iov = { .iov_base = &data, .iov_len = 1 };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u)
	};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	(void)sendmsg(a->tell, &m, 0);
	(void)close(fd);
	pause_for_ever();
}

/* A job hands its connection to another process: what that one writes is not the job's. */
static void
test_fd_passing(void **state)
{
	struct world *w = *state;
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	struct fork_args a = { w, pair[1] };
	pid_t p = spawn(give_socket_away, &a);
	int c = world_accept(w);
	char data;
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} u;
	struct iovec iov = { .iov_base = &data, .iov_len = 1 };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u)
	};
	wait_readable(pair[0]);
	assert_int_equal(recvmsg(pair[0], &m, MSG_CMSG_CLOEXEC), 1);
	int got = -1;
	assert_non_null(CMSG_FIRSTHDR(&m));
	memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(got));
	assert_int_equal(write(got, "give", 4), 4);
	struct ucred sender = receive(c);
	struct mf_caller k = MF_CALLER_NONE;
	assert_int_equal(mf_peer_attest(&w->env, c, &k, NULL), MF_OK);
	assert_int_equal(k.pid, p);
	assert_int_equal(sender.pid, getpid());
	assert_false(mf_peer_sender_ok(&k, sender.pid, sender.uid, -1));
	mf_caller_fini(&k);
	(void)close(got);
	(void)close(c);
	(void)close(pair[0]);
	(void)close(pair[1]);
	end_child(p);
}

static void
test_foreign_sockets(void **state)
{
	struct world *w = *state;
	struct mf_caller k = MF_CALLER_NONE;
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(mf_peer_attest(&w->env, pair[0], &k, NULL), MF_E_INVALID); /* bound to nothing */
	(void)close(pair[0]);
	(void)close(pair[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(mf_peer_attest(&w->env, pair[0], &k, NULL), MF_E_INVALID);
	(void)close(pair[0]);
	(void)close(pair[1]);
	assert_int_equal(mf_peer_attest(&w->env, w->listener, &k, NULL), MF_E_INVALID);
	assert_int_equal(mf_peer_attest(&w->env, w->proc_fd, &k, NULL), MF_E_INVALID);
	int client = world_connect(w), c = world_accept(w);
	assert_int_equal(mf_peer_attest(&w->env, client, &k, NULL), MF_E_INVALID); /* the other end */
	struct mf_peer_env env = w->env;
	char other[128];
	(void)snprintf(other, sizeof(other), "%sx", w->path);
	env.listen_path = other;
	assert_int_equal(mf_peer_attest(&env, c, &k, NULL), MF_E_INVALID);
	env.listen_path = "";
	assert_int_equal(mf_peer_attest(&env, c, &k, NULL), MF_E_INVALID);
	assert_int_equal(mf_peer_attest(&w->env, c, &k, NULL), MF_OK); /* and the right one is ourselves */
	assert_int_equal(k.pid, getpid());
	mf_caller_fini(&k);
	(void)close(client);
	(void)close(c);
}

static void
connect_setuid(void *arg)
{
	int fd = world_connect(arg);
	char b;
	(void)!write(fd, "1", 1);
	(void)!read(fd, &b, 1);
	if (setresuid((uid_t)-1, 12345, (uid_t)-1) != 0) /* real and saved stay root */
		_exit(96);
	(void)!write(fd, "2", 1);
	(void)!read(fd, &b, 1);
}

static void
test_changed_ids(void **state)
{
	struct world *w = *state;
	SKIP_IF(geteuid() != 0, "needs root to change ids");
	struct mf_caller k = MF_CALLER_NONE;
	pid_t p = spawn(connect_setuid, w);
	int c = world_accept(w);
	(void)receive(c);
	assert_int_equal(mf_peer_attest(&w->env, c, &k, NULL), MF_OK);
	mf_caller_fini(&k);
	assert_int_equal(write(c, "g", 1), 1);
	(void)receive(c);
	enum mf_status s = mf_peer_attest(&w->env, c, &k, NULL); /* connected as one, is another */
	assert_true(s == MF_E_UNAUTH || s == MF_E_DENIED);
	int pidfd = -1;
	assert_int_equal(mf_pidfd_open(p, &pidfd, NULL), MF_OK);
	assert_int_equal(mf_peer_attest_pidfd(&w->env, pidfd, &k, NULL), MF_E_DENIED); /* set-id */
	(void)close(pidfd);
	(void)close(c);
	end_child(p);
}

static void
connect_as_nobody(void *arg)
{
	struct world *w = arg;
	gid_t groups[2] = { 4242, 65534 };
	if (setgroups(2, groups) != 0 || setresgid(65534, 65534, 65534) != 0 ||
	    setresuid(65534, 65534, 65534) != 0)
		_exit(96);
	int fd = world_connect(w);
	char b;
	(void)!read(fd, &b, 1);
}

static void
write_text(const char *path, const char *text)
{
	MF_AUTO_IN(mf_fd_close) int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		_exit(95);
}

/* An agent in a user namespace that maps root only: uid 65534 may be anybody there. */
static void
agent_in_userns(void *arg)
{
	int c = *(int *)((void **)arg)[1];
	struct world *w = ((void **)arg)[0];
	struct mf_peer_env env;
	struct mf_caller k = MF_CALLER_NONE;
	if (unshare(CLONE_NEWUSER) != 0)
		_exit(94);
	write_text("/proc/self/setgroups", "deny");
	write_text("/proc/self/uid_map", "0 0 1\n");
	write_text("/proc/self/gid_map", "0 0 1\n");
	if (mf_peer_env_init(&env, w->path, w->proc_fd, w->cgroups, NULL) != MF_OK || env.ids_whole)
		_exit(93);
	_exit(mf_peer_attest(&env, c, &k, NULL) == MF_E_DENIED ? 0 : 1);
}

static void
test_unmapped_uid(void **state)
{
	struct world *w = *state;
	SKIP_IF(geteuid() != 0, "needs root to change ids");
	pid_t p = spawn(connect_as_nobody, w);
	int c = world_accept(w);
	struct mf_caller k = MF_CALLER_NONE;
	struct mf_err err = { 0 };
	if (w->env.ids_whole) { /* where every id is mapped, nobody is a user like others */
		assert_int_equal(mf_peer_attest(&w->env, c, &k, &err), MF_OK);
		assert_int_equal(k.uid, 65534);
		assert_int_equal(k.n_groups, 2);
		assert_int_equal(k.groups[0], 4242);
		mf_caller_fini(&k);
	}
	void *args[2] = { w, &c };
	pid_t agent = spawn(agent_in_userns, args);
	int st = 0;
	assert_int_equal(waitpid(agent, &st, 0), agent);
	(void)close(c);
	end_child(p);
	SKIP_IF(WIFEXITED(st) && WEXITSTATUS(st) == 94, "user namespaces are forbidden here");
	assert_true(WIFEXITED(st) && WEXITSTATUS(st) == 0);
}

/* An agent in a PID namespace of its own sees a caller outside of it as nobody: refused, not guessed. */
static void
agent_in_pidns(void *arg)
{
	int c = *(int *)((void **)arg)[1];
	struct world *w = ((void **)arg)[0];
	if (unshare(CLONE_NEWPID) != 0)
		_exit(94);
	pid_t inner = fork();
	if (inner == 0) {
		struct mf_caller k = MF_CALLER_NONE;
		enum mf_status s = mf_peer_attest(&w->env, c, &k, NULL);
		_exit(s == MF_E_UNAUTH ? 0 : 1);
	}
	int st = 0;
	_exit(waitpid(inner, &st, 0) == inner && WIFEXITED(st) ? WEXITSTATUS(st) : 92);
}

static void
test_foreign_pid_namespace(void **state)
{
	struct world *w = *state;
	SKIP_IF(geteuid() != 0, "needs root to make a PID namespace");
	pid_t p = spawn(connect_and_wait, w);
	int c = world_accept(w), st = 0;
	void *args[2] = { w, &c };
	pid_t agent = spawn(agent_in_pidns, args);
	assert_int_equal(waitpid(agent, &st, 0), agent);
	(void)close(c);
	end_child(p);
	SKIP_IF(WIFEXITED(st) && WEXITSTATUS(st) == 94, "PID namespaces are forbidden here");
	assert_true(WIFEXITED(st) && WEXITSTATUS(st) == 0);
}

/* Two jobs of one user without cgroups of their own are two processes, whatever else is alike. */
static void
test_two_same_uid(void **state)
{
	struct world *w = *state;
	struct mf_caller a = MF_CALLER_NONE, b = MF_CALLER_NONE;
	pid_t p = spawn(connect_and_wait, w);
	int ca = world_accept(w);
	pid_t q = spawn(connect_and_wait, w);
	int cb = world_accept(w);
	assert_int_equal(mf_peer_attest(&w->env, ca, &a, NULL), MF_OK);
	assert_int_equal(mf_peer_attest(&w->env, cb, &b, NULL), MF_OK);
	assert_true(a.proc_id != b.proc_id);
	assert_int_equal(a.uid, b.uid);
	mf_caller_fini(&a);
	mf_caller_fini(&b);
	(void)close(ca);
	(void)close(cb);
	end_child(p);
	end_child(q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_dead_caller),
		cmocka_unit_test(test_pid_reuse),
		cmocka_unit_test(test_connect_then_exec),
		cmocka_unit_test(test_fd_passing),
		cmocka_unit_test(test_foreign_sockets),
		cmocka_unit_test(test_changed_ids),
		cmocka_unit_test(test_unmapped_uid),
		cmocka_unit_test(test_foreign_pid_namespace),
		cmocka_unit_test(test_two_same_uid),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
