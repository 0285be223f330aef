/* One function per record type: what it does to the rows. The notary checked the records; here a mismatch is corruption. */
#include <stdlib.h>

#include "base/limits.h"
#include "broker/core/record.h"
#include "broker/front/read_model_internal.h"
#include "codec/json_write.h"

#define CLOUD_KEPT_S (INT64_C(86400)) /* after its end: whoever looks into what happened yesterday finds it */

struct step {
	struct mf_read_model *rm;
	const struct mf_record *r;
	uint64_t index;
	struct mf_err *err;
};

static struct mf_slice
str(const struct step *a, enum mf_record_str f)
{
	return a->r->s[f];
}

static enum mf_status
broken(const struct step *a, const char *why)
{
	return MF_FAIL(a->err, MF_E_CORRUPT, "read model: log record %llu (%s): %s",
	    (unsigned long long)a->index, mf_record_type_name(a->r->type), why);
}

/* Run a statement that must touch exactly one row. */
static enum mf_status
one_row(const struct step *a, sqlite3_stmt *st)
{
	int rc = mf_rm_step(st);
	if (rc != SQLITE_DONE)
		return mf_rm_fail(a->rm, rc, mf_record_type_name(a->r->type), a->err);
	return sqlite3_changes(a->rm->db) == 1 ? MF_OK : broken(a, "it is about something that is not there");
}

static enum mf_status
put_list(const struct mf_slice *v, size_t n, struct mf_buf *to, struct mf_err *err)
{
	struct mf_jw w;
	mf_jw_init(&w, to, false);
	mf_jw_array_begin(&w);
	for (size_t i = 0; i < n; i++)
		mf_jw_string(&w, v[i]);
	mf_jw_array_end(&w);
	return mf_jw_finish(&w, err);
}

static enum mf_status
log_opened(const struct step *a)
{
	char *vkey = mf_slice_dup_str(str(a, MF_RS_VKEY));
	if (vkey == NULL)
		return MF_FAIL(a->err, MF_E_NOMEM, "read model: no memory");
	free(a->rm->vkey);
	a->rm->vkey = vkey;
	return mf_rm_meta_blob(a->rm, "vkey", str(a, MF_RS_VKEY), a->err);
}

static enum mf_status
token_created(const struct step *a)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *forget = NULL, *st = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf attributes;
	mf_buf_init(&attributes, MF_LIM_RECORD);
	MF_TRY(put_list(a->r->attributes, a->r->attributes_n, &attributes, a->err));
	MF_TRY(mf_rm_stmt(a->rm, MF_RM_TOKEN_FORGET, &forget, a->err));
	mf_rm_bind_int(forget, 1, a->r->ts_us / 1000000);
	int rc = mf_rm_step(forget);
	if (rc != SQLITE_DONE)
		return mf_rm_fail(a->rm, rc, "expired tokens", a->err);
	MF_TRY(mf_rm_stmt(a->rm, MF_RM_TOKEN_ADD, &st, a->err));
	mf_rm_bind_text(st, 1, str(a, MF_RS_TOKEN_ID));
	mf_rm_bind_int(st, 2, a->r->n[MF_RN_USES]);
	mf_rm_bind_int(st, 3, a->r->n[MF_RN_EXPIRES]);
	mf_rm_bind_int(st, 4, a->r->ts_us);
	mf_rm_bind_text(st, 5, mf_buf_slice(&attributes));
	return one_row(a, st);
}

