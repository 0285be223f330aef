#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/front/read_model.h"
#include "lib/record_kit.h"
#include "log/merkle.h"

/* ---- a directory of its own for every test ---- */

struct world {
	char dir[64];
	int dirfd, back;
	struct mf_read_model *rm;
	struct kit kit;
};

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	assert_non_null(w);
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/mf-rm-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->dirfd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w->back = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(w->dirfd >= 0 && w->back >= 0);
	kit_history(&w->kit);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	static const char *const names[] = { MF_RM_FILE, MF_RM_FILE "-wal", MF_RM_FILE "-journal" };
	struct world *w = *state;
	mf_read_model_free(w->rm);
	for (size_t i = 0; i < MF_COUNT(names); i++)
		(void)unlinkat(w->dirfd, names[i], 0);
	assert_int_equal(fchdir(w->back), 0);
	assert_int_equal(rmdir(w->dir), 0); /* nothing else was left behind */
	(void)close(w->dirfd);
	(void)close(w->back);
	kit_fini(&w->kit);
	free(w);
	return 0;
}

static void
reopen(struct world *w, enum mf_rm_how want)
{
	struct mf_err err = { 0 }, why = { 0 };
	enum mf_rm_how how;
	mf_read_model_free(MF_TAKE(w->rm));
	if (mf_read_model_open(w->dirfd, &w->rm, &how, &why, &err) != MF_OK)
		fail_msg("%s", err.msg);
	assert_int_equal(how, want);
	assert_int_equal(why.msg[0] != '\0', want == MF_RM_REBUILD || want == MF_RM_REBUILD_NEWER);
}

static void
apply(struct world *w, size_t from, size_t to)
{
	struct mf_err err = { 0 };
	if (mf_read_model_apply(w->rm, from, w->kit.at + from, to - from, &err) != MF_OK)
		fail_msg("%s", err.msg);
}

static void
dump(struct world *w, struct mf_buf *to)
{
	struct mf_err err = { 0 };
	mf_buf_init(to, 1 << 20);
	if (mf_read_model_dump(w->rm, to, &err) != MF_OK)
		fail_msg("%s", err.msg);
	assert_true(to->n > 0);
}

/* ---- reading ---- */

struct seen {
	size_t n, stop;
	struct mf_rm_job jobs[8];
	struct mf_rm_node nodes[8];
	struct mf_rm_instance inst[8];
	char ids[8][MF_RM_ID_MAX];
	char states[8][16];
	char list[8][128];
};

static bool
see_job(void *ctx, const struct mf_rm_job *j)
{
	struct seen *s = ctx;
	s->jobs[s->n] = *j;
	(void)snprintf(s->ids[s->n], sizeof(s->ids[0]), "%s", j->id);
	(void)snprintf(s->states[s->n], sizeof(s->states[0]), "%s", j->state);
	return ++s->n != s->stop;
}

static void
see_list(struct seen *s, const struct mf_slice *v, size_t n)
{
	size_t at = 0;
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(
		    s->list[s->n] + at, sizeof(s->list[0]) - at, "%.*s;", (int)v[i].n, (const char *)v[i].p);
}

static bool
see_node(void *ctx, const struct mf_rm_node *n)
{
	struct seen *s = ctx;
	s->nodes[s->n] = *n;
	(void)snprintf(s->ids[s->n], sizeof(s->ids[0]), "%s", n->id);
	see_list(s, n->attributes, n->attributes_n);
	return ++s->n != s->stop;
}

static bool
see_instance(void *ctx, const struct mf_rm_instance *i)
{
	struct seen *s = ctx;
	s->inst[s->n] = *i;
	(void)snprintf(s->ids[s->n], sizeof(s->ids[0]), "%s", i->lease);
	(void)snprintf(s->states[s->n], sizeof(s->states[0]), "%s", i->state);
	see_list(s, i->selectors, i->selectors_n);
	return ++s->n != s->stop;
}

