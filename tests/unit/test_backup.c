/* Backups: the list of files, what is copied, and everything that makes one no backup. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/backup.h"
#include "lib/store_kit.h"

#define H "0000000000000000000000000000000000000000000000000000000000000000"

static void
test_list(void **state)
{
	static const struct {
		const char *in;
		enum mf_status want;
		size_t n;
		const char *says;
	} cases[] = {
		{ "", MF_OK, 0, "" },
		{ H "  FORMAT\n" H "  keys/ca.key\n", MF_OK, 2, "" },
		{ H "  log/wal/0000000000000000.seg\n", MF_OK, 1, "" },
		{ H "  FORMAT", MF_E_INVALID, 0, "unfinished" },
		{ H " FORMAT\n", MF_E_INVALID, 0, "line 1" },
		{ H "  \n", MF_E_INVALID, 0, "line 1" },
		{ "0" H "  FORMAT\n", MF_E_INVALID, 0, "line 1" },
		{ H "  FORMAT\n" H "  FORMAT\n", MF_E_INVALID, 0, "twice" },
		{ H "  db/index\n", MF_E_INVALID, 0, "no file of a backup" },
		{ H "  keys/../FORMAT\n", MF_E_INVALID, 0, "no file of a backup" },
		{ H "  keys/.hidden\n", MF_E_INVALID, 0, "no file of a backup" },
		{ H "  /etc/passwd\n", MF_E_INVALID, 0, "no file of a backup" },
		{ H "  log/wal/\n", MF_E_INVALID, 0, "no file of a backup" },
		{ H "  SHA256SUMS\n", MF_E_INVALID, 0, "no file of a backup" },
	};
	(void)state;
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		MF_AUTO_IN(mf_backup_list_fini) struct mf_backup_list l = { 0 };
		struct mf_err err = { 0 };
		assert_int_equal(mf_backup_list_parse(mf_slice_str(cases[i].in), &l, &err), cases[i].want);
		if (cases[i].want == MF_OK)
			assert_int_equal(l.n, cases[i].n);
		else
			assert_non_null(strstr(err.msg, cases[i].says));
	}
}

/* A broker of init, and the place of its backup. */
struct world {
	struct store_kit k;
	char state[96], to[96];
};

static void
world_init(struct world *w)
{
	mf_store_kit_init(&w->k);
	(void)snprintf(w->state, sizeof(w->state), "%s/state", w->k.dir);
	(void)snprintf(w->to, sizeof(w->to), "%s/backup", w->k.dir);
}

static int
open_backup(const struct world *w)
{
	int fd = open(w->to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static enum mf_status
backup(const struct world *w, struct mf_err *err)
{
	MF_AUTO_IN(mf_backup_report_fini) struct mf_backup_report r = { 0 };
	return mf_broker_backup(w->state, w->to, &r, err);
}

static enum mf_status
judge(const struct world *w, struct mf_err *err)
{
	MF_AUTO_IN(mf_backup_report_fini) struct mf_backup_report r = { 0 };
	MF_AUTO_IN(mf_backup_list_fini) struct mf_backup_list l = { 0 };
	int fd = open_backup(w);
	enum mf_status s = mf_backup_check(fd, &l, &r, err);
	(void)close(fd);
	return s;
}

static void
test_backup(void **state)
{
	struct world w;
	MF_AUTO_IN(mf_backup_report_fini) struct mf_backup_report r = { 0 };
	struct mf_err err = { 0 };
	(void)state;
	world_init(&w);
	if (mf_broker_backup(w.state, w.to, &r, &err) != MF_OK)
		fail_msg("backup: %s", err.msg);
	assert_int_equal(r.log.head.size, 1);
	assert_int_equal(r.log.segments_n, 1);
	assert_int_equal(r.snapshot, 0);
	assert_string_equal(r.log.key.name, STORE_KIT_TD "/mayfly/" STORE_KIT_BROKER);
	assert_true(r.keys >= 5); /* log, inner, ca, JWT */
	assert_int_equal(judge(&w, &err), MF_OK);
	/* There is one already, and a second one goes elsewhere. */
	assert_int_equal(backup(&w, &err), MF_E_EXISTS);
	assert_non_null(strstr(err.msg, "not empty"));
	mf_store_kit_fini(&w.k);
}

static void
flip(int dirfd, const char *name)
{
	uint8_t b;
	int fd = openat(dirfd, name, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &b, 1, 0), 1);
	b ^= 1;
	assert_int_equal(pwrite(fd, &b, 1, 0), 1);
	(void)close(fd);
}

/* Each file changed, and each file away: found. */
static void
test_every_file_counts(void **state)
{
	struct world w;
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_backup_report_fini) struct mf_backup_report r = { 0 };
	MF_AUTO_IN(mf_backup_list_fini) struct mf_backup_list l = { 0 };
	(void)state;
	world_init(&w);
	assert_int_equal(backup(&w, &err), MF_OK);
	int fd = open_backup(&w);
	assert_int_equal(mf_backup_check(fd, &l, &r, &err), MF_OK);
	for (size_t i = 0; i < l.n; i++) {
		flip(fd, l.v[i].name);
		assert_int_equal(judge(&w, &err), MF_E_CORRUPT);
		assert_non_null(strstr(err.msg, l.v[i].name));
		flip(fd, l.v[i].name);
		assert_int_equal(renameat(fd, l.v[i].name, fd, "away"), 0);
		assert_int_equal(judge(&w, &err), MF_E_NOTFOUND);
		assert_int_equal(renameat(fd, "away", fd, l.v[i].name), 0);
	}
	assert_int_equal(judge(&w, &err), MF_OK);
	(void)close(fd);
	mf_store_kit_fini(&w.k);
}