static enum mf_status
node_registered(const struct step *a)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *use = NULL, *st = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf attributes;
	mf_buf_init(&attributes, MF_LIM_RECORD);
	MF_TRY(put_list(a->r->attributes, a->r->attributes_n, &attributes, a->err));
	if (str(a, MF_RS_TOKEN_ID).n > 0) {
		MF_TRY(mf_rm_stmt(a->rm, MF_RM_TOKEN_USE, &use, a->err));
		mf_rm_bind_text(use, 1, str(a, MF_RS_TOKEN_ID));
		MF_TRY(one_row(a, use));
	}
	MF_TRY(mf_rm_stmt(a->rm, MF_RM_NODE_ADD, &st, a->err));
	mf_rm_bind_int(st, 1, (int64_t)a->index);
	mf_rm_bind_text(st, 2, str(a, MF_RS_NODE_ID));
	mf_rm_bind_text(st, 3, str(a, MF_RS_SPIFFE_ID));
	mf_rm_bind_text(st, 4, str(a, MF_RS_HOSTNAME));
	mf_rm_bind_text(st, 5, str(a, MF_RS_TOKEN_ID));
	mf_rm_bind_text(st, 6, str(a, MF_RS_NODE_BOOT));
	mf_rm_bind_text(st, 7, mf_buf_slice(&attributes));
	mf_rm_bind_int(st, 8, a->r->ts_us);
	mf_rm_bind_text(
	    st, 9, str(a, MF_RS_ATTESTOR).n == 0 ? MF_SLICE_LIT("join_token") : str(a, MF_RS_ATTESTOR));
	mf_rm_bind_text(st, 10, str(a, MF_RS_EVIDENCE));
	return one_row(a, st);
}

static enum mf_status
node_reattested(const struct step *a)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf attributes;
	mf_buf_init(&attributes, MF_LIM_RECORD);
	MF_TRY(put_list(a->r->attributes, a->r->attributes_n, &attributes, a->err));
	MF_TRY(mf_rm_stmt(a->rm, MF_RM_NODE_REATTEST, &st, a->err));
	mf_rm_bind_text(st, 1, str(a, MF_RS_NODE_ID));
	mf_rm_bind_text(st, 2, mf_buf_slice(&attributes));
	return one_row(a, st);
}

static enum mf_status
node_session(const struct step *a)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	MF_TRY(mf_rm_stmt(a->rm, MF_RM_NODE_SESSION, &st, a->err));
	mf_rm_bind_text(st, 1, str(a, MF_RS_NODE_ID));
	mf_rm_bind_text(st, 2, str(a, MF_RS_NODE_BOOT));
	mf_rm_bind_int(st, 3, a->r->ts_us);
	return one_row(a, st);
}

static enum mf_status
node_evicted(const struct step *a)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	MF_TRY(mf_rm_stmt(a->rm, MF_RM_NODE_EVICT, &st, a->err));
	mf_rm_bind_text(st, 1, str(a, MF_RS_NODE_ID));
	mf_rm_bind_int(st, 2, a->r->ts_us);
	mf_rm_bind_text(st, 3, str(a, MF_RS_REASON));
	return one_row(a, st);
}

static enum mf_status
node_readmitted(const struct step *a)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	MF_TRY(mf_rm_stmt(a->rm, MF_RM_NODE_READMIT, &st, a->err));
	mf_rm_bind_text(st, 1, str(a, MF_RS_NODE_ID));
	mf_rm_bind_int(st, 2, a->r->ts_us);
	return one_row(a, st);
}

/* Turned away: people should look. */
static enum mf_status
node_refused(const struct step *a)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	if (str(a, MF_RS_NODE_ID).n == 0)
		return MF_OK;
	MF_TRY(mf_rm_stmt(a->rm, MF_RM_NODE_REFUSE, &st, a->err));
	mf_rm_bind_text(st, 1, str(a, MF_RS_NODE_ID));
	mf_rm_bind_int(st, 2, a->r->ts_us);
	mf_rm_bind_text(st, 3, str(a, MF_RS_REASON));
	return one_row(a, st);
}

static enum mf_status
job_started(const struct step *a)
{
	static const enum mf_record_str texts[] = { MF_RS_JOB_ID, MF_RS_JOB_KEY, MF_RS_JOB_RUN, MF_RS_TENANT,
		MF_RS_PERSON, MF_RS_JOB_PROFILE, MF_RS_RULE, MF_RS_JOB_NAME, MF_RS_JOB_MANIFEST };
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	MF_TRY(mf_rm_stmt(a->rm, MF_RM_JOB_ADD, &st, a->err));
	mf_rm_bind_int(st, 1, (int64_t)a->index);
	for (size_t i = 0; i < MF_COUNT(texts); i++)
		mf_rm_bind_text(st, 2 + (int)i, str(a, texts[i]));
	mf_rm_bind_int(st, 11, a->r->ts_us);
	mf_rm_bind_int(st, 12, a->r->n[MF_RN_DEADLINE]);
	mf_rm_bind_int(st, 13, a->r->n[MF_RN_DRAIN_MS]);
	return one_row(a, st);
}