static void
test_rows(void **state)
{
	struct world *w = *state;
	struct seen s = { .n = 0 };
	reopen(w, MF_RM_CREATED);
	assert_string_equal(mf_read_model_vkey(w->rm), "");
	apply(w, 0, w->kit.n);
	assert_int_equal(mf_read_model_applied(w->rm), w->kit.n);
	assert_string_equal(mf_read_model_vkey(w->rm), "example.org/mayfly/b1+deadbeef+AQID");

	assert_int_equal(mf_read_model_jobs(w->rm, true, UINT64_MAX, 10, see_job, &s, NULL), MF_OK);
	assert_int_equal(s.n, 3); /* the newest first */
	assert_string_equal(s.ids[0], KIT_JOB_3);
	assert_string_equal(s.states[0], "ended");
	assert_int_equal(s.jobs[0].live, 0);
	assert_true(s.jobs[0].ended_us > s.jobs[0].started_us);
	assert_string_equal(s.ids[1], KIT_JOB_2);
	assert_string_equal(s.states[1], "open"); /* one open, one suspended */
	assert_int_equal(s.jobs[1].instances, 2);
	assert_int_equal(s.jobs[1].live, 2);
	assert_int_equal(s.jobs[1].deadline, KIT_US / 1000000 + 2 * 86400);
	assert_string_equal(s.ids[2], KIT_JOB_1);

	s = (struct seen) { .n = 0 };
	assert_int_equal(mf_read_model_jobs(w->rm, false, UINT64_MAX, 10, see_job, &s, NULL), MF_OK);
	assert_int_equal(s.n, 2);
	uint64_t before = s.jobs[0].index;
	s = (struct seen) { .n = 0 };
	assert_int_equal(mf_read_model_jobs(w->rm, false, before, 10, see_job, &s, NULL), MF_OK);
	assert_int_equal(s.n, 1); /* the page after the first row */
	assert_string_equal(s.ids[0], KIT_JOB_1);
	s = (struct seen) { .stop = 1 };
	assert_int_equal(mf_read_model_jobs(w->rm, true, UINT64_MAX, 10, see_job, &s, NULL), MF_OK);
	assert_int_equal(s.n, 1);
	s = (struct seen) { .n = 0 };
	assert_int_equal(mf_read_model_jobs(w->rm, true, UINT64_MAX, 2, see_job, &s, NULL), MF_OK);
	assert_int_equal(s.n, 2);

	s = (struct seen) { .n = 0 };
	assert_int_equal(mf_read_model_job(w->rm, KIT_JOB_1, see_job, &s, NULL), MF_OK);
	assert_int_equal(s.n, 1);
	assert_int_equal(mf_read_model_job(w->rm, "j-", see_job, &s, NULL), MF_E_NOTFOUND);
}

/* A deadline that moves, an end that is announced, instances that end one by one: what a list shows at each. */
static void
test_ending_rows(void **state)
{
	struct world *w = *state;
	struct seen s = { .n = 0 };
	struct kit *k = &w->kit;
	const int64_t day = KIT_US / 1000000 + 86400;
	kit_job_moved(k, MF_REC_JOB_EXTENDED, KIT_JOB_2, day * 2);
	kit_job_moved(k, MF_REC_JOB_SHORTENED, KIT_JOB_2, day);
	reopen(w, MF_RM_CREATED);
	apply(w, 0, k->n);
	assert_int_equal(mf_read_model_job(w->rm, KIT_JOB_2, see_job, &s, NULL), MF_OK);
	assert_int_equal(s.jobs[0].deadline, day);
	assert_int_equal(s.jobs[0].drain_ms, 60000);
	assert_int_equal(s.jobs[0].ending, 0);
	size_t from = k->n;
	kit_lease_moved(k, MF_REC_LEASE_ENDED, "L3.b1", KIT_JOB_2, 1); /* was suspended */
	kit_job_moved(k, MF_REC_JOB_ENDING, KIT_JOB_2, day + 60);
	apply(w, from, k->n);
	s = (struct seen) { .n = 0 };
	assert_int_equal(mf_read_model_job(w->rm, KIT_JOB_2, see_job, &s, NULL), MF_OK);
	assert_string_equal(s.states[0], "ending");
	assert_int_equal(s.jobs[0].ending, day + 60);
	assert_int_equal(s.jobs[0].live, 1);
	s = (struct seen) { .n = 0 };
	assert_int_equal(mf_read_model_instances(w->rm, KIT_JOB_2, 0, see_instance, &s, NULL), MF_OK);
	assert_string_equal(s.states[0], "ending");
	assert_string_equal(s.states[1], "ended");
	from = k->n;
	kit_lease_moved(k, MF_REC_LEASE_ENDED, "L2.b1", KIT_JOB_2, 2);
	kit_job_ended(k, KIT_JOB_2);
	apply(w, from, k->n);
	s = (struct seen) { .n = 0 };
	assert_int_equal(mf_read_model_job(w->rm, KIT_JOB_2, see_job, &s, NULL), MF_OK);
	assert_string_equal(s.states[0], "ended");
	assert_int_equal(s.jobs[0].live, 0);
}

