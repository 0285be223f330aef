/* Certificates: what is asked of the signers, and what becomes of their answers. */
#include <stdio.h>

#include "base/secret.h"
#include "broker/core/request_facts.h"
#include "broker/notary/engine_internal.h"
#include "codec/template.h"
#include "crypto/hash.h"

#define UNAVAILABLE MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE
/* Certificates of one holder that have not expired: what ends them stands in one record, and nobody fills the disk. */
#define LIVE_MAX MF_ENGINE_LIVE_MAX
#define OUTER_MAX 64u

void
mf_work_free(struct work *w)
{
	if (w == NULL)
		return;
	for (size_t i = 0; i < MF_LIM_IDENTITIES; i++) {
		mf_sign_request_free(w->part[i].fields);
		mf_wipe(w->part[i].chain, w->part[i].chain_n);
		free(w->part[i].chain);
		free(w->part[i].hint);
	}
	free(w);
}

/* ---- names ---- */

struct names {
	struct mf_engine *e;
	const struct mf_lease *l;
	const struct mf_policy_profile *p;
};

static bool
attribute_of(const struct mf_job *j, const char *name, struct mf_slice *ret_value)
{
	size_t n = strlen(name);
	for (size_t i = 0; i < j->attributes_n; i++) {
		if (strncmp(j->attributes[i], name, n) != 0 || j->attributes[i][n] != '=')
			continue;
		*ret_value = mf_slice_str(j->attributes[i] + n + 1);
		return true;
	}
	return false;
}

static bool
name_value(void *ctx, struct mf_slice name, struct mf_slice *ret_value)
{
	const struct names *v = ctx;
	const struct mf_job *j = v->l->job;
	if (mf_slice_eq_str(name, "tenant"))
		*ret_value = mf_slice_str(j->tenant);
	else if (mf_slice_eq_str(name, "job"))
		*ret_value = mf_slice_str(j->id);
	else if (mf_slice_eq_str(name, "run"))
		*ret_value = mf_slice_str(j->run);
	else if (mf_slice_eq_str(name, "profile"))
		*ret_value = mf_slice_str(j->profile);
	else if (mf_slice_eq_str(name, "purpose"))
		*ret_value = mf_slice_str(v->p->purpose);
	else if (mf_slice_eq_str(name, "node"))
		*ret_value = mf_slice_str(v->l->node->id);
	else if (mf_slice_eq_str(name, "env"))
		return attribute_of(j, "env", ret_value);
	else if (mf_slice_eq_str(name, "kind"))
		return attribute_of(j, "kind", ret_value);
	else if (mf_slice_eq_str(name, "name"))
		return attribute_of(j, "name", ret_value);
	else
		return false;
	return true;
}

static char *
expand(const struct names *v, const char *template, enum mf_template_kind kind, const char *before,
    struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	struct names copy = *v;
	mf_buf_init(&b, MF_LIM_SPIFFE_ID);
	mf_buf_put_str(&b, before);
	if (mf_template_expand(mf_slice_str(template), kind, name_value, &copy, &b, err) != MF_OK ||
	    mf_buf_check(&b, err) != MF_OK)
		return NULL;
	return mf_slice_dup_str(mf_buf_slice(&b));
}

/* ---- one certificate's fields ---- */

/* The key that signs is the one that is active now; nothing outlives its certificate. */
static void
name_signer(struct mf_engine *e, struct mf_sign_request *f)
{
	const struct mf_key *k = mf_engine_signer(e);
	memcpy(f->key, k == NULL ? "" : k->id, k == NULL ? 1 : sizeof(f->key));
	if (k != NULL && f->exp > k->exp)
		f->exp = k->exp;
}

static struct mf_sign_request *
new_fields(struct mf_engine *e, struct mf_now now, const ProtobufCBinaryData *point, int64_t ttl_s,
    int64_t not_beyond)
{
	struct mf_sign_request *f = calloc(1, sizeof(*f));
	if (f == NULL)
		return NULL;
	int64_t now_s = now.wall_us / 1000000;
	e->conf.rand.fill(e->conf.rand.ctx, f->serial, sizeof(f->serial));
	f->serial[0] = (uint8_t)((f->serial[0] & 0x7f) | 0x40); /* positive, and always 16 bytes long */
	memcpy(f->point, point->data, sizeof(f->point));
	f->nbf = now_s - (int64_t)e->conf.backdate_s;
	f->exp = now_s + ttl_s;
	if (f->exp > not_beyond)
		f->exp = not_beyond;
	name_signer(e, f);
	return f;
}

