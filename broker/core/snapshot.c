#include "broker/core/snapshot.h"

#include <stdlib.h>

#include "base/text.h"
#include "broker/core/state_internal.h"

#define HEAD "mayfly-snapshot-1"

/* Entities are written in the order of the records that made them: sort pointers by index. */
struct entry {
	uint64_t index;
	const void *what;
};

static int
by_index(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	return x->index < y->index ? -1 : x->index > y->index;
}

static void
line(struct mf_buf *to, uint64_t index, struct mf_record *r, int64_t ts_us)
{
	/* The envelope says nothing here: the log has the originals. */
	r->ts_us = ts_us;
	if (r->type != MF_REC_SVID_RENEWED) {
		mf_record_set_str(r, MF_RS_ID, "-");
		mf_record_set_str(r, MF_RS_BROKER, "-");
		mf_record_set_str(r, MF_RS_BOOT, "-");
		if (r->s[MF_RS_ORIGIN].n == 0)
			mf_record_set_str(r, MF_RS_ORIGIN, "-");
	}
	mf_buf_putf(to, "%llu ", (unsigned long long)index);
	struct mf_err err = { 0 };
	enum mf_status s = mf_record_encode(r, to, &err);
	if (s != MF_OK && to->failed == MF_OK)
		to->failed = s;
	mf_buf_put_u8(to, '\n');
}

static struct mf_record
rec(enum mf_record_type t)
{
	return (struct mf_record) { .type = t };
}

/* Lists as slices; the caller frees the array. */
static struct mf_slice *
slices(char *const *v, size_t n, struct mf_buf *to)
{
	struct mf_slice *s = calloc(n + 1, sizeof(*s));
	if (s == NULL)
		to->failed = MF_E_NOMEM;
	for (size_t i = 0; s != NULL && i < n; i++)
		s[i] = mf_slice_str(v[i]);
	return s;
}

static void
put_token(struct mf_buf *to, const struct mf_token *t)
{
	struct mf_record r = rec(MF_REC_TOKEN_CREATED);
	struct mf_slice *attributes = slices(t->attributes, t->attributes_n, to);
	mf_record_set_str(&r, MF_RS_ACTOR_KIND, "-");
	mf_record_set_str(&r, MF_RS_TOKEN_ID, t->id);
	mf_record_set_str(&r, MF_RS_TOKEN_HASH, t->hash);
	mf_record_set_num(&r, MF_RN_USES, t->uses);
	mf_record_set_num(&r, MF_RN_EXPIRES, t->expires);
	r.attributes = attributes;
	r.attributes_n = attributes == NULL ? 0 : t->attributes_n;
	line(to, t->index, &r, t->created_us);
	free(attributes);
}

static void
put_session(struct mf_buf *to, const struct mf_node *n, const char *value, const char *boot, uint64_t index)
{
	struct mf_record r = rec(MF_REC_NODE_SESSION);
	mf_record_set_str(&r, MF_RS_NODE_ID, n->id);
	mf_record_set_str(&r, MF_RS_NODE_BOOT, boot);
	mf_record_set_str(&r, MF_RS_SESSION, value);
	line(to, index, &r, n->registered_us);
}

static void
put_confirmed(struct mf_buf *to, const struct mf_node *n, const char *value, uint64_t index)
{
	struct mf_record r = rec(MF_REC_NODE_CONFIRMED);
	mf_record_set_str(&r, MF_RS_NODE_ID, n->id);
	mf_record_set_str(&r, MF_RS_SESSION, value);
	line(to, index, &r, n->registered_us);
}

/* 0 is left out. */
static void
put_number(struct mf_record *r, enum mf_record_num f, uint64_t n)
{
	if (n != 0)
		mf_record_set_num(r, f, (int64_t)n);
}

