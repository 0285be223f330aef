/* From evidence to a node: which attestor, what a verifier said, and who the node is. */
#include <stdio.h>

#include "broker/notary/engine_internal.h"

#define PROVING_MAX 64u
#define REATTESTS_PER_MINUTE 6u /* each is a record */
#define CODE(x) MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_##x

static const struct mf_attest_conf no_conf = { .x509pop = false };

static const struct mf_attest_conf *
conf(const struct mf_engine *e)
{
	return e->conf.attest == NULL ? &no_conf : e->conf.attest;
}

static const struct mf_node *
register_node(struct mf_engine *e, struct mf_now now, const struct session *s,
    const struct mf_node_attestor *how, const struct mf_attested *a, struct mf_slice hostname)
{
	char id[MF_STATE_ID_MAX], spiffe_id[MF_LIM_TRUST_DOMAIN + 64 + MF_STATE_ID_MAX];
	struct mf_record r = { .type = MF_REC_NODE_REGISTERED };
	mf_engine_new_id(e, "n-", 16, id);
	(void)snprintf(spiffe_id, sizeof(spiffe_id), "spiffe://%s/mayfly/node/%s", e->trust_domain, id);
	mf_record_set_str(&r, MF_RS_NODE_ID, id);
	mf_record_set_str(&r, MF_RS_NODE_BOOT, s->boot);
	mf_record_set_str(&r, MF_RS_INNER, s->remote_hex);
	mf_record_set_str(&r, MF_RS_SPIFFE_ID, spiffe_id);
	mf_record_set_str(&r, MF_RS_TOKEN_ID, a->token_id == NULL ? "" : a->token_id);
	mf_record_set(&r, MF_RS_HOSTNAME, hostname);
	if (a->evidence[0] != '\0') {
		mf_record_set_str(&r, MF_RS_ATTESTOR, how->name);
		mf_record_set_str(&r, MF_RS_EVIDENCE, a->evidence);
	}
	r.attributes = a->attributes;
	r.attributes_n = a->attributes_n;
	uint64_t index = mf_engine_record(e, now, &r);
	return index == UINT64_MAX ? NULL : mf_state_node(e->state, mf_slice_str(id));
}

/* The evidence is a node's that we know: the same node with a new key. */
static const struct mf_node *
reattest_node(struct mf_engine *e, struct mf_now now, const struct session *s, const struct mf_attested *a,
    const struct mf_node *n)
{
	struct mf_record r = { .type = MF_REC_NODE_REATTESTED };
	char id[MF_STATE_ID_MAX];
	memcpy(id, n->id, sizeof(id));
	mf_record_set_str(&r, MF_RS_NODE_ID, id);
	mf_record_set_str(&r, MF_RS_NODE_BOOT, s->boot);
	mf_record_set_str(&r, MF_RS_INNER, s->remote_hex);
	mf_record_set_str(&r, MF_RS_ATTESTOR, n->attestor);
	mf_record_set_str(&r, MF_RS_EVIDENCE, a->evidence);
	r.attributes = a->attributes;
	r.attributes_n = a->attributes_n;
	uint64_t index = mf_engine_record(e, now, &r);
	return index == UINT64_MAX ? NULL : mf_state_node(e->state, mf_slice_str(id));
}

static struct mf_slice
host_of(const char *hostname)
{
	struct mf_slice h = mf_slice_str(hostname);
	h.n = mf_engine_plain(hostname) ? mf_utf8_cut(h, 255) : 0; /* for people only */
	return h;
}

/* ---- evidence that a verifier must see ---- */

static void
proving_free(struct mf_engine *e, struct proving *p)
{
	mf_list_del(&p->at);
	e->proving_n--;
	free(p);
}

void
mf_engine_forget_proving(struct mf_engine *e, uint64_t sid)
{
	MF_LIST_EACH(at, &e->proving)
	{
		struct proving *p = MF_LIST_ITEM(at, struct proving, at);
		if (sid == UINT64_MAX || p->sid == sid)
			proving_free(e, p);
	}
}

static bool
ask_verifier(struct mf_engine *e, struct session *s, const struct proving *p, struct mf_now now,
    const Mayfly__Agent__V1__Join *join)
{
	Mayfly__Roles__V1__VerifyEvidence v = MAYFLY__ROLES__V1__VERIFY_EVIDENCE__INIT;
	v.attestor = join->attestor;
	v.certificates = join->certificates;
	v.n_certificates = join->n_certificates;
	v.signature = join->signature;
	v.handshake_hash = (ProtobufCBinaryData) { sizeof(s->hash), s->hash };
	v.now = mf_engine_wall(e, now) / 1000000;
	return e->ops->verify != NULL && e->ops->verify(e->ctx, p->ticket, &v);
}

static void
begin_proof(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    const struct mf_node_attestor *how, const struct mf_attested *a, const Mayfly__Agent__V1__Join *join)
{
	struct proving *p = e->proving_n >= PROVING_MAX ? NULL : calloc(1, sizeof(*p));
	if (p != NULL) {
		*p = (struct proving) { .ticket = ++e->last_proving,
			.sid = s->sid,
			.request_id = request_id,
			.how = how,
			.attested = *a };
		struct mf_slice h = host_of(join->hello->hostname);
		memcpy(p->hostname, h.p, h.n);
		mf_list_init(&p->at);
		mf_list_add_tail(&e->proving, &p->at);
		e->proving_n++;
		s->phase = PHASE_PROVING; /* before: the answer may come at once */
		if (s->has_hash && ask_verifier(e, s, p, now, join))
			return;
		proving_free(e, p);
	}
	mf_engine_turn_away(e, now, s, request_id, CODE(UNAVAILABLE),
	    "too much evidence is being looked at: try again later", NULL);
}

