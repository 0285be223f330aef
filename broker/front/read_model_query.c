/* What operators ask of the read model. */
#include <stdlib.h>

#include "base/limits.h"
#include "broker/front/read_model_internal.h"
#include "codec/json.h"

/* ---- rows ---- */

/* A list column, as slices. Freed with free() and mf_json_free. */
static enum mf_status
get_list(struct mf_read_model *rm, sqlite3_stmt *st, int column, struct mf_json **ret_doc,
    struct mf_slice **ret_v, size_t *ret_n, struct mf_err *err)
{
	MF_UNUSED(rm);
	MF_AUTO(mf_json_free) struct mf_json *doc = NULL;
	if (mf_json_parse(mf_slice_str(mf_rm_text(st, column)), MF_LIM_RECORD, &doc, NULL) != MF_OK)
		return MF_FAIL(err, MF_E_CORRUPT, "read model: a list cannot be read");
	const struct mf_json_value *root = mf_json_root(doc);
	size_t n = mf_json_size(root);
	struct mf_slice *v = calloc(n + 1, sizeof(*v));
	if (v == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "read model: no memory");
	for (size_t i = 0; i < n; i++) {
		if (mf_json_string(mf_json_at(root, i), &v[i]))
			continue;
		free(v);
		return MF_FAIL(err, MF_E_CORRUPT, "read model: a list cannot be read");
	}
	*ret_doc = MF_TAKE(doc);
	*ret_v = v;
	*ret_n = n;
	return MF_OK;
}

static enum mf_status
each_job(struct mf_read_model *rm, sqlite3_stmt *st, bool (*fn)(void *, const struct mf_rm_job *), void *ctx,
    size_t *ret_n, struct mf_err *err)
{
	int rc;
	while ((rc = mf_rm_step(st)) == SQLITE_ROW) {
		struct mf_rm_job j = {
			.index = (uint64_t)sqlite3_column_int64(st, 0),
			.id = mf_rm_text(st, 1),
			.key = mf_rm_text(st, 2),
			.run = mf_rm_text(st, 3),
			.tenant = mf_rm_text(st, 4),
			.person = mf_rm_text(st, 5),
			.profile = mf_rm_text(st, 6),
			.rule = mf_rm_text(st, 7),
			.name = mf_rm_text(st, 8),
			.manifest = mf_rm_text(st, 9),
			.state = mf_rm_text(st, 10),
			.cause = mf_rm_text(st, 11),
			.reason = mf_rm_text(st, 12),
			.started_us = sqlite3_column_int64(st, 13),
			.ended_us = sqlite3_column_int64(st, 14),
			.deadline = sqlite3_column_int64(st, 15),
			.instances = (uint32_t)sqlite3_column_int64(st, 16),
			.live = (uint32_t)sqlite3_column_int64(st, 17),
			.drain_ms = sqlite3_column_int64(st, 18),
			.ending = sqlite3_column_int64(st, 19),
		};
		*ret_n += 1;
		if (!fn(ctx, &j))
			return MF_OK;
	}
	return rc == SQLITE_DONE ? MF_OK : mf_rm_fail(rm, rc, "jobs", err);
}

enum mf_status
mf_read_model_jobs(struct mf_read_model *rm, bool all, uint64_t before, uint32_t limit,
    bool (*fn)(void *ctx, const struct mf_rm_job *j), void *ctx, struct mf_err *err)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	size_t n = 0;
	MF_TRY(mf_rm_stmt(rm, all ? MF_RM_Q_JOBS_ALL : MF_RM_Q_JOBS_LIVE, &st, err));
	mf_rm_bind_int(st, 1, before > INT64_MAX ? INT64_MAX : (int64_t)before);
	mf_rm_bind_int(st, 2, limit);
	return each_job(rm, st, fn, ctx, &n, err);
}

enum mf_status
mf_read_model_job(struct mf_read_model *rm, const char *id, bool (*fn)(void *ctx, const struct mf_rm_job *j),
    void *ctx, struct mf_err *err)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	size_t n = 0;
	MF_TRY(mf_rm_stmt(rm, MF_RM_Q_JOB, &st, err));
	mf_rm_bind_text(st, 1, mf_slice_str(id));
	MF_TRY(each_job(rm, st, fn, ctx, &n, err));
	return n == 1 ? MF_OK : MF_FAIL(err, MF_E_NOTFOUND, "no such job: see 'mayfly job ls --all'");
}