static void
put_jwt(struct mf_buf *to, const struct mf_cred *c, const char *lease)
{
	struct mf_record r = rec(MF_REC_JWT_ISSUED);
	struct mf_slice *aud = slices(c->aud, c->aud_n, to);
	mf_record_set_str(&r, MF_RS_LEASE, lease);
	mf_record_set_str(&r, MF_RS_SERIAL, c->serial);
	mf_record_set_str(&r, MF_RS_KID, c->kid);
	mf_record_set_str(&r, MF_RS_SHA256, c->sha256);
	mf_record_set_str(&r, MF_RS_SPIFFE_ID, c->spiffe_id);
	mf_record_set_str(&r, MF_RS_HINT, c->hint);
	mf_record_set_num(&r, MF_RN_NBF, c->nbf);
	mf_record_set_num(&r, MF_RN_EXP, c->exp);
	mf_record_set_num(&r, MF_RN_SLOT, c->slot);
	mf_record_set_num(&r, MF_RN_EPOCH, c->epoch);
	r.aud = aud;
	r.aud_n = aud == NULL ? 0 : c->aud_n;
	put_number(&r, MF_RN_CA, c->key);
	line(to, c->index, &r, c->issued_us);
	free(aud);
}

static void
put_cred(struct mf_buf *to, const struct mf_cred *c, const char *holder, const char *holder_id)
{
	struct mf_record r = rec(c->of == c->index ? MF_REC_SVID_ISSUED : MF_REC_SVID_RENEWED);
	bool job = strcmp(holder, "job") == 0;
	if (c->kid[0] != '\0') {
		put_jwt(to, c, holder_id);
		return;
	}
	mf_record_set_str(&r, MF_RS_SERIAL, c->serial);
	mf_record_set_str(&r, MF_RS_DER, c->der);
	mf_record_set_num(&r, MF_RN_NBF, c->nbf);
	mf_record_set_num(&r, MF_RN_EXP, c->exp);
	put_number(&r, MF_RN_CA, c->key);
	if (job)
		mf_record_set_str(&r, MF_RS_LEASE, holder_id);
	if (r.type == MF_REC_SVID_RENEWED) {
		mf_record_set_num(&r, MF_RN_OF, (int64_t)c->of);
		line(to, c->index, &r, c->issued_us);
		return;
	}
	mf_record_set_str(&r, MF_RS_HOLDER, holder);
	mf_record_set_str(&r, MF_RS_SPIFFE_ID, c->spiffe_id);
	mf_record_set_str(&r, MF_RS_HINT, c->hint);
	mf_record_set_str(&r, MF_RS_SPKI, c->spki);
	mf_record_set_num(&r, MF_RN_SLOT, c->slot);
	if (job)
		mf_record_set_num(&r, MF_RN_EPOCH, c->epoch);
	else if (strcmp(holder, "node") == 0)
		mf_record_set_str(&r, MF_RS_NODE_ID, holder_id);
	line(to, c->index, &r, c->issued_us);
}

static void
put_creds(struct mf_buf *to, const struct mf_list *creds, const char *holder, const char *holder_id)
{
	MF_LIST_EACH(p, creds)
	put_cred(to, MF_LIST_ITEM(p, struct mf_cred, at), holder, holder_id);
}

static void
put_node(struct mf_buf *to, const struct mf_node *n)
{
	struct mf_record r = rec(MF_REC_NODE_REGISTERED);
	struct mf_slice *attributes = slices(n->attributes, n->attributes_n, to);
	mf_record_set_str(&r, MF_RS_NODE_ID, n->id);
	mf_record_set_str(&r, MF_RS_INNER, n->former[0] == '\0' ? n->inner : n->former);
	mf_record_set_str(&r, MF_RS_SPIFFE_ID, n->spiffe_id);
	mf_record_set_str(&r, MF_RS_TOKEN_ID, n->token_id);
	mf_record_set_str(&r, MF_RS_HOSTNAME, n->hostname);
	if (n->evidence[0] != '\0') {
		mf_record_set_str(&r, MF_RS_ATTESTOR, n->attestor);
		mf_record_set_str(&r, MF_RS_EVIDENCE, n->evidence);
	}
	r.attributes = attributes;
	r.attributes_n = attributes == NULL ? 0 : n->attributes_n;
	line(to, n->index, &r, n->registered_us);
	if (n->former[0] != '\0') {
		r.type = MF_REC_NODE_REATTESTED;
		mf_record_set_str(&r, MF_RS_INNER, n->inner);
		mf_record_set_str(&r, MF_RS_SPIFFE_ID, "");
		mf_record_set_str(&r, MF_RS_HOSTNAME, "");
		line(to, n->reattested_index, &r, n->registered_us);
	}
	free(attributes);
	if (n->has_previous) {
		put_session(to, n, n->previous, n->previous_boot, n->previous_index);
		put_confirmed(to, n, n->previous, n->previous_index);
	}
	if (n->has_session)
		put_session(to, n, n->session, n->boot, n->session_index);
	if (n->confirmed)
		put_confirmed(to, n, n->session, n->confirmed_index);
	put_creds(to, &n->creds, "node", n->id);
	if (!n->evicted)
		return;
	r = rec(MF_REC_NODE_EVICTED);
	mf_record_set_str(&r, MF_RS_NODE_ID, n->id);
	mf_record_set_str(&r, MF_RS_ACTOR_KIND, "-");
	mf_record_set_str(&r, MF_RS_REASON, n->evict_reason);
	line(to, n->evicted_index, &r, n->evicted_us);
}

