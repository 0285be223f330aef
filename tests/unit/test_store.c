/* The notary's log on a real disk: made by init, written, rolled over, opened again; and everything that can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "broker/core/snapshot.h"
#include "broker/init.h"
#include "lib/engine_rig.h"
#include "lib/store_kit.h"

#define SEGMENT (1024u * 1024u)

/* A broker's directory with an engine that writes into it. */
struct world {
	struct store_kit k;
	struct rig *r;
	char node[MF_STATE_ID_MAX];
	uint8_t value[16];
	unsigned next;
	uint64_t recorded; /* size of the last snapshot that is on record */
};

static void
also_on_disk(void *ctx, struct mf_slice record, bool removal)
{
	struct world *w = ctx;
	mf_store_kit_post(&w->k, record, removal);
}

static void
snapshot_written(void *ctx, uint64_t size, const uint8_t sha256[32])
{
	struct world *w = ctx;
	w->recorded = size;
	mf_engine_snapshot_written(w->r->e, w->r->now, size, sha256);
	mf_rig_commit(w->r);
}

static void
open_again(struct world *w)
{
	struct mf_err err = { 0 };
	if (mf_store_kit_open(&w->k, SEGMENT, &err) != MF_OK)
		fail_msg("open: %s", err.msg);
}

static void
world_init(struct world *w)
{
	*w = (struct world) { 0 };
	mf_store_kit_init(&w->k);
	open_again(w);
	assert_int_equal(mf_state_size(w->k.o.state), 1); /* what init wrote */
	assert_string_equal(mf_state_origin(w->k.o.state), "example.org/mayfly/b1");
	mf_store_kit_run(&w->k);
	w->k.on_snapshot = snapshot_written;
	w->k.ctx = w;
	/* The rig's first record stands for the one that init wrote; the rest goes to disk as it is. */
	w->r = mf_rig_new();
	for (size_t i = 1; i < w->r->log_n; i++)
		mf_store_kit_post(&w->k, mf_slice(w->r->log[i].p, w->r->log[i].n), w->r->log[i].removal);
	w->r->tee = also_on_disk;
	w->r->tee_ctx = w;
	mf_rig_join(w->r, 1, 1, w->node, w->value);
}

static void
world_fini(struct world *w)
{
	w->r->tee = NULL;
	mf_store_kit_fini(&w->k);
	mf_rig_free(w->r);
}

/* One more job, with some 18 KB of selectors; every other one ends. */
static void
one_job(struct world *w)
{
	static char text[20][960];
	char *selectors[20], key[256], profile[] = "train", user[] = "alice", grade[] = "g";
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__Attach a = MAYFLY__AGENT__V1__ATTACH__INIT;
	uint8_t point[65] = { 4 };
	ProtobufCBinaryData points[2] = { { 65, point }, { 65, point } };
	mf_rig_instance_key(key, w->node, RIG_BOOT, ++w->next);
	for (size_t i = 0; i < 20; i++) {
		memset(text[i], 'a' + (int)i, sizeof(text[i]) - 1);
		memcpy(text[i], i == 0 ? "unix.user:alice" : "unix.x:", i == 0 ? 16 : 7);
		selectors[i] = text[i];
	}
	a.instance_key = key;
	a.profile = profile;
	a.unix_user = user;
	a.grade = grade;
	a.n_selectors = 20;
	a.selectors = selectors;
	a.n_points = 2;
	a.points = points;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_ATTACH;
	up.attach = &a;
	uint64_t req = mf_rig_up(w->r, 1, 1, &up);
	mf_rig_settle(w->r);
	assert_non_null(mf_rig_grant(w->r, 1, req));
	if (w->next % 2 == 0)
		(void)mf_rig_end(w->r, 1, 1, key, "");
	mf_rig_advance(w->r, 1000);
	mf_rig_settle(w->r);
}

/* All is on disk, and the snapshot of the last rollover is on record. */
static void
settle(struct world *w)
{
	char names[32][32];
	uint64_t first = 1, end = mf_now().mono_ms + STORE_KIT_HANG_MS;
	while (first != w->recorded) {
		assert_true(mf_now().mono_ms < end);
		mf_store_kit_settle(&w->k);
		mf_store_kit_poll(&w->k, first == 1 ? 0 : 20);
		size_t n = mf_store_kit_list(&w->k, "log/wal", 20, names, 32);
		assert_true(n > 0 && mf_segment_parse(names[n - 1], &first));
	}
	mf_store_kit_settle(&w->k);
}