/* The rows of its instances follow: as many as it has, so not one_row. */
static enum mf_status
job_ending(const struct step *a)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL, *leases = NULL;
	MF_TRY(mf_rm_stmt(a->rm, MF_RM_JOB_ENDING, &st, a->err));
	mf_rm_bind_text(st, 1, str(a, MF_RS_JOB_ID));
	mf_rm_bind_int(st, 2, a->r->n[MF_RN_UNTIL]);
	MF_TRY(one_row(a, st));
	MF_TRY(mf_rm_stmt(a->rm, MF_RM_JOB_ENDING_LEASES, &leases, a->err));
	mf_rm_bind_text(leases, 1, str(a, MF_RS_JOB_ID));
	mf_rm_bind_int(leases, 2, a->r->n[MF_RN_UNTIL]);
	mf_rm_bind_int(leases, 3, a->r->ts_us);
	int rc = mf_rm_step(leases);
	return rc == SQLITE_DONE ? MF_OK : mf_rm_fail(a->rm, rc, "instances of an ending job", a->err);
}

static enum mf_status
job_deadline(const struct step *a)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	MF_TRY(mf_rm_stmt(a->rm, MF_RM_JOB_DEADLINE, &st, a->err));
	mf_rm_bind_text(st, 1, str(a, MF_RS_JOB_ID));
	mf_rm_bind_int(st, 2, a->r->n[MF_RN_DEADLINE]);
	return one_row(a, st);
}

static enum mf_status
job_ended(const struct step *a)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	MF_TRY(mf_rm_stmt(a->rm, MF_RM_JOB_END, &st, a->err));
	mf_rm_bind_text(st, 1, str(a, MF_RS_JOB_ID));
	mf_rm_bind_int(st, 2, a->r->ts_us);
	mf_rm_bind_text(st, 3, str(a, MF_RS_CAUSE));
	mf_rm_bind_text(st, 4, str(a, MF_RS_REASON));
	return one_row(a, st);
}

/* ---- leases: the row, and the counts of its job and node ---- */

static enum mf_status
count_node(const struct step *a, struct mf_slice node, int by)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	MF_TRY(mf_rm_stmt(a->rm, MF_RM_NODE_LIVE, &st, a->err));
	mf_rm_bind_text(st, 1, node);
	mf_rm_bind_int(st, 2, by);
	return one_row(a, st);
}

static enum mf_status
count_job(const struct step *a, struct mf_slice job, int opened, int suspended)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	MF_TRY(mf_rm_stmt(a->rm, MF_RM_JOB_LEASE_MOVED, &st, a->err));
	mf_rm_bind_text(st, 1, job);
	mf_rm_bind_int(st, 2, opened);
	mf_rm_bind_int(st, 3, suspended);
	return one_row(a, st);
}

static enum mf_status
lease_opened(const struct step *a)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL, *job = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf selectors;
	mf_buf_init(&selectors, MF_LIM_RECORD);
	MF_TRY(put_list(a->r->selectors, a->r->selectors_n, &selectors, a->err));
	MF_TRY(mf_rm_stmt(a->rm, MF_RM_LEASE_ADD, &st, a->err));
	mf_rm_bind_text(st, 1, str(a, MF_RS_LEASE));
	mf_rm_bind_text(st, 2, str(a, MF_RS_JOB_ID));
	mf_rm_bind_int(st, 3, a->r->n[MF_RN_INSTANCE]);
	mf_rm_bind_text(st, 4, str(a, MF_RS_INSTANCE_KEY));
	mf_rm_bind_text(st, 5, str(a, MF_RS_NODE_ID));
	mf_rm_bind_text(st, 6, str(a, MF_RS_NODE_BOOT));
	mf_rm_bind_int(st, 7, a->r->n[MF_RN_EPOCH]);
	mf_rm_bind_text(st, 8, str(a, MF_RS_GRADE));
	mf_rm_bind_text(st, 9, str(a, MF_RS_RULE));
	mf_rm_bind_text(st, 10, str(a, MF_RS_POLICY));
	mf_rm_bind_text(st, 11, mf_buf_slice(&selectors));
	mf_rm_bind_int(st, 12, a->r->n[MF_RN_DEADLINE]);
	mf_rm_bind_int(st, 13, a->r->ts_us);
	MF_TRY(one_row(a, st));
	MF_TRY(mf_rm_stmt(a->rm, MF_RM_JOB_LEASE_OPENED, &job, a->err));
	mf_rm_bind_text(job, 1, str(a, MF_RS_JOB_ID));
	mf_rm_bind_int(job, 2, a->r->n[MF_RN_INSTANCE]);
	mf_rm_bind_int(job, 3, a->r->n[MF_RN_DEADLINE]);
	MF_TRY(one_row(a, job));
	return count_node(a, str(a, MF_RS_NODE_ID), 1);
}

