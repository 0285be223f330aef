#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/attestor/classify.h"
#include "base/limits.h"

static const char *
selectors(struct mf_buf *b, enum mf_instance_kind kind, const struct mf_caller *c, const char *user,
    const char *run)
{
	const struct mf_peer_env env = { .ns_user = 5 };
	const struct mf_selected what = { .kind = kind,
		.caller = c,
		.cgroup_id = c->cgroup_id,
		.cgroup_path = c->cgroup.path,
		.user = user,
		.run_name = run };
	mf_buf_reset(b);
	assert_int_equal(mf_selectors_put(b, &env, &what, NULL), MF_OK);
	return mf_buf_cstr(b);
}

static void
test_selectors(void **state)
{
	MF_UNUSED(state);
	struct mf_buf b;
	mf_buf_init(&b, 65536);
	char path[] = "/system.slice/train.service", exe[] = "/usr/bin/python3", bad[] = "/a\nunix.uid:0";
	uint32_t groups[] = { 10, 20 };
	struct mf_caller c = MF_CALLER_NONE;
	c.uid = 1000;
	c.gid = 1001;
	c.cgroup_id = 77;
	c.cgroup.path = path;
	c.exe = exe;
	c.ns_user = 5;
	c.groups = groups;
	c.n_groups = 2;
	assert_string_equal(selectors(&b, MF_INSTANCE_CGROUP, &c, "alice", NULL),
	    "unix.uid:1000\nunix.gid:1001\nunix.user:alice\nunix.sup_gid:10\nunix.sup_gid:20\ncgroup.id:77\n"
	    "cgroup.path:/system.slice/"
	    "train.service\nsystemd.unit:train.service\nsystemd.slice:system.slice\n"
	    "systemd.scope:system\n");
	c.interactive = MF_INTERACTIVE_TTY;
	c.n_groups = 0;
	assert_string_equal(selectors(&b, MF_INSTANCE_PROCESS, &c, NULL, NULL),
	    "unix.uid:1000\nunix.gid:1001\ncgroup.id:77\ncgroup.path:/system.slice/train.service\n"
	    "systemd.unit:train.service\nsystemd.slice:system.slice\nsystemd.scope:system\n"
	    "interactive:true\ninteractive:tty\nprocess.exe:/usr/bin/python3\n");
	c.ns_user = 6; /* a user namespace of its own */
	c.interactive = MF_INTERACTIVE_EXEC;
	assert_string_equal(selectors(&b, MF_INSTANCE_RUN, &c, "a", ""),
	    "unix.uid:1000\nunix.gid:1001\nunix.user:a\nunix.userns:other\nmayfly.run:unnamed\ninteractive:"
	    "true\n"
	    "interactive:exec\n");
	c.ns_user = 0; /* cannot be read */
	assert_non_null(strstr(selectors(&b, MF_INSTANCE_RUN, &c, "a", ""), "unix.userns:unknown\n"));
	/* A process of its own inside of a run is told so; no other kind is by accident. */
	assert_non_null(strstr(selectors(&b, MF_INSTANCE_PROCESS, &c, "a", "n"), "mayfly.run:n\n"));
	assert_null(strstr(selectors(&b, MF_INSTANCE_PROCESS, &c, "a", NULL), "mayfly.run"));
	assert_null(strstr(selectors(&b, MF_INSTANCE_CGROUP, &c, "a", ""), "mayfly.run"));
	/* A name can hold a line's end and what looks like a better selector: not told at all. */
	assert_null(strstr(selectors(&b, MF_INSTANCE_TREE, &c, "a", "x\nunix.uid:0"), "unix.uid:0"));
	c.cgroup.path = bad;
	c.exe = bad;
	assert_null(strstr(selectors(&b, MF_INSTANCE_PROCESS, &c, "a", NULL), "unix.uid:0"));
	/* The instance is Slurm's job, the caller is in one of its steps. */
	char step[] = "/system.slice/slurmstepd.scope/job_7/step_0/user/task_0";
	const struct mf_peer_env env = { .ns_user = 5 };
	const struct mf_selected job = { .kind = MF_INSTANCE_CGROUP,
		.caller = &c,
		.cgroup_id = 7,
		.cgroup_path = "/system.slice/slurmstepd.scope/job_7" };
	c.cgroup.path = step;
	mf_buf_reset(&b);
	assert_int_equal(mf_selectors_put(&b, &env, &job, NULL), MF_OK);
	assert_non_null(
	    strstr(mf_buf_cstr(&b), "cgroup.path:/system.slice/slurmstepd.scope/job_7\nslurm.job_id:7\n"));
	char latin[] = "/\xe4";
	c.cgroup.path = latin;
	assert_null(strstr(selectors(&b, MF_INSTANCE_CGROUP, &c, "a", NULL), "cgroup.path"));
	static char longest[MF_LIM_SELECTOR + 1];
	memset(longest, 'a', MF_LIM_SELECTOR);
	c.cgroup.path = longest;
	assert_null(strstr(selectors(&b, MF_INSTANCE_CGROUP, &c, "a", NULL), "cgroup.path"));
	longest[MF_LIM_SELECTOR - strlen("cgroup.path:")] = '\0';
	assert_non_null(strstr(selectors(&b, MF_INSTANCE_CGROUP, &c, "a", NULL), "cgroup.path"));
	mf_buf_fini(&b);
}

