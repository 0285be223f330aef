/* The files in which SDKs find secrets and tokens: whole at any moment, of the job's user alone, gone at the end. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/cloud_files.h"

static struct mf_cloud_files f = MF_CLOUD_FILES_NONE;

static int
setup(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	if (mf_cloud_files_open(&f, &err) != MF_OK)
		fail_msg("%s", err.msg);
	return 0;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	mf_cloud_files_clear(&f);
	return 0;
}

static size_t
content(int fd, char *to, size_t n)
{
	ssize_t got = pread(fd, to, n - 1, 0);
	assert_true(got >= 0);
	to[got] = '\0';
	return (size_t)got;
}

/* No newline of ours, mode 0400, in a directory of mode 0700. */
static void
test_as_written(void **state)
{
	MF_UNUSED(state);
	struct stat st;
	char text[64];
	assert_int_equal(mf_cloud_files_write(&f, "secret", MF_SLICE_LIT("cg-1.abc"), NULL), MF_OK);
	int fd = openat(f.dir, "secret", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(content(fd, text, sizeof(text)), 8);
	assert_string_equal(text, "cg-1.abc");
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0400);
	(void)close(fd);
	assert_int_equal(stat(f.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
}

/* Replaced by rename: who has it open reads the old one to its end, who opens it finds one or the other, never a part. */
static void
test_replaced(void **state)
{
	MF_UNUSED(state);
	struct stat was, is;
	char text[64];
	assert_int_equal(mf_cloud_files_write(&f, "token-api", MF_SLICE_LIT("first"), NULL), MF_OK);
	int fd = openat(f.dir, "token-api", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &was), 0);
	assert_int_equal(mf_cloud_files_write(&f, "token-api", MF_SLICE_LIT("the second"), NULL), MF_OK);
	assert_int_equal(fstatat(f.dir, "token-api", &is, 0), 0);
	assert_int_not_equal(is.st_ino, was.st_ino);
	assert_int_equal(is.st_mode & 07777, 0400);
	assert_int_equal(content(fd, text, sizeof(text)), 5);
	assert_string_equal(text, "first");
	(void)close(fd);
	fd = openat(f.dir, "token-api", O_RDONLY | O_CLOEXEC);
	assert_int_equal(content(fd, text, sizeof(text)), 10);
	(void)close(fd);
	assert_int_equal(faccessat(f.dir, ".token-api.new", F_OK, 0), -1);
	mf_cloud_files_remove(&f, "token-api");
	assert_int_equal(faccessat(f.dir, "token-api", F_OK, 0), -1);
}

/* What the agent says is a name only, and a link that somebody laid is not followed. */
static void
test_names(void **state)
{
	MF_UNUSED(state);
	static const char *const bad[] = { "", ".", "..", "../x", "a/b", ".hidden", "/etc/passwd" };
	char path[256], text[16] = "";
	for (size_t k = 0; k < MF_COUNT(bad); k++)
		assert_int_equal(mf_cloud_files_write(&f, bad[k], MF_SLICE_LIT("x"), NULL), MF_E_INVALID);
	(void)snprintf(path, sizeof(path), "%s/target", f.path);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(symlinkat("target", f.dir, "secret"), 0);
	assert_int_equal(symlinkat("target", f.dir, ".secret.new"), 0);
	assert_int_equal(mf_cloud_files_write(&f, "secret", MF_SLICE_LIT("s"), NULL), MF_OK);
	assert_int_equal(content(fd, text, sizeof(text)), 0);
	(void)close(fd);
	assert_int_equal(unlink(path), 0);
}

static void
test_cleared(void **state)
{
	MF_UNUSED(state);
	struct mf_cloud_files g = MF_CLOUD_FILES_NONE;
	assert_int_equal(mf_cloud_files_open(&g, NULL), MF_OK);
	assert_string_not_equal(g.path, f.path);
	assert_int_equal(mf_cloud_files_write(&g, "a", MF_SLICE_LIT("1"), NULL), MF_OK);
	assert_int_equal(mf_cloud_files_write(&g, "b", MF_SLICE_LIT("2"), NULL), MF_OK);
	assert_int_equal(mf_cloud_files_write(&g, "a", MF_SLICE_LIT("3"), NULL), MF_OK);
	mf_cloud_files_clear(&g);
	assert_int_equal(access(g.path, F_OK), -1);
	mf_cloud_files_clear(&g); /* a no-op by now */
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_as_written), T(test_replaced), T(test_names),
		T(test_cleared) };
	return cmocka_run_group_tests_name("cloud_files", tests, NULL, NULL);
}