static void
test_instances_and_nodes(void **state)
{
	struct world *w = *state;
	struct seen s = { .n = 0 };
	struct mf_rm_counts c;
	reopen(w, MF_RM_CREATED);
	apply(w, 0, w->kit.n);
	assert_int_equal(mf_read_model_instances(w->rm, KIT_JOB_2, 0, see_instance, &s, NULL), MF_OK);
	assert_int_equal(s.n, 2);
	assert_string_equal(s.ids[0], "L2.b1");
	assert_string_equal(s.states[0], "open");
	assert_int_equal(s.inst[0].epoch, 2);
	assert_string_equal(s.list[0], "unix.user:alice;unix.uid:1000;");
	assert_string_equal(s.states[1], "suspended");
	s = (struct seen) { .n = 0 };
	assert_int_equal(mf_read_model_instances(w->rm, KIT_JOB_2, 2, see_instance, &s, NULL), MF_OK);
	assert_int_equal(s.n, 1);
	assert_string_equal(s.ids[0], "L3.b1");
	s = (struct seen) { .stop = 1 };
	assert_int_equal(mf_read_model_instances(w->rm, KIT_JOB_2, 0, see_instance, &s, NULL), MF_OK);
	assert_int_equal(s.n, 1);

	s = (struct seen) { .n = 0 };
	assert_int_equal(mf_read_model_nodes(w->rm, true, 0, 10, see_node, &s, NULL), MF_OK);
	assert_int_equal(s.n, 2);
	assert_string_equal(s.ids[0], KIT_NODE_A);
	assert_int_equal(s.nodes[0].live, 2);
	assert_string_equal(s.list[0], "pool=gpu-a;");
	assert_int_equal(s.nodes[1].live, 1); /* the notary ends it in the records that follow */
	assert_true(s.nodes[1].evicted_us != 0);
	uint64_t second = s.nodes[1].index;
	s = (struct seen) { .n = 0 };
	assert_int_equal(mf_read_model_nodes(w->rm, true, second, 10, see_node, &s, NULL), MF_OK);
	assert_int_equal(s.n, 1);
	s = (struct seen) { .n = 0 };
	assert_int_equal(mf_read_model_nodes(w->rm, false, 0, 10, see_node, &s, NULL), MF_OK);
	assert_int_equal(s.n, 1);

	assert_false(mf_read_model_evicted(w->rm, KIT_NODE_A));
	assert_true(mf_read_model_evicted(w->rm, KIT_NODE_B));
	assert_false(mf_read_model_evicted(w->rm, "n-unknown"));
	assert_int_equal(mf_read_model_counts(w->rm, &c, NULL), MF_OK);
	assert_int_equal(c.nodes, 1);
	assert_int_equal(c.jobs_live, 2);
	assert_int_equal(c.leases_open, 2);
}

static bool
see_trouble(void *ctx, const struct mf_rm_node *n)
{
	struct seen *s = ctx;
	s->nodes[0] = *n;
	(void)snprintf(s->list[0], sizeof(s->list[0]), "%s|%s", n->evict_reason, n->refused);
	return ++s->n != s->stop;
}