const struct mf_node *
mf_engine_attest(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    const Mayfly__Agent__V1__Hello *h, const Mayfly__Agent__V1__Join *join)
{
	const struct mf_node_attestor *how = mf_node_attestor_find(join->attestor);
	struct mf_slice certificates[MF_LIM_CHAIN + 1];
	struct mf_attested a = { .token_id = NULL };
	struct mf_attest_claim c = { .state = e->state,
		.conf = conf(e),
		.wall_us = now.wall_us,
		.token_id = join->token_id,
		.token_secret = mf_slice(join->token_secret.data, join->token_secret.len),
		.certificates = certificates,
		.signature = mf_slice(join->signature.data, join->signature.len) };
	for (; c.certificates_n < join->n_certificates && c.certificates_n < MF_COUNT(certificates);
	     c.certificates_n++)
		certificates[c.certificates_n] = mf_slice(
		    join->certificates[c.certificates_n].data, join->certificates[c.certificates_n].len);
	const char *why =
	    how == NULL ? "this broker does not know that kind of evidence" : how->check(&c, &a);
	if (why != NULL) {
		mf_engine_turn_away(e, now, s, request_id,
		    how == &mf_attestor_join_token ? CODE(TOKEN) : CODE(EVIDENCE), why, NULL);
		return NULL;
	}
	if (how->verified) {
		begin_proof(e, now, s, request_id, how, &a, join);
		return NULL;
	}
	const struct mf_node *n = register_node(e, now, s, how, &a, host_of(h->hostname));
	if (n == NULL)
		mf_engine_turn_away(e, now, s, request_id, CODE(UNAVAILABLE),
		    "the broker could not record the node: try again", NULL);
	return n;
}

/* The evidence is good and says ${a}. */
static void
accept(struct mf_engine *e, struct mf_now now, struct session *s, const struct proving *p,
    const struct mf_attested *a)
{
	const struct mf_node *n = mf_state_node_by_evidence(e->state, mf_slice_str(a->evidence));
	const char *why = mf_engine_why_not(e, now); /* looked at again: time has passed */
	if (why == NULL && mf_state_node_by_inner(e->state, mf_slice_str(s->remote_hex)) != NULL)
		why = "this node was registered meanwhile: try again";
	if (why != NULL) {
		mf_engine_turn_away(e, now, s, p->request_id, CODE(UNAVAILABLE), why, NULL);
		return;
	}
	if (n != NULL && n->evicted) {
		mf_engine_turn_away(e, now, s, p->request_id, CODE(NODE_EVICTED),
		    "the node of this certificate was evicted: an operator may let it in again by 'mayfly "
		    "node "
		    "readmit'",
		    n);
		return;
	}
	if (n != NULL && strcmp(n->former, s->remote_hex) == 0) {
		mf_engine_turn_away(e, now, s, p->request_id, CODE(CLONE),
		    "another machine has joined with this node's certificate since: there is a copy of it. "
		    "Remove "
		    "the copy, then let the right one in by 'mayfly node evict' and 'mayfly node readmit'",
		    n);
		return;
	}
	struct pulse *pulse = n == NULL ? NULL : mf_engine_pulse(e, n->id);
	if (n != NULL && (pulse == NULL || !mf_bucket_take(&pulse->reattests, now, REATTESTS_PER_MINUTE))) {
		mf_engine_turn_away(e, now, s, p->request_id, CODE(UNAVAILABLE),
		    "this certificate joins with new keys too often: try again in a minute", NULL);
		return;
	}
	n = n == NULL ? register_node(e, now, s, p->how, a, mf_slice_str(p->hostname))
		      : reattest_node(e, now, s, a, n);
	if (n == NULL)
		mf_engine_turn_away(e, now, s, p->request_id, CODE(UNAVAILABLE),
		    "the broker could not record the node: try again", NULL);
	else
		mf_engine_admit(e, now, s, p->request_id, n);
}

void
mf_engine_verified(struct mf_engine *e, struct mf_now now, uint64_t ticket,
    const Mayfly__Roles__V1__Verified *said, const char *why)
{
	struct proving *found = NULL;
	MF_LIST_EACH(at, &e->proving)
	{
		struct proving *p = MF_LIST_ITEM(at, struct proving, at);
		found = p->ticket == ticket ? p : found;
	}
	if (found == NULL)
		return; /* its session is over */
	struct proving p = *found;
	struct session *s = mf_engine_session(e, p.sid);
	proving_free(e, found);
	if (s == NULL || s->phase != PHASE_PROVING)
		return;
	s->phase = PHASE_NEW;
	struct mf_slice attributes[MF_ATTRIBUTES];
	size_t n = said == NULL ? 0 : said->n_attributes;
	for (size_t i = 0; i < n && i < MF_COUNT(attributes); i++)
		attributes[i] = mf_slice_str(said->attributes[i]);
	struct mf_attested a = p.attested;
	if (said != NULL)
		why = !said->good ? (said->reason[0] != '\0' && mf_engine_plain(said->reason)
					    ? said->reason
					    : "the evidence is not good")
				  : p.how->decide(conf(e), attributes, n, &a);
	if (why == NULL)
		accept(e, now, s, &p, &a);
	else
		mf_engine_turn_away(
		    e, now, s, p.request_id, said == NULL ? CODE(UNAVAILABLE) : CODE(EVIDENCE), why, NULL);
}