static void
test_may_share(void **state)
{
	MF_UNUSED(state);
	struct mf_instance i = { .uid = 1000, .gid = 1001 };
	char lines[] = "unix.uid:1000\nunix.gid:1001\nunix.sup_gid:10\nunix.sup_gid:20\n";
	i.selectors = lines;
	uint32_t groups[] = { 20, 10, 30 };
	struct mf_caller c = MF_CALLER_NONE;
	c.uid = 1000;
	c.gid = 1001;
	c.groups = groups;
	c.n_groups = 2;
	assert_true(mf_classify_may_share(&i, &c));
	c.n_groups = 3;
	assert_false(mf_classify_may_share(&i, &c));
	c.n_groups = 1;
	assert_false(mf_classify_may_share(&i, &c));
	groups[0] = 30;
	c.n_groups = 2;
	assert_false(mf_classify_may_share(&i, &c));
	groups[0] = 20;
	c.gid = 0;
	assert_false(mf_classify_may_share(&i, &c));
	c.gid = 1001;
	c.uid = 0;
	assert_false(mf_classify_may_share(&i, &c));
	c.uid = 1000;
	c.interactive = MF_INTERACTIVE_TTY; /* somebody's shell inside a job's cgroup */
	assert_false(mf_classify_may_share(&i, &c));
	i.interactive = true;
	assert_true(mf_classify_may_share(&i, &c));
}

static void
test_users(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_users_free) struct mf_users *u = NULL;
	assert_int_equal(
	    mf_users_parse(MF_SLICE_LIT("root:x:0:0:root:/root:/bin/sh\n" /* lint: private: an example */
					"alice:x:1000:1000::/home/alice:/bin/sh\n"
					"second:x:1000:1000::/:/bin/sh\n"
					"bob:x:1001:1001::/\n"
					"evil\x01:x:1002:1::/:/x\n"
					":x:1003:1::/:/x\n"
					"neg:x:-4:1::/:/x\n"
					"max:x:4294967295:1::/:/x\n"
					"+:::::: \n"
					"last:x:7:7::/:"),
		&u, NULL),
	    MF_OK);
	assert_string_equal(mf_users_name(u, 0), "root");
	assert_string_equal(mf_users_name(u, 1000), "alice");
	assert_string_equal(mf_users_name(u, 7), "last");
	assert_null(mf_users_name(u, 1001)); /* too few fields */
	assert_null(mf_users_name(u, 1002));
	assert_null(mf_users_name(u, 1003));
	assert_null(mf_users_name(u, UINT32_MAX));
	mf_users_free(u);
	assert_int_equal(mf_users_parse(MF_SLICE_LIT(""), &u, NULL), MF_OK);
	assert_null(mf_users_name(u, 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_selectors),
		cmocka_unit_test(test_may_share),
		cmocka_unit_test(test_users),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