/* Turned away, put out, let in again. */
static void
test_troubles_of_a_node(void **state)
{
	struct world *w = *state;
	struct seen s = { .n = 0 };
	struct mf_err err = { 0 };
	reopen(w, MF_RM_CREATED);
	size_t n = w->kit.n;
	apply(w, 0, n);
	kit_node_says(&w->kit, MF_REC_NODE_REFUSED, KIT_NODE_A, "a copy");
	kit_node_says(&w->kit, MF_REC_NODE_REFUSED, "", "nobody's");
	apply(w, n, w->kit.n);
	assert_int_equal(mf_read_model_node(w->rm, KIT_NODE_A, see_trouble, &s, NULL), MF_OK);
	assert_string_equal(s.list[0], "|a copy");
	assert_true(s.nodes[0].refused_us != 0);
	s.n = 0;
	assert_int_equal(mf_read_model_node(w->rm, KIT_NODE_B, see_trouble, &s, NULL), MF_OK);
	assert_string_equal(s.list[0], "stolen|");
	n = w->kit.n;
	kit_node_says(&w->kit, MF_REC_NODE_READMITTED, KIT_NODE_B, "");
	kit_evicted(&w->kit, KIT_NODE_A);
	kit_node_says(&w->kit, MF_REC_NODE_READMITTED, KIT_NODE_A, "");
	apply(w, n, w->kit.n);
	s.n = 0;
	assert_int_equal(mf_read_model_node(w->rm, KIT_NODE_A, see_trouble, &s, NULL), MF_OK);
	assert_string_equal(s.list[0], "|");
	assert_int_equal(s.nodes[0].evicted_us, 0);
	assert_true(s.nodes[0].readmitted_us != 0 && s.nodes[0].refused_us == 0);
	assert_false(mf_read_model_evicted(w->rm, KIT_NODE_B));
	assert_int_equal(mf_read_model_node(w->rm, "n-none", see_trouble, &s, &err), MF_E_NOTFOUND);
}

static void
test_match(void **state)
{
	static const struct {
		const char *typed;
		bool node;
		enum mf_status want;
		const char *id, *text;
	} t[] = {
		{ KIT_JOB_1, false, MF_OK, KIT_JOB_1, NULL },
		{ "j-z", false, MF_OK, KIT_JOB_3, NULL },
		{ "slurm/c1/77.0", false, MF_OK, KIT_JOB_2, NULL },
		{ "slurm/", false, MF_OK, KIT_JOB_2, NULL },
		{ "local/" KIT_NODE_B, false, MF_OK, KIT_JOB_3, NULL },
		{ "j-ccccccccccccccccddd", false, MF_E_INVALID, NULL, KIT_JOB_1 ", " KIT_JOB_2 ";" },
		{ "local/", false, MF_E_INVALID, NULL, KIT_JOB_3 },
		{ "j-q", false, MF_E_NOTFOUND, NULL, "mayfly job ls --all" },
		{ "", false, MF_E_INVALID, NULL, "which job?" },
		{ "%", false, MF_E_NOTFOUND, NULL, "no such job" },
		{ "j-_", false, MF_E_NOTFOUND, NULL, "no such job" },
		{ "' OR 1=1 --", false, MF_E_NOTFOUND, NULL, "no such job" },
		{ KIT_NODE_A, true, MF_OK, KIT_NODE_A, NULL },
		{ "n-aaaab", true, MF_OK, KIT_NODE_B, NULL },
		{ "n-aaaa", true, MF_E_INVALID, NULL, KIT_NODE_A ", " KIT_NODE_B },
		{ "gpu-08", true, MF_OK, KIT_NODE_B, NULL },
		{ "gpu", true, MF_E_NOTFOUND, NULL, "mayfly node ls --all" },
		{ "spiffe://example.org/mayfly/node/" KIT_NODE_B, true, MF_OK, KIT_NODE_B, NULL },
	};
	struct world *w = *state;
	char long_name[MF_RM_MATCH_MAX + 2], id[MF_RM_ID_MAX];
	reopen(w, MF_RM_CREATED);
	apply(w, 0, w->kit.n);
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		struct mf_err err = { 0 };
		enum mf_status s = t[i].node ? mf_read_model_match_node(w->rm, t[i].typed, id, &err)
					     : mf_read_model_match_job(w->rm, t[i].typed, id, &err);
		assert_int_equal(s, t[i].want);
		if (t[i].id != NULL)
			assert_string_equal(id, t[i].id);
		else if (strstr(err.msg, t[i].text) == NULL)
			fail_msg("%s: %s", t[i].typed, err.msg);
	}
	memset(long_name, 'j', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	assert_int_equal(mf_read_model_match_job(w->rm, long_name, id, NULL), MF_E_INVALID);
}