static struct mf_sign_request *
copy_fields(const struct mf_sign_request *f)
{
	struct mf_sign_request *c = malloc(sizeof(*c));
	if (c == NULL)
		return NULL;
	*c = *f;
	c->dns_n = 0;
	c->dns = f->dns_n == 0 ? NULL : calloc(f->dns_n, sizeof(*c->dns));
	c->spiffe_id = strdup(f->spiffe_id);
	c->cn = strdup(f->cn);
	bool ok = c->spiffe_id != NULL && c->cn != NULL && (f->dns_n == 0 || c->dns != NULL);
	for (size_t i = 0; ok && i < f->dns_n; i++) {
		c->dns[i] = strdup(f->dns[i]);
		ok = c->dns[i] != NULL;
		c->dns_n += ok;
	}
	if (!ok) {
		mf_sign_request_free(c);
		return NULL;
	}
	return c;
}

static enum mf_status
expand_dns(
    const struct names *v, const struct mf_policy_identity *id, struct mf_sign_request *f, struct mf_err *err)
{
	f->dns = id->n_dns == 0 ? NULL : calloc(id->n_dns, sizeof(*f->dns));
	if (id->n_dns > 0 && f->dns == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	for (size_t i = 0; i < id->n_dns; i++) {
		f->dns[i] = expand(v, id->dns[i], MF_TEMPLATE_DNS, "", err);
		if (f->dns[i] == NULL)
			return err->code != MF_OK ? err->code : MF_FAIL(err, MF_E_NOMEM, "out of memory");
		f->dns_n = i + 1;
	}
	return MF_OK;
}

static enum mf_status
fill_part(struct mf_engine *e, struct mf_now now, struct work *w, size_t i, const struct names *v,
    const ProtobufCBinaryData *point, struct mf_err *err)
{
	const size_t slot = w->part[i].slot;
	const struct mf_policy_identity *id = &v->p->identities[slot];
	char before[MF_LIM_TRUST_DOMAIN + 16];
	struct mf_sign_request *f =
	    new_fields(e, now, point, (int64_t)(id->x509_ttl_ms / 1000), v->l->deadline);
	w->part[i].fields = f;
	if (f == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	const char *name = w->kind == WORK_RENEW ? mf_engine_name_of_slot(v->l, slot) : NULL;
	if (name == NULL)
		(void)snprintf(before, sizeof(before), "spiffe://%s", e->trust_domain);
	f->spiffe_id = name != NULL ? strdup(name) : expand(v, id->path, MF_TEMPLATE_PATH, before, err);
	f->cn = id->cn[0] == '\0' ? strdup("") : expand(v, id->cn, MF_TEMPLATE_CN, "", err);
	w->part[i].hint = strdup(id->hint);
	if (f->spiffe_id == NULL || f->cn == NULL || w->part[i].hint == NULL)
		return err->code != MF_OK ? err->code : MF_FAIL(err, MF_E_NOMEM, "out of memory");
	char final[MF_POLICY_REASON_MAX];
	if (mf_engine_is_final(v->l, f->spiffe_id, final, sizeof(final)))
		return MF_FAIL(err, MF_E_DENIED, "%s", final); /* under another number of a changed profile */
	MF_TRY(expand_dns(v, id, f, err));
	if (f->exp <= now.wall_us / 1000000)
		return MF_FAIL(err, MF_E_STATE, "the job's deadline, or the CA's own end, is now");
	return MF_OK;
}

static size_t
live(const struct mf_list *creds, struct mf_now now)
{
	size_t n = 0;
	MF_LIST_EACH(p, creds)
	n += MF_LIST_ITEM(p, struct mf_cred, at)->exp * 1000000 > now.wall_us;
	return n;
}

/* Would ${more} be too many? Counted only where it could be: the list has what expired since the last record, too. */
static bool
is_crowded(const struct mf_lease *l, struct mf_now now, size_t more)
{
	return l->creds_n + more > LIVE_MAX && live(&l->creds, now) + more > LIVE_MAX;
}

/* ---- work under way ---- */

static struct work *
new_work(struct mf_engine *e, enum work_kind kind, uint64_t sid, uint64_t request_id, size_t n)
{
	struct work *w = e->works_n >= e->conf.max_pending ? NULL : calloc(1, sizeof(*w));
	if (w == NULL)
		return NULL;
	w->id = ++e->next_work;
	w->kind = kind;
	w->sid = sid;
	w->request_id = request_id;
	w->n = n;
	HASH_ADD(hh, e->works, id, sizeof(w->id), w);
	if (w->map_oom) {
		free(w);
		return NULL;
	}
	e->works_n++;
	return w;
}

static void
drop_work(struct mf_engine *e, struct work *w)
{
	HASH_DELETE(hh, e->works, w);
	e->works_n--;
	mf_work_free(w);
}

/* Hand the parts to the signers. The ticket tells work and part. */
static bool
send_to_signers(struct mf_engine *e, struct work *w)
{
	struct mf_sign_request *copy[MF_LIM_IDENTITIES] = { 0 };
	for (size_t i = 0; i < w->n; i++) {
		copy[i] = copy_fields(w->part[i].fields);
		if (copy[i] == NULL) {
			for (size_t k = 0; k < i; k++)
				mf_sign_request_free(copy[k]);
			return false;
		}
	}
	for (size_t i = 0; i < w->n; i++) {
		copy[i]->ticket = w->id * MF_LIM_IDENTITIES + i;
		e->ops->sign(e->ctx, copy[i]);
	}
	return true;
}

void
mf_engine_issue(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    enum work_kind kind, const struct mf_lease *l, const struct mf_policy_profile *p,
    const ProtobufCBinaryData *points, size_t points_n)
{
	struct mf_err err = { 0 };
	struct names v = { e, l, p };
	size_t slots[MF_LIM_IDENTITIES], had = mf_engine_grantable(l, p->n_identities);
	char final[MF_POLICY_REASON_MAX] = "";
	size_t n = mf_engine_open_slots(l, had, slots, final, sizeof(final));
	if (n == 0 && had > 0) {
		mf_send_refusal(
		    e, s->sid, request_id, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_DENIED, final, NULL);
		return;
	}
	if (n == 0) {
		mf_send_refusal(e, s->sid, request_id, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_ENDED,
		    "the job's end was announced before anything was granted to this instance", NULL);
		return;
	}
	if (points_n < n) {
		mf_send_refusal(e, s->sid, request_id, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID,
		    "the profile has more identities than keys were sent", NULL);
		return;
	}
	if (is_crowded(l, now, n)) {
		mf_send_refusal(e, s->sid, request_id, UNAVAILABLE,
		    "this instance has too many certificates that have not expired: it renews or attaches "
		    "too often",
		    NULL);
		return;
	}
	struct work *w = new_work(e, kind, s->sid, request_id, n);
	if (w == NULL) {
		mf_send_refusal(e, s->sid, request_id, UNAVAILABLE, "the broker is busy: try again", NULL);
		return;
	}
	memcpy(w->node_id, s->node_id, sizeof(w->node_id));
	memcpy(w->lease, l->id, sizeof(w->lease));
	(void)snprintf(w->profile, sizeof(w->profile), "%s", p->name);
	w->epoch = l->epoch;
	w->drain_ms = p->drain_ms;
	for (size_t i = 0; i < w->n; i++) {
		w->part[i].slot = slots[i];
		if (fill_part(e, now, w, i, &v, &points[i], &err) == MF_OK)
			continue;
		mf_send_refusal(e, s->sid, request_id,
		    err.code == MF_E_NOMEM ? UNAVAILABLE : MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_DENIED,
		    err.msg, l->rule);
		drop_work(e, w);
		return;
	}
	if (!send_to_signers(e, w)) {
		mf_send_refusal(e, s->sid, request_id, UNAVAILABLE, "out of memory: try again", NULL);
		drop_work(e, w);
	}
}

/* ---- renewal: decided anew by today's policy, on the facts that the log holds ---- */

static const char *
renew_trouble(const struct session *s, const struct mf_lease *l, const Mayfly__Agent__V1__Renew *r,
    Mayfly__Agent__V1__RefusalCode *ret_code)
{
	*ret_code = MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_ENDED;
	if (l == NULL || strcmp(l->node->id, s->node_id) != 0)
		return "this node has no such lease";
	if (l->state == MF_LEASE_ENDED)
		return "this job is over";
	*ret_code = MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_SUSPENDED;
	if (l->state == MF_LEASE_SUSPENDED || l->epoch != r->epoch)
		return "the lease was suspended: attach anew";
	*ret_code = MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID;
	if (r->n_points == 0 || r->n_points > MF_LIM_IDENTITIES)
		return "1 to 4 public keys are needed";
	for (size_t i = 0; i < r->n_points; i++)
		if (r->points[i].len != 65)
			return "a public key is 65 bytes";
	return NULL;
}

void
mf_engine_renew(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    const Mayfly__Agent__V1__Renew *r)
{
	const struct mf_lease *l = mf_state_lease(e->state, mf_slice_str(r->lease_id));
	Mayfly__Agent__V1__RefusalCode code;
	const char *why = renew_trouble(s, l, r, &code);
	if (why == NULL) {
		code = UNAVAILABLE;
		why = mf_engine_why_not(e, now);
	}
	if (why != NULL) {
		mf_send_refusal(e, s->sid, request_id, code, why, NULL);
		return;
	}
	struct mf_err err = { 0 };
	MF_AUTO(mf_facts_free) struct mf_facts *facts = NULL;
	if (mf_request_lease(l, &facts, &err) != MF_OK) {
		mf_send_refusal(e, s->sid, request_id, UNAVAILABLE, err.msg, NULL);
		return;
	}
	struct mf_decision d;
	struct mf_policy_request req = { mf_slice_str(l->job->profile), facts, now.wall_us / 1000000 };
	mf_policy_decide(e->policy, &req, &d);
	mf_engine_check_frozen(e, l->job->tenant, l->job->person, &d);
	if (!d.permit) {
		mf_send_refusal(
		    e, s->sid, request_id, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_DENIED, d.told, d.rule);
		return;
	}
	mf_engine_issue(e, now, s, request_id, WORK_RENEW, l, d.profile, r->points, r->n_points);
}

/* ---- outer certificates: the fronts' own, under /mayfly/ ---- */

/* False when nothing was begun, for want of memory or of room. */
static bool
certify(struct mf_engine *e, struct mf_now now, enum work_kind kind, uint64_t sid, uint64_t request_id,
    const char *node_id, const ProtobufCBinaryData *point)
{
	char name[MF_LIM_TRUST_DOMAIN + 64 + MF_STATE_ID_MAX];
	struct work *w = new_work(e, kind, sid, request_id, 1);
	bool node = kind == WORK_OUTER;
	if (w == NULL)
		return false;
	(void)snprintf(w->node_id, sizeof(w->node_id), "%s", node_id);
	(void)snprintf(name, sizeof(name), "spiffe://%s/mayfly/%s/%s", e->trust_domain,
	    node ? "node" : "broker", node ? node_id : e->broker_id);
	struct mf_sign_request *f =
	    new_fields(e, now, point, (int64_t)(node ? e->conf.node_ttl_s : e->conf.server_ttl_s), INT64_MAX);
	w->part[0].fields = f;
	w->part[0].hint = strdup("");
	if (f != NULL) {
		f->spiffe_id = strdup(name);
		f->cn = strdup("");
	}
	if (f == NULL || f->spiffe_id == NULL || f->cn == NULL || w->part[0].hint == NULL ||
	    !send_to_signers(e, w)) {
		drop_work(e, w);
		return false;
	}
	return true;
}

void
mf_engine_certify_outer(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    const Mayfly__Agent__V1__CertifyOuter *c)
{
	const char *why = mf_engine_why_not(e, now);
	const struct mf_node *n = mf_state_node(e->state, mf_slice_str(s->node_id));
	if (why == NULL && c->point.len != 65)
		why = "a public key is 65 bytes";
	if (why == NULL && (n == NULL || live(&n->creds, now) >= OUTER_MAX))
		why = "this node has too many certificates that have not expired: its front starts too often";
	if (why == NULL && !certify(e, now, WORK_OUTER, s->sid, request_id, s->node_id, &c->point))
		why = "the broker is busy: try again";
	if (why != NULL)
		mf_send_refusal(e, s->sid, request_id, UNAVAILABLE, why, NULL);
}

void
mf_engine_certify_server(struct mf_engine *e, struct mf_now now, struct mf_slice point)
{
	uint8_t copy[65];
	ProtobufCBinaryData p = { sizeof(copy), copy };
	/* The front asks again after a while: without its certificate nobody reaches the broker anyway. */
	if (point.n != sizeof(copy) || mf_engine_why_not(e, now) != NULL ||
	    live(mf_state_broker_creds(e->state), now) >= OUTER_MAX)
		return;
	memcpy(copy, point.p, sizeof(copy));
	(void)certify(e, now, WORK_SERVER, 0, 0, "", &p);
}

/* ---- the signers' answers ---- */

static void
put_base64url(struct mf_slice in, char *to, size_t cap)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, cap - 1);
	mf_base64url_put(&b, in);
	memcpy(to, b.p, b.n);
	to[b.n] = '\0';
}