static void
put(int dirfd, const char *name, const char *text)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	(void)close(fd);
}

static void
test_no_backup(void **state)
{
	struct world w;
	struct mf_err err = { 0 };
	(void)state;
	world_init(&w);
	assert_int_equal(backup(&w, &err), MF_OK);
	int fd = open_backup(&w);
	put(fd, "keys/more.key", "x");
	assert_int_equal(judge(&w, &err), MF_E_CORRUPT);
	assert_non_null(strstr(err.msg, "keys/more.key"));
	assert_int_equal(unlinkat(fd, "keys/more.key", 0), 0);
	put(fd, "more", "x");
	assert_int_equal(judge(&w, &err), MF_E_CORRUPT);
	assert_int_equal(unlinkat(fd, "more", 0), 0);
	/* One that was not finished has no list. */
	assert_int_equal(renameat(fd, MF_BACKUP_LIST, fd, "away"), 0);
	assert_int_equal(judge(&w, &err), MF_E_NOTFOUND);
	assert_non_null(strstr(err.msg, "not finished"));
	(void)close(fd);
	mf_store_kit_fini(&w.k);
}

/* What is wrong with the state is said, and there is no backup that a restore would take. */
static void
test_bad_state(void **state)
{
	static const struct {
		const char *away, *says;
	} cases[] = {
		{ "keys/log.key", "keys/log.key" },
		{ "log/checkpoint", "checkpoint" },
		{ "log/vkey", "vkey" },
		{ "log/wal/0000000000000000.seg", "" },
		{ "FORMAT", "init" },
	};
	struct world w;
	(void)state;
	world_init(&w);
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		struct mf_err err = { 0 };
		char list[128];
		(void)snprintf(w.to, sizeof(w.to), "%s/backup%zu", w.k.dir, i);
		assert_int_equal(renameat(w.k.state_fd, cases[i].away, w.k.state_fd, "away"), 0);
		assert_int_not_equal(backup(&w, &err), MF_OK);
		assert_non_null(strstr(err.msg, cases[i].says));
		(void)snprintf(list, sizeof(list), "%s/" MF_BACKUP_LIST, w.to);
		assert_int_not_equal(access(list, F_OK), 0);
		assert_int_equal(renameat(w.k.state_fd, "away", w.k.state_fd, cases[i].away), 0);
	}
	mf_store_kit_fini(&w.k);
}

/* What lies after the signed head is not in it; a damaged log is not copied. */
static void
test_log_up_to_the_head(void **state)
{
	struct world w;
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_backup_report_fini) struct mf_backup_report r = { 0 };
	(void)state;
	world_init(&w);
	int seg = openat(w.k.wal_fd, "0000000000000000.seg", O_RDWR | O_APPEND | O_CLOEXEC);
	assert_true(seg >= 0);
	assert_int_equal(write(seg, "torn", 4), 4);
	if (mf_broker_backup(w.state, w.to, &r, &err) != MF_OK)
		fail_msg("backup: %s", err.msg);
	assert_int_equal(r.log.head.size, 1);
	assert_int_equal(judge(&w, &err), MF_OK);
	(void)snprintf(w.to, sizeof(w.to), "%s/second", w.k.dir);
	uint8_t b = 0xff;
	assert_int_equal(ftruncate(seg, (off_t)r.log.segments[0].bytes), 0);
	(void)close(seg);
	seg = openat(w.k.wal_fd, "0000000000000000.seg", O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(seg, &b, 1, 60), 1);
	(void)close(seg);
	assert_int_equal(backup(&w, &err), MF_E_CORRUPT);
	mf_store_kit_fini(&w.k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_backup),
		cmocka_unit_test(test_every_file_counts),
		cmocka_unit_test(test_no_backup),
		cmocka_unit_test(test_bad_state),
		cmocka_unit_test(test_log_up_to_the_head),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
