/* A log that goes on under another name after a restore: who holds its former key or head can follow, or is told what is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/text.h"
#include "log/verify.h"
#include "log_kit.h"

#define OLD "example.org/log/b1"
#define NEW "example.org/log/b1/r-abc"
#define NEWER "example.org/log/b1/r-def"

struct world {
	char dir[64];
	struct log_kit k;
};

static void
world_init(struct world *w)
{
	*w = (struct world) { .dir = "/tmp/mayfly-test-lineage-XXXXXX" };
	assert_non_null(mkdtemp(w->dir));
	mf_log_kit_open(&w->k, w->dir, INT64_C(1790000000000000), 1u << 20);
	mf_log_kit_append(&w->k, 21, 7);
	mf_log_kit_sign(&w->k);
}

static void
world_fini(struct world *w)
{
	char cmd[128];
	mf_log_kit_close(&w->k);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", w->dir);
	assert_int_equal(system(cmd), 0);
}

/* What log.restored says; NULL, 0 or false: what is so. */
struct says {
	const char *from, *to, *root, *key_of, *cause;
	int64_t size;
};

static void
key_named(const struct world *w, const char *name, struct mf_note_key *ret_key)
{
	assert_int_equal(mf_note_key_init(mf_slice_str(name), w->k.vkey.public_key, ret_key, NULL), MF_OK);
}

static void
put_restored(struct world *w, const struct says *s, struct mf_buf *b)
{
	struct mf_wal_head head = mf_wal_head(w->k.wal);
	struct mf_note_key key;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf root;
	mf_buf_init(&root, 100);
	mf_hex_put(&root, mf_slice(head.root, sizeof(head.root)));
	key_named(w, s->key_of == NULL ? s->to : s->key_of, &key);
	mf_buf_putf(b,
	    "{\"cause\":\"%s\",\"id\":\"r-%llu\",\"origin\":\"%s\",\"previous\":{\"origin\":\"%s\",\"root\":"
	    "\"%s\","
	    "\"size\":%lld},\"ts\":\"",
	    s->cause == NULL ? "whole" : s->cause, (unsigned long long)head.size, s->to, s->from,
	    s->root == NULL ? mf_buf_cstr(&root) : s->root,
	    s->size == 0 ? (long long)head.size : (long long)s->size);
	mf_time_put_us(b, w->k.ts_us);
	mf_buf_put_str(b, "\",\"type\":\"log.restored\",\"v\":1,\"vkey\":\"");
	mf_note_key_put(&key, b);
	mf_buf_put_str(b, "\"}");
}

/* The log goes on as ${s} says, and is signed so. */
static void
restore(struct world *w, const struct says *s)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	uint64_t first;
	mf_buf_init(&b, MF_LIM_RECORD);
	put_restored(w, s, &b);
	struct mf_slice bytes = mf_buf_slice(&b);
	assert_int_equal(mf_wal_append_batch(w->k.wal, &bytes, 1, MF_WAL_NORMAL, &first, NULL), MF_OK);
	mf_checkpointer_free(w->k.cp);
	w->k.cp = NULL;
	assert_int_equal(
	    mf_checkpointer_new(NULL, w->k.dirfd, mf_slice_str(s->to), w->k.key, NULL, &w->k.cp, NULL),
	    MF_OK);
	mf_log_kit_append(&w->k, 14, 7);
	mf_log_kit_sign(&w->k);
}

static struct mf_checkpoint
head_of(const struct world *w, const char *origin)
{
	struct mf_checkpoint cp = { .head = mf_wal_head(w->k.wal) };
	(void)snprintf(cp.origin, sizeof(cp.origin), "%s", origin);
	return cp;
}

static enum mf_status
verify(const struct world *w, const char *key_name, const struct mf_checkpoint *held, size_t *ret_links,
    struct mf_err *err)
{
	struct mf_note_key key;
	MF_AUTO(mf_verifier_free) struct mf_verifier *v = NULL;
	key_named(w, key_name, &key);
	struct mf_verify_opts o = {
		.log_dirfd = w->k.dirfd, .wal_dirfd = w->k.waldirfd, .key = &key, .held = held
	};
	bool moved;
	assert_int_equal(mf_verifier_new(&o, &v, NULL), MF_OK);
	enum mf_status s = mf_verifier_head(v, &moved, err);
	if (s == MF_OK)
		s = mf_verifier_tail(v, err);
	if (ret_links != NULL)
		*ret_links = mf_verifier_report(v)->lineage->n;
	return s;
}