enum was { WAS_OPEN, WAS_SUSPENDED, WAS_ENDED };

struct lease {
	char job[MF_RM_ID_MAX], node[MF_RM_ID_MAX];
	enum was was;
};

static enum mf_status
find_lease(const struct step *a, struct lease *ret_l)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	MF_TRY(mf_rm_stmt(a->rm, MF_RM_LEASE_GET, &st, a->err));
	mf_rm_bind_text(st, 1, str(a, MF_RS_LEASE));
	int rc = mf_rm_step(st);
	if (rc == SQLITE_DONE)
		return broken(a, "no such lease");
	if (rc != SQLITE_ROW)
		return mf_rm_fail(a->rm, rc, "lease", a->err);
	const char *job = mf_rm_text(st, 0), *node = mf_rm_text(st, 1), *state = mf_rm_text(st, 2);
	size_t job_n = strlen(job), node_n = strlen(node);
	if (job_n >= sizeof(ret_l->job) || node_n >= sizeof(ret_l->node))
		return broken(a, "an id is too long");
	memcpy(ret_l->job, job, job_n + 1);
	memcpy(ret_l->node, node, node_n + 1);
	ret_l->was = strcmp(state, "open") == 0 || strcmp(state, "ending") == 0 ? WAS_OPEN
		     : strcmp(state, "suspended") == 0				? WAS_SUSPENDED
										: WAS_ENDED;
	return MF_OK;
}

static enum mf_status
lease_resumed(const struct step *a)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	struct lease l;
	MF_TRY(find_lease(a, &l));
	if (l.was == WAS_ENDED)
		return broken(a, "the lease has ended");
	MF_TRY(mf_rm_stmt(a->rm, MF_RM_LEASE_RESUME, &st, a->err));
	mf_rm_bind_text(st, 1, str(a, MF_RS_LEASE));
	mf_rm_bind_int(st, 2, a->r->n[MF_RN_EPOCH]);
	mf_rm_bind_text(st, 3, str(a, MF_RS_RULE));
	mf_rm_bind_text(st, 4, str(a, MF_RS_POLICY));
	mf_rm_bind_int(st, 5, a->r->ts_us);
	MF_TRY(one_row(a, st));
	return l.was == WAS_OPEN ? MF_OK : count_job(a, mf_slice_str(l.job), 1, -1);
}

static enum mf_status
lease_suspended(const struct step *a)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	struct lease l;
	MF_TRY(find_lease(a, &l));
	if (l.was != WAS_OPEN)
		return broken(a, "the lease is not open");
	MF_TRY(mf_rm_stmt(a->rm, MF_RM_LEASE_SUSPEND, &st, a->err));
	mf_rm_bind_text(st, 1, str(a, MF_RS_LEASE));
	mf_rm_bind_text(st, 2, str(a, MF_RS_CAUSE));
	mf_rm_bind_int(st, 3, a->r->ts_us);
	MF_TRY(one_row(a, st));
	return count_job(a, mf_slice_str(l.job), -1, 1);
}

static enum mf_status
lease_ended(const struct step *a)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	struct lease l;
	MF_TRY(find_lease(a, &l));
	if (l.was == WAS_ENDED)
		return broken(a, "the lease has ended before");
	MF_TRY(mf_rm_stmt(a->rm, MF_RM_LEASE_END, &st, a->err));
	mf_rm_bind_text(st, 1, str(a, MF_RS_LEASE));
	mf_rm_bind_text(st, 2, str(a, MF_RS_CAUSE));
	mf_rm_bind_text(st, 3, str(a, MF_RS_REASON));
	mf_rm_bind_int(st, 4, a->r->ts_us);
	MF_TRY(one_row(a, st));
	MF_TRY(
	    count_job(a, mf_slice_str(l.job), l.was == WAS_OPEN ? -1 : 0, l.was == WAS_SUSPENDED ? -1 : 0));
	return count_node(a, mf_slice_str(l.node), -1);
}