static void
put_job(struct mf_buf *to, const struct mf_job *j)
{
	struct mf_record r = rec(MF_REC_JOB_STARTED);
	struct mf_slice *attributes = slices(j->attributes, j->attributes_n, to);
	mf_record_set_str(&r, MF_RS_JOB_ID, j->id);
	mf_record_set_str(&r, MF_RS_JOB_KEY, j->key);
	mf_record_set_str(&r, MF_RS_JOB_RUN, j->run);
	mf_record_set_str(&r, MF_RS_JOB_PROFILE, j->profile);
	mf_record_set_str(&r, MF_RS_JOB_NAME, j->name);
	mf_record_set_str(&r, MF_RS_JOB_MANIFEST, j->manifest);
	mf_record_set_str(&r, MF_RS_TENANT, j->tenant);
	mf_record_set_str(&r, MF_RS_PERSON, j->person);
	mf_record_set_str(&r, MF_RS_RULE, j->rule);
	/* Leases that were forgotten have left these behind. */
	mf_record_set_num(&r, MF_RN_INSTANCE, j->instances);
	mf_record_set_num(&r, MF_RN_DEADLINE, j->deadline);
	mf_record_set_num(&r, MF_RN_DRAIN_MS, j->drain_ms);
	r.attributes = attributes;
	r.attributes_n = attributes == NULL ? 0 : j->attributes_n;
	line(to, j->index, &r, j->started_us);
	free(attributes);
}

static void
put_job_end(struct mf_buf *to, const struct mf_job *j)
{
	struct mf_record r = rec(MF_REC_JOB_ENDED);
	mf_record_set_str(&r, MF_RS_JOB_ID, j->id);
	mf_record_set_str(&r, MF_RS_CAUSE, j->cause);
	mf_record_set_str(&r, MF_RS_REASON, j->reason);
	line(to, j->ended_index, &r, j->ended_us);
}

static void
put_lease(struct mf_buf *to, const struct mf_lease *l)
{
	struct mf_record r = rec(MF_REC_LEASE_OPENED);
	struct mf_slice *selectors = slices(l->selectors, l->selectors_n, to);
	mf_record_set_str(&r, MF_RS_LEASE, l->id);
	mf_record_set_str(&r, MF_RS_JOB_ID, l->job->id);
	mf_record_set_str(&r, MF_RS_INSTANCE_KEY, l->key);
	mf_record_set_str(&r, MF_RS_NODE_ID, l->node->id);
	mf_record_set_str(&r, MF_RS_NODE_BOOT, l->boot);
	mf_record_set_str(&r, MF_RS_GRADE, l->grade);
	mf_record_set_str(&r, MF_RS_RULE, l->rule);
	mf_record_set_str(&r, MF_RS_POLICY, l->policy);
	mf_record_set_num(&r, MF_RN_EPOCH, l->epoch);
	mf_record_set_num(&r, MF_RN_INSTANCE, l->n);
	mf_record_set_num(&r, MF_RN_DEADLINE, l->deadline);
	mf_record_set_num(&r, MF_RN_DRAIN_MS, l->drain_ms);
	r.selectors = selectors;
	r.selectors_n = selectors == NULL ? 0 : l->selectors_n;
	line(to, l->index, &r, l->opened_us);
	free(selectors);
	put_creds(to, &l->creds, "job", l->id);
	struct mf_snapshot_out out = { to, line };
	mf_state_put_ended(l, &out);
	/* Ended leases follow in the order of their ends; here only a suspension. */
	if (l->state != MF_LEASE_SUSPENDED)
		return;
	r = rec(MF_REC_LEASE_SUSPENDED);
	mf_record_set_str(&r, MF_RS_LEASE, l->id);
	mf_record_set_str(&r, MF_RS_CAUSE, "-");
	mf_record_set_num(&r, MF_RN_EPOCH, l->epoch);
	line(to, l->changed_index, &r, l->changed_us);
}

