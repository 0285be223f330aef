/*
 * Every system call that puts a handle on the disk fails, once each, by a full disk and by a broken one: what was said to be kept is there
 * and opens, what was not has no file, and the next one is kept.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/notary/handles.h"
#include "store_kit.h"

#define HANG_MS 60000
#define ROUNDS 100 /* more calls than a handle makes: a hang limit */

static _Thread_local bool is_main;
static atomic_int countdown; /* 0: none fails */
static atomic_int with;	     /* errno */
static atomic_bool fired;

static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_fsync)(int);
static int (*real_fchmod)(int, mode_t);
static long (*real_syscall)(long, ...);

/* Before any thread. */
static void __attribute__((constructor)) find_them(void)
{
	*(void **)&real_write = dlsym(RTLD_NEXT, "write");
	*(void **)&real_fsync = dlsym(RTLD_NEXT, "fsync");
	*(void **)&real_fchmod = dlsym(RTLD_NEXT, "fchmod");
	*(void **)&real_syscall = dlsym(RTLD_NEXT, "syscall");
}

static bool
fails_now(void)
{
	if (is_main || atomic_load(&countdown) == 0 || atomic_fetch_sub(&countdown, 1) != 1)
		return false;
	atomic_store(&fired, true);
	errno = atomic_load(&with);
	return true;
}

ssize_t
write(int fd, const void *p, size_t n)
{
	bool wakes = n == sizeof(uint64_t); /* a mailbox, not a file */
	return !wakes && fails_now() ? -1 : real_write(fd, p, n);
}

int
fsync(int fd)
{
	return fails_now() ? -1 : real_fsync(fd);
}

int
fchmod(int fd, mode_t mode)
{
	return fails_now() ? -1 : real_fchmod(fd, mode);
}

/* openat2 and renameat2 */
long
syscall(long number, ...)
{
	va_list ap;
	long a[6];
	va_start(ap, number);
	for (size_t i = 0; i < MF_COUNT(a); i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	return fails_now() ? -1 : real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

struct world {
	struct mf_handles *h;
	size_t answers, kept;
	enum mf_status s;
	struct mf_err why;
};

static void
on_kept(void *ctx, const char *cred, const struct mf_err *why)
{
	struct world *w = ctx;
	MF_UNUSED(cred);
	w->answers++;
	w->kept += why == NULL;
	if (why != NULL)
		w->why = *why;
}

static void
on_opened(void *ctx, const char *cred, enum mf_status s, struct mf_slice secret)
{
	struct world *w = ctx;
	MF_UNUSED(cred);
	w->answers++;
	w->s = s;
	if (s == MF_OK)
		assert_true(mf_slice_eq_str(secret, "a token"));
}

static const struct mf_handles_ops ops = { .kept = on_kept, .opened = on_opened };

static void
wait_for(struct world *w, size_t answers)
{
	while (w->answers < answers) {
		struct pollfd p = { mf_handles_fd(w->h), POLLIN, 0 };
		assert_int_equal(poll(&p, 1, HANG_MS), 1);
		mf_handles_turn(w->h, mf_now());
	}
}

static enum mf_status
open_one(struct world *w, const char *cred)
{
	w->answers = 0;
	assert_true(mf_handles_open(w->h, cred));
	wait_for(w, 1);
	return w->s;
}

static size_t
files(const char *top)
{
	size_t n = 0;
	DIR *d = opendir(top);
	assert_non_null(d);
	for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d))
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	(void)closedir(d);
	return n;
}

/* Two handles at once, the ${n}th call of both fails. False: they make fewer calls. */
static bool
round_of(const char *top, struct world *w, int n, int error)
{
	static const char *const creds[] = { "0190a000-0000-7000-8000-00000000000a",
		"0190a000-0000-7000-8000-00000000000b" };
	size_t there = 0;
	*w = (struct world) { .h = w->h };
	atomic_store(&fired, false);
	atomic_store(&with, error);
	atomic_store(&countdown, n);
	for (size_t i = 0; i < MF_COUNT(creds); i++)
		assert_true(mf_handles_keep(w->h, creds[i], MF_SLICE_LIT("a token"), INT64_MAX - 100));
	wait_for(w, MF_COUNT(creds));
	atomic_store(&countdown, 0);
	size_t kept = w->kept;
	if (kept < MF_COUNT(creds))
		assert_true(w->why.msg[0] != '\0' && strstr(w->why.msg, "a token") == NULL);
	for (size_t i = 0; i < MF_COUNT(creds); i++)
		there += open_one(w, creds[i]) == MF_OK;
	assert_int_equal(there, kept);
	assert_int_equal(files(top), kept);
	assert_int_equal(mf_handles_count(w->h), kept);
	for (size_t i = 0; i < MF_COUNT(creds); i++)
		mf_handles_drop(w->h, creds[i]);
	assert_int_equal(open_one(w, creds[0]), MF_E_NOTFOUND);
	assert_int_equal(files(top), 0);
	return atomic_load(&fired);
}

static void
test_every_call(void **state)
{
	MF_UNUSED(state);
	char top[] = "/tmp/mf-handles-XXXXXX", cmd[64];
	struct world w = { 0 };
	is_main = true;
	assert_non_null(mkdtemp(top));
	int dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct mf_kek *kek = mf_store_kit_kek(1);
	assert_int_equal(mf_handles_new(dir, "b1", kek, &ops, &w, &w.h, NULL), MF_OK);
	static const int errors[] = { ENOSPC, EIO, EDQUOT };
	for (size_t k = 0; k < MF_COUNT(errors); k++) {
		int n = 1;
		while (n < ROUNDS && round_of(top, &w, n, errors[k]))
			n++;
		assert_true(n > 8 && n < ROUNDS);
	}
	mf_handles_free(w.h);
	mf_kek_free(kek);
	(void)close(dir);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", top);
	assert_int_equal(system(cmd), 0); /* NOLINT: a fixed command of a test */
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_call) };
	return cmocka_run_group_tests_name("handles_faults", tests, NULL, NULL);
}