/* What the notary does not keep of a cloud token; until a day after its end, so that the table does not grow for ever. */
static enum mf_status
cloud_intent(const struct step *a)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	MF_TRY(mf_rm_stmt(a->rm, MF_RM_CLOUD_FORGET, &st, a->err));
	mf_rm_bind_int(st, 1, a->r->ts_us / 1000000 - CLOUD_KEPT_S);
	int rc = mf_rm_step(st);
	if (rc != SQLITE_DONE)
		return mf_rm_fail(a->rm, rc, "clouds", a->err);
	mf_rm_done(&st);
	MF_TRY(mf_rm_stmt(a->rm, MF_RM_CLOUD_ADD, &st, a->err));
	mf_rm_bind_text(st, 1, str(a, MF_RS_SERIAL));
	mf_rm_bind_int(st, 2, a->r->n[MF_RN_EXP]);
	mf_rm_bind_text(st, 3, str(a, MF_RS_CLOUD_SCOPE));
	return one_row(a, st);
}

static enum mf_status
cloud_known(const struct step *a)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	MF_TRY(mf_rm_stmt(a->rm, MF_RM_CLOUD_KNOWN, &st, a->err));
	mf_rm_bind_text(st, 1, str(a, MF_RS_SERIAL));
	mf_rm_bind_text(st, 2, str(a, MF_RS_CLOUD_REQUEST_ID));
	int rc = mf_rm_step(st);
	return rc == SQLITE_DONE ? MF_OK : mf_rm_fail(a->rm, rc, "clouds", a->err);
}

/* NULL: no row changes. SVIDs on purpose: there are too many, and the notary knows the live ones. */
static enum mf_status (*const apply[MF_RECORD_TYPES])(const struct step *) = {
	[MF_REC_LOG_OPENED] = log_opened,
	[MF_REC_LOG_RESTORED] = log_opened,
	[MF_REC_TOKEN_CREATED] = token_created,
	[MF_REC_NODE_REGISTERED] = node_registered,
	[MF_REC_NODE_SESSION] = node_session,
	[MF_REC_NODE_EVICTED] = node_evicted,
	[MF_REC_NODE_READMITTED] = node_readmitted,
	[MF_REC_NODE_REFUSED] = node_refused,
	[MF_REC_NODE_REATTESTED] = node_reattested,
	[MF_REC_JOB_STARTED] = job_started,
	[MF_REC_JOB_ENDED] = job_ended,
	[MF_REC_JOB_ENDING] = job_ending,
	[MF_REC_JOB_EXTENDED] = job_deadline,
	[MF_REC_JOB_SHORTENED] = job_deadline,
	[MF_REC_LEASE_OPENED] = lease_opened,
	[MF_REC_LEASE_RESUMED] = lease_resumed,
	[MF_REC_LEASE_SUSPENDED] = lease_suspended,
	[MF_REC_LEASE_ENDED] = lease_ended,
	[MF_REC_CLOUD_INTENT] = cloud_intent,
	[MF_REC_CLOUD_ISSUED] = cloud_known,
	[MF_REC_CLOUD_RECONCILED] = cloud_known,
};

/*
 * The type without decoding. In the canonical form, whose keys are sorted, it is the last but one member, and quotes
 * inside strings are escaped: so this ending is proof. False: not that form.
 */
static bool
peek_type(struct mf_slice record, enum mf_record_type *ret_t)
{
	static const char before[] = "\"type\":\"", after[] = "\",\"v\":1}";
	const size_t before_n = sizeof(before) - 1, after_n = sizeof(after) - 1;
	if (record.n <= before_n + after_n ||
	    !mf_slice_eq_str(mf_slice_sub(record, record.n - after_n, after_n), after))
		return false;
	size_t end = record.n - after_n, at = end;
	while (at > before_n && record.p[at - 1] != '"')
		at--;
	return mf_slice_eq_str(mf_slice_sub(record, at - before_n, before_n), before) &&
	       mf_record_type_parse(mf_slice_sub(record, at, end - at), ret_t);
}