/* Until ${n} more snapshots are on record. */
static void
write_snapshots(struct world *w, uint64_t n)
{
	uint64_t want = w->k.snapshots + n;
	for (unsigned i = 0; w->k.snapshots < want; i++) {
		assert_true(i < 3000);
		one_job(w);
		settle(w);
	}
}

static void
check_state(const struct world *w)
{
	char *live = mf_rig_snapshot(mf_engine_state(w->r->e)), *read = mf_rig_snapshot(w->k.o.state);
	assert_string_equal(live, read);
	free(live);
	free(read);
}

static void
test_made_and_opened(void **state)
{
	MF_UNUSED(state);
	struct world w;
	world_init(&w);
	mf_store_kit_close(&w.k);
	open_again(&w);
	assert_int_equal(w.k.o.from_snapshot, 0);
	assert_int_equal(w.k.o.replayed, w.r->log_n);
	assert_true(w.k.o.has_head);
	assert_int_equal(w.k.o.signed_head.size, w.r->log_n); /* signed at a clean stop */
	assert_int_equal(w.k.o.truncated_bytes, 0);
	check_state(&w);
	world_fini(&w);
}

static void
test_snapshot_plus_tail(void **state)
{
	MF_UNUSED(state);
	struct world w;
	char names[8][32], path[64];
	world_init(&w);
	write_snapshots(&w, 3);
	one_job(&w); /* a tail */
	settle(&w);
	mf_store_kit_close(&w.k);
	open_again(&w);
	uint64_t newest = w.k.o.from_snapshot;
	assert_true(newest > 0 && w.k.o.replayed < w.r->log_n - newest + 1);
	check_state(&w);
	assert_int_equal(mf_store_kit_list(&w.k, "log/snapshots", 21, names, 8), 2); /* one older is kept */
	mf_store_kit_close(&w.k);
	/* None: all is read, and it is the same. */
	struct mf_buf kept[2];
	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof(path), "log/snapshots/%s", names[i]);
		mf_store_kit_read(&w.k, path, &kept[i]);
		assert_int_equal(unlinkat(w.k.state_fd, path, 0), 0);
	}
	open_again(&w);
	assert_int_equal(w.k.o.from_snapshot, 0);
	assert_int_equal(w.k.o.replayed, w.r->log_n);
	check_state(&w);
	mf_store_kit_close(&w.k);
	/* The older one alone, and the newer one's content under its name. */
	(void)snprintf(path, sizeof(path), "log/snapshots/%s", names[0]);
	mf_store_kit_write(&w.k, path, mf_buf_slice(&kept[0]));
	open_again(&w);
	assert_true(w.k.o.from_snapshot > 0 && w.k.o.from_snapshot < newest);
	check_state(&w);
	mf_store_kit_close(&w.k);
	mf_store_kit_write(&w.k, path, mf_buf_slice(&kept[1]));
	open_again(&w);
	assert_int_equal(w.k.o.from_snapshot, 0);
	check_state(&w);
	mf_buf_fini(&kept[0]);
	mf_buf_fini(&kept[1]);
	world_fini(&w);
}

static void
replace(struct mf_buf *b, const char *from, const char *to)
{
	uint8_t *at = memmem(b->p, b->n, from, strlen(from));
	assert_non_null(at);
	assert_int_equal(strlen(from), strlen(to));
	memcpy(at, to, strlen(to));
}

static void
test_snapshot_not_believed(void **state)
{
	MF_UNUSED(state);
	struct world w;
	char names[8][32], path[64];
	world_init(&w);
	write_snapshots(&w, 2);
	mf_store_kit_close(&w.k);
	assert_int_equal(mf_store_kit_list(&w.k, "log/snapshots", 21, names, 8), 2);
	(void)snprintf(path, sizeof(path), "log/snapshots/%s", names[1]);
	struct mf_buf good;
	mf_store_kit_read(&w.k, path, &good);
	for (unsigned i = 0; i < 6; i++) {
		struct mf_buf bad;
		mf_store_kit_read(&w.k, path, &bad);
		switch (i) {
		case 0: /* readable, and not what was recorded */
			replace(&bad, "\"hostname\":\"host\"", "\"hostname\":\"hosT\"");
			break;
		case 1:
			bad.n -= 5;
			break;
		case 2:
			bad.n = 10;
			break;
		case 3:
			bad.n = 0;
			break;
		case 4:
			bad.p[30] ^= 1; /* its edge of the tree */
			break;
		default: /* another log's, as far as anybody can see */
			replace(&bad, "example.org/mayfly/b1", "example.org/mayfly/b2");
			break;
		}
		mf_store_kit_write(&w.k, path, mf_buf_slice(&bad));
		open_again(&w);
		assert_true(w.k.o.from_snapshot > 0);
		char used[32];
		(void)snprintf(used, sizeof(used), "%016llu.snap", (unsigned long long)w.k.o.from_snapshot);
		assert_string_equal(used, names[0]);
		check_state(&w);
		mf_store_kit_close(&w.k);
		mf_buf_fini(&bad);
		mf_store_kit_write(&w.k, path, mf_buf_slice(&good));
	}
	mf_buf_fini(&good);
	world_fini(&w);
}