/* A key that comes again names the newest job; a crowd under one prefix is cut. */
static void
test_match_many(void **state)
{
	struct world *w = *state;
	char id[MF_RM_ID_MAX];
	struct mf_err err = { 0 };
	for (unsigned i = 0; i < 9; i++) {
		(void)snprintf(id, sizeof(id), "j-many%u", i);
		kit_job(&w->kit, id, "k8s/one", "");
	}
	kit_job(&w->kit, "j-same", "j-same", ""); /* found by both is still one */
	reopen(w, MF_RM_CREATED);
	apply(w, 0, w->kit.n);
	assert_int_equal(mf_read_model_match_job(w->rm, "j-same", id, &err), MF_OK);
	assert_int_equal(mf_read_model_match_job(w->rm, "k8s/one", id, &err), MF_OK);
	assert_string_equal(id, "j-many8");
	assert_int_equal(mf_read_model_match_job(w->rm, "j-many", id, &err), MF_E_INVALID);
	assert_non_null(strstr(err.msg, "j-many4, and more"));
}

/* ---- the promise: it can be lost and rebuilt ---- */

static void
test_rebuild_is_equal(void **state)
{
	struct world *w = *state;
	struct mf_buf a, b, c;
	uint8_t root[32], want[32], leaf[32];
	struct mf_merkle tree;
	reopen(w, MF_RM_CREATED);
	for (size_t i = 0; i < w->kit.n; i++)
		apply(w, i, i + 1);
	dump(w, &a);
	assert_int_equal(mf_read_model_reset(w->rm, NULL), MF_OK);
	assert_int_equal(mf_read_model_applied(w->rm), 0);
	assert_string_equal(mf_read_model_vkey(w->rm), "");
	apply(w, 0, w->kit.n); /* in one message this time */
	dump(w, &b);
	reopen(w, MF_RM_OPENED);
	dump(w, &c);
	assert_true(mf_slice_eq(mf_buf_slice(&a), mf_buf_slice(&b)));
	assert_true(mf_slice_eq(mf_buf_slice(&a), mf_buf_slice(&c)));
	assert_int_equal(mf_read_model_applied(w->rm), w->kit.n);
	assert_string_equal(mf_read_model_vkey(w->rm), "example.org/mayfly/b1+deadbeef+AQID");

	mf_merkle_init(&tree);
	for (size_t i = 0; i < w->kit.n; i++) {
		mf_merkle_leaf(w->kit.at[i], leaf);
		mf_merkle_append(&tree, leaf);
	}
	mf_merkle_root(&tree, want);
	mf_read_model_root(w->rm, root);
	assert_memory_equal(root, want, 32);
	mf_buf_fini(&a);
	mf_buf_fini(&b);
	mf_buf_fini(&c);
}