enum mf_status
mf_read_model_instances(struct mf_read_model *rm, const char *job, uint32_t from,
    bool (*fn)(void *ctx, const struct mf_rm_instance *i), void *ctx, struct mf_err *err)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	int rc;
	MF_TRY(mf_rm_stmt(rm, MF_RM_Q_INSTANCES, &st, err));
	mf_rm_bind_text(st, 1, mf_slice_str(job));
	mf_rm_bind_int(st, 2, from);
	while ((rc = mf_rm_step(st)) == SQLITE_ROW) {
		MF_AUTO(mf_json_free) struct mf_json *doc = NULL;
		struct mf_slice *selectors = NULL;
		struct mf_rm_instance i = {
			.job = mf_rm_text(st, 0),
			.lease = mf_rm_text(st, 1),
			.key = mf_rm_text(st, 2),
			.node = mf_rm_text(st, 3),
			.state = mf_rm_text(st, 4),
			.grade = mf_rm_text(st, 5),
			.cause = mf_rm_text(st, 6),
			.n = (uint32_t)sqlite3_column_int64(st, 7),
			.epoch = (uint32_t)sqlite3_column_int64(st, 8),
			.opened_us = sqlite3_column_int64(st, 9),
			.ended_us = sqlite3_column_int64(st, 10),
		};
		MF_TRY(get_list(rm, st, 11, &doc, &selectors, &i.selectors_n, err));
		i.selectors = selectors;
		bool more = fn(ctx, &i);
		free(selectors);
		if (!more)
			return MF_OK;
	}
	return rc == SQLITE_DONE ? MF_OK : mf_rm_fail(rm, rc, "instances", err);
}

/* The rows of ${st}, whose columns are NODE_COLUMNS. */
static enum mf_status
each_node(struct mf_read_model *rm, sqlite3_stmt *st, bool (*fn)(void *ctx, const struct mf_rm_node *n),
    void *ctx, uint32_t *ret_n, struct mf_err *err)
{
	int rc;
	while ((rc = mf_rm_step(st)) == SQLITE_ROW) {
		MF_AUTO(mf_json_free) struct mf_json *doc = NULL;
		struct mf_slice *attributes = NULL;
		struct mf_rm_node n = {
			.index = (uint64_t)sqlite3_column_int64(st, 0),
			.id = mf_rm_text(st, 1),
			.spiffe_id = mf_rm_text(st, 2),
			.hostname = mf_rm_text(st, 3),
			.token_id = mf_rm_text(st, 4),
			.registered_us = sqlite3_column_int64(st, 5),
			.evicted_us = sqlite3_column_int64(st, 6),
			.live = (uint32_t)sqlite3_column_int64(st, 7),
			.boot = mf_rm_text(st, 9),
			.session_us = sqlite3_column_int64(st, 10),
			.evict_reason = mf_rm_text(st, 11),
			.readmitted_us = sqlite3_column_int64(st, 12),
			.refused_us = sqlite3_column_int64(st, 13),
			.refused = mf_rm_text(st, 14),
			.attestor = mf_rm_text(st, 15),
			.evidence = mf_rm_text(st, 16),
		};
		MF_TRY(get_list(rm, st, 8, &doc, &attributes, &n.attributes_n, err));
		n.attributes = attributes;
		++*ret_n;
		bool more = fn(ctx, &n);
		free(attributes);
		if (!more)
			return MF_OK;
	}
	return rc == SQLITE_DONE ? MF_OK : mf_rm_fail(rm, rc, "nodes", err);
}

enum mf_status
mf_read_model_nodes(struct mf_read_model *rm, bool all, uint64_t from, uint32_t limit,
    bool (*fn)(void *ctx, const struct mf_rm_node *n), void *ctx, struct mf_err *err)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	uint32_t n = 0;
	MF_TRY(mf_rm_stmt(rm, all ? MF_RM_Q_NODES_ALL : MF_RM_Q_NODES_LIVE, &st, err));
	mf_rm_bind_int(st, 1, from > INT64_MAX ? INT64_MAX : (int64_t)from);
	mf_rm_bind_int(st, 2, limit);
	return each_node(rm, st, fn, ctx, &n, err);
}

