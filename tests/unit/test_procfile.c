#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "agent/attestor/cgroup.h"
#include "agent/attestor/procfile.h"

#define STATUS_HEAD                           \
	"Name:\tsh\nUmask:\t0022\nState:\tS " \
	"(sleeping)\nTgid:\t7\nNgid:\t0\nPid:\t7\nPPid:\t3\nTracerPid:\t0\n"
#define STATUS_IDS "Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nFDSize:\t64\n"

static void
test_status(void **state)
{
	MF_UNUSED(state);
	struct mf_proc_status st = { 0 };
	assert_int_equal(
	    mf_procfile_status(
		MF_SLICE_LIT(STATUS_HEAD STATUS_IDS "Groups:\t10 20 30 \nNStgid:\t7\n"), &st, NULL),
	    MF_OK);
	assert_int_equal(st.pid, 7);
	assert_int_equal(st.ppid, 3);
	assert_int_equal(st.ruid * 1000 + st.euid * 100 + st.suid * 10 + st.fsuid, 1234);
	assert_int_equal(st.rgid * 1000 + st.egid * 100 + st.sgid * 10 + st.fsgid, 5678);
	assert_int_equal(st.n_groups, 3);
	assert_int_equal(st.groups[2], 30);

	static const char *const bad[] = {
		"",
		STATUS_HEAD STATUS_IDS,	   /* no groups */
		STATUS_HEAD "Groups:\t\n", /* no ids */
		STATUS_HEAD STATUS_IDS "Groups:\t1 x\n",
		STATUS_HEAD STATUS_IDS "Groups:\t\nGroups:\t\n",	    /* twice */
		STATUS_HEAD STATUS_IDS "Groups:\t\nPid:\t8\n",		    /* twice */
		STATUS_HEAD "Uid:\t1\t2\t3\nGid:\t1\t1\t1\t1\nGroups:\t\n", /* three ids */
		STATUS_HEAD "Uid:\t-1\t2\t3\t4\nGid:\t1\t1\t1\t1\nGroups:\t\n",
		STATUS_HEAD "Uid:\t4294967296\t2\t3\t4\nGid:\t1\t1\t1\t1\nGroups:\t\n",
	};
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		struct mf_err err = { 0 };
		assert_int_equal(mf_procfile_status(mf_slice_str(bad[i]), &st, &err), MF_E_INVALID);
		assert_int_equal(err.code, MF_E_INVALID);
	}
}

static void
test_status_many_groups(void **state)
{
	MF_UNUSED(state);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, MF_PROC_FILE_MAX);
	mf_buf_put_str(&b, STATUS_HEAD STATUS_IDS "Groups:\t");
	for (unsigned i = 0; i < MF_PROC_GROUPS_MAX; i++)
		mf_buf_putf(&b, "%u ", i);
	struct mf_proc_status st;
	assert_int_equal(mf_procfile_status(mf_buf_slice(&b), &st, NULL), MF_OK);
	mf_buf_put_str(&b, "99");
	/* Cutting the list would hide a group from a forbid rule. */
	assert_int_equal(mf_procfile_status(mf_buf_slice(&b), &st, NULL), MF_E_TOOBIG);
}

#define STAT_TAIL " S 3 7 7 34816 7 0 1 2 3 4 5 6 7 8 20 0 1 0 987654 10 11"

static void
test_stat(void **state)
{
	MF_UNUSED(state);
	struct mf_proc_stat st = { 0 };
	assert_int_equal(mf_procfile_stat(MF_SLICE_LIT("7 (sh)" STAT_TAIL "\n"), &st, NULL), MF_OK);
	assert_int_equal(st.pid, 7);
	assert_int_equal(st.ppid, 3);
	assert_int_equal(st.tty_nr, 34816);
	assert_true(st.start_time == 987654);
	/* The command name is the job's to choose: it may look like the rest of the line. */
	assert_int_equal(
	    mf_procfile_stat(
		MF_SLICE_LIT("7 (a) R 1 1 1 0 1 1 1\n(x) Z 99" STAT_TAIL ")" STAT_TAIL "\n"), &st, NULL),
	    MF_OK);
	assert_int_equal(st.ppid, 3);
	assert_int_equal(
	    mf_procfile_stat(MF_SLICE_LIT("7 (sh) S 3 7 7 -34816 7 0 1 2 3 4 5 6 7 8 20 0 1 0 9"), &st, NULL),
	    MF_OK);
	assert_int_equal(st.tty_nr, -34816);
	static const char *const bad[] = { "", "7 sh S 3", "(sh) S 3", "7 (sh", "7 (sh) S 3 7 7",
		("x (sh)" STAT_TAIL), "7 (sh) S -3 7 7 34816 7 0 1 2 3 4 5 6 7 8 20 0 1 0 987654",
		"7 (sh) S 3 7 7 99999999999 7 0 1 2 3 4 5 6 7 8 20 0 1 0 987654" };
	for (size_t i = 0; i < MF_COUNT(bad); i++)
		assert_int_equal(mf_procfile_stat(mf_slice_str(bad[i]), &st, NULL), MF_E_INVALID);
}

