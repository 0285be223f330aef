#include "broker/front/read_model.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/front/read_model_internal.h"

#define VFS "mayfly"
#define SCHEMA_VERSION 3
#define APPLICATION_ID 0x4d795266 /* "MyRf" */

/* Listed by the tables' own record index, so that the newest come first without sorting. */
static const char schema[] =
    "CREATE TABLE meta(k TEXT PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE tokens(id TEXT PRIMARY KEY, uses INTEGER NOT NULL, expires INTEGER NOT NULL,"
    " created_us INTEGER NOT NULL, attributes TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE nodes(idx INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, spiffe_id TEXT NOT NULL,"
    " hostname TEXT NOT NULL, token_id TEXT NOT NULL, boot TEXT NOT NULL, attributes TEXT NOT NULL,"
    " registered_us INTEGER NOT NULL, session_us INTEGER NOT NULL DEFAULT 0,"
    " evicted_us INTEGER NOT NULL DEFAULT 0, evict_reason TEXT NOT NULL DEFAULT '',"
    " live INTEGER NOT NULL DEFAULT 0, readmitted_us INTEGER NOT NULL DEFAULT 0,"
    " refused_us INTEGER NOT NULL DEFAULT 0, refused TEXT NOT NULL DEFAULT '',"
    " attestor TEXT NOT NULL DEFAULT '', evidence TEXT NOT NULL DEFAULT '');"
    "CREATE INDEX nodes_hostname ON nodes(hostname);"
    "CREATE INDEX nodes_spiffe_id ON nodes(spiffe_id);"
    "CREATE TABLE jobs(idx INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, key TEXT NOT NULL,"
    " run TEXT NOT NULL, tenant TEXT NOT NULL, person TEXT NOT NULL, profile TEXT NOT NULL,"
    " rule TEXT NOT NULL, name TEXT NOT NULL, manifest TEXT NOT NULL, ended INTEGER NOT NULL DEFAULT 0,"
    " cause TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '', started_us INTEGER NOT NULL,"
    " ended_us INTEGER NOT NULL DEFAULT 0, deadline INTEGER NOT NULL, instances INTEGER NOT NULL DEFAULT 0,"
    " opened INTEGER NOT NULL DEFAULT 0, suspended INTEGER NOT NULL DEFAULT 0,"
    " drain_ms INTEGER NOT NULL DEFAULT 0, ending INTEGER NOT NULL DEFAULT 0);"
    "CREATE INDEX jobs_key ON jobs(key);"
    "CREATE INDEX jobs_live ON jobs(idx) WHERE ended = 0;"
    "CREATE TABLE instances(lease TEXT PRIMARY KEY, job TEXT NOT NULL, n INTEGER NOT NULL, key TEXT NOT NULL,"
    " node TEXT NOT NULL, boot TEXT NOT NULL, epoch INTEGER NOT NULL, state TEXT NOT NULL,"
    " grade TEXT NOT NULL, rule TEXT NOT NULL, policy TEXT NOT NULL, selectors TEXT NOT NULL,"
    " deadline INTEGER NOT NULL, opened_us INTEGER NOT NULL, changed_us INTEGER NOT NULL,"
    " ended_us INTEGER NOT NULL DEFAULT 0, cause TEXT NOT NULL DEFAULT '',"
    " reason TEXT NOT NULL DEFAULT '') WITHOUT ROWID;"
    "CREATE TABLE clouds(id TEXT PRIMARY KEY, exp INTEGER NOT NULL, scope TEXT NOT NULL,"
    " request_id TEXT NOT NULL DEFAULT '') WITHOUT ROWID;"
    "CREATE INDEX clouds_exp ON clouds(exp);"
    "CREATE INDEX instances_job ON instances(job, n);"
    "CREATE INDEX instances_open ON instances(state) WHERE state = 'open';";