/* A bad snapshot must not be the ground of the next one, which would get a record of its own. */
static void
test_bad_snapshot_is_not_passed_on(void **state)
{
	MF_UNUSED(state);
	struct world w;
	char names[8][32], path[64];
	struct mf_buf bad;
	world_init(&w);
	write_snapshots(&w, 2);
	size_t n = mf_store_kit_list(&w.k, "log/snapshots", 21, names, 8);
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(path, sizeof(path), "log/snapshots/%s", names[i]);
		mf_store_kit_read(&w.k, path, &bad);
		replace(&bad, "\"hostname\":\"host\"", "\"hostname\":\"hosT\"");
		mf_store_kit_write(&w.k, path, mf_buf_slice(&bad));
		mf_buf_fini(&bad);
	}
	write_snapshots(&w, 1);
	mf_store_kit_close(&w.k);
	open_again(&w);
	assert_true(w.k.o.from_snapshot > 0);
	check_state(&w);
	world_fini(&w);
}

static void
last_segment(const struct world *w, char *ret_path)
{
	char names[32][32];
	size_t n = mf_store_kit_list(&w->k, "log/wal", 20, names, 32);
	assert_true(n > 0);
	(void)snprintf(ret_path, 64, "log/wal/%s", names[n - 1]);
}

static void
test_shorter_than_its_head(void **state)
{
	MF_UNUSED(state);
	struct world w;
	char path[64];
	struct mf_err err = { 0 };
	struct mf_buf seg;
	world_init(&w);
	write_snapshots(&w, 1);
	mf_store_kit_close(&w.k);
	last_segment(&w, path);
	mf_store_kit_read(&w.k, path, &seg);
	/* An older copy of the last file: whole frames, and fewer. */
	mf_store_kit_write(&w.k, path, mf_slice(NULL, 0));
	assert_int_equal(mf_store_kit_open(&w.k, SEGMENT, &err), MF_E_CORRUPT);
	assert_non_null(strstr(err.msg, "restore the newest copy"));
	/* Nothing was changed by looking: with the file back, all is well. */
	mf_store_kit_write(&w.k, path, mf_buf_slice(&seg));
	open_again(&w);
	check_state(&w);
	mf_buf_fini(&seg);
	world_fini(&w);
}

