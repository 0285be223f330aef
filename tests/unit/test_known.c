/* Who is recognised without the attestor: the look at a live socket, and the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <grp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/front/known.h"
#include "base/defs.h"

static const struct mf_known_look somebody = {
	.inode = 100, .cgroup_id = 7, .pid = 50, .uid = 1000, .gid = 1001, .groups = { 10, 20 }, .n_groups = 2
};

static Mayfly__Roles__V1__Caller
said_of(const struct mf_known_look *l)
{
	static char *selectors[] = { (char *)(uintptr_t) "unix.uid:1000",
		(char *)(uintptr_t) "unix.sup_gid:20", (char *)(uintptr_t) "unix.sup_gid:10" };
	Mayfly__Roles__V1__Caller m = MAYFLY__ROLES__V1__CALLER__INIT;
	m.known = true;
	m.handle = 3;
	m.pid = l->pid;
	m.uid = l->uid;
	m.gid = l->gid;
	m.pidfs_inode = l->inode;
	m.cgroup_id = m.caller_cgroup_id = l->cgroup_id;
	m.instance_key = (char *)(uintptr_t) "local/n/b/cg-7";
	m.selectors = selectors;
	m.n_selectors = MF_COUNT(selectors);
	return m;
}

static void
test_processes(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_known_free) struct mf_known *k = mf_known_new();
	Mayfly__Roles__V1__Caller m = said_of(&somebody), got;
	struct mf_known_look l = somebody;
	assert_false(mf_known_find(k, &l, 0, &got));
	mf_known_learn(k, &l, &m, 0);
	assert_true(mf_known_find(k, &l, UINT64_MAX - 1, &got));
	assert_int_equal(got.handle, 3);
	assert_string_equal(got.instance_key, "local/n/b/cg-7");
	/* Another process in the same cgroup is another process. */
	l.inode = 101;
	assert_false(mf_known_find(k, &l, 0, &got));
	/* Whatever changed, it is asked anew, and what was known is forgotten. */
	for (int what = 0; what < 5; what++) {
		l = somebody;
		mf_known_learn(k, &l, &m, 0);
		assert_true(mf_known_find(k, &l, 0, &got));
		l.uid += what == 0;
		l.gid += what == 1;
		l.cgroup_id += what == 2;
		l.n_groups -= what == 3;
		l.groups[1] += what == 4;
		assert_false(mf_known_find(k, &l, 0, &got));
		l = somebody;
		assert_false(mf_known_find(k, &l, 0, &got));
	}
	mf_known_learn(k, &l, &m, 0);
	mf_known_forget(k, 4);
	assert_true(mf_known_find(k, &l, 0, &got));
	mf_known_forget(k, 3);
	assert_false(mf_known_find(k, &l, 0, &got));
	mf_known_learn(k, &l, &m, 0);
	mf_known_clear(k);
	assert_int_equal(mf_known_count(k), 0);
}

/* An answer about anybody but the process that we looked at teaches nothing. */
static void
test_not_learnt(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_known_free) struct mf_known *k = mf_known_new();
	for (int what = 0; what < 9; what++) {
		Mayfly__Roles__V1__Caller m = said_of(&somebody);
		m.pidfs_inode += what == 0;
		m.caller_cgroup_id += what == 1;
		m.uid += what == 2;
		m.gid += what == 3;
		m.pid += what == 4;
		m.n_selectors -= what == 5; /* fewer groups than it has */
		m.sender = what == 6;
		m.known = what != 7;
		m.unavailable = what == 7;
		struct mf_known_look l = somebody;
		l.n_groups -= what == 8; /* more groups were told */
		mf_known_learn(k, &l, &m, 1000);
		assert_int_equal(mf_known_count(k), 0);
	}
}