#define JOB_COLUMNS                                                                                       \
	"SELECT idx, id, key, run, tenant, person, profile, rule, name, manifest, CASE WHEN ended THEN "  \
	"'ended'"                                                                                         \
	" WHEN ending > 0 THEN 'ending' WHEN opened = 0 AND suspended > 0 THEN 'suspended'"               \
	" ELSE 'open' END, cause, reason, started_us, ended_us, deadline, instances, opened + suspended," \
	" drain_ms, ending FROM jobs "
#define NODE_COLUMNS                                                                                    \
	"SELECT idx, id, spiffe_id, hostname, token_id, registered_us, evicted_us, live, attributes,"   \
	" boot, session_us, evict_reason, readmitted_us, refused_us, refused, attestor, evidence FROM " \
	"nodes "

static const char *const sql[MF_RM_STMTS] = {
	[MF_RM_BEGIN] = "BEGIN IMMEDIATE",
	[MF_RM_COMMIT] = "COMMIT",
	[MF_RM_ROLLBACK] = "ROLLBACK",
	[MF_RM_META_PUT] = "INSERT INTO meta(k, v) VALUES(?1, ?2) ON CONFLICT(k) DO UPDATE SET v = ?2",
	[MF_RM_TOKEN_ADD] =
	    "INSERT INTO tokens(id, uses, expires, created_us, attributes) VALUES(?1, ?2, ?3, ?4, ?5)",
	[MF_RM_TOKEN_FORGET] = "DELETE FROM tokens WHERE expires < ?1",
	[MF_RM_TOKEN_USE] = "UPDATE tokens SET uses = uses - 1 WHERE id = ?1",
	[MF_RM_NODE_ADD] =
	    "INSERT INTO nodes(idx, id, spiffe_id, hostname, token_id, boot, attributes, registered_us,"
	    " attestor, evidence) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
	[MF_RM_NODE_REATTEST] = "UPDATE nodes SET attributes = ?2 WHERE id = ?1",
	[MF_RM_NODE_SESSION] = "UPDATE nodes SET boot = ?2, session_us = ?3 WHERE id = ?1",
	[MF_RM_NODE_EVICT] = "UPDATE nodes SET evicted_us = ?2, evict_reason = ?3 WHERE id = ?1",
	[MF_RM_NODE_READMIT] =
	    "UPDATE nodes SET evicted_us = 0, evict_reason = '', readmitted_us = ?2, refused_us = 0,"
	    " refused = '' WHERE id = ?1",
	[MF_RM_NODE_REFUSE] = "UPDATE nodes SET refused_us = ?2, refused = ?3 WHERE id = ?1",
	[MF_RM_NODE_LIVE] = "UPDATE nodes SET live = live + ?2 WHERE id = ?1",
	[MF_RM_JOB_ADD] = "INSERT INTO jobs(idx, id, key, run, tenant, person, profile, rule, name, manifest,"
			  " started_us, deadline, drain_ms)"
			  " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
	[MF_RM_JOB_END] = "UPDATE jobs SET ended = 1, ended_us = ?2, cause = ?3, reason = ?4 WHERE id = ?1",
	[MF_RM_JOB_LEASE_OPENED] = "UPDATE jobs SET opened = opened + 1, instances = max(instances, ?2),"
				   " deadline = CASE deadline WHEN 0 THEN ?3 ELSE deadline END WHERE id = ?1",
	[MF_RM_JOB_ENDING] = "UPDATE jobs SET ending = ?2 WHERE id = ?1",
	[MF_RM_JOB_ENDING_LEASES] = "UPDATE instances SET state = 'ending', deadline = ?2, changed_us = ?3"
				    " WHERE job = ?1 AND state = 'open'",
	[MF_RM_JOB_DEADLINE] = "UPDATE jobs SET deadline = ?2 WHERE id = ?1",
	[MF_RM_JOB_LEASE_MOVED] =
	    "UPDATE jobs SET opened = opened + ?2, suspended = suspended + ?3 WHERE id = ?1",
	[MF_RM_LEASE_ADD] =
	    "INSERT INTO instances(lease, job, n, key, node, boot, epoch, state, grade, rule, policy,"
	    " selectors, deadline, opened_us, changed_us)"
	    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, 'open', ?8, ?9, ?10, ?11, ?12, ?13, ?13)",
	[MF_RM_LEASE_GET] = "SELECT job, node, state FROM instances WHERE lease = ?1",
	[MF_RM_LEASE_RESUME] = "UPDATE instances SET state = 'open', epoch = ?2, rule = ?3, policy = ?4,"
			       " changed_us = ?5 WHERE lease = ?1",
	[MF_RM_LEASE_SUSPEND] =
	    "UPDATE instances SET state = 'suspended', cause = ?2, changed_us = ?3 WHERE lease = ?1",
	[MF_RM_LEASE_END] = "UPDATE instances SET state = 'ended', cause = ?2, reason = ?3, changed_us = ?4,"
			    " ended_us = ?4 WHERE lease = ?1",
	[MF_RM_CLOUD_ADD] = "INSERT INTO clouds(id, exp, scope) VALUES(?1, ?2, ?3)",
	[MF_RM_CLOUD_KNOWN] = "UPDATE clouds SET request_id = ?2 WHERE id = ?1",
	[MF_RM_CLOUD_FORGET] = "DELETE FROM clouds WHERE exp < ?1",
	[MF_RM_Q_CLOUD] = "SELECT scope, request_id FROM clouds WHERE id = ?1",
	[MF_RM_Q_JOBS_ALL] = JOB_COLUMNS "WHERE idx < ?1 ORDER BY idx DESC LIMIT ?2",
	[MF_RM_Q_JOBS_LIVE] = JOB_COLUMNS "WHERE idx < ?1 AND ended = 0 ORDER BY idx DESC LIMIT ?2",
	[MF_RM_Q_JOB] = JOB_COLUMNS "WHERE id = ?1",
	[MF_RM_Q_INSTANCES] =
	    "SELECT job, lease, key, node, state, grade, cause, n, epoch, opened_us, ended_us,"
	    " selectors FROM instances WHERE job = ?1 AND n >= ?2 ORDER BY n, lease",
	[MF_RM_Q_NODES_ALL] = NODE_COLUMNS "WHERE idx >= ?1 ORDER BY idx LIMIT ?2",
	[MF_RM_Q_NODES_LIVE] = NODE_COLUMNS "WHERE idx >= ?1 AND evicted_us = 0 ORDER BY idx LIMIT ?2",
	[MF_RM_Q_NODE] = NODE_COLUMNS "WHERE id = ?1",
	/* ?1 is what was typed, ?2 the first text that no longer begins so. */
	[MF_RM_Q_JOB_EXACT] =
	    "SELECT id FROM jobs WHERE id = ?1"
	    " UNION SELECT * FROM (SELECT id FROM jobs WHERE key = ?1 ORDER BY idx DESC LIMIT 1)",
	[MF_RM_Q_JOB_PREFIX] = "SELECT id FROM jobs WHERE id >= ?1 AND id < ?2"
			       " UNION SELECT id FROM jobs WHERE key >= ?1 AND key < ?2 LIMIT ?3",
	[MF_RM_Q_NODE_EXACT] = "SELECT id FROM nodes WHERE id = ?1 OR spiffe_id = ?1",
	[MF_RM_Q_NODE_PREFIX] = "SELECT id FROM nodes WHERE id >= ?1 AND id < ?2"
				" UNION SELECT id FROM nodes WHERE hostname = ?1 LIMIT ?3",
	[MF_RM_Q_EVICTED] = "SELECT evicted_us <> 0 FROM nodes WHERE id = ?1",
	[MF_RM_Q_COUNTS] = "SELECT (SELECT count(*) FROM nodes WHERE evicted_us = 0),"
			   " (SELECT count(*) FROM jobs WHERE ended = 0),"
			   " (SELECT count(*) FROM instances WHERE state = 'open')",
};