/* Most records of a log are SVIDs, and decoding one costs more than its row would, if it had one. */
static bool
has_no_row(struct mf_slice record)
{
	enum mf_record_type t;
	return peek_type(record, &t) &&
	       (t == MF_REC_SVID_RENEWED || t == MF_REC_SVID_ISSUED || t == MF_REC_JWT_ISSUED);
}

bool
mf_read_model_may_wait(struct mf_slice record)
{
	enum mf_record_type t;
	if (!peek_type(record, &t))
		return false;
	switch (t) {
	case MF_REC_LOG_OPENED:
	case MF_REC_LOG_RESTORED:
	case MF_REC_NODE_EVICTED:
	case MF_REC_NODE_READMITTED:
		return false;
	default:
		return true;
	}
}

static enum mf_status
apply_one(struct mf_read_model *rm, uint64_t index, struct mf_slice bytes, struct mf_err *err)
{
	if (has_no_row(bytes))
		return MF_OK;
	MF_AUTO(mf_record_doc_free) struct mf_record_doc *doc = NULL;
	enum mf_status s = mf_record_decode(bytes, &doc, err);
	if (s == MF_E_NOMEM)
		return s;
	if (s != MF_OK)
		return mf_err_wrap(
		    err, MF_E_CORRUPT, "read model: log record %llu", (unsigned long long)index);
	const struct mf_record *r = mf_record_doc_get(doc);
	struct step a = { rm, r, index, err };
	return apply[r->type] == NULL ? MF_OK : apply[r->type](&a);
}

static enum mf_status
simple(struct mf_read_model *rm, enum mf_rm_stmt which, const char *what, struct mf_err *err)
{
	MF_AUTO_IN(mf_rm_done) sqlite3_stmt *st = NULL;
	MF_TRY(mf_rm_stmt(rm, which, &st, err));
	int rc = mf_rm_step(st);
	return rc == SQLITE_DONE ? MF_OK : mf_rm_fail(rm, rc, what, err);
}

static enum mf_status
apply_all(struct mf_read_model *rm, struct mf_merkle *tree, const struct mf_slice *records, size_t n,
    struct mf_err *err)
{
	uint8_t leaf[MF_HASH_SIZE];
	MF_AUTO_IN(mf_buf_fini) struct mf_buf coded;
	mf_buf_init(&coded, MF_MERKLE_CODED_MAX);
	for (size_t i = 0; i < n; i++) {
		MF_TRY(apply_one(rm, tree->size, records[i], err));
		mf_merkle_leaf(records[i], leaf);
		mf_merkle_append(tree, leaf);
	}
	mf_merkle_put(tree, &coded);
	MF_TRY(mf_buf_check(&coded, err));
	MF_TRY(mf_rm_meta_blob(rm, "tree", mf_buf_slice(&coded), err));
	return simple(rm, MF_RM_COMMIT, "commit", err);
}

enum mf_status
mf_read_model_apply(
    struct mf_read_model *rm, uint64_t first, const struct mf_slice *records, size_t n, struct mf_err *err)
{
	struct mf_merkle tree = rm->tree;
	if (first != tree.size)
		return MF_FAIL(err, MF_E_STATE, "read model: records from %llu came, %llu is next",
		    (unsigned long long)first, (unsigned long long)tree.size);
	if (n == 0)
		return MF_OK;
	if (sqlite3_get_autocommit(rm->db) == 0) /* memory was too short even to roll back */
		MF_TRY(simple(rm, MF_RM_ROLLBACK, "roll back", err));
	MF_TRY(simple(rm, MF_RM_BEGIN, "begin", err));
	enum mf_status s = apply_all(rm, &tree, records, n, err);
	if (s == MF_OK) {
		rm->tree = tree;
		return MF_OK;
	}
	if (sqlite3_get_autocommit(rm->db) == 0) /* some failures have rolled back already */
		(void)simple(rm, MF_RM_ROLLBACK, "roll back", NULL);
	if (rm->tree.size == 0) { /* what log.opened may have left */
		free(rm->vkey);
		rm->vkey = NULL;
	}
	return s;
}
