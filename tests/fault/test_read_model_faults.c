/*
 * The read model when SQLite runs out of memory, the disk fails, or a call of SQLite itself does: at every single allocation, system call and
 * call of its API, whatever was applied is a prefix of the log, and going on from there gives the same rows as if nothing
 * had happened. What is asked meanwhile is answered rightly or with an error.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "broker/front/read_model.h"
#include "lib/record_kit.h"

/* ---- the faults: the call number ${fail_at} of one kind fails, or it and all after it ---- */

enum kind { MEMORY, WRITE, OPEN, SYNC, READ, LOCK, STAT, PREPARE, BIND, STEP, EXEC, OPEN_DB };

static enum kind kind;
static long calls, fail_at;
static bool lasting;
static int fail_errno;

static bool
now_fails(enum kind k)
{
	if (k != kind)
		return false;
	calls++;
	return fail_at != 0 && (calls == fail_at || (lasting && calls > fail_at));
}

static sqlite3_mem_methods real_mem;

static void *
failing_malloc(int n)
{
	return now_fails(MEMORY) ? NULL : real_mem.xMalloc(n);
}

static void *
failing_realloc(void *p, int n)
{
	return now_fails(MEMORY) ? NULL : real_mem.xRealloc(p, n);
}

static ssize_t
failing_pwrite(int fd, const void *p, size_t n, off_t at)
{
	if (!now_fails(WRITE))
		return pwrite(fd, p, n, at);
	errno = fail_errno;
	return -1;
}

static int
failing_open(const char *path, int flags, int mode)
{
	if (!now_fails(OPEN))
		return open(path, flags, mode);
	errno = fail_errno;
	return -1;
}

static ssize_t
failing_pread(int fd, void *p, size_t n, off_t at)
{
	if (!now_fails(READ))
		return pread(fd, p, n, at);
	errno = fail_errno;
	return -1;
}

/* Locks, and what else it asks of a descriptor. */
static int
failing_fcntl(int fd, int cmd, void *arg)
{
	if (!now_fails(LOCK))
		return fcntl(fd, cmd, arg);
	errno = fail_errno;
	return -1;
}

static int
failing_fstat(int fd, struct stat *st)
{
	if (!now_fails(STAT))
		return fstat(fd, st);
	errno = fail_errno;
	return -1;
}

/* SQLite has no hook for these two: its library finds ours first. */
int
fdatasync(int fd)
{
	if (!now_fails(SYNC))
		return (int)syscall(SYS_fdatasync, fd);
	errno = fail_errno;
	return -1;
}

int
fsync(int fd)
{
	if (!now_fails(SYNC))
		return (int)syscall(SYS_fsync, fd);
	errno = fail_errno;
	return -1;
}

/* ---- the same of SQLite's API: the read model finds ours first ---- */

static int fail_rc;
static bool
    in_exec; /* its own steps are not made to fail: it believes not their answer but the statement's end */

static void *
real_one(const char *name)
{
	void *fn = dlsym(RTLD_NEXT, name);
	assert_non_null(fn);
	return fn;
}

/* A pointer to data becomes one to a function: dlsym's way, and POSIX allows it. */
#define REAL(name)                                   \
	static __typeof__(&name) real;               \
	if (real == NULL) {                          \
		void *found = real_one(#name);       \
		memcpy(&real, &found, sizeof(real)); \
	}

int
sqlite3_prepare_v2(sqlite3 *db, const char *text, int n, sqlite3_stmt **st, const char **tail)
{
	REAL(sqlite3_prepare_v2)
	*st = NULL;
	return now_fails(PREPARE) ? fail_rc : real(db, text, n, st, tail);
}

int
sqlite3_prepare_v3(sqlite3 *db, const char *text, int n, unsigned flags, sqlite3_stmt **st, const char **tail)
{
	REAL(sqlite3_prepare_v3)
	*st = NULL;
	return now_fails(PREPARE) ? fail_rc : real(db, text, n, flags, st, tail);
}

int
sqlite3_bind_text(sqlite3_stmt *st, int at, const char *p, int n, void (*done)(void *))
{
	REAL(sqlite3_bind_text)
	return now_fails(BIND) ? fail_rc : real(st, at, p, n, done);
}

int
sqlite3_bind_blob(sqlite3_stmt *st, int at, const void *p, int n, void (*done)(void *))
{
	REAL(sqlite3_bind_blob)
	return now_fails(BIND) ? fail_rc : real(st, at, p, n, done);
}

int
sqlite3_bind_int64(sqlite3_stmt *st, int at, sqlite3_int64 v)
{
	REAL(sqlite3_bind_int64)
	return now_fails(BIND) ? fail_rc : real(st, at, v);
}

int
sqlite3_step(sqlite3_stmt *st)
{
	REAL(sqlite3_step)
	return !in_exec && now_fails(STEP) ? fail_rc : real(st);
}

int
sqlite3_exec(sqlite3 *db, const char *text, int (*fn)(void *, int, char **, char **), void *ctx, char **why)
{
	REAL(sqlite3_exec)
	if (now_fails(EXEC))
		return fail_rc;
	bool outer = in_exec; /* it calls itself to read the schema */
	in_exec = true;
	int rc = real(db, text, fn, ctx, why);
	in_exec = outer;
	return rc;
}

int
sqlite3_open_v2(const char *name, sqlite3 **db, int flags, const char *vfs)
{
	REAL(sqlite3_open_v2)
	*db = NULL;
	return now_fails(OPEN_DB) ? fail_rc : real(name, db, flags, vfs);
}

static void
hook(const char *name, sqlite3_syscall_ptr fn)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	assert_int_equal(vfs->xSetSystemCall(vfs, name, fn), SQLITE_OK);
}