enum mf_status
mf_read_model_node(struct mf_read_model *rm, const char *id,
    bool (*fn)(void *ctx, const struct mf_rm_node *n), void *ctx, struct mf_err *err)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	uint32_t n = 0;
	MF_TRY(mf_rm_stmt(rm, MF_RM_Q_NODE, &st, err));
	mf_rm_bind_text(st, 1, mf_slice_str(id));
	MF_TRY(each_node(rm, st, fn, ctx, &n, err));
	return n > 0 ? MF_OK : MF_FAIL(err, MF_E_NOTFOUND, "no such node");
}

/* ---- names that people type ---- */

struct found {
	size_t n;
	char ids[MF_RM_CANDIDATES + 1][MF_RM_ID_MAX];
};

static enum mf_status
collect(
    struct mf_read_model *rm, enum mf_rm_stmt which, const char *typed, struct found *f, struct mf_err *err)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf end;
	int rc;
	mf_buf_init(&end, MF_RM_MATCH_MAX + 8);
	mf_buf_put_str(&end, typed);
	mf_buf_put_str(&end, "\xf4\x8f\xbf\xbf"); /* U+10FFFF: after everything that begins so */
	MF_TRY(mf_buf_check(&end, err));
	MF_TRY(mf_rm_stmt(rm, which, &st, err));
	mf_rm_bind_text(st, 1, mf_slice_str(typed));
	if (sqlite3_bind_parameter_count(st) > 1) {
		mf_rm_bind_text(st, 2, mf_buf_slice(&end));
		mf_rm_bind_int(st, 3, MF_RM_CANDIDATES + 1);
	}
	f->n = 0;
	while ((rc = mf_rm_step(st)) == SQLITE_ROW && f->n < MF_COUNT(f->ids)) {
		const char *id = mf_rm_text(st, 0);
		size_t n = strlen(id);
		if (n >= sizeof(f->ids[0]))
			return MF_FAIL(err, MF_E_CORRUPT, "read model: an id is too long");
		memcpy(f->ids[f->n++], id, n + 1);
	}
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? MF_OK : mf_rm_fail(rm, rc, "match", err);
}

static enum mf_status
ambiguous(const struct found *f, const char *what, struct mf_err *err)
{
	char list[(MF_RM_ID_MAX + 2) * MF_RM_CANDIDATES];
	size_t at = 0;
	for (size_t i = 0; i < f->n && i < MF_RM_CANDIDATES; i++) {
		size_t n = strlen(f->ids[i]);
		if (i > 0) {
			list[at++] = ',';
			list[at++] = ' ';
		}
		memcpy(list + at, f->ids[i], n);
		at += n;
	}
	list[at] = '\0';
	return MF_FAIL(err, MF_E_INVALID, "several %ss fit: %.256s%s; type more letters, or the whole id",
	    what, list, f->n > MF_RM_CANDIDATES ? ", and more" : "");
}

static enum mf_status
match(struct mf_read_model *rm, enum mf_rm_stmt exact, enum mf_rm_stmt prefix, const char *what,
    const char *typed, char ret_id[MF_RM_ID_MAX], struct mf_err *err)
{
	struct found f = { .n = 0 };
	size_t n = strlen(typed);
	if (n == 0)
		return MF_FAIL(err, MF_E_INVALID, "which %s? Give its id, or how it begins", what);
	if (n > MF_RM_MATCH_MAX)
		return MF_FAIL(
		    err, MF_E_INVALID, "the name of a %s has at most %u bytes", what, MF_RM_MATCH_MAX);
	MF_TRY(collect(rm, exact, typed, &f, err));
	if (f.n == 0)
		MF_TRY(collect(rm, prefix, typed, &f, err));
	if (f.n > 1)
		return ambiguous(&f, what, err);
	if (f.n == 0)
		return MF_FAIL(err, MF_E_NOTFOUND, "no such %s: see 'mayfly %s ls --all'", what, what);
	memcpy(ret_id, f.ids[0], MF_RM_ID_MAX);
	return MF_OK;
}