static void
spell_serial(const struct mf_sign_request *f, char ret_serial[33])
{
	mf_engine_hex(mf_slice(f->serial, sizeof(f->serial)), ret_serial);
}

static void
spell_spki(const struct mf_sign_request *f, char ret_spki[44])
{
	uint8_t h[32];
	mf_sha256(mf_slice(f->point, sizeof(f->point)), h);
	put_base64url(mf_slice(h, sizeof(h)), ret_spki, 44);
}

static uint64_t
record_part(struct mf_engine *e, struct mf_now now, const struct work *w, size_t i, const struct mf_lease *l)
{
	char serial[33], der[44], spki[44];
	const struct mf_sign_request *f = w->part[i].fields;
	const size_t slot = w->part[i].slot;
	bool renewed = w->kind == WORK_RENEW && l->slot_used[slot];
	struct mf_record r = { .type = renewed ? MF_REC_SVID_RENEWED : MF_REC_SVID_ISSUED };
	spell_serial(f, serial);
	put_base64url(mf_slice(w->part[i].der, 32), der, sizeof(der));
	mf_record_set_str(&r, MF_RS_SERIAL, serial);
	mf_record_set_str(&r, MF_RS_DER, der);
	mf_record_set_num(&r, MF_RN_NBF, f->nbf);
	mf_record_set_num(&r, MF_RN_EXP, f->exp);
	if (l != NULL)
		mf_record_set_str(&r, MF_RS_LEASE, l->id);
	if (renewed) {
		mf_record_set_num(&r, MF_RN_OF, (int64_t)l->slot_index[slot]);
		e->count.renewed++;
		return mf_engine_record(e, now, &r);
	}
	mf_record_set_str(&r, MF_RS_HOLDER, l != NULL ? "job" : w->kind == WORK_OUTER ? "node" : "broker");
	mf_record_set_str(&r, MF_RS_SPIFFE_ID, f->spiffe_id);
	spell_spki(f, spki);
	mf_record_set_str(&r, MF_RS_SPKI, spki);
	mf_record_set_str(&r, MF_RS_HINT, w->part[i].hint);
	mf_record_set_str(&r, MF_RS_NODE_ID, w->node_id);
	mf_record_set_num(&r, MF_RN_SLOT, (int64_t)slot);
	mf_record_set_num(&r, MF_RN_CA, (int64_t)mf_engine_signer(e)->index);
	if (l != NULL) {
		mf_record_set_str(&r, MF_RS_JOB_ID, l->job->id);
		mf_record_set_str(&r, MF_RS_JOB_PROFILE, w->profile);
		mf_record_set_str(&r, MF_RS_RULE, l->rule);
		mf_record_set_str(&r, MF_RS_TENANT, l->job->tenant);
		mf_record_set_str(&r, MF_RS_PERSON, l->job->person);
		mf_record_set_str(&r, MF_RS_GRADE, l->grade);
		mf_record_set_num(&r, MF_RN_EPOCH, l->epoch);
	}
	e->count.issued++;
	return mf_engine_record(e, now, &r);
}