static void
put_lease_end(struct mf_buf *to, const struct mf_lease *l)
{
	struct mf_record r = rec(MF_REC_LEASE_ENDED);
	mf_record_set_str(&r, MF_RS_LEASE, l->id);
	mf_record_set_str(&r, MF_RS_JOB_ID, l->job->id);
	mf_record_set_str(&r, MF_RS_CAUSE, l->cause);
	mf_record_set_str(&r, MF_RS_REASON, l->reason);
	mf_record_set_num(&r, MF_RN_EPOCH, l->epoch);
	line(to, l->changed_index, &r, l->changed_us);
}

static void
put_run(struct mf_buf *to, const struct mf_run *x)
{
	struct mf_record r = rec(MF_REC_RUN_KEPT);
	mf_record_set_str(&r, MF_RS_JOB_RUN, x->id);
	mf_record_set_str(&r, MF_RS_JOB_ID, x->last_job);
	mf_record_set_str(&r, MF_RS_JOB_PROFILE, x->profile);
	mf_record_set_str(&r, MF_RS_JOB_KEY, x->line);
	mf_record_set_str(&r, MF_RS_TENANT, x->tenant);
	mf_record_set_str(&r, MF_RS_PERSON, x->person);
	line(to, x->index, &r, x->used_us);
}

static void
put_managed(struct mf_buf *to, const struct mf_managed *m)
{
	struct mf_record r = rec(m->over ? MF_REC_MANAGER_ENDED : MF_REC_MANAGER_STARTED);
	struct mf_slice *nodes = slices(m->nodes, m->nodes_n, to);
	mf_record_set_str(&r, MF_RS_JOB_KEY, m->key);
	mf_record_set_str(&r, MF_RS_NODE_ID, m->by);
	if (m->over) {
		mf_record_set_str(&r, MF_RS_CAUSE, m->cause);
	} else {
		if (m->owner_known)
			mf_record_set_num(&r, MF_RN_OWNER, m->owner);
		if (m->deadline != 0)
			mf_record_set_num(&r, MF_RN_DEADLINE, m->deadline);
		r.attributes = nodes;
		r.attributes_n = nodes == NULL ? 0 : m->nodes_n;
	}
	line(to, m->index, &r, m->said_us);
	free(nodes);
}

static void
put_job_ending(struct mf_buf *to, const struct mf_job *j)
{
	struct mf_record r = rec(MF_REC_JOB_ENDING);
	mf_record_set_str(&r, MF_RS_JOB_ID, j->id);
	mf_record_set_str(&r, MF_RS_CAUSE, j->ending_cause);
	mf_record_set_str(&r, MF_RS_REASON, j->ending_reason);
	mf_record_set_num(&r, MF_RN_UNTIL, j->until);
	line(to, j->ending_index, &r, j->ending_us);
}