static void
test_cgroup_file(void **state)
{
	MF_UNUSED(state);
	struct mf_slice p;
	assert_int_equal(
	    mf_procfile_cgroup(
		MF_SLICE_LIT("6:freezer:/slurm/job_1\n1:name=systemd:/0::/x\n0::/a/b c\n"), &p, NULL),
	    MF_OK);
	assert_true(mf_slice_eq_str(p, "/a/b c"));
	assert_int_equal(mf_procfile_cgroup(MF_SLICE_LIT("6:freezer:/x\n"), &p, NULL), MF_E_NOTFOUND);
	assert_int_equal(mf_procfile_cgroup(MF_SLICE_LIT("0::/x\n0::/y\n"), &p, NULL), MF_E_INVALID);
	assert_int_equal(mf_procfile_cgroup(MF_SLICE_LIT("0::x\n"), &p, NULL), MF_E_INVALID);
	assert_int_equal(mf_procfile_cgroup(MF_SLICE_LIT("0::\n"), &p, NULL), MF_E_INVALID);
}

static void
test_fdinfo(void **state)
{
	MF_UNUSED(state);
	int64_t pid = 9;
	assert_int_equal(
	    mf_procfile_fdinfo_pid(MF_SLICE_LIT("pos:\t0\nflags:\t02\nPid:\t42\nNSpid:\t42\n"), &pid, NULL),
	    MF_OK);
	assert_int_equal(pid, 42);
	assert_int_equal(mf_procfile_fdinfo_pid(MF_SLICE_LIT("Pid:\t-1\n"), &pid, NULL), MF_OK);
	assert_int_equal(pid, -1);
	assert_int_equal(mf_procfile_fdinfo_pid(MF_SLICE_LIT("Pid:\t-2\n"), &pid, NULL), MF_E_INVALID);
	assert_int_equal(mf_procfile_fdinfo_pid(MF_SLICE_LIT("pos:\t0\n"), &pid, NULL), MF_E_INVALID);
}

static void
test_id_map(void **state)
{
	MF_UNUSED(state);
	assert_true(mf_procfile_map_is_whole(MF_SLICE_LIT("         0          0 4294967295\n")));
	assert_false(mf_procfile_map_is_whole(MF_SLICE_LIT("0 100000 65536\n")));
	assert_false(mf_procfile_map_is_whole(MF_SLICE_LIT("0 0 65536\n")));
	assert_false(mf_procfile_map_is_whole(MF_SLICE_LIT("0 0 1\n1 100000 65535\n")));
	assert_false(mf_procfile_map_is_whole(MF_SLICE_LIT("")));
}

static void
test_find_mount(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *in, *point, *root;
		enum mf_status want;
	} cases[] = {
		{ "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw\n"
		  "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
		  "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
		    "/sys/fs/cgroup/unified", "", MF_OK },
		{ "30 23 0:26 / /sys/fs/cgroup rw shared:4 master:2 - cgroup2 cgroup2 rw,nsdelegate\n",
		    "/sys/fs/cgroup", "", MF_OK },
		{ "30 23 0:26 /docker/ab /mnt/a\\040b rw - cgroup2 cgroup rw\n", "/mnt/a b", "/docker/ab",
		    MF_OK },
		{ "30 23 0:26 /x /part rw - cgroup2 c rw\n31 23 0:26 / /whole rw - cgroup2 c rw\n", "/whole",
		    "", MF_OK },
		/* The type stands after the dash; a mount point may be called anything. */
		{ "30 23 0:26 / /cgroup2 rw - tmpfs cgroup2 rw\n", NULL, NULL, MF_E_NOTFOUND },
		{ "30 23 0:26 / /x rw cgroup2 c rw\n", NULL, NULL, MF_E_NOTFOUND },
		{ "", NULL, NULL, MF_E_NOTFOUND },
		{ "30 23 0:26 x y rw - cgroup2 c rw\n", NULL, NULL, MF_E_INVALID },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf point = { 0 };
		MF_AUTO_IN(mf_buf_fini) struct mf_buf root = { 0 };
		mf_buf_init(&point, MF_CGROUP_PATH_MAX);
		mf_buf_init(&root, MF_CGROUP_PATH_MAX);
		assert_int_equal(
		    mf_cgroup_find_mount(mf_slice_str(cases[i].in), &point, &root, NULL), cases[i].want);
		if (cases[i].want == MF_OK) {
			assert_true(mf_slice_eq_str(mf_buf_slice(&point), cases[i].point));
			assert_true(mf_slice_eq_str(mf_buf_slice(&root), cases[i].root));
		}
	}
}