static void
test_order(void **state)
{
	struct world *w = *state;
	struct mf_err err = { 0 };
	reopen(w, MF_RM_CREATED);
	assert_int_equal(mf_read_model_apply(w->rm, 1, w->kit.at + 1, 1, &err), MF_E_STATE);
	apply(w, 0, 5);
	assert_int_equal(mf_read_model_apply(w->rm, 4, w->kit.at + 4, 1, &err), MF_E_STATE); /* twice */
	assert_int_equal(mf_read_model_apply(w->rm, 6, w->kit.at + 6, 1, &err), MF_E_STATE); /* a gap */
	assert_non_null(strstr(err.msg, "from 6 came, 5 is next"));
	apply(w, 5, 5);
	assert_int_equal(mf_read_model_applied(w->rm), 5);
}

/* What does not decode or does not follow changes nothing, not even by the good records before it. */
static void
test_bad_records(void **state)
{
	struct world *w = *state;
	struct mf_buf a, b;
	reopen(w, MF_RM_CREATED);
	apply(w, 0, 5);
	dump(w, &a);
	struct kit k = { .n = 0 };
	for (size_t i = 0; i < 5; i++)
		kit_opened(&k); /* so that the time goes on */
	static const char bad[] = "{\"type\":\"job.ended\"}";
	for (unsigned round = 0; round < 6; round++) {
		struct mf_slice v[2] = { w->kit.at[5], { 0 } };
		switch (round) {
		case 0:
			v[1] = MF_SLICE_LIT("");
			break;
		case 1:
			v[1] = mf_slice(bad, sizeof(bad) - 1);
			break;
		case 2:
			kit_lease_moved(&k, MF_REC_LEASE_ENDED, "L9.b1", KIT_JOB_1, 1);
			break;
		case 3:
			kit_job_ended(&k, "j-nobody");
			break;
		case 4:
			kit_node(&k, KIT_NODE_A, "t-1", "again");
			break;
		default:
			kit_node(&k, "n-new", "t-unknown", "x");
			break;
		}
		struct mf_err err = { 0 };
		if (round >= 2)
			v[1] = k.at[k.n - 1];
		assert_int_equal(mf_read_model_apply(w->rm, 5, v, 2, &err), MF_E_CORRUPT);
		assert_true(err.msg[0] != '\0');
		assert_int_equal(mf_read_model_applied(w->rm), 5);
		dump(w, &b);
		assert_true(mf_slice_eq(mf_buf_slice(&a), mf_buf_slice(&b)));
		mf_buf_fini(&b);
	}
	apply(w, 5, w->kit.n);
	mf_buf_fini(&a);
	kit_fini(&k);
}

static void
test_svids_are_skipped(void **state)
{
	/* A name that ends like a record must not pass for one. */
	struct world *w = *state;
	struct seen s = { .n = 0 };
	reopen(w, MF_RM_CREATED);
	kit_job(&w->kit, "j-tricky", "k/t", "x\",\"type\":\"svid.issued\",\"v\":1}");
	apply(w, 0, w->kit.n);
	assert_int_equal(mf_read_model_job(w->rm, "j-tricky", see_job, &s, NULL), MF_OK);
}

static void
write_file(struct world *w, const void *p, size_t n, int flags)
{
	int fd = openat(w->dirfd, MF_RM_FILE, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), n);
	assert_int_equal(close(fd), 0);
}

static void
test_garbage_is_rebuilt(void **state)
{
	struct world *w = *state;
	uint8_t junk[8192];
	struct mf_buf a, b;
	reopen(w, MF_RM_CREATED);
	apply(w, 0, w->kit.n);
	dump(w, &a);
	for (size_t i = 0; i < sizeof(junk); i++)
		junk[i] = (uint8_t)(i * 131 + i / 7);
	/* nothing of a database; its beginning only; damage in the middle; another program's */
	for (unsigned round = 0; round < 5; round++) {
		mf_read_model_free(MF_TAKE(w->rm));
		struct stat st;
		assert_int_equal(fstatat(w->dirfd, MF_RM_FILE, &st, 0), 0);
		if (round == 0) {
			write_file(w, junk, sizeof(junk), O_TRUNC);
		} else if (round == 1) {
			write_file(w, "SQLite format 3", 16, O_TRUNC);
		} else if (round == 2) {
			int fd = openat(w->dirfd, MF_RM_FILE, O_WRONLY | O_CLOEXEC);
			assert_true(fd >= 0 && st.st_size > 12288);
			assert_int_equal(pwrite(fd, junk, 8192, 4096), 8192);
			assert_int_equal(close(fd), 0);
		} else if (round == 3) {
			int fd = openat(w->dirfd, MF_RM_FILE, O_WRONLY | O_CLOEXEC);
			assert_int_equal(ftruncate(fd, st.st_size - 5000), 0);
			assert_int_equal(close(fd), 0);
		} else {
			write_file(w, junk, 100, 0); /* the header */
		}
		reopen(w, MF_RM_REBUILD);
		assert_int_equal(mf_read_model_applied(w->rm), 0);
		apply(w, 0, w->kit.n);
		dump(w, &b);
		assert_true(mf_slice_eq(mf_buf_slice(&a), mf_buf_slice(&b)));
		mf_buf_fini(&b);
	}
	mf_buf_fini(&a);
}