/* ---- the scenario ---- */

static struct kit kit;
static struct mf_buf want;
static char dir[64];
static int dirfd = -1;

static void
clean(void)
{
	(void)unlinkat(dirfd, MF_RM_FILE, 0);
	(void)unlinkat(dirfd, MF_RM_FILE "-wal", 0);
	(void)unlinkat(dirfd, MF_RM_FILE "-journal", 0);
}

/* Apply what is missing, in messages of five records. */
static enum mf_status
go_on(struct mf_read_model *rm)
{
	struct mf_err err = { 0 };
	for (size_t at; (at = (size_t)mf_read_model_applied(rm)) < kit.n;) {
		enum mf_status s =
		    mf_read_model_apply(rm, at, kit.at + at, kit.n - at < 5 ? kit.n - at : 5, &err);
		assert_int_equal(
		    mf_read_model_applied(rm), s == MF_OK ? (at + 5 < kit.n ? at + 5 : kit.n) : at);
		if (s != MF_OK) {
			if (s != MF_E_IO && s != MF_E_NOMEM)
				fail_msg("call %ld: %s", fail_at, err.msg);
			assert_true(err.msg[0] != '\0');
			return s;
		}
	}
	return MF_OK;
}

static void
compare(struct mf_read_model *rm)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 1 << 20);
	assert_int_equal(mf_read_model_dump(rm, &b, NULL), MF_OK);
	assert_true(mf_slice_eq(mf_buf_slice(&b), mf_buf_slice(&want)));
}

/* True when the fault was reached. */
static bool
round_of(long n)
{
	enum mf_rm_how how;
	struct mf_read_model *rm = NULL;
	struct mf_err err = { 0 };
	clean();
	calls = 0;
	fail_at = n;
	enum mf_status s = mf_read_model_open(dirfd, &rm, &how, NULL, &err);
	if (s == MF_OK)
		s = go_on(rm);
	bool reached = calls >= n;
	fail_at = 0;
	/* In the same process, as after a full disk... */
	if (rm != NULL) {
		assert_int_equal(go_on(rm), MF_OK);
		compare(rm);
	}
	mf_read_model_free(MF_TAKE(rm));
	/* ...and in the next one. */
	if (mf_read_model_open(dirfd, &rm, &how, NULL, &err) != MF_OK)
		fail_msg("%s", err.msg);
	assert_int_equal(go_on(rm), MF_OK);
	compare(rm);
	mf_read_model_free(rm);
	return reached;
}

static void
sweep(const char *what, bool last, long step)
{
	long n = 1;
	lasting = last;
	while (round_of(n))
		n += step;
	print_message("%s%s: up to the %ldth\n", what, last ? ", lasting" : "", n);
	assert_true(n > 1);
}

static void
test_memory(void **state)
{
	(void)state;
	/* Steps: an allocation more or less shifts them, so that other ones fail after the next change. */
	kind = MEMORY;
	sweep("allocations", false, 7);
	sweep("allocations", true, 37);
}

static void
io_sweeps(enum kind k, const char *what, const char *name, sqlite3_syscall_ptr fn, int error)
{
	kind = k;
	fail_errno = error;
	hook(name, fn);
	sweep(what, false, 1);
	sweep(what, true, 1);
	hook(name, NULL);
}