static void
put_head(const struct mf_state *st, struct mf_buf *to)
{
	mf_buf_putf(
	    to, HEAD " %llu %lld\n", (unsigned long long)mf_state_size(st), (long long)mf_state_last_us(st));
	if (mf_state_origin(st)[0] != '\0') {
		struct mf_record r = rec(MF_REC_LOG_OPENED);
		mf_record_set_str(&r, MF_RS_ORIGIN, mf_state_origin(st));
		mf_record_set_str(&r, MF_RS_TRUST_DOMAIN, mf_state_trust_domain(st));
		mf_record_set_str(&r, MF_RS_CA_SHA256, "-");
		mf_record_set_str(&r, MF_RS_VKEY, "-");
		mf_record_set_str(&r, MF_RS_INNER, "-");
		put_number(&r, MF_RN_BUNDLE, mf_state_bundle(st, MF_KEY_IN_X509));
		put_number(&r, MF_RN_JWT_BUNDLE, mf_state_bundle(st, MF_KEY_IN_JWT));
		bool tail_missing;
		put_number(&r, MF_RN_SIZE, mf_state_restored(st, &tail_missing));
		mf_record_set_str(&r, MF_RS_CAUSE, tail_missing ? MF_CAUSE_TAIL : "");
		put_number(&r, MF_RN_OIDC_BUNDLE, mf_state_bundle(st, MF_KEY_IN_OIDC));
		line(to, 0, &r, 0);
	}
	if (mf_state_policy(st)[0] != '\0') {
		struct mf_record r = rec(MF_REC_POLICY_LOADED);
		mf_record_set_str(&r, MF_RS_SHA256, mf_state_policy(st));
		mf_record_set_num(&r, MF_RN_RULES, 0);
		line(to, 0, &r, 0);
	}
}

static void
put_nonce(struct mf_buf *to, const struct mf_nonce *n)
{
	struct mf_record r = rec(MF_REC_ADMIN_APPROVED);
	mf_record_set_str(&r, MF_RS_ACTOR_KIND, "-");
	mf_record_set_str(&r, MF_RS_SUBJECT, "-");
	mf_record_set_str(&r, MF_RS_SHA256, "-");
	mf_record_set_str(&r, MF_RS_NONCE, n->text);
	mf_record_set_num(&r, MF_RN_EXPIRES, n->expires);
	line(to, n->index, &r, n->used_us);
}

static void
put_freeze(struct mf_buf *to, const struct mf_freeze *f)
{
	struct mf_record r = rec(MF_REC_FREEZE_SET);
	mf_record_set_str(&r, MF_RS_ACTOR_KIND, "-");
	mf_record_set_str(&r, MF_RS_SUBJECT, f->subject);
	mf_record_set_str(&r, MF_RS_REASON, f->reason);
	if (f->until != 0)
		mf_record_set_num(&r, MF_RN_UNTIL, f->until);
	line(to, f->index, &r, f->set_us);
}

/* Put all of one kind, in the order of their indices. */
#define PUT_SORTED(type, next, each)                                                \
	do {                                                                        \
		size_t n = 0, i = 0;                                                \
		for (const type *e = next(st, NULL); e != NULL; e = next(st, e))    \
			n++;                                                        \
		struct entry *all = calloc(n + 1, sizeof(*all));                    \
		if (all == NULL)                                                    \
			return MF_FAIL(err, MF_E_NOMEM, "snapshot: out of memory"); \
		for (const type *e = next(st, NULL); e != NULL; e = next(st, e))    \
			all[i++] = (struct entry) { e->index, e };                  \
		qsort(all, n, sizeof(*all), by_index);                              \
		for (i = 0; i < n; i++)                                             \
			each(to, all[i].what);                                      \
		free(all);                                                          \
	} while (0)