/*
 * Bytes altered anywhere, by a seed. What SQLite can see is built anew. A letter altered inside of a row it cannot see: then what is
 * shown is wrong until the tables are made again, which is why only the log is evidence. Nothing dies of either.
 */
static void
test_random_damage(void **state)
{
	struct world *w = *state;
	struct mf_buf a, b;
	size_t rebuilt = 0;
	uint64_t x = 88172645463325252u;
	reopen(w, MF_RM_CREATED);
	apply(w, 0, w->kit.n);
	dump(w, &a);
	for (unsigned round = 0; round < 60; round++) {
		struct mf_err err = { 0 }, why = { 0 };
		enum mf_rm_how how;
		struct stat st;
		struct seen seen = { .n = 0 };
		mf_read_model_free(MF_TAKE(w->rm));
		assert_int_equal(fstatat(w->dirfd, MF_RM_FILE, &st, 0), 0);
		int fd = openat(w->dirfd, MF_RM_FILE, O_WRONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		for (unsigned i = 0; i <= round % 40; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			uint8_t byte = (uint8_t)(x >> 8);
			assert_int_equal(pwrite(fd, &byte, 1, (off_t)((x >> 16) % (uint64_t)st.st_size)), 1);
		}
		assert_int_equal(close(fd), 0);
		if (mf_read_model_open(w->dirfd, &w->rm, &how, &why, &err) != MF_OK)
			fail_msg("round %u: %s", round, err.msg);
		rebuilt += how == MF_RM_REBUILD || how == MF_RM_REBUILD_NEWER;
		(void)!mf_read_model_jobs(w->rm, true, UINT64_MAX, 8, see_job, &seen, &err);
		if (mf_read_model_applied(w->rm) != 0)
			assert_int_equal(mf_read_model_reset(w->rm, &err), MF_OK);
		assert_int_equal(mf_read_model_applied(w->rm), 0);
		apply(w, 0, w->kit.n);
		dump(w, &b);
		assert_true(mf_slice_eq(mf_buf_slice(&a), mf_buf_slice(&b)));
		mf_buf_fini(&b);
	}
	print_message("   built anew in %zu rounds of 60\n", rebuilt);
	mf_buf_fini(&a);
}

/* user_version is the big-endian number at offset 60 of the file's header. */
static void
test_newer_schema_is_rebuilt(void **state)
{
	struct world *w = *state;
	reopen(w, MF_RM_CREATED);
	apply(w, 0, w->kit.n);
	mf_read_model_free(MF_TAKE(w->rm));
	int fd = openat(w->dirfd, MF_RM_FILE, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "\0\0\0\x63", 4, 60), 4);
	assert_int_equal(close(fd), 0);
	reopen(w, MF_RM_REBUILD_NEWER);
	assert_int_equal(mf_read_model_applied(w->rm), 0);
	apply(w, 0, w->kit.n);
}

