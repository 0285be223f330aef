/* Restores: what is refused, what is made, what is kept; and that a state that is there is never half of anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/init.h"
#include "broker/restore.h"
#include "lib/store_kit.h"

/* A broker of init, one backup of it, and where it is restored to. One for all tests: keys take time to make. */
static struct store_kit kit;
static char state_dir[96], from[96], to[96], aside[160], staging[128];
static struct mf_kek *kek;

static int
setup(void **state)
{
	MF_AUTO_IN(mf_backup_report_fini) struct mf_backup_report r = { 0 };
	(void)state;
	mf_store_kit_init(&kit);
	kek = mf_store_kit_kek(1);
	(void)snprintf(state_dir, sizeof(state_dir), "%s/state", kit.dir);
	(void)snprintf(from, sizeof(from), "%s/backup", kit.dir);
	(void)snprintf(to, sizeof(to), "%s/to", kit.dir);
	(void)snprintf(staging, sizeof(staging), "%s.restoring", to);
	(void)snprintf(aside, sizeof(aside), "%s.before-restore-T", to);
	return mf_broker_backup(state_dir, from, &r, NULL) != MF_OK;
}

static int
teardown(void **state)
{
	(void)state;
	mf_kek_free(kek);
	mf_store_kit_fini(&kit);
	return 0;
}

static int
clean(void **state)
{
	char cmd[600];
	(void)state;
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s %s %s", to, staging, aside);
	return system(cmd);
}

static struct mf_restore_conf
conf(void)
{
	return (struct mf_restore_conf) { .trust_domain = STORE_KIT_TD,
		.broker_id = STORE_KIT_BROKER,
		.state_dir = to,
		.from = from,
		.stamp = "T",
		.kek_file = "",
		.kek = kek,
		.segment = 1u << 20,
		.notary_uid = getuid(),
		.front_uid = getuid(),
		.notary_gid = getgid(),
		.front_gid = getgid() };
}

