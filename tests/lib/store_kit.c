#include "store_kit.h"

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

#include "base/clock.h"
#include "broker/init.h"

struct mf_kek *
mf_store_kit_kek(uint8_t first_byte)
{
	uint8_t key[MF_KEK_SIZE] = { 0 };
	struct mf_kek *kek = NULL;
	key[0] = first_byte;
	assert_int_equal(mf_kek_raw(mf_slice(key, sizeof(key)), &kek, NULL), MF_OK);
	return kek;
}

static int
sub(const struct store_kit *k, const char *name)
{
	int fd = openat(k->state_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

void
mf_store_kit_init(struct store_kit *k)
{
	MF_AUTO(mf_kek_free) struct mf_kek *kek = mf_store_kit_kek(1);
	struct mf_err err = { 0 };
	uint8_t pub[MF_ED25519_KEY_SIZE];
	char state[80];
	*k = (struct store_kit) { .dir = "/tmp/mayfly-test-store-XXXXXX", .room = true };
	assert_non_null(mkdtemp(k->dir));
	(void)snprintf(state, sizeof(state), "%s/state", k->dir);
	struct mf_init_conf c = { .trust_domain = STORE_KIT_TD,
		.broker_id = STORE_KIT_BROKER,
		.state_dir = state,
		.ca_ttl_ms = UINT64_C(86400000) * 90,
		.notary_uid = getuid(),
		.front_uid = getuid(),
		.notary_gid = getgid(),
		.front_gid = getgid(),
		.kek = kek };
	if (mf_broker_init(&c, &err) != MF_OK)
		fail_msg("init: %s", err.msg);
	k->state_fd = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(k->state_fd >= 0);
	k->log_fd = sub(k, "log");
	k->wal_fd = sub(k, "log/wal");
	k->keys_fd = sub(k, "keys");
	k->handles_fd = sub(k, "handles");
	if (mf_broker_keys_load(STORE_KIT_TD, STORE_KIT_BROKER, kek, k->keys_fd, &k->keys, &err) != MF_OK)
		fail_msg("keys: %s", err.msg);
	mf_buf_init(&k->origin, 1024);
	mf_log_origin(STORE_KIT_TD, STORE_KIT_BROKER, &k->origin);
	mf_ed25519_public(k->keys->log, pub);
	assert_int_equal(mf_note_key_init(mf_buf_slice(&k->origin), pub, &k->note, NULL), MF_OK);
}

enum mf_status
mf_store_kit_open(struct store_kit *k, uint64_t segment, struct mf_err *err)
{
	struct mf_store_conf sc = { .log_dirfd = k->log_fd, .segment = segment, .key = &k->note };
	k->hook = (struct mf_store_hook) { 0 };
	k->o = (struct mf_store_opened) { 0 };
	MF_TRY(mf_store_open(&sc, &k->hook, &k->o, err));
	k->posted = k->durable = mf_state_size(k->o.state);
	return MF_OK;
}

void
mf_store_kit_run(struct store_kit *k)
{
	struct mf_err err = { 0 };
	assert_int_equal(mf_mailbox_new(false, &k->box, NULL), MF_OK);
	struct mf_committer_conf cc = { .log_dirfd = k->log_fd,
		.origin = mf_buf_slice(&k->origin),
		.key = k->keys->log,
		.last_signed = k->o.has_head ? &k->o.signed_head : NULL,
		.inbox = k->box };
	if (mf_committer_new(&cc, k->o.wal, &k->c, &err) != MF_OK)
		fail_msg("committer: %s", err.msg);
	k->o.wal = NULL;
	k->hook.ctx = k->c;
	k->hook.on_rollover = mf_committer_rollover;
}

void
mf_store_kit_post(struct store_kit *k, struct mf_slice record, bool removal)
{
	mf_committer_append(k->c, k->posted++, record, removal);
}

static void
take(struct store_kit *k, struct mf_commit_event *ev)
{
	switch (ev->kind) {
	case MF_COMMIT_DURABLE:
		k->disordered = k->disordered || ev->size <= k->durable;
		k->durable = ev->size;
		k->durable_events++;
		break;
	case MF_COMMIT_ROOM:
		k->room = ev->room;
		break;
	case MF_COMMIT_SNAPSHOT:
		k->snapshots++;
		if (k->on_snapshot != NULL && k->c != NULL)
			k->on_snapshot(k->ctx, ev->size, ev->sha256);
		break;
	case MF_COMMIT_FAILED:
		k->failed = true;
		break;
	}
	free(ev);
}

void
mf_store_kit_poll(struct store_kit *k, uint64_t ms)
{
	struct mf_list got;
	mf_list_init(&got);
	(void)mf_mailbox_wait(k->box, &got, ms);
	MF_LIST_EACH(p, &got)
	{
		mf_list_del(p);
		take(k, MF_LIST_ITEM(p, struct mf_commit_event, at));
	}
}

void
mf_store_kit_settle(struct store_kit *k)
{
	uint64_t end = mf_now().mono_ms + STORE_KIT_HANG_MS;
	while (k->durable < k->posted && !k->failed) {
		assert_true(mf_now().mono_ms < end);
		mf_store_kit_poll(k, 100);
	}
}

void
mf_store_kit_close(struct store_kit *k)
{
	mf_committer_free(k->c);
	k->c = NULL;
	if (k->box != NULL)
		mf_store_kit_poll(k, 0);
	mf_mailbox_free(k->box);
	k->box = NULL;
	mf_wal_free(k->o.wal);
	mf_state_free(k->o.state);
	k->o = (struct mf_store_opened) { 0 };
}

void
mf_store_kit_fini(struct store_kit *k)
{
	char cmd[128];
	mf_store_kit_close(k);
	mf_broker_keys_free(k->keys);
	mf_buf_fini(&k->origin);
	(void)close(k->state_fd);
	(void)close(k->log_fd);
	(void)close(k->wal_fd);
	(void)close(k->keys_fd);
	(void)close(k->handles_fd);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", k->dir);
	assert_int_equal(system(cmd), 0);
}

void
mf_store_kit_read(const struct store_kit *k, const char *name, struct mf_buf *to)
{
	struct stat st;
	int fd = openat(k->state_fd, name, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	mf_buf_init(to, (size_t)st.st_size + 1);
	uint8_t *at = mf_buf_extend(to, (size_t)st.st_size);
	assert_true(st.st_size == 0 || (at != NULL && pread(fd, at, (size_t)st.st_size, 0) == st.st_size));
	(void)close(fd);
}

void
mf_store_kit_write(const struct store_kit *k, const char *name, struct mf_slice content)
{
	(void)unlinkat(k->state_fd, name, 0);
	int fd = openat(k->state_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_true(write(fd, content.p, content.n) == (ssize_t)content.n);
	(void)close(fd);
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

size_t
mf_store_kit_list(const struct store_kit *k, const char *name, size_t len, char ret[][32], size_t max)
{
	DIR *d = fdopendir(sub(k, name));
	size_t n = 0;
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		if (strlen(e->d_name) == len && len < 32 && e->d_name[0] != '.' && n < max)
			(void)snprintf(ret[n++], 32, "%s", e->d_name);
	(void)closedir(d);
	qsort(ret, n, sizeof(ret[0]), by_name);
	return n;
}