static void
test_path_ok(void **state)
{
	MF_UNUSED(state);
	static const char *const good[] = { "/", "/a", "/a/b c/\xff\xfe", "/...", "/a/.b", "/a (deleted)" };
	static const char *const bad[] = { "", "a", "//", "/a/", "/a//b", "/..", "/../x", "/a/../b", "/.",
		"/a/./b" };
	for (size_t i = 0; i < MF_COUNT(good); i++)
		assert_true(mf_cgroup_path_ok(mf_slice_str(good[i])));
	for (size_t i = 0; i < MF_COUNT(bad); i++)
		assert_false(mf_cgroup_path_ok(mf_slice_str(bad[i])));
	assert_false(mf_cgroup_path_ok(mf_slice("/a\0b", 4)));
	char *longest = malloc(MF_CGROUP_PATH_MAX + 1);
	assert_non_null(longest);
	memset(longest, 'a', MF_CGROUP_PATH_MAX + 1);
	longest[0] = '/';
	assert_true(mf_cgroup_path_ok(mf_slice(longest, MF_CGROUP_PATH_MAX)));
	assert_false(mf_cgroup_path_ok(mf_slice(longest, MF_CGROUP_PATH_MAX + 1)));
	free(longest);
}

static void
test_events(void **state)
{
	MF_UNUSED(state);
	bool p = false;
	assert_int_equal(mf_cgroup_parse_events(MF_SLICE_LIT("populated 1\nfrozen 0\n"), &p, NULL), MF_OK);
	assert_true(p);
	assert_int_equal(mf_cgroup_parse_events(MF_SLICE_LIT("frozen 1\npopulated 0\n"), &p, NULL), MF_OK);
	assert_false(p);
	static const char *const bad[] = { "", "populated\n", "populated 2\n", "populated 10\n",
		"frozen 0\n" };
	for (size_t i = 0; i < MF_COUNT(bad); i++)
		assert_int_equal(mf_cgroup_parse_events(mf_slice_str(bad[i]), &p, NULL), MF_E_INVALID);
}

static void
test_read_cap(void **state)
{
	MF_UNUSED(state);
	struct mf_buf b;
	mf_buf_init(&b, 8);
	assert_int_equal(mf_procfile_read(AT_FDCWD, "/proc/self/status", &b, NULL), MF_E_TOOBIG);
	mf_buf_fini(&b);
	mf_buf_init(&b, MF_PROC_FILE_MAX);
	assert_int_equal(mf_procfile_read(AT_FDCWD, "/proc/self/status", &b, NULL), MF_OK);
	struct mf_proc_status st;
	assert_int_equal(mf_procfile_status(mf_buf_slice(&b), &st, NULL), MF_OK);
	assert_int_equal(st.pid, getpid());
	mf_buf_reset(&b);
	assert_int_equal(mf_procfile_read(AT_FDCWD, "/proc/self/stat", &b, NULL), MF_OK);
	struct mf_proc_stat stat;
	assert_int_equal(mf_procfile_stat(mf_buf_slice(&b), &stat, NULL), MF_OK);
	assert_int_equal(stat.pid, getpid());
	assert_int_equal(stat.ppid, getppid());
	mf_buf_reset(&b);
	assert_int_equal(mf_procfile_read(AT_FDCWD, "/proc/none", &b, NULL), MF_E_NOTFOUND);
	mf_buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_status_many_groups),
		cmocka_unit_test(test_stat),
		cmocka_unit_test(test_cgroup_file),
		cmocka_unit_test(test_fdinfo),
		cmocka_unit_test(test_id_map),
		cmocka_unit_test(test_find_mount),
		cmocka_unit_test(test_path_ok),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_read_cap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