/* ---- statements ---- */

enum mf_status
mf_rm_fail(struct mf_read_model *rm, int rc, const char *what, struct mf_err *err)
{
	enum mf_status s = MF_E_IO;
	switch (rc & 0xff) {
	case SQLITE_NOMEM:
		s = MF_E_NOMEM;
		break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_ERROR: /* a missing table or column: not the file that we wrote */
	case SQLITE_MISMATCH:
	case SQLITE_CONSTRAINT:
	case SQLITE_FORMAT:
		s = MF_E_CORRUPT;
		break;
	default:
		break;
	}
	return MF_FAIL(err, s, "read model: %s: %s (%d)", what,
	    rm->db == NULL ? sqlite3_errstr(rc) : sqlite3_errmsg(rm->db), rc);
}

enum mf_status
mf_rm_stmt(struct mf_read_model *rm, enum mf_rm_stmt which, sqlite3_stmt **ret_st, struct mf_err *err)
{
	if (rm->st[which] == NULL) {
		int rc = sqlite3_prepare_v3(
		    rm->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT, &rm->st[which], NULL);
		if (rc != SQLITE_OK)
			return mf_rm_fail(rm, rc, "prepare", err);
	}
	(void)sqlite3_reset(rm->st[which]);
	(void)sqlite3_clear_bindings(rm->st[which]);
	*ret_st = rm->st[which];
	return MF_OK;
}

