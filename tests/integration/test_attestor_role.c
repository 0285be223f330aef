/* The attestor as it is run: its own program, confined by its table, started the way the supervisor does. */
#include "integration/attestor_runner.h"

#include <grp.h>

#include "os/build_id.h"
#include "os/control.h"
#include "os/role_start.h"
#include "os/spawn.h"

static void
send_link(struct rig *r, int fd)
{
	assert_int_equal(mf_control_send(r->control, MF_CONTROL_LINK, "agent-front", fd, NULL), MF_OK);
}

static int
token_file(struct rig *r)
{
	MF_AUTO(mf_join_token_free) struct mf_join_token *t = make_token(r);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, MF_LIM_JOIN_TOKEN);
	assert_int_equal(mf_join_token_encode(t, &b, NULL), MF_OK);
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/token", r->w.dir);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(write(fd, b.p, b.n), (ssize_t)b.n);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

struct program {
	pid_t pid;
	int pidfd;
};

static void
program_start(struct rig *r, struct program *ret_p)
{
	int control[2], exe = -1;
	char build[128], boss[64], sock[160], base[128];
	struct mf_err err = { 0 };
	assert_int_equal(mf_spawn_open_role("attestor", &exe, &err), MF_OK);
	assert_int_equal(mf_seqpacket_pair(control, NULL), MF_OK);
	assert_int_equal(mf_seqpacket_new(control[0], MF_CONTROL_QUEUE, &r->control, NULL), MF_OK);
	int token = token_file(r), cgroup = -1;
	struct mf_named_fd fds[5] = { { "control", control[1] }, { "state", r->state_fd },
		{ "run", r->run_fd }, { "join-token", token } };
	size_t n = 4;
	if (r->w.cgroups != NULL) {
		cgroup = open(mf_cgroup_mount_point(r->w.cgroups), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		fds[n++] = (struct mf_named_fd) { "cgroup", cgroup };
	}
	(void)snprintf(build, sizeof(build), "--build-id=%s", mf_build_id());
	(void)snprintf(boss, sizeof(boss), "--supervisor=%d", (int)getpid());
	(void)snprintf(sock, sizeof(sock), "--opt=socket=%s", r->w.path);
	(void)snprintf(base, sizeof(base), "--opt=cgroup=%s", r->base);
	const char *args[] = { build, boss, sock, base, NULL };
	const struct mf_spawn how = {
		.name = "attestor", .exe_fd = exe, .fds = fds, .fd_count = n, .args = args
	};
	enum mf_status s = mf_spawn_role(&how, &ret_p->pid, &ret_p->pidfd, &err);
	if (s != MF_OK)
		print_message("%s\n", err.msg);
	assert_int_equal(s, MF_OK);
	int mine[] = { control[1], token, cgroup, exe };
	for (size_t i = 0; i < MF_COUNT(mine); i++)
		if (mine[i] >= 0)
			(void)close(mine[i]);
	struct mf_control_msg m;
	do {
		wait_readable(mf_seqpacket_fd(r->control));
		s = mf_control_recv(r->control, true, &m, &err);
	} while (s == MF_E_AGAIN);
	assert_int_equal(s, MF_OK);
	assert_int_equal(m.type, MF_CONTROL_READY);
	assert_string_equal(m.text, mf_build_id());
}

/* Tell it to stop; it must end by itself and in order: a violation would have been a signal. */
static void
program_stop(struct rig *r, struct program *p)
{
	int st = 0;
	assert_int_equal(mf_control_send(r->control, MF_CONTROL_STOP, NULL, -1, NULL), MF_OK);
	wait_readable(p->pidfd);
	assert_int_equal(waitpid(p->pid, &st, 0), p->pid);
	assert_true(WIFEXITED(st));
	assert_int_equal(WEXITSTATUS(st), MF_ROLE_EXIT_OK);
	(void)close(p->pidfd);
	mf_seqpacket_free(r->control);
	r->control = NULL;
}

static void
connect_as_nobody(void *arg)
{
	struct world *w = arg;
	if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setresgid(65534, 65534, 65534) != 0 ||
				  setresuid(65534, 65534, 65534) != 0))
		_exit(96);
	int fd = world_connect(w);
	char b;
	(void)!read(fd, &b, 1);
}

static bool
has_selector(const Mayfly__Roles__V1__Caller *c, const char *key)
{
	for (size_t i = 0; i < c->n_selectors; i++)
		if (strncmp(c->selectors[i], key, strlen(key)) == 0)
			return true;
	return false;
}