static void
test_disk(void **state)
{
	(void)state;
	io_sweeps(WRITE, "writes (ENOSPC)", "pwrite64", (sqlite3_syscall_ptr)failing_pwrite, ENOSPC);
	io_sweeps(WRITE, "writes (EIO)", "pwrite64", (sqlite3_syscall_ptr)failing_pwrite, EIO);
	io_sweeps(OPEN, "opens", "open", (sqlite3_syscall_ptr)failing_open, EMFILE);
	kind = SYNC;
	sweep("syncs", false, 1);
	sweep("syncs", true, 1);
}

static void
test_disk_reads(void **state)
{
	(void)state;
	io_sweeps(READ, "reads", "pread64", (sqlite3_syscall_ptr)failing_pread, EIO);
	io_sweeps(LOCK, "locks", "fcntl", (sqlite3_syscall_ptr)failing_fcntl, ENOLCK);
	io_sweeps(STAT, "stats", "fstat", (sqlite3_syscall_ptr)failing_fstat, EIO);
}

static void
api_sweeps(enum kind k, const char *what, int rc, long step)
{
	kind = k;
	fail_rc = rc;
	sweep(what, false, step);
	sweep(what, true, step);
}

static void
test_api(void **state)
{
	(void)state;
	api_sweeps(OPEN_DB, "sqlite3_open_v2", SQLITE_CANTOPEN, 1);
	api_sweeps(EXEC, "sqlite3_exec", SQLITE_IOERR, 1);
	api_sweeps(PREPARE, "sqlite3_prepare", SQLITE_NOMEM, 1);
	api_sweeps(BIND, "sqlite3_bind", SQLITE_NOMEM, 1);
	api_sweeps(STEP, "sqlite3_step", SQLITE_IOERR, 1);
	api_sweeps(STEP, "sqlite3_step (busy)", SQLITE_BUSY, 3);
	api_sweeps(STEP, "sqlite3_step (full)", SQLITE_FULL, 3);
}

/* ---- what is asked while it happens ---- */

/* All that there is, or an error: never less, and never something else. */
static bool
asked(struct mf_read_model *rm, long n)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	struct mf_err err = { 0 };
	mf_buf_init(&b, 1 << 20);
	calls = 0;
	fail_at = n;
	enum mf_status s = mf_read_model_dump(rm, &b, &err);
	bool reached = calls >= n;
	fail_at = 0;
	if (s == MF_OK)
		assert_true(mf_slice_eq(mf_buf_slice(&b), mf_buf_slice(&want)));
	else if ((s != MF_E_NOMEM && s != MF_E_IO) || err.msg[0] == '\0')
		fail_msg("call %ld: %s", n, err.msg);
	compare(rm);
	return reached;
}

static void
test_asked(void **state)
{
	static const enum kind kinds[] = { MEMORY, PREPARE, STEP };
	struct mf_read_model *rm = NULL;
	enum mf_rm_how how;
	(void)state;
	clean();
	lasting = false;
	fail_rc = SQLITE_NOMEM;
	assert_int_equal(mf_read_model_open(dirfd, &rm, &how, NULL, NULL), MF_OK);
	assert_int_equal(go_on(rm), MF_OK);
	for (size_t i = 0; i < MF_COUNT(kinds); i++) {
		long n = 1;
		kind = kinds[i];
		while (asked(rm, n))
			n++;
		assert_true(n > 2);
	}
	mf_read_model_free(rm);
}

static int
setup(void **state)
{
	static sqlite3_mem_methods mem;
	struct mf_read_model *rm = NULL;
	enum mf_rm_how how;
	(void)state;
	assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_mem), SQLITE_OK);
	mem = real_mem;
	mem.xMalloc = failing_malloc;
	mem.xRealloc = failing_realloc;
	assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &mem), SQLITE_OK);
	/* In memory where there is such a place: thousands of rounds sync. */
	(void)snprintf(
	    dir, sizeof(dir), "%s/mf-rmf-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(dir));
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dirfd >= 0);
	kit_history(&kit);
	mf_buf_init(&want, 1 << 20);
	assert_int_equal(mf_read_model_open(dirfd, &rm, &how, NULL, NULL), MF_OK);
	assert_int_equal(go_on(rm), MF_OK);
	assert_int_equal(mf_read_model_dump(rm, &want, NULL), MF_OK);
	mf_read_model_free(rm);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	clean();
	(void)close(dirfd);
	(void)rmdir(dir);
	kit_fini(&kit);
	mf_buf_fini(&want);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_disk),
		cmocka_unit_test(test_disk_reads),
		cmocka_unit_test(test_api),
		cmocka_unit_test(test_asked),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