void
mf_rm_done(sqlite3_stmt **st)
{
	if (*st != NULL)
		(void)sqlite3_reset(*st);
}

/* Of the statement that was fetched last: what could not be bound would be NULL, which some conditions take for "no row". */
static _Thread_local int bind_rc;

static void
bound(int rc)
{
	if (bind_rc == SQLITE_OK)
		bind_rc = rc;
}

int
mf_rm_step(sqlite3_stmt *st)
{
	int rc = bind_rc;
	bind_rc = SQLITE_OK;
	return rc == SQLITE_OK ? sqlite3_step(st) : rc;
}

void
mf_rm_bind_text(sqlite3_stmt *st, int at, struct mf_slice v)
{
	/* Without the NULL that an empty slice's pointer may be: the columns are NOT NULL. */
	bound(sqlite3_bind_text(st, at, v.n == 0 ? "" : (const char *)v.p, (int)v.n, SQLITE_STATIC));
}

void
mf_rm_bind_int(sqlite3_stmt *st, int at, int64_t v)
{
	bound(sqlite3_bind_int64(st, at, v));
}

const char *
mf_rm_text(sqlite3_stmt *st, int column)
{
	const unsigned char *t = sqlite3_column_text(st, column);
	return t == NULL ? "" : (const char *)t;
}

enum mf_status
mf_rm_meta_blob(struct mf_read_model *rm, const char *k, struct mf_slice v, struct mf_err *err)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	MF_TRY(mf_rm_stmt(rm, MF_RM_META_PUT, &st, err));
	mf_rm_bind_text(st, 1, mf_slice_str(k));
	bound(sqlite3_bind_blob(st, 2, v.n == 0 ? "" : (const void *)v.p, (int)v.n, SQLITE_STATIC));
	int rc = mf_rm_step(st);
	return rc == SQLITE_DONE ? MF_OK : mf_rm_fail(rm, rc, "meta", err);
}

static enum mf_status
run(struct mf_read_model *rm, const char *text, const char *what, struct mf_err *err)
{
	int rc = sqlite3_exec(rm->db, text, NULL, NULL, NULL);
	return rc == SQLITE_OK ? MF_OK : mf_rm_fail(rm, rc, what, err);
}

static enum mf_status
ask_int(struct mf_read_model *rm, const char *text, int64_t *ret_v, struct mf_err *err)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(rm->db, text, -1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc != SQLITE_ROW) {
		enum mf_status s = mf_rm_fail(rm, rc == SQLITE_DONE ? SQLITE_CORRUPT : rc, text, err);
		(void)sqlite3_finalize(st);
		return s;
	}
	*ret_v = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	return MF_OK;
}

/* ---- opening ---- */

/* As given: relative to the working directory. The default walks up to the root, which a role may not read. */
static int
keep_name(sqlite3_vfs *vfs, const char *name, int n, char *to)
{
	MF_UNUSED(vfs);
	size_t len = strlen(name);
	if (n < 0 || len >= (size_t)n)
		return SQLITE_CANTOPEN;
	memcpy(to, name, len + 1);
	return SQLITE_OK;
}