static void
grant(struct mf_engine *e, struct mf_now now, const struct work *w, const struct mf_lease *l, uint64_t index)
{
	Mayfly__Agent__V1__Down down = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__Grant g = MAYFLY__AGENT__V1__GRANT__INIT;
	Mayfly__Agent__V1__Issued issued[MF_LIM_IDENTITIES], *pi[MF_LIM_IDENTITIES];
	char serial[MF_LIM_IDENTITIES][33];
	char profile[MF_STATE_ID_MAX], lease[MF_STATE_ID_MAX], job[MF_STATE_ID_MAX], run[MF_STATE_ID_MAX];
	for (size_t i = 0; i < w->n; i++) {
		mayfly__agent__v1__issued__init(&issued[i]);
		spell_serial(w->part[i].fields, serial[i]);
		issued[i].point = (uint32_t)i;
		issued[i].spiffe_id = w->part[i].fields->spiffe_id;
		issued[i].hint = w->part[i].hint;
		issued[i].chain.data = w->part[i].chain;
		issued[i].chain.len = w->part[i].chain_n;
		issued[i].serial = serial[i];
		issued[i].not_before = w->part[i].fields->nbf;
		issued[i].not_after = w->part[i].fields->exp;
		pi[i] = &issued[i];
	}
	memcpy(profile, w->profile, sizeof(profile));
	memcpy(lease, l->id, sizeof(lease));
	memcpy(job, l->job->id, sizeof(job));
	memcpy(run, l->job->run, sizeof(run));
	g.lease_id = lease;
	g.epoch = l->epoch;
	g.job_id = job;
	g.job_key = l->job->key;
	g.run_id = run;
	g.instance = l->n;
	g.profile = profile;
	g.rule = l->rule;
	g.tenant = l->job->tenant;
	g.n_issued = w->n;
	g.issued = pi;
	g.deadline = l->deadline;
	g.drain_ms = (uint32_t)w->drain_ms;
	Mayfly__Agent__V1__CloudOffer offers[MF_LIM_CLOUD_GRANTS], *po[MF_LIM_CLOUD_GRANTS];
	g.n_cloud = mf_engine_cloud_offers(e, mf_policy_profile(e->policy, mf_slice_str(w->profile)), offers);
	for (size_t i = 0; i < g.n_cloud; i++)
		po[i] = &offers[i];
	g.cloud = po;
	g.ending_until = l->state == MF_LEASE_ENDING ? l->job->until : 0;
	down.request_id = w->request_id;
	down.body_case = MAYFLY__AGENT__V1__DOWN__BODY_GRANT;
	down.grant = &g;
	struct release *r = mf_release_down(e, now, index, w->sid, &down, MF_ENGINE_NORMAL);
	if (r == NULL)
		return;
	r->kind = REL_GRANT;
	r->first = index + 1 - w->n;
	memcpy(r->lease, l->id, sizeof(r->lease));
	r->epoch = l->epoch;
}