static void
test_cgroups(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_known_free) struct mf_known *k = mf_known_new();
	Mayfly__Roles__V1__Caller m = said_of(&somebody), got;
	struct mf_known_look other = somebody;
	m.cgroup_wide = true;
	mf_known_learn(k, &somebody, &m, 0);
	other.inode = 101;
	other.pid = 51;
	assert_true(mf_known_find(k, &other, 0, &got)); /* never seen, in the instance's own cgroup */
	assert_int_equal(got.pid, 51);
	assert_int_equal(got.pidfs_inode, 101);
	assert_int_equal(got.handle, 3);
	other.cgroup_id = 8; /* below it, or elsewhere */
	assert_false(mf_known_find(k, &other, 0, &got));
	other.cgroup_id = 7;
	other.uid = 0;
	assert_false(mf_known_find(k, &other, 0, &got));
	other.uid = 1000;
	other.n_groups = 1;
	assert_false(mf_known_find(k, &other, 0, &got));
	/* A caller from a cgroup below the instance's tells nothing about that cgroup. */
	mf_known_clear(k);
	m.cgroup_id = 6;
	mf_known_learn(k, &somebody, &m, 0);
	other = somebody;
	other.inode = 101;
	assert_false(mf_known_find(k, &other, 0, &got));
}

static void
test_no(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_known_free) struct mf_known *k = mf_known_new();
	Mayfly__Roles__V1__Caller m = MAYFLY__ROLES__V1__CALLER__INIT, got;
	m.reason = (char *)(uintptr_t) "set-uid";
	mf_known_learn(k, &somebody, &m, 1000);
	assert_true(mf_known_find(k, &somebody, 999, &got));
	assert_false(got.known);
	assert_string_equal(got.reason, "set-uid");
	assert_false(mf_known_find(k, &somebody, 1000, &got));
}

static void
test_bounded(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_known_free) struct mf_known *k = mf_known_new();
	Mayfly__Roles__V1__Caller got;
	struct mf_known_look l = somebody;
	for (uint64_t i = 0; i < 3 * MF_KNOWN_MAX; i++) {
		l.inode = 1000 + i;
		Mayfly__Roles__V1__Caller m = said_of(&l);
		mf_known_learn(k, &l, &m, 0);
		l.inode = 1000; /* used again and again: never the oldest */
		assert_true(mf_known_find(k, &l, 0, &got));
	}
	assert_int_equal(mf_known_count(k), MF_KNOWN_MAX);
	l.inode = 1001;
	assert_false(mf_known_find(k, &l, 0, &got));
}

/* A connection of a forked child that keeps or changes its ids, and lives or dies. */
static bool
look_at(int how, struct mf_known_look *ret_l, pid_t *ret_pid)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "mayfly-test-known-%d", (int)getpid());
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
	int l = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), go[2];
	char b = 0;
	assert_int_equal(bind(l, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(pipe(go), 0);
	pid_t p = fork();
	if (p == 0) {
		int c = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		(void)close(go[1]);
		if (connect(c, (struct sockaddr *)&a, len) != 0)
			_exit(9);
		if (how == 1 && setresuid(4001, 4001, 4001) != 0)
			_exit(8);
		if (how == 2 && setresuid(4001, 4001, 0) != 0)
			_exit(8);
		(void)!write(c, "r", 1);
		(void)!read(go[0], &b, 1);
		_exit(0);
	}
	int c = accept(l, NULL, NULL);
	assert_true(c >= 0);
	(void)close(go[0]);
	assert_int_equal(read(c, &b, 1), 1);
	if (how == 3) {
		(void)close(go[1]);
		assert_int_equal(waitpid(p, NULL, 0), p);
	}
	bool seen = mf_known_look(c, ret_l);
	if (how != 3) {
		(void)close(go[1]);
		assert_int_equal(waitpid(p, NULL, 0), p);
	}
	(void)close(c);
	(void)close(l);
	*ret_pid = p;
	return seen;
}

static void
test_look(void **state)
{
	MF_UNUSED(state);
	struct mf_known_look l;
	pid_t p = 0;
	if (!look_at(0, &l, &p)) {
		print_message("skipped: PIDFD_GET_INFO is not there (Linux < 6.13)\n");
		skip();
	}
	assert_int_equal(l.pid, p);
	assert_int_equal(l.uid, geteuid());
	assert_int_equal(l.gid, getegid());
	assert_true(l.inode != 0 && l.cgroup_id != 0);
	assert_int_equal(l.n_groups, getgroups(0, NULL));
	assert_false(look_at(3, &l, &p)); /* dead */
	if (geteuid() != 0) {
		print_message("skipped: changed ids need root\n");
		return;
	}
	assert_false(look_at(1, &l, &p)); /* other ids than at connect */
	assert_false(look_at(2, &l, &p)); /* and a saved one to come back to */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_processes),
		cmocka_unit_test(test_not_learnt),
		cmocka_unit_test(test_cgroups),
		cmocka_unit_test(test_no),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_look),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
