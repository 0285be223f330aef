/* tail and find: records, printed only when a signed head covers them. */
#include <inttypes.h>

#include "base/clock.h"
#include "base/text.h"
#include "cli/audit/audit.h"
#include "cli/audit/lines.h"
#include "codec/json_write.h"

struct show {
	const struct mf_audit_opts *o;
	struct mf_audit_match *match;
	struct mf_audit_lines *lines;
	struct mf_buf line;
};

static void
put_column(struct mf_buf *to, struct mf_slice s, int width)
{
	for (size_t i = 0; i < s.n; i++) /* a record may hold anything; a terminal must not obey it */
		mf_buf_put_u8(to, s.p[i] < ' ' || s.p[i] == 0x7f ? '?' : s.p[i]);
	for (size_t i = s.n; i < (size_t)width; i++)
		mf_buf_put_u8(to, ' ');
	mf_buf_put_u8(to, ' ');
}

static struct mf_slice
text_of(const struct mf_json_value *v)
{
	struct mf_slice s;
	return mf_json_string(v, &s) ? s : MF_SLICE_LIT("-");
}

static void
put_row(struct mf_buf *to, const struct mf_verify_record *r)
{
	static const char *const details[] = { "spiffe_id", "serial", "lease", "cause", "reason", "subject" };
	mf_buf_putf(to, "%-7" PRIu64 " ", r->rec->index);
	mf_time_put_s(to, r->ts_us / 1000000);
	mf_buf_put_u8(to, ' ');
	put_column(to, r->type, 22);
	put_column(to, text_of(mf_json_get(mf_json_get(r->json, "job"), "id")), 22);
	put_column(to, text_of(mf_json_get(mf_json_get(r->json, "node"), "id")), 16);
	for (size_t i = 0; i < MF_COUNT(details); i++) {
		struct mf_slice s;
		if (!mf_json_string(mf_json_get(r->json, details[i]), &s) || s.n == 0)
			continue;
		mf_buf_putf(to, "%s=", details[i]);
		put_column(to, s, 0);
	}
	while (to->n > 0 && to->p[to->n - 1] == ' ')
		to->n--;
	mf_buf_put_u8(to, '\n');
}

static enum mf_status
put_item(struct mf_buf *to, const struct mf_verify_record *r, struct mf_err *err)
{
	struct mf_jw w;
	mf_jw_init(&w, to, false);
	mf_jw_object_begin(&w);
	mf_jw_kuint(&w, "index", r->rec->index);
	mf_jw_khex(&w, "leaf", mf_slice(r->rec->leaf, MF_HASH_SIZE));
	mf_jw_key(&w, "record");
	mf_jw_raw(&w, r->rec->bytes);
	mf_jw_object_end(&w);
	return mf_jw_finish(&w, err);
}

static enum mf_status
on_record(void *ctx, const struct mf_verify_record *r, struct mf_err *err)
{
	struct show *s = ctx;
	bool yes = false;
	MF_TRY(mf_audit_match_record(s->match, r, &yes, err));
	if (!yes)
		return MF_OK;
	mf_buf_reset(&s->line);
	if (s->o->json)
		MF_TRY(put_item(&s->line, r, err));
	else
		put_row(&s->line, r);
	MF_TRY(mf_buf_check(&s->line, err));
	return mf_audit_lines_add(s->lines, r->rec->index, mf_buf_slice(&s->line), err);
}

/* What is verified and not yet printed. In JSON one document a call. */
static enum mf_status
flush(struct show *s, const struct mf_verify_report *rep, bool always, uint64_t *ret_n, struct mf_err *err)
{
	uint64_t size = rep->have_head ? rep->head.head.size : 0;
	*ret_n = 0;
	if (!always && mf_audit_lines_ready(s->lines, size) == 0)
		return MF_OK;
	if (s->o->json)
		(void)fputs("{\"apiVersion\":\"mayfly/v1\",\"kind\":\"AuditRecordList\",\"items\":[", stdout);
	MF_TRY(mf_audit_lines_flush(s->lines, size, s->o->json ? "," : "", stdout, ret_n, err));
	if (s->o->json)
		(void)fputs("]}\n", stdout);
	if (fflush(stdout) != 0)
		return MF_FAIL(err, MF_E_IO, "output: cannot be written");
	return MF_OK;
}

