/* The log as policy sees it: what lives, and the last requests with their facts. Read by the files alone, and verified. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/core/request_facts.h"
#include "cli/policy/tool.h"
#include "log/verify.h"

struct reading {
	struct mf_tool_log *out;
	uint64_t last, dropped;
};

/* Keeps the last ${r->last}: the oldest goes when there are twice as many, so that moving them is cheap. */
static struct mf_tool_request *
add(struct reading *r)
{
	struct mf_tool_requests *q = &r->out->requests;
	if (q->n >= 2 * r->last) {
		for (size_t i = 0; i < r->last; i++)
			mf_tool_request_fini(&q->v[i]);
		memmove(q->v, q->v + r->last, (q->n - r->last) * sizeof(q->v[0]));
		q->n -= r->last;
	}
	return mf_tool_requests_add(q);
}

static enum mf_status
fill(struct mf_tool_request *q, const struct mf_record *r, struct mf_slice name, bool permit,
    struct mf_err *err)
{
	q->name = mf_slice_dup_str(name);
	q->profile = mf_slice_dup_str(r->s[MF_RS_JOB_PROFILE]);
	q->rule = r->s[MF_RS_RULE].n == 0 ? NULL : mf_slice_dup_str(r->s[MF_RS_RULE]);
	q->wall_s = r->ts_us / 1000000;
	q->known = true;
	q->permit = permit;
	return q->name == NULL || q->profile == NULL ? MF_FAIL(err, MF_E_NOMEM, "out of memory") : MF_OK;
}

/* A denial keeps what was known of who asked, where that fits into one record. */
static enum mf_status
denied_facts(
    const struct mf_state *st, const struct mf_record *r, struct mf_facts **ret_f, struct mf_err *err)
{
	MF_AUTO(mf_facts_free) struct mf_facts *f = NULL;
	const struct mf_node *n = mf_state_node(st, r->s[MF_RS_NODE_ID]);
	if (r->selectors_n == 0 || n == NULL)
		return MF_OK;
	MF_TRY(mf_facts_new(&f, err));
	MF_TRY(mf_request_node(f, n, err));
	for (size_t i = 0; i < r->selectors_n; i++)
		MF_TRY(mf_request_selector(f, r->selectors[i], err));
	MF_TRY(mf_request_grade(f, r->s[MF_RS_GRADE], err));
	for (size_t i = 0; i < r->attributes_n; i++)
		MF_TRY(mf_request_manifest(f, r->attributes[i], err));
	mf_facts_seal(f);
	*ret_f = MF_TAKE(f);
	return MF_OK;
}

static enum mf_status
keep(struct reading *r, const struct mf_record *rec, struct mf_err *err)
{
	struct mf_facts *f = NULL;
	bool opened = rec->type == MF_REC_LEASE_OPENED;
	if (r->last == 0 || (!opened && rec->type != MF_REC_AUTHZ_DENIED))
		return MF_OK;
	const struct mf_lease *l = opened ? mf_state_lease(r->out->state, rec->s[MF_RS_LEASE]) : NULL;
	if (l != NULL)
		MF_TRY(mf_request_lease(l, &f, err));
	else
		MF_TRY(denied_facts(r->out->state, rec, &f, err));
	struct mf_tool_request *q = add(r);
	if (q == NULL) {
		mf_facts_free(f);
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	}
	q->facts = f;
	return fill(q, rec, rec->s[opened ? MF_RS_JOB_ID : MF_RS_INSTANCE_KEY], opened, err);
}

static enum mf_status
on_record(void *ctx, const struct mf_verify_record *v, struct mf_err *err)
{
	struct reading *r = ctx;
	MF_AUTO(mf_record_doc_free) struct mf_record_doc *doc = NULL;
	MF_TRY(mf_record_decode(v->rec->bytes, &doc, err));
	MF_TRY(mf_state_apply(r->out->state, v->rec->index, mf_record_doc_get(doc), err));
	return keep(r, mf_record_doc_get(doc), err);
}

/* ---- opening ---- */

static int
open_below(const char *path, const char *tail)
{
	char joined[4096];
	int n = snprintf(joined, sizeof(joined), "%s%s", path, tail);
	if (n < 0 || (size_t)n >= sizeof(joined)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return open(joined, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int
open_dir(const struct mf_tool_opts *o)
{
	const char *state = getenv("MAYFLY_STATE");
	if (o->log != NULL)
		return open_below(o->log, "");
	if (state == NULL || *state == '\0')
		return open_below("/var/lib/mayfly/broker/log", "");
	int fd = open_below(state, "/log");
	return fd >= 0 ? fd : open_below(state, "/broker/log");
}

static enum mf_status
read_log(int dirfd, int waldirfd, struct reading *r, struct mf_err *err)
{
	MF_AUTO(mf_verifier_free) struct mf_verifier *v = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	struct mf_note_key key;
	mf_buf_init(&b, 4096);
	MF_TRY(mf_log_io_load(mf_log_io_system(), dirfd, MF_VKEY_NAME, &b, err));
	MF_TRY(mf_note_key_parse(mf_buf_slice(&b), &key, err));
	const struct mf_verify_opts vo = {
		.log_dirfd = dirfd, .wal_dirfd = waldirfd, .key = &key, .on_record = on_record, .ctx = r
	};
	MF_TRY(mf_verifier_new(&vo, &v, err));
	for (bool moved = true; moved;)
		MF_TRY(mf_verifier_head(v, &moved, err));
	return mf_verifier_tail(v, err); /* not signed yet, but on disk: it counts for what lives now */
}

static void
count_incomplete(struct mf_tool_log *l, uint64_t last)
{
	struct mf_tool_requests *q = &l->requests;
	size_t drop = q->n > last ? q->n - last : 0;
	for (size_t i = 0; i < drop; i++)
		mf_tool_request_fini(&q->v[i]);
	if (drop > 0)
		memmove(q->v, q->v + drop, (q->n - drop) * sizeof(q->v[0]));
	q->n -= drop;
	for (size_t i = 0; i < q->n; i++)
		l->incomplete += q->v[i].facts == NULL;
}

int
mf_tool_log_read(const struct mf_tool_opts *o, uint64_t last, struct mf_tool_log *ret_l)
{
	struct mf_err err = { 0 };
	*ret_l = (struct mf_tool_log) { 0 };
	struct reading r = { .out = ret_l, .last = last };
	int dirfd = open_dir(o),
	    waldirfd = dirfd < 0 ? -1 : openat(dirfd, "wal", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (waldirfd < 0) {
		int rc = mf_tool_say(TOOL_UNREACHABLE, "log directory %s: %s; say which with --log DIR",
		    o->log != NULL ? o->log : "(default)", strerror(errno));
		if (dirfd >= 0)
			(void)close(dirfd);
		return rc;
	}
	enum mf_status s = mf_state_new(&ret_l->state, &err);
	if (s == MF_OK)
		s = read_log(dirfd, waldirfd, &r, &err);
	(void)close(waldirfd);
	(void)close(dirfd);
	if (s != MF_OK) {
		mf_tool_log_fini(ret_l);
		return mf_tool_say(TOOL_UNREACHABLE, "the log: %s", err.msg);
	}
	count_incomplete(ret_l, last);
	return TOOL_OK;
}

void
mf_tool_log_fini(struct mf_tool_log *l)
{
	mf_tool_requests_fini(&l->requests);
	mf_state_free(l->state);
	l->state = NULL;
}