static enum mf_status
make_vfs(struct mf_err *err)
{
	static sqlite3_vfs vfs;
	if (sqlite3_vfs_find(VFS) != NULL)
		return MF_OK;
	const sqlite3_vfs *unix_vfs = sqlite3_vfs_find(NULL);
	if (unix_vfs == NULL)
		return MF_FAIL(err, MF_E_INTERNAL, "read model: SQLite has no file system layer");
	vfs = *unix_vfs;
	vfs.pNext = NULL;
	vfs.zName = VFS;
	vfs.xFullPathname = keep_name;
	return sqlite3_vfs_register(&vfs, 0) == SQLITE_OK ? MF_OK
							  : MF_FAIL(err, MF_E_NOMEM, "read model: no memory");
}

static void
close_db(struct mf_read_model *rm)
{
	for (size_t i = 0; i < MF_RM_STMTS; i++) {
		(void)sqlite3_finalize(rm->st[i]);
		rm->st[i] = NULL;
	}
	(void)sqlite3_close(rm->db);
	rm->db = NULL;
	free(rm->vkey);
	rm->vkey = NULL;
	mf_merkle_init(&rm->tree);
}

static enum mf_status
open_db(struct mf_read_model *rm, bool *ret_empty, struct mf_err *err)
{
	int64_t version, id, tables;
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
	int rc = sqlite3_open_v2(MF_RM_FILE, &rm->db, flags, VFS);
	if (rc != SQLITE_OK)
		return mf_rm_fail(rm, rc, "open", err);
	MF_TRY(run(rm,
	    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
	    "PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;",
	    "settings", err));
	MF_TRY(ask_int(rm, "PRAGMA user_version", &version, err));
	MF_TRY(ask_int(rm, "PRAGMA application_id", &id, err));
	MF_TRY(ask_int(rm, "SELECT count(*) FROM sqlite_schema", &tables, err));
	*ret_empty = tables == 0 && version == 0;
	if (*ret_empty)
		return MF_OK;
	if (version != SCHEMA_VERSION || id != APPLICATION_ID)
		return MF_FAIL(err, MF_E_UNSUPPORTED, "read model: schema %lld, this release has schema %d",
		    (long long)version, SCHEMA_VERSION);
	return MF_OK;
}

static enum mf_status
make_schema(struct mf_read_model *rm, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	mf_buf_init(&text, sizeof(schema) + 256);
	mf_buf_putf(&text, "BEGIN; PRAGMA application_id = %d; PRAGMA user_version = %d; ", APPLICATION_ID,
	    SCHEMA_VERSION);
	mf_buf_put_str(&text, schema);
	mf_buf_put_str(&text, "COMMIT;");
	const char *all = mf_buf_cstr(&text);
	if (all == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "read model: no memory");
	enum mf_status s = run(rm, all, "schema", err);
	if (s != MF_OK)
		(void)sqlite3_exec(rm->db, "ROLLBACK", NULL, NULL, NULL);
	return s;
}

/* The position, and what the first record said. */
static enum mf_status
read_meta(struct mf_read_model *rm, struct mf_err *err)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(rm->db, "SELECT k, v FROM meta", -1, &st, NULL);
	enum mf_status s = MF_OK;
	while (rc == SQLITE_OK && s == MF_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		const void *p = sqlite3_column_blob(st, 1);
		struct mf_slice v = mf_slice(p, p == NULL ? 0 : (size_t)sqlite3_column_bytes(st, 1));
		const char *k = mf_rm_text(st, 0);
		rc = SQLITE_OK;
		if (strcmp(k, "tree") == 0)
			s = mf_merkle_get(v, &rm->tree, err) == MF_OK
				? MF_OK
				: MF_FAIL(err, MF_E_CORRUPT,
				      "read model: its position in the log cannot be read");
		else if (strcmp(k, "vkey") == 0 && rm->vkey == NULL &&
			 (rm->vkey = mf_slice_dup_str(v)) == NULL)
			s = MF_FAIL(err, MF_E_NOMEM, "read model: no memory");
	}
	if (s == MF_OK && rc != SQLITE_DONE)
		s = mf_rm_fail(rm, rc, "meta", err);
	(void)sqlite3_finalize(st);
	return s;
}

