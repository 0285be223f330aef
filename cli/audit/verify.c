/* mayfly audit verify: the verdict, as a table or JSON. */
#include <inttypes.h>

#include "base/clock.h"
#include "base/text.h"
#include "cli/audit/audit.h"
#include "codec/json_write.h"

static const char *
result_name(int rc)
{
	return rc == AUDIT_OK ? "ok" : rc == AUDIT_BAD ? "bad" : "incomplete";
}

static void
put_time(struct mf_jw *w, const char *key, int64_t us)
{
	if (us != 0)
		mf_jw_ktime_us(w, key, us);
}

/* What it is called now. */
static const char *
name_of(const struct mf_audit_log *log, const struct mf_verify_report *rep)
{
	return rep->have_head ? rep->head.origin : log->key.name;
}

static void
put_restores(struct mf_jw *w, const struct mf_lineage *l)
{
	mf_jw_key(w, "restores");
	mf_jw_array_begin(w);
	for (size_t i = 0; i < l->n; i++) {
		mf_jw_object_begin(w);
		mf_jw_kuint(w, "index", l->v[i].index);
		mf_jw_kstr(w, "from", l->v[i].from);
		mf_jw_kstr(w, "to", l->v[i].to);
		mf_jw_kbool(w, "whole", l->v[i].whole);
		mf_jw_object_end(w);
	}
	mf_jw_array_end(w);
}

static void
print_restores(const struct mf_lineage *l)
{
	for (size_t i = 0; i < l->n; i++)
		(void)printf("restored at index %" PRIu64 ": it continues %s, whose %" PRIu64
			     " records are these; %s\n",
		    l->v[i].index, l->v[i].from, l->v[i].index,
		    l->v[i].whole ? "nothing is missing, its operator showed" : "later ones may be missing");
}

static int
print_json(const struct mf_audit_opts *o, const struct mf_audit_log *log, const struct mf_verify_report *rep,
    int rc, const char *why)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b, root;
	struct mf_jw w;
	mf_buf_init(&b, MF_LIM_JSON);
	mf_buf_init(&root, 100);
	mf_base64_put(&root, mf_slice(rep->head.head.root, MF_HASH_SIZE));
	mf_jw_init(&w, &b, false);
	mf_jw_object_begin(&w);
	mf_jw_kstr(&w, "apiVersion", "mayfly/v1");
	mf_jw_kstr(&w, "kind", "AuditVerification");
	mf_jw_key(&w, "items");
	mf_jw_array_begin(&w);
	mf_jw_object_begin(&w);
	mf_jw_kstr(&w, "result", result_name(rc));
	mf_jw_kstr(&w, "why", why);
	mf_jw_kstr(&w, "origin", name_of(log, rep));
	mf_jw_kstr(&w, "key_from", o->key_from_dir ? "log" : "caller");
	if (rep->have_head) {
		mf_jw_kuint(&w, "signed_records", rep->head.head.size);
		mf_jw_kstring(&w, "root", mf_buf_slice(&root));
	}
	mf_jw_kuint(&w, "unsigned_records", mf_audit_unsigned(rep));
	mf_jw_kuint(&w, "frames", rep->frames);
	mf_jw_kbool(&w, "unfinished", rep->unfinished);
	mf_jw_kuint(&w, "clock_steps", rep->clock_steps);
	put_restores(&w, rep->lineage);
	put_time(&w, "first_ts", rep->first_ts_us);
	put_time(&w, "last_ts", rep->last_ts_us);
	if (rc == AUDIT_BAD && rep->bad_index_known)
		mf_jw_kuint(&w, "first_bad_index", rep->bad_index);
	mf_jw_object_end(&w);
	mf_jw_array_end(&w);
	mf_jw_object_end(&w);
	struct mf_err err = { 0 };
	if (mf_jw_finish(&w, &err) != MF_OK) {
		(void)fprintf(stderr, "mayfly audit: %s\n", err.msg);
		return AUDIT_INCOMPLETE;
	}
	(void)printf("%s\n", mf_buf_cstr(&b));
	return rc;
}

static void
print_table(const struct mf_audit_log *log, const struct mf_verify_report *rep, int rc, const char *why)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 1000);
	(void)printf("log      %s\n", name_of(log, rep));
	print_restores(rep->lineage);
	if (rep->have_head) {
		mf_base64_put(&b, mf_slice(rep->head.head.root, MF_HASH_SIZE));
		(void)printf(
		    "head     %" PRIu64 " records, signed, root %s\n", rep->head.head.size, mf_buf_cstr(&b));
	}
	if (rep->records > 0 && rep->last_ts_us != 0) {
		mf_buf_reset(&b);
		mf_time_put_us(&b, rep->first_ts_us);
		mf_buf_put_str(&b, " to ");
		mf_time_put_us(&b, rep->last_ts_us);
		(void)printf("read     %" PRIu64 " records in %" PRIu64 " frames, %s\n", rep->records,
		    rep->frames, mf_buf_cstr(&b));
	}
	if (mf_audit_unsigned(rep) > 0)
		(void)printf("tail     %" PRIu64
			     " records after the last signed head: chained, not yet signed\n",
		    mf_audit_unsigned(rep));
	if (rep->unfinished)
		(void)printf(
		    "tail     %" PRIu64 " bytes at the end are an unfinished frame\n", rep->stop.bytes);
	if (rep->clock_steps > 0)
		(void)printf("clock    went back by more than 5 s %" PRIu64 " times, first at index %" PRIu64
			     "\n",
		    rep->clock_steps, rep->first_clock_step);
	(void)printf("%s%s%s\n", result_name(rc), *why != '\0' ? ": " : "", why);
}

int
mf_audit_verify(const struct mf_audit_opts *o, const struct mf_audit_log *log)
{
	MF_AUTO(mf_verifier_free) struct mf_verifier *v = NULL;
	struct mf_verify_opts vo = { .log_dirfd = log->dirfd,
		.wal_dirfd = log->waldirfd,
		.key = &log->key,
		.held = o->head != NULL ? &log->held : NULL };
	struct mf_err err = { 0 };
	enum mf_status s = mf_verifier_new(&vo, &v, &err);
	if (s != MF_OK) {
		(void)fprintf(stderr, "mayfly audit: %s\n", err.msg);
		return AUDIT_INCOMPLETE;
	}
	s = mf_audit_read_all(v, &err);
	const struct mf_verify_report *rep = mf_verifier_report(v);
	int rc = mf_audit_exit_of(s);
	char why[MF_ERR_MSG_MAX + 64] = "";
	if (s != MF_OK) {
		(void)snprintf(why, sizeof(why), "%s", err.msg);
	} else if (rep->first_unsigned_ts_us != 0 &&
		   mf_now().wall_us - rep->first_unsigned_ts_us > o->max_unsigned_us) {
		rc = AUDIT_INCOMPLETE;
		(void)snprintf(why, sizeof(why),
		    "from index %" PRIu64
		    " on nobody has signed: the broker stopped before it could, or somebody "
		    "else wrote them; start it and verify again",
		    rep->head.head.size);
	} else if (rep->unfinished) {
		rc = AUDIT_INCOMPLETE;
		(void)snprintf(why, sizeof(why), "the frame at index %" PRIu64 " is unfinished: %s",
		    rep->stop.index, rep->stop.why);
	}
	if (o->key_from_dir)
		(void)fprintf(stderr,
		    "mayfly audit: the key was taken from the log's own directory: this shows that the "
		    "log is consistent, not who signed it (--key)\n");
	if (o->json)
		return print_json(o, log, rep, rc, why);
	print_table(log, rep, rc, why);
	return rc;
}