static void
finish_outer(struct mf_engine *e, struct mf_now now, const struct work *w)
{
	const struct mf_node *n = mf_state_node(e->state, mf_slice_str(w->node_id));
	if (w->kind == WORK_OUTER && (n == NULL || n->evicted || live(&n->creds, now) >= OUTER_MAX))
		return; /* evicted, or far more asked at once than is ever needed */
	uint64_t index = record_part(e, now, w, 0, NULL);
	if (index == UINT64_MAX)
		return;
	if (w->kind == WORK_SERVER) {
		struct release *r = mf_release_bytes(
		    e, now, REL_SERVER, index, mf_slice(w->part[0].chain, w->part[0].chain_n));
		if (r != NULL)
			r->not_after = w->part[0].fields->exp;
		return;
	}
	Mayfly__Agent__V1__Down down = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__OuterCertificate c = MAYFLY__AGENT__V1__OUTER_CERTIFICATE__INIT;
	c.chain.data = w->part[0].chain;
	c.chain.len = w->part[0].chain_n;
	c.not_after = w->part[0].fields->exp;
	down.request_id = w->request_id;
	down.body_case = MAYFLY__AGENT__V1__DOWN__BODY_OUTER_CERTIFICATE;
	down.outer_certificate = &c;
	(void)mf_release_down(e, now, index, w->sid, &down, MF_ENGINE_NORMAL);
}