static enum mf_status
check_whole(struct mf_read_model *rm, struct mf_err *err)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(rm->db, "PRAGMA quick_check(1)", -1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	enum mf_status s = MF_OK;
	if (rc != SQLITE_ROW)
		s = mf_rm_fail(rm, rc, "check", err);
	else if (strcmp(mf_rm_text(st, 0), "ok") != 0)
		s = MF_FAIL(err, MF_E_CORRUPT, "read model: %.200s", mf_rm_text(st, 0));
	(void)sqlite3_finalize(st);
	return s;
}

static enum mf_status
open_whole(struct mf_read_model *rm, bool *ret_empty, struct mf_err *err)
{
	MF_TRY(open_db(rm, ret_empty, err));
	if (*ret_empty)
		MF_TRY(make_schema(rm, err));
	else
		MF_TRY(check_whole(rm, err));
	return read_meta(rm, err);
}

static enum mf_status
remove_file(struct mf_err *err)
{
	static const char *const names[] = { MF_RM_FILE, MF_RM_FILE "-wal", MF_RM_FILE "-journal",
		MF_RM_FILE "-shm" };
	for (size_t i = 0; i < MF_COUNT(names); i++)
		if (unlink(names[i]) != 0 && errno != ENOENT)
			return MF_FAIL(
			    err, MF_E_IO, "read model: %s cannot be removed: %s", names[i], strerror(errno));
	return MF_OK;
}

enum mf_status
mf_read_model_open(int dirfd, struct mf_read_model **ret_rm, enum mf_rm_how *ret_how, struct mf_err *ret_why,
    struct mf_err *err)
{
	struct mf_err why = { 0 };
	bool empty = false;
	if (fchdir(dirfd) != 0)
		return MF_FAIL(
		    err, MF_E_IO, "read model: its directory cannot be entered: %s", strerror(errno));
	MF_TRY(make_vfs(err));
	MF_AUTO(mf_read_model_free) struct mf_read_model *rm = calloc(1, sizeof(*rm));
	if (rm == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "read model: no memory");
	mf_merkle_init(&rm->tree);
	enum mf_status s = open_whole(rm, &empty, &why);
	enum mf_rm_how how = empty ? MF_RM_CREATED : MF_RM_OPENED;
	if (s == MF_E_CORRUPT || s == MF_E_UNSUPPORTED) {
		how = s == MF_E_CORRUPT ? MF_RM_REBUILD : MF_RM_REBUILD_NEWER;
		close_db(rm);
		MF_TRY(remove_file(err));
		MF_TRY(open_whole(rm, &empty, err));
	} else if (s != MF_OK) {
		if (err != NULL)
			*err = why;
		return s;
	}
	if (ret_why != NULL)
		*ret_why = why;
	*ret_how = how;
	*ret_rm = MF_TAKE(rm);
	return MF_OK;
}

void
mf_read_model_free(struct mf_read_model *rm)
{
	if (rm == NULL)
		return;
	close_db(rm);
	free(rm);
}

enum mf_status
mf_read_model_reset(struct mf_read_model *rm, struct mf_err *err)
{
	bool empty;
	close_db(rm);
	MF_TRY(remove_file(err));
	return open_whole(rm, &empty, err);
}

uint64_t
mf_read_model_applied(const struct mf_read_model *rm)
{
	return rm->tree.size;
}

void
mf_read_model_root(const struct mf_read_model *rm, uint8_t ret_root[32])
{
	mf_merkle_root(&rm->tree, ret_root);
}

const char *
mf_read_model_vkey(const struct mf_read_model *rm)
{
	return rm->vkey == NULL ? "" : rm->vkey;
}