static void
test_not_ours_to_open(void **state)
{
	struct world *w = *state;
	struct mf_err err = { 0 };
	enum mf_rm_how how;
	struct mf_read_model *rm = NULL;
	assert_int_equal(mkdirat(w->dirfd, MF_RM_FILE, 0700), 0);
	assert_int_equal(mf_read_model_open(w->dirfd, &rm, &how, NULL, &err), MF_E_IO);
	assert_non_null(strstr(err.msg, "read model: open"));
	assert_int_equal(unlinkat(w->dirfd, MF_RM_FILE, AT_REMOVEDIR), 0);
	assert_int_equal(mf_read_model_open(-1, &rm, &how, NULL, &err), MF_E_IO);
}

/* What the notary keeps nothing of: the scope's text, and the provider's name for the request. It goes a day after the token. */
static void
test_cloud(void **state)
{
	struct world *w = *state;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf scope, request;
	mf_buf_init(&scope, 4096);
	mf_buf_init(&request, 4096);
	for (unsigned i = 0; i < 2; i++) {
		struct mf_record r = kit_record(&w->kit, MF_REC_CLOUD_INTENT);
		r.ts_us += i * INT64_C(90000) * 1000000;
		static const enum mf_record_str all[] = { MF_RS_LEASE, MF_RS_JOB_ID, MF_RS_CLOUD_GRANT,
			MF_RS_CLOUD_TARGET, MF_RS_CLOUD_BACKEND, MF_RS_CLOUD_SCOPE_SHA256 };
		for (size_t k = 0; k < MF_COUNT(all); k++)
			mf_record_set_str(&r, all[k], "x");
		mf_record_set_str(&r, MF_RS_SERIAL, i == 0 ? "c-1" : "c-2");
		mf_record_set_str(&r, MF_RS_CLOUD_SCOPE, "{\"Action\":\"get\"}");
		mf_record_set_num(&r, MF_RN_EPOCH, 1);
		mf_record_set_num(&r, MF_RN_EXP, r.ts_us / 1000000 + 60);
		mf_record_set_num(&r, MF_RN_CLOUD_GENERATION, 1);
		kit_add(&w->kit, &r);
	}
	struct mf_record r = kit_record(&w->kit, MF_REC_CLOUD_ISSUED);
	mf_record_set_str(&r, MF_RS_LEASE, "x");
	mf_record_set_str(&r, MF_RS_SERIAL, "c-2");
	mf_record_set_str(&r, MF_RS_SHA256, KIT_HEX64);
	mf_record_set_str(&r, MF_RS_CLOUD_REQUEST_ID, "tx0001");
	mf_record_set_num(&r, MF_RN_EXP, KIT_US / 1000000);
	mf_record_set_num(&r, MF_RN_CLOUD_EFFECTIVE, KIT_US / 1000000);
	kit_add(&w->kit, &r);
	reopen(w, MF_RM_CREATED);
	apply(w, 0, w->kit.n - 2);
	assert_int_equal(mf_read_model_cloud(w->rm, "c-1", &scope, &request, NULL), MF_OK);
	assert_string_equal(mf_buf_cstr(&scope), "{\"Action\":\"get\"}");
	assert_int_equal(request.n, 0);
	apply(w, w->kit.n - 2, w->kit.n);
	mf_buf_reset(&scope);
	assert_int_equal(mf_read_model_cloud(w->rm, "c-2", &scope, &request, NULL), MF_OK);
	assert_string_equal(mf_buf_cstr(&request), "tx0001");
	assert_int_equal(mf_read_model_cloud(w->rm, "c-1", &scope, &request, NULL), MF_E_NOTFOUND);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_rows),
		TEST(test_troubles_of_a_node),
		TEST(test_ending_rows),
		TEST(test_instances_and_nodes),
		TEST(test_match),
		TEST(test_match_many),
		TEST(test_rebuild_is_equal),
		TEST(test_order),
		TEST(test_bad_records),
		TEST(test_svids_are_skipped),
		TEST(test_cloud),
		TEST(test_garbage_is_rebuilt),
		TEST(test_random_damage),
		TEST(test_newer_schema_is_rebuilt),
		TEST(test_not_ours_to_open),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