enum mf_status
mf_read_model_match_job(
    struct mf_read_model *rm, const char *typed, char ret_id[MF_RM_ID_MAX], struct mf_err *err)
{
	return match(rm, MF_RM_Q_JOB_EXACT, MF_RM_Q_JOB_PREFIX, "job", typed, ret_id, err);
}

enum mf_status
mf_read_model_match_node(
    struct mf_read_model *rm, const char *typed, char ret_id[MF_RM_ID_MAX], struct mf_err *err)
{
	return match(rm, MF_RM_Q_NODE_EXACT, MF_RM_Q_NODE_PREFIX, "node", typed, ret_id, err);
}

bool
mf_read_model_evicted(struct mf_read_model *rm, const char *node)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	if (mf_rm_stmt(rm, MF_RM_Q_EVICTED, &st, NULL) != MF_OK)
		return false;
	mf_rm_bind_text(st, 1, mf_slice_str(node));
	return mf_rm_step(st) == SQLITE_ROW && sqlite3_column_int64(st, 0) != 0;
}

enum mf_status
mf_read_model_counts(struct mf_read_model *rm, struct mf_rm_counts *ret_counts, struct mf_err *err)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	MF_TRY(mf_rm_stmt(rm, MF_RM_Q_COUNTS, &st, err));
	int rc = mf_rm_step(st);
	if (rc != SQLITE_ROW)
		return mf_rm_fail(rm, rc, "counts", err);
	*ret_counts = (struct mf_rm_counts) {
		.nodes = (uint32_t)sqlite3_column_int64(st, 0),
		.jobs_live = (uint32_t)sqlite3_column_int64(st, 1),
		.leases_open = (uint32_t)sqlite3_column_int64(st, 2),
	};
	return MF_OK;
}

enum mf_status
mf_read_model_cloud(struct mf_read_model *rm, const char *id, struct mf_buf *ret_scope,
    struct mf_buf *ret_request_id, struct mf_err *err)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	MF_TRY(mf_rm_stmt(rm, MF_RM_Q_CLOUD, &st, err));
	mf_rm_bind_text(st, 1, mf_slice_str(id));
	int rc = mf_rm_step(st);
	if (rc == SQLITE_DONE)
		return MF_FAIL(err, MF_E_NOTFOUND, "no cloud token of that id");
	if (rc != SQLITE_ROW)
		return mf_rm_fail(rm, rc, "clouds", err);
	mf_buf_put_str(ret_scope, mf_rm_text(st, 0));
	mf_buf_put_str(ret_request_id, mf_rm_text(st, 1));
	MF_TRY(mf_buf_check(ret_scope, err));
	return mf_buf_check(ret_request_id, err);
}

/* ---- everything, for comparing ---- */

static enum mf_status
dump_table(struct mf_read_model *rm, const char *query, struct mf_buf *to, struct mf_err *err)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(rm->db, query, -1, &st, NULL);
	while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		for (int i = 0; i < sqlite3_column_count(st); i++) {
			mf_buf_put_str(to, i == 0 ? "" : "|");
			mf_buf_put_str(to, mf_rm_text(st, i));
		}
		mf_buf_put_str(to, "\n");
		rc = SQLITE_OK;
	}
	enum mf_status s = rc == SQLITE_DONE ? MF_OK : mf_rm_fail(rm, rc, "dump", err);
	(void)sqlite3_finalize(st);
	return s;
}

enum mf_status
mf_read_model_dump(struct mf_read_model *rm, struct mf_buf *to, struct mf_err *err)
{
	static const char *const queries[] = {
		"SELECT 'meta', k, hex(v) FROM meta ORDER BY k",
		"SELECT 'token', * FROM tokens ORDER BY id",
		"SELECT 'node', * FROM nodes ORDER BY idx",
		"SELECT 'job', * FROM jobs ORDER BY idx",
		"SELECT 'instance', * FROM instances ORDER BY lease",
		"SELECT 'cloud', * FROM clouds ORDER BY id",
	};
	for (size_t i = 0; i < MF_COUNT(queries); i++)
		MF_TRY(dump_table(rm, queries[i], to, err));
	return mf_buf_check(to, err);
}