static void
test_torn_tail(void **state)
{
	MF_UNUSED(state);
	struct world w;
	char path[64], names[8][32];
	struct mf_buf seg;
	world_init(&w);
	write_snapshots(&w, 2);
	mf_store_kit_close(&w.k);
	last_segment(&w, path);
	mf_store_kit_read(&w.k, path, &seg);
	/* The first half of a frame, as a crash leaves it; and the newest snapshot is not believed, so that the log is
	 * opened more than once on the way. */
	static const uint8_t half[] = { 0xff, 'M', 'F', 'W', 0, 1, 0, 0, 1, 2, 3 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf torn, snap;
	mf_buf_init(&torn, seg.n + sizeof(half));
	mf_buf_put_slice(&torn, mf_buf_slice(&seg));
	mf_buf_put(&torn, half, sizeof(half));
	mf_store_kit_write(&w.k, path, mf_buf_slice(&torn));
	assert_int_equal(mf_store_kit_list(&w.k, "log/snapshots", 21, names, 8), 2);
	(void)snprintf(path, sizeof(path), "log/snapshots/%s", names[1]);
	mf_store_kit_read(&w.k, path, &snap);
	replace(&snap, "\"hostname\":\"host\"", "\"hostname\":\"hosT\"");
	mf_store_kit_write(&w.k, path, mf_buf_slice(&snap));
	open_again(&w);
	assert_int_equal(w.k.o.truncated_bytes, sizeof(half));
	check_state(&w);
	/* It goes on from there, and the next time there is nothing to say. */
	mf_store_kit_run(&w.k);
	one_job(&w);
	mf_store_kit_settle(&w.k);
	mf_store_kit_close(&w.k);
	open_again(&w);
	assert_int_equal(w.k.o.truncated_bytes, 0);
	check_state(&w);
	mf_buf_fini(&seg);
	world_fini(&w);
}

static void
test_changed_in_the_middle(void **state)
{
	MF_UNUSED(state);
	struct world w;
	char path[64];
	struct mf_err err = { 0 };
	struct mf_buf seg;
	world_init(&w);
	for (unsigned i = 0; i < 5; i++) {
		one_job(&w);
		mf_store_kit_settle(&w.k);
	}
	mf_store_kit_close(&w.k);
	last_segment(&w, path);
	mf_store_kit_read(&w.k, path, &seg);
	seg.p[seg.n / 2] ^= 1;
	mf_store_kit_write(&w.k, path, mf_buf_slice(&seg));
	assert_int_equal(mf_store_kit_open(&w.k, SEGMENT, &err), MF_E_CORRUPT);
	seg.p[seg.n / 2] ^= 1;
	mf_store_kit_write(&w.k, path, mf_buf_slice(&seg));
	open_again(&w);
	mf_store_kit_close(&w.k);
	/* A head that somebody else signed. */
	struct store_kit other;
	struct mf_buf head;
	mf_store_kit_init(&other);
	mf_store_kit_read(&other, "log/checkpoint", &head);
	mf_store_kit_write(&w.k, "log/checkpoint", mf_buf_slice(&head));
	enum mf_status s = mf_store_kit_open(&w.k, SEGMENT, &err);
	assert_true(s == MF_E_CORRUPT || s == MF_E_UNAUTH);
	mf_buf_fini(&head);
	mf_store_kit_fini(&other);
	mf_buf_fini(&seg);
	world_fini(&w);
}

static void
test_keys(void **state)
{
	MF_UNUSED(state);
	struct store_kit k;
	struct mf_err err = { 0 };
	struct mf_broker_keys *untouched = (void *)&err, *got = untouched;
	MF_AUTO(mf_kek_free) struct mf_kek *kek = mf_store_kit_kek(1);
	MF_AUTO(mf_kek_free) struct mf_kek *wrong = mf_store_kit_kek(2);
	mf_store_kit_init(&k);
	assert_int_not_equal(
	    mf_broker_keys_load(STORE_KIT_TD, STORE_KIT_BROKER, wrong, k.keys_fd, &got, &err), MF_OK);
	assert_non_null(strstr(err.msg, "keys/ca.key"));
	/* Sealed for this broker and no other. */
	assert_int_not_equal(mf_broker_keys_load(STORE_KIT_TD, "b2", kek, k.keys_fd, &got, &err), MF_OK);
	assert_int_not_equal(
	    mf_broker_keys_load("example.com", STORE_KIT_BROKER, kek, k.keys_fd, &got, &err), MF_OK);
	/* One key file in another's place. */
	struct mf_buf inner, log;
	mf_store_kit_read(&k, "keys/inner.key", &inner);
	mf_store_kit_read(&k, "keys/log.key", &log);
	mf_store_kit_write(&k, "keys/log.key", mf_buf_slice(&inner));
	assert_int_not_equal(
	    mf_broker_keys_load(STORE_KIT_TD, STORE_KIT_BROKER, kek, k.keys_fd, &got, &err), MF_OK);
	mf_store_kit_write(&k, "keys/log.key", mf_buf_slice(&log));
	/* A certificate of another key. */
	struct store_kit other;
	struct mf_buf pem;
	mf_store_kit_init(&other);
	mf_store_kit_read(&other, "keys/ca.pem", &pem);
	mf_store_kit_write(&k, "keys/ca.pem", mf_buf_slice(&pem));
	assert_int_equal(
	    mf_broker_keys_load(STORE_KIT_TD, STORE_KIT_BROKER, kek, k.keys_fd, &got, &err), MF_E_CORRUPT);
	assert_ptr_equal(got, untouched);
	/* What is there is never overwritten. */
	assert_int_equal(mf_broker_keys_save(k.keys, STORE_KIT_BROKER, kek, k.keys_fd, &err), MF_E_EXISTS);
	mf_buf_fini(&pem);
	mf_buf_fini(&inner);
	mf_buf_fini(&log);
	mf_store_kit_fini(&other);
	mf_store_kit_fini(&k);
}

static enum mf_status
init_again(const struct store_kit *k, struct mf_err *err)
{
	MF_AUTO(mf_kek_free) struct mf_kek *kek = mf_store_kit_kek(1);
	char state[80];
	(void)snprintf(state, sizeof(state), "%s/state", k->dir);
	struct mf_init_conf c = { .trust_domain = STORE_KIT_TD,
		.broker_id = STORE_KIT_BROKER,
		.state_dir = state,
		.ca_ttl_ms = 1000000,
		.notary_uid = getuid(),
		.front_uid = getuid(),
		.notary_gid = getgid(),
		.front_gid = getgid(),
		.kek = kek };
	return mf_broker_init(&c, err);
}

static void
test_format(void **state)
{
	MF_UNUSED(state);
	struct store_kit k;
	struct mf_err err = { 0 };
	char dir[80];
	struct mf_buf before, after;
	mf_store_kit_init(&k);
	(void)snprintf(dir, sizeof(dir), "%s/state", k.dir);
	assert_int_equal(mf_broker_check_format(dir, &err), MF_OK);
	mf_store_kit_read(&k, "keys/ca.key", &before);
	assert_int_equal(init_again(&k, &err), MF_E_EXISTS);
	mf_store_kit_read(&k, "keys/ca.key", &after);
	assert_true(mf_slice_eq(mf_buf_slice(&before), mf_buf_slice(&after)));
	static const char *const newer[] = { "mayfly-broker 2\n", "mayfly-broker 1", "", "garbage\n" };
	for (size_t i = 0; i < MF_COUNT(newer); i++) {
		mf_store_kit_write(&k, "FORMAT", mf_slice_str(newer[i]));
		assert_int_equal(mf_broker_check_format(dir, &err), MF_E_UNSUPPORTED);
	}
	/* An init that was cut short: neither a broker nor nothing, and the text says what to do. */
	assert_int_equal(unlinkat(k.state_fd, "FORMAT", 0), 0);
	assert_int_equal(mf_broker_check_format(dir, &err), MF_E_NOTFOUND);
	assert_int_equal(init_again(&k, &err), MF_E_EXISTS);
	assert_non_null(strstr(err.msg, "did not finish"));
	/* What cannot be read is not taken for absent. */
	assert_int_equal(mkdirat(k.state_fd, "FORMAT", 0700), 0);
	enum mf_status s = mf_broker_check_format(dir, &err);
	assert_true(s != MF_OK && s != MF_E_NOTFOUND);
	(void)snprintf(dir, sizeof(dir), "%s/nothing", k.dir);
	assert_int_equal(mf_broker_check_format(dir, &err), MF_E_NOTFOUND);
	mf_buf_fini(&before);
	mf_buf_fini(&after);
	mf_store_kit_fini(&k);
}

static void
test_kek_file(void **state)
{
	MF_UNUSED(state);
	struct store_kit k;
	struct mf_err err = { 0 };
	char path[96];
	struct mf_buf one, two;
	struct stat st;
	mf_store_kit_init(&k);
	(void)snprintf(path, sizeof(path), "%s/state/kek", k.dir);
	assert_int_equal(mf_broker_make_kek_file(path, &err), MF_OK);
	assert_true(stat(path, &st) == 0 && st.st_size == 32 && (st.st_mode & 0777) == 0400);
	mf_store_kit_read(&k, "kek", &one);
	assert_int_equal(mf_broker_make_kek_file(path, &err), MF_OK); /* the one that is there stays */
	mf_store_kit_read(&k, "kek", &two);
	assert_true(mf_slice_eq(mf_buf_slice(&one), mf_buf_slice(&two)));
	(void)snprintf(path, sizeof(path), "%s/new/kek", k.dir);
	assert_int_equal(mf_broker_make_kek_file(path, &err), MF_OK);
	mf_buf_fini(&one);
	mf_buf_fini(&two);
	mf_store_kit_fini(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made_and_opened),
		cmocka_unit_test(test_snapshot_plus_tail),
		cmocka_unit_test(test_snapshot_not_believed),
		cmocka_unit_test(test_bad_snapshot_is_not_passed_on),
		cmocka_unit_test(test_shorter_than_its_head),
		cmocka_unit_test(test_torn_tail),
		cmocka_unit_test(test_changed_in_the_middle),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_kek_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