static void
refused(const struct world *w, const char *key_name, const struct mf_checkpoint *held, const char *says)
{
	struct mf_err err = { 0 };
	assert_int_equal(verify(w, key_name, held, NULL, &err), MF_E_CORRUPT);
	if (strstr(err.msg, says) == NULL)
		fail_msg("wanted \"%s\": %s", says, err.msg);
}

/* By the former key, by the new one, and over two restores. */
static void
test_follows(void **state)
{
	struct world w;
	struct mf_err err = { 0 };
	size_t n;
	(void)state;
	world_init(&w);
	restore(&w, &(struct says) { .from = OLD, .to = NEW });
	assert_int_equal(verify(&w, OLD, NULL, &n, &err), MF_OK);
	assert_int_equal(n, 1);
	assert_int_equal(verify(&w, NEW, NULL, &n, &err), MF_OK);
	restore(&w, &(struct says) { .from = NEW, .to = NEWER, .cause = "tail_may_be_missing" });
	static const char *const names[] = { OLD, NEW, NEWER };
	for (size_t i = 0; i < MF_COUNT(names); i++) {
		assert_int_equal(verify(&w, names[i], NULL, &n, &err), MF_OK);
		assert_int_equal(n, 2);
	}
	/* A key of a log that this one never was. */
	refused(&w, "example.org/log/b2", NULL, "never had");
	world_fini(&w);
}

/* A name without the record that gives it. */
static void
test_name_without_record(void **state)
{
	struct world w;
	(void)state;
	world_init(&w);
	mf_checkpointer_free(w.k.cp);
	w.k.cp = NULL;
	assert_int_equal(
	    mf_checkpointer_new(NULL, w.k.dirfd, MF_SLICE_LIT(NEW), w.k.key, NULL, &w.k.cp, NULL), MF_OK);
	mf_log_kit_append(&w.k, 7, 7);
	mf_log_kit_sign(&w.k);
	refused(&w, OLD, NULL, NEW);
	world_fini(&w);
}

static void
test_false_links(void **state)
{
	static const struct {
		struct says s;
		const char *why;
	} cases[] = {
		{ { .from = OLD, .to = NEW, .size = 20 }, "another size" },
		{ { .from = OLD,
		      .to = NEW,
		      .root = "0000000000000000000000000000000000000000000000000000000000000000" },
		    "another root" },
		{ { .from = OLD, .to = NEW, .key_of = OLD }, "another key" },
		{ { .from = NEW, .to = NEW }, "no new name" },
	};
	(void)state;
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		struct world w;
		world_init(&w);
		restore(&w, &cases[i].s);
		refused(&w, OLD, NULL, cases[i].why);
		world_fini(&w);
	}
	struct world w;
	world_init(&w);
	restore(&w, &(struct says) { .from = OLD, .to = NEW });
	restore(&w, &(struct says) { .from = OLD, .to = NEWER });
	refused(&w, OLD, NULL, "continues another log");
	world_fini(&w);
}

/* Heads that somebody kept: of before, of the moment, and of records that the restored copy never had. */
static void
test_held_heads(void **state)
{
	struct world w, lost;
	struct mf_err err = { 0 };
	(void)state;
	world_init(&w);
	world_init(&lost); /* the same records: the log that will be restored from an older copy */
	struct mf_checkpoint old = head_of(&w, OLD);
	mf_log_kit_append(&lost.k, 7, 7);
	struct mf_checkpoint missing = head_of(&lost, OLD);
	restore(&w, &(struct says) { .from = OLD, .to = NEW, .cause = "tail_may_be_missing" });
	struct mf_checkpoint now = head_of(&w, NEW);
	assert_int_equal(verify(&w, OLD, &old, NULL, &err), MF_OK);
	assert_int_equal(verify(&w, NEW, &old, NULL, &err), MF_OK);
	assert_int_equal(verify(&w, NEW, &now, NULL, &err), MF_OK);
	refused(&w, NEW, &missing, "7 records are missing");
	refused(&w, OLD, &missing, "keeps the head of the new log");
	/* Another log's head; one of this log that never was; one that lies between two frames. */
	struct mf_checkpoint false_head = old;
	false_head.head.root[0] ^= 1;
	refused(&w, NEW, &false_head, "are not those");
	false_head = old;
	false_head.head.size = 20;
	refused(&w, NEW, &false_head, "are not those");
	false_head = old;
	(void)snprintf(false_head.origin, sizeof(false_head.origin), "example.org/log/b2");
	refused(&w, NEW, &false_head, "never had");
	false_head = now;
	false_head.head.size += 100;
	refused(&w, NEW, &false_head, "ends");
	world_fini(&lost);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_follows),
		cmocka_unit_test(test_name_without_record),
		cmocka_unit_test(test_false_links),
		cmocka_unit_test(test_held_heads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