static bool
exists(const char *dir, const char *name)
{
	char path[300];
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

static void
put(const char *dir, const char *name, const char *text)
{
	char path[300];
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	(void)close(fd);
}

static void
refused(const struct mf_restore_conf *c, enum mf_status want, const char *says)
{
	MF_AUTO_IN(mf_restore_report_fini) struct mf_restore_report r = { 0 };
	struct mf_err err = { 0 };
	enum mf_status s = mf_broker_restore(c, &r, &err);
	if (s != want || strstr(err.msg, says) == NULL)
		fail_msg(
		    "wanted %s and \"%s\": %s: %s", mf_status_name(want), says, mf_status_name(s), err.msg);
}

/* The state opens as the notary opens it, under its new name; ${whole}: as log.restored says. */
static void
assert_restored(bool whole)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf origin;
	MF_AUTO(mf_broker_keys_free) struct mf_broker_keys *keys = NULL;
	struct mf_store_opened o = { 0 };
	struct mf_store_hook hook = { 0 };
	struct mf_note_key key;
	uint8_t pub[MF_ED25519_KEY_SIZE];
	struct mf_err err = { 0 };
	bool missing;
	mf_buf_init(&origin, 1024);
	int dir = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int log = openat(dir, "log", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int keys_fd = openat(dir, "keys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0 && log >= 0 && keys_fd >= 0);
	assert_int_equal(mf_broker_check_format(to, &err), MF_OK);
	assert_int_equal(
	    mf_broker_keys_load(STORE_KIT_TD, STORE_KIT_BROKER, kek, keys_fd, &keys, &err), MF_OK);
	assert_int_equal(
	    mf_log_origin_of(log, STORE_KIT_TD, STORE_KIT_BROKER, keys->log, &origin, &err), MF_OK);
	mf_ed25519_public(keys->log, pub);
	assert_int_equal(mf_note_key_init(mf_buf_slice(&origin), pub, &key, NULL), MF_OK);
	struct mf_store_conf sc = { .log_dirfd = log, .segment = 1u << 20, .key = &key };
	if (mf_store_open(&sc, &hook, &o, &err) != MF_OK)
		fail_msg("open: %s", err.msg);
	assert_true(o.has_head);
	assert_int_equal(o.signed_head.size, 2);
	assert_string_equal(mf_state_origin(o.state), mf_buf_cstr(&origin));
	assert_int_equal(mf_state_restored(o.state, &missing), 1);
	assert_int_equal(missing, !whole);
	mf_wal_free(o.wal);
	mf_state_free(o.state);
	(void)close(dir);
	(void)close(log);
	(void)close(keys_fd);
}

static void
restore(const struct mf_restore_conf *c, struct mf_restore_report *r)
{
	struct mf_err err = { 0 };
	if (mf_broker_restore(c, r, &err) != MF_OK)
		fail_msg("restore: %s", err.msg);
	assert_false(exists(staging, "."));
}

static void
test_into_nothing(void **state)
{
	MF_AUTO_IN(mf_restore_report_fini) struct mf_restore_report r = { 0 };
	struct mf_restore_conf c = conf();
	(void)state;
	restore(&c, &r);
	assert_false(r.whole);
	assert_false(r.put_aside);
	assert_true(strncmp(r.origin, STORE_KIT_TD "/mayfly/" STORE_KIT_BROKER MF_LOG_RESTORED, 10) == 0);
	assert_restored(false);
	assert_true(exists(to, "log/checkpoint-0000000000000001"));
	assert_true(exists(to, "db"));
	/* One is there now. */
	refused(&c, MF_E_EXISTS, "--force");
	c.force = true;
	MF_AUTO_IN(mf_restore_report_fini) struct mf_restore_report again = { 0 };
	restore(&c, &again);
	assert_true(again.put_aside);
	assert_string_equal(again.aside, aside);
	assert_true(exists(aside, "FORMAT"));
	assert_string_not_equal(again.origin, r.origin); /* two logs never have one name */
	assert_restored(false);
}

/* An empty directory is taken; what else lies in one is put aside with it, and a KEK in it goes along. */
static void
test_into_a_directory(void **state)
{
	struct mf_restore_conf c = conf();
	char file[160];
	(void)state;
	assert_int_equal(mkdir(to, 0755), 0);
	{
		MF_AUTO_IN(mf_restore_report_fini) struct mf_restore_report r = { 0 };
		restore(&c, &r);
		assert_false(r.put_aside);
	}
	assert_int_equal(clean(NULL), 0);
	assert_int_equal(mkdir(to, 0755), 0);
	put(to, "kek", "k");
	put(to, "notes", "n");
	(void)snprintf(file, sizeof(file), "%s/kek", to);
	c.kek_file = file;
	{
		MF_AUTO_IN(mf_restore_report_fini) struct mf_restore_report r = { 0 };
		restore(&c, &r);
		assert_true(r.put_aside);
	}
	assert_true(exists(to, "kek"));
	assert_false(exists(to, "notes"));
	assert_true(exists(aside, "notes"));
	assert_restored(false);
}

static void
test_refused(void **state)
{
	struct mf_restore_conf c = conf();
	MF_AUTO(mf_kek_free) struct mf_kek *other = mf_store_kit_kek(2);
	(void)state;
	c.from = kit.dir;
	refused(&c, MF_E_NOTFOUND, "no backup");
	c.from = "/nowhere";
	refused(&c, MF_E_NOTFOUND, "/nowhere");
	c = conf();
	c.trust_domain = "example.net";
	refused(&c, MF_E_INVALID, "trust_domain");
	c = conf();
	c.kek = other;
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_restore_report_fini) struct mf_restore_report r = { 0 };
	assert_int_not_equal(mf_broker_restore(&c, &r, &err), MF_OK);
	assert_non_null(strstr(err.msg, "KEK"));
	/* Nothing came of any of it, and the next one clears what they left. */
	assert_false(exists(to, "."));
	c = conf();
	restore(&c, &r);
	assert_restored(false);
}

/* Somebody runs there. */
static void
test_running(void **state)
{
	struct mf_restore_conf c = conf();
	(void)state;
	assert_int_equal(mkdir(to, 0755), 0);
	int fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	c.force = true;
	refused(&c, MF_E_STATE, "stop it first");
	(void)close(fd);
}

/* ---- heads ---- */

/* A head of ${size} records with the backup's root, changed at will; signed by ${by}. */
static void
put_head(const char *name, uint64_t size, uint8_t change, const struct mf_ed25519 *by)
{
	struct mf_backup_log l = { 0 };
	struct mf_checkpoint cp = { .head = { .size = size } };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text, note;
	mf_buf_init(&text, MF_LIM_NOTE);
	mf_buf_init(&note, MF_LIM_NOTE);
	assert_int_equal(mf_backup_log_read(kit.log_fd, false, &l, NULL), MF_OK);
	memcpy(cp.head.root, l.head.root, MF_HASH_SIZE);
	mf_backup_log_fini(&l);
	cp.head.root[0] ^= change;
	(void)snprintf(cp.origin, sizeof(cp.origin), "%s", kit.note.name);
	mf_checkpoint_put(&cp, &text);
	assert_int_equal(mf_note_sign(mf_buf_slice(&text), mf_slice_str(cp.origin), by, &note, NULL), MF_OK);
	(void)unlinkat(kit.state_fd, name, 0);
	put(state_dir, name, mf_buf_cstr(&note));
}

static void
test_heads(void **state)
{
	struct mf_restore_conf c = conf();
	struct mf_ed25519 *foreign = NULL;
	char file[160];
	(void)state;
	(void)snprintf(file, sizeof(file), "%s/head", state_dir);
	c.head = file;
	assert_int_equal(mf_ed25519_generate(NULL, &foreign, NULL), MF_OK);
	put_head("head", 9, 0, kit.keys->log);
	refused(&c, MF_E_STATE, "8 are missing");
	put_head("head", 0, 0, kit.keys->log);
	refused(&c, MF_E_INVALID, "older than the backup's own");
	put_head("head", 1, 1, kit.keys->log);
	refused(&c, MF_E_CORRUPT, "two different logs");
	put_head("head", 1, 0, foreign);
	refused(&c, MF_E_INVALID, "no signed head");
	assert_false(exists(to, "."));
	put_head("head", 1, 0, kit.keys->log);
	MF_AUTO_IN(mf_restore_report_fini) struct mf_restore_report r = { 0 };
	restore(&c, &r);
	assert_true(r.whole);
	assert_restored(true);
	mf_ed25519_free(foreign);
}

/* A restore that was killed: unfinished is cleared away, whole is left to the operator. */
static void
test_left_over(void **state)
{
	struct mf_restore_conf c = conf();
	(void)state;
	assert_int_equal(mkdir(staging, 0700), 0);
	put(staging, ".FORMAT.new", "x");
	MF_AUTO_IN(mf_restore_report_fini) struct mf_restore_report r = { 0 };
	restore(&c, &r);
	assert_restored(false);
	assert_int_equal(rename(to, staging), 0);
	refused(&c, MF_E_STATE, "Move it away");
	assert_true(exists(staging, "FORMAT"));
}

/* Of a backup of what was restored: the chain of names goes on. */
static void
test_backup_of_a_restored_one(void **state)
{
	struct mf_restore_conf c = conf();
	char second[128];
	(void)state;
	(void)snprintf(second, sizeof(second), "%s/second", kit.dir);
	{
		MF_AUTO_IN(mf_restore_report_fini) struct mf_restore_report r = { 0 };
		restore(&c, &r);
	}
	MF_AUTO_IN(mf_backup_report_fini) struct mf_backup_report b = { 0 };
	struct mf_err err = { 0 };
	if (mf_broker_backup(to, second, &b, &err) != MF_OK)
		fail_msg("backup: %s", err.msg);
	assert_int_equal(b.log.head.size, 2);
	assert_true(exists(second, "log/checkpoint-0000000000000001"));
	c.from = second;
	c.force = true;
	MF_AUTO_IN(mf_restore_report_fini) struct mf_restore_report r = { 0 };
	restore(&c, &r);
	assert_true(exists(to, "log/checkpoint-0000000000000001"));
	assert_true(exists(to, "log/checkpoint-0000000000000002"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_into_nothing, clean),
		cmocka_unit_test_teardown(test_into_a_directory, clean),
		cmocka_unit_test_teardown(test_refused, clean),
		cmocka_unit_test_teardown(test_running, clean),
		cmocka_unit_test_teardown(test_heads, clean),
		cmocka_unit_test_teardown(test_left_over, clean),
		cmocka_unit_test_teardown(test_backup_of_a_restored_one, clean),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