static enum mf_status
follow(struct show *s, struct mf_verifier *v, struct mf_err *err)
{
	for (;;) {
		bool moved = false;
		uint64_t n = 0;
		mf_audit_sleep_ms(100);
		enum mf_status st = mf_verifier_head(v, &moved, err);
		if (st == MF_E_NOTFOUND)
			continue; /* a new log */
		MF_TRY(st);
		MF_TRY(flush(s, mf_verifier_report(v), false, &n, err));
	}
}

static enum mf_status
show(struct show *s, const struct mf_audit_log *log, uint64_t limit, uint64_t *ret_n, uint64_t *ret_unsigned,
    bool *ret_old, struct mf_err *err)
{
	MF_AUTO(mf_verifier_free) struct mf_verifier *v = NULL;
	struct mf_verify_opts vo = { .log_dirfd = log->dirfd,
		.wal_dirfd = log->waldirfd,
		.key = &log->key,
		.on_record = on_record,
		.ctx = s };
	MF_TRY(mf_audit_match_new(&s->o->filter, &s->match, err));
	MF_TRY(mf_audit_lines_new(limit, &s->lines, err));
	MF_TRY(mf_verifier_new(&vo, &v, err));
	enum mf_status st = mf_audit_read_all(v, err);
	const struct mf_verify_report *rep = mf_verifier_report(v);
	if (st != MF_OK && !(st == MF_E_NOTFOUND && s->o->follow))
		return st;
	if (!s->o->json)
		(void)printf(
		    "%-7s %-20s %-22s %-22s %-16s %s\n", "INDEX", "TIME", "TYPE", "JOB", "NODE", "DETAIL");
	MF_TRY(flush(s, rep, !s->o->follow, ret_n, err));
	*ret_unsigned = mf_audit_unsigned(rep);
	*ret_old = rep->unfinished || mf_now().wall_us - rep->first_unsigned_ts_us > s->o->max_unsigned_us;
	return s->o->follow ? follow(s, v, err) : MF_OK;
}

static int
run(const struct mf_audit_opts *o, const struct mf_audit_log *log, uint64_t limit, uint64_t *ret_n)
{
	struct show s = { .o = o };
	struct mf_err err = { 0 };
	uint64_t unsigned_n = 0;
	bool old = false;
	mf_buf_init(&s.line, (size_t)MF_LIM_RECORD * 8);
	enum mf_status st = show(&s, log, limit, ret_n, &unsigned_n, &old, &err);
	mf_buf_fini(&s.line);
	mf_audit_match_free(s.match);
	mf_audit_lines_free(s.lines);
	if (st != MF_OK) {
		int rc = mf_audit_exit_of(st);
		(void)fprintf(
		    stderr, "mayfly audit: %s%s\n", rc == AUDIT_BAD ? "the log is bad: " : "", err.msg);
		return rc;
	}
	if (unsigned_n > 0) {
		(void)fprintf(stderr,
		    "mayfly audit: %" PRIu64
		    " records after the last signed head are not shown: chained, not yet "
		    "signed\n",
		    unsigned_n);
		if (old)
			return AUDIT_INCOMPLETE;
	}
	return AUDIT_OK;
}

int
mf_audit_tail(const struct mf_audit_opts *o, const struct mf_audit_log *log)
{
	uint64_t n = 0;
	return run(o, log, o->all || o->filter.since_us != 0 ? 0 : o->last, &n);
}

int
mf_audit_find(const struct mf_audit_opts *o, const struct mf_audit_log *log)
{
	const struct mf_audit_filter *f = &o->filter;
	uint64_t n = 0;
	if (f->type == NULL && f->job == NULL && f->node == NULL && f->spiffe_id == NULL &&
	    f->serial == NULL && f->since_us == 0) {
		(void)fprintf(stderr,
		    "mayfly audit find: say what: --job, --node, --spiffe-id, --serial, --type or --since\n");
		return AUDIT_USAGE;
	}
	int rc = run(o, log, 0, &n);
	if (rc == AUDIT_OK && n == 0) {
		(void)fprintf(stderr, "mayfly audit find: no record matches\n");
		return AUDIT_BAD;
	}
	return rc;
}