static void
finish(struct mf_engine *e, struct mf_now now, const struct work *w)
{
	const char *why = mf_engine_why_not(e, now);
	if (w->failed || why != NULL) {
		bool bad_key = w->failed && !w->no_memory;
		if (w->failed)
			why = bad_key ? "a public key was not usable" : "out of memory: try again";
		if (w->sid != 0)
			mf_send_refusal(e, w->sid, w->request_id,
			    bad_key ? MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID : UNAVAILABLE, why,
			    NULL);
		return;
	}
	if (w->kind == WORK_OUTER || w->kind == WORK_SERVER) {
		finish_outer(e, now, w);
		return;
	}
	/* Invariant 3: what ended while the signers worked is not recorded, so it does not exist. */
	const struct mf_lease *l = mf_state_lease(e->state, mf_slice_str(w->lease));
	if (l == NULL || l->epoch != w->epoch ||
	    !(w->kind == WORK_RENEW ? mf_lease_may_renew(l->state) : mf_lease_may_grant(l->state))) {
		/* One that drains asks again, for what it had. */
		bool drains = l != NULL && l->state == MF_LEASE_ENDING && l->epoch == w->epoch;
		mf_send_refusal(e, w->sid, w->request_id,
		    drains ? UNAVAILABLE : MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_ENDED,
		    drains ? "its end was announced while the certificate was being made"
			   : "it ended while the certificate was being made",
		    NULL);
		return;
	}
	/* Invariant 2: the deadline came nearer meanwhile, or the end was announced. */
	bool too_long = false, final = false;
	for (size_t i = 0; i < w->n; i++) {
		size_t slot = w->part[i].slot;
		too_long |= w->part[i].fields->exp > l->deadline || mf_engine_grantable(l, slot + 1) <= slot;
		final |= mf_lease_final(l, w->part[i].fields->spiffe_id) != NULL;
	}
	if (final) {
		mf_send_refusal(e, w->sid, w->request_id, UNAVAILABLE,
		    "an identity was revoked while its certificate was being made: ask again", NULL);
		return;
	}
	if (too_long) {
		mf_send_refusal(e, w->sid, w->request_id, UNAVAILABLE,
		    "the job's deadline changed while the certificate was being made: ask again", NULL);
		return;
	}
	uint64_t index = is_crowded(l, now, w->n) ? UINT64_MAX : 0;
	for (size_t i = 0; i < w->n && index != UINT64_MAX; i++)
		index = record_part(e, now, w, i, l);
	if (index != UINT64_MAX)
		grant(e, now, w, l, index);
	else
		mf_send_refusal(e, w->sid, w->request_id, UNAVAILABLE,
		    "the broker could not record the certificates: try again later", NULL);
}