static void
test_confined(void **state)
{
	MF_UNUSED(state);
	struct rig *r = rig_new();
	struct program p;
	struct run x = { 0 };
	char build[128];
	bool cgroups = r->w.cgroups != NULL && mf_cgroup_base_path(r->w.cgroups)[0] != '\0';
	(void)snprintf(build, sizeof(build), "%s", mf_build_id());
	r->build = build;
	r->give_link = send_link;
	program_start(r, &p);
	front_connect(r);

	/* A caller of another user: all facts can be had, the weak ones too. */
	pid_t other = spawn(connect_as_nobody, &r->w);
	const Mayfly__Roles__V1__Caller *c = who_is(r, 1, world_accept(&r->w));
	assert_true(c->known);
	assert_int_equal(c->pid, other);
	assert_true(has_selector(c, "process.exe:/"));
	uint64_t handle = c->handle;
	/* Message 1, the token, a grant: keys and sessions work inside the table. */
	send_welcome(r, open_session(r, MAYFLY__AGENT__V1__UP__BODY_JOIN));
	(void)expect_up(r, MAYFLY__AGENT__V1__UP__BODY_SESSION_STORED);
	uint64_t id = expect_up(r, MAYFLY__AGENT__V1__UP__BODY_RESYNC)->request_id;
	Mayfly__Agent__V1__Down d = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__ResyncAnswer ra = MAYFLY__AGENT__V1__RESYNC_ANSWER__INIT;
	d.request_id = id;
	d.body_case = MAYFLY__AGENT__V1__DOWN__BODY_RESYNC_ANSWER;
	d.resync_answer = &ra;
	notary_send(r, MF_INNER_BOUNDED, &d);
	while (!((const Mayfly__Roles__V1__SessionState *)expect(r, MF_MSG_SESSION_STATE))->ready)
		continue;
	ask_keys(r, MF_MSG_ATTACH_INSTANCE, handle);
	send_grant(r, expect_up(r, MAYFLY__AGENT__V1__UP__BODY_ATTACH)->request_id, "l-1");
	(void)expect(r, MF_MSG_INSTANCE_GRANT);
	end_child(other);
	(void)expect(r, MF_MSG_INSTANCE_ENDED);
	assert_int_equal(expect_up(r, MAYFLY__AGENT__V1__UP__BODY_END)->end->cause,
	    MAYFLY__AGENT__V1__END_CAUSE__END_PROCESS);

	/* mayfly run: a cgroup is made, the child moved, the end seen, the cgroup removed. */
	start_runner(r, &x);
	(void)who_is(r, 2, x.sock);
	const Mayfly__Roles__V1__JobCreated *j = start_job(r, 5, 2);
	assert_false(j->failed);
	assert_int_equal(j->placement, cgroups ? 1 : 2);
	char path[MF_CGROUP_PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s", j->cgroup_path);
	uint64_t job = j->handle;
	assert_true(place(r, 5, x.child));
	assert_int_equal(write(x.gate[1], "g", 1), 1);
	assert_int_equal(who_is(r, 3, world_accept(&r->w))->handle, job);
	(void)kill(x.child, SIGKILL);
	if (cgroups) {
		assert_int_equal(
		    ((const Mayfly__Roles__V1__InstanceEnded *)expect(r, MF_MSG_INSTANCE_ENDED))->handle,
		    job);
		for (int i = 0; i < HANG_MS && access(path, F_OK) == 0; i++)
			(void)poll(NULL, 0, 1);
		assert_int_equal(access(path, F_OK), -1);
	}
	end_runner(&x);
	(void)expect(r, MF_MSG_INSTANCE_ENDED);
	program_stop(r, &p);
	void *as_state = r;
	(void)teardown(&as_state);
}

/* A build that is not the supervisor's, and started by hand: refused before anything is touched. */
static void
test_refused(void **state)
{
	MF_UNUSED(state);
	int exe = -1, st = 0, control[2];
	char boss[64];
	(void)snprintf(boss, sizeof(boss), "--supervisor=%d", (int)getpid());
	const char *const bad[][3] = { { "--build-id=other", boss, NULL }, { NULL } };
	assert_int_equal(mf_spawn_open_role("attestor", &exe, NULL), MF_OK);
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		struct program p;
		assert_int_equal(mf_seqpacket_pair(control, NULL), MF_OK);
		struct mf_named_fd fds[] = { { "control", control[1] } };
		const struct mf_spawn how = {
			.name = "attestor", .exe_fd = exe, .fds = fds, .fd_count = 1, .args = bad[i]
		};
		assert_int_equal(mf_spawn_role(&how, &p.pid, &p.pidfd, NULL), MF_OK);
		wait_readable(p.pidfd);
		assert_int_equal(waitpid(p.pid, &st, 0), p.pid);
		assert_true(WIFEXITED(st) && WEXITSTATUS(st) == MF_ROLE_EXIT_REFUSED);
		(void)close(p.pidfd);
		(void)close(control[0]);
		(void)close(control[1]);
	}
	(void)close(exe);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_confined),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