enum mf_status
mf_snapshot_write(const struct mf_state *st, struct mf_buf *to, struct mf_err *err)
{
	struct mf_snapshot_out out = { to, line };
	put_head(st, to);
	mf_state_put_keys(st, &out);
	PUT_SORTED(struct mf_token, mf_state_next_token, put_token);
	PUT_SORTED(struct mf_node, mf_state_next_node, put_node);
	PUT_SORTED(struct mf_run, mf_state_next_run, put_run);
	PUT_SORTED(struct mf_managed, mf_state_next_managed, put_managed);
	PUT_SORTED(struct mf_job, mf_state_next_job, put_job);
	PUT_SORTED(struct mf_lease, mf_state_next_lease, put_lease);
	MF_LIST_EACH(p, mf_state_ended(st))
	put_lease_end(to, MF_LIST_ITEM(p, struct mf_lease, at_ended));
	/* After the ends of leases: it is about those that are not over. */
	for (const struct mf_job *j = mf_state_next_job(st, NULL); j != NULL; j = mf_state_next_job(st, j))
		if (j->ending)
			put_job_ending(to, j);
	/* Jobs that are over, by the index of their end. */
	size_t n = 0;
	for (const struct mf_job *j = mf_state_next_job(st, NULL); j != NULL; j = mf_state_next_job(st, j))
		n += j->ended;
	struct entry *ended = calloc(n + 1, sizeof(*ended));
	if (ended == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "snapshot: out of memory");
	n = 0;
	for (const struct mf_job *j = mf_state_next_job(st, NULL); j != NULL; j = mf_state_next_job(st, j))
		if (j->ended)
			ended[n++] = (struct entry) { j->ended_index, j };
	qsort(ended, n, sizeof(*ended), by_index);
	for (size_t i = 0; i < n; i++)
		put_job_end(to, ended[i].what);
	free(ended);
	put_creds(to, mf_state_broker_creds(st), "broker", "");
	mf_state_put_clouds(st, &out);
	mf_state_put_sessions(st, &out);
	MF_LIST_EACH(p, mf_state_nonces(st))
	put_nonce(to, MF_LIST_ITEM(p, struct mf_nonce, at));
	MF_LIST_EACH(p, mf_state_freezes(st))
	put_freeze(to, MF_LIST_ITEM(p, struct mf_freeze, at));
	mf_buf_put_str(to, "end\n");
	return mf_buf_check(to, err);
}

static bool
next_line(struct mf_slice *rest, struct mf_slice *ret_line)
{
	const uint8_t *nl = rest->n == 0 ? NULL : memchr(rest->p, '\n', rest->n);
	if (nl == NULL)
		return false;
	size_t n = (size_t)(nl - rest->p);
	*ret_line = mf_slice(rest->p, n);
	*rest = mf_slice_sub(*rest, n + 1, rest->n);
	return true;
}

static bool
split_number(struct mf_slice *s, uint64_t *ret_v)
{
	const uint8_t *sp = s->n == 0 ? NULL : memchr(s->p, ' ', s->n);
	size_t n = sp == NULL ? s->n : (size_t)(sp - s->p);
	if (!mf_parse_u64(mf_slice(s->p, n), ret_v))
		return false;
	*s = mf_slice_sub(*s, n + 1, s->n);
	return true;
}

static enum mf_status
read_lines(struct mf_slice rest, struct mf_state *st, struct mf_err *err)
{
	struct mf_slice l;
	while (next_line(&rest, &l)) {
		uint64_t index;
		if (mf_slice_eq_str(l, "end"))
			return rest.n == 0 ? MF_OK
					   : MF_FAIL(err, MF_E_CORRUPT, "snapshot: text after its end");
		if (!split_number(&l, &index))
			return MF_FAIL(err, MF_E_CORRUPT, "snapshot: a line without index");
		MF_AUTO(mf_record_doc_free) struct mf_record_doc *doc = NULL;
		if (mf_record_decode(l, &doc, err) != MF_OK)
			return mf_err_wrap(err, MF_E_CORRUPT, "snapshot");
		if (mf_state_apply(st, index, mf_record_doc_get(doc), err) != MF_OK)
			return mf_err_wrap(err, MF_E_CORRUPT, "snapshot");
	}
	return MF_FAIL(err, MF_E_CORRUPT, "snapshot: it has no end: it was cut");
}

enum mf_status
mf_snapshot_read(struct mf_slice in, struct mf_state *st, struct mf_err *err)
{
	struct mf_slice rest = in, head;
	uint64_t size, last_us;
	if (in.n > MF_SNAPSHOT_MAX || !next_line(&rest, &head) ||
	    !mf_slice_starts(head, MF_SLICE_LIT(HEAD " ")))
		return MF_FAIL(err, MF_E_CORRUPT, "snapshot: not one of ours");
	head = mf_slice_sub(head, sizeof(HEAD), head.n);
	if (!split_number(&head, &size) || !split_number(&head, &last_us) || head.n != 0 ||
	    last_us > INT64_MAX)
		return MF_FAIL(err, MF_E_CORRUPT, "snapshot: bad first line");
	mf_state_loading(st, true);
	enum mf_status s = read_lines(rest, st, err);
	mf_state_loading(st, false);
	if (s != MF_OK)
		return MF_E_CORRUPT;
	mf_state_set_position(st, size, (int64_t)last_us);
	return MF_OK;
}