/*
 * The order of the log says which key signed what: what the signers made with a key that is active no more is made
 * anew with the one that is. True: the work goes on.
 */
static bool
sign_again(struct mf_engine *e, struct work *w)
{
	const struct mf_key *k = mf_engine_signer(e);
	bool stale = false;
	for (size_t i = 0; i < w->n; i++)
		stale |= k != NULL && strcmp(w->part[i].fields->key, k->id) != 0;
	if (!stale || w->failed)
		return false;
	for (size_t i = 0; i < w->n; i++) {
		free(MF_TAKE(w->part[i].chain));
		w->part[i].chain_n = 0;
		name_signer(e, w->part[i].fields);
	}
	w->done = 0;
	w->failed = w->no_memory = !send_to_signers(e, w);
	return !w->failed;
}

void
mf_engine_signed(struct mf_engine *e, struct mf_now now, const struct mf_sign_result *res)
{
	uint64_t id = res->ticket / MF_LIM_IDENTITIES;
	size_t i = (size_t)(res->ticket % MF_LIM_IDENTITIES);
	struct work *w = NULL;
	HASH_FIND(hh, e->works, &id, sizeof(id), w);
	if (w == NULL || i >= w->n)
		return;
	w->done++;
	w->part[i].chain = res->ok ? malloc(res->chain.n) : NULL;
	if (w->part[i].chain != NULL) {
		memcpy(w->part[i].chain, res->chain.p, res->chain.n);
		w->part[i].chain_n = res->chain.n;
		memcpy(w->part[i].der, res->der_sha256, sizeof(w->part[i].der));
	} else {
		w->failed = true;
		w->no_memory |= res->ok;
	}
	if (w->done < w->n || sign_again(e, w))
		return;
	finish(e, now, w);
	drop_work(e, w);
}
