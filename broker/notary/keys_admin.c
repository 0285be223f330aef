/* What operators ask about keys. Preparing and activating add access and fail closed; tainting and revoking never wait. */
#include <stdio.h>

#include "broker/notary/engine_internal.h"
#include "codec/bundle.h"
#include "codec/x509_peek.h"

#define REASON_MAX 512u

typedef Mayfly__Roles__V1__AdminCall call_t;

static void
take_actor(const call_t *call, const char *reason, struct key_actor *to)
{
	*to = (struct key_actor) { .kind = "operator", .call = call };
	(void)snprintf(to->reason, sizeof(to->reason), "%s", reason);
}

#define NO_USE                                                                                             \
	"keys of that use are not known here: x509, jwt-svid-es256, jwt-svid-rs256, jwt-assertion-es256, " \
	"jwt-assertion-rs256, jwt-selfserve-es256, jwt-selfserve-rs256"

static const struct mf_key_use *
use_of(const char *name)
{
	return mf_key_use_find(mf_slice_str(name[0] == '\0' ? MF_KEY_USE_X509 : name));
}

/* By id or unique prefix; NULL and an answer when it is none. */
static const struct mf_key *
find(struct mf_engine *e, const call_t *call, const char *match)
{
	const struct mf_key *found = NULL;
	for (const struct mf_key *k = mf_state_next_key(e->state, NULL); k != NULL;
	     k = mf_state_next_key(e->state, k)) {
		if (k->state == MF_KEY_GONE || strncmp(k->id, match, strlen(match)) != 0)
			continue;
		if (found != NULL) {
			mf_engine_admin_fail(e, call->call_id, MF_E_INVALID,
			    "several keys begin so: give more of the id (see 'mayfly key ls')");
			return NULL;
		}
		found = k;
	}
	if (found == NULL || match[0] == '\0') {
		mf_engine_admin_fail(
		    e, call->call_id, MF_E_NOTFOUND, "no such key: see 'mayfly key ls' for their ids");
		return NULL;
	}
	return found;
}

/* ---- keys as people see them ---- */

struct row {
	Mayfly__Admin__V1__Key key;
	char id[MF_KEY_ID_MAX], use[32], state[16], activation[MF_ERR_MSG_MAX], issuer[16];
};

static uint32_t
count(const struct mf_list *creds, const struct mf_key *k, struct mf_now now, bool present)
{
	uint32_t n = 0;
	MF_LIST_EACH(p, creds)
	{
		const struct mf_cred *c = MF_LIST_ITEM(p, struct mf_cred, at);
		n += c->key == k->index && c->exp * 1000000 > now.wall_us && !(present && c->superseded);
	}
	return n;
}

/* What it signed and has not expired. ${held}: leases whose present certificates are among that. */
static uint32_t
signed_by(struct mf_engine *e, const struct mf_key *k, struct mf_now now, bool held)
{
	uint32_t n = held ? 0 : count(mf_state_broker_creds(e->state), k, now, false);
	for (const struct mf_lease *l = mf_state_next_lease(e->state, NULL); l != NULL;
	     l = mf_state_next_lease(e->state, l)) {
		uint32_t of = held && !mf_lease_may_renew(l->state) ? 0 : count(&l->creds, k, now, held);
		n += held ? of > 0 : of;
	}
	for (const struct mf_node *x = held ? NULL : mf_state_next_node(e->state, NULL); x != NULL;
	     x = mf_state_next_node(e->state, x))
		n += count(&x->creds, k, now, false);
	return n;
}

static void
fill_row(struct mf_engine *e, struct mf_now now, const struct mf_key *k, struct row *r)
{
	mayfly__admin__v1__key__init(&r->key);
	memcpy(r->id, k->id, sizeof(r->id));
	(void)snprintf(r->use, sizeof(r->use), "%s", k->use->name);
	(void)snprintf(r->state, sizeof(r->state), "%s", mf_key_state_name(k->state));
	(void)snprintf(r->issuer, sizeof(r->issuer), "%s",
	    !mf_key_use_is_x509(k->use) ? ""
	    : k->anchor_n > 0		? "upstream"
					: "self");
	r->activation[0] = '\0';
	if (k->state == MF_KEY_PREPARED &&
	    mf_engine_activation_trouble(e, now, k, r->activation, sizeof(r->activation)) == NULL)
		(void)snprintf(r->activation, sizeof(r->activation), "ready");
	r->key.id = r->id;
	r->key.use = r->use;
	r->key.state = r->state;
	r->key.issuer = r->issuer;
	r->key.activation = r->activation;
	r->key.not_before = k->nbf;
	/* A JWT key has no end but the schedule's. */
	r->key.not_after = mf_key_use_is_x509(k->use) || e->conf.ca.scheduled ? k->exp : 0;
	r->key.last_expiry = k->last_exp;
	r->key.credentials = signed_by(e, k, now, false);
	r->key.held = signed_by(e, k, now, true);
	r->key.prepared_us = k->prepared_us;
	r->key.activated_us = k->activated_us;
	r->key.ended_us = k->gone_us != 0 ? k->gone_us : k->revoked_us != 0 ? k->revoked_us : k->tainted_us;
	r->key.published = mf_key_published(k) && e->keys.number[k->use->bundle] >= k->bundle;
	r->key.bundle = k->bundle;
	r->key.record_index = k->index;
	mf_engine_key_agents(e, k, &r->key.agents, &r->key.agents_confirmed);
}

static void
list(struct mf_engine *e, struct mf_now now, const call_t *call)
{
	Mayfly__Roles__V1__AdminReply reply = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	Mayfly__Admin__V1__ListKeysResponse m = MAYFLY__ADMIN__V1__LIST_KEYS_RESPONSE__INIT;
	size_t n = 0;
	for (const struct mf_key *k = mf_state_next_key(e->state, NULL); k != NULL;
	     k = mf_state_next_key(e->state, k))
		n++;
	struct row *rows = calloc(n + 1, sizeof(*rows));
	Mayfly__Admin__V1__Key **p = calloc(n + 1, sizeof(*p));
	if (rows == NULL || p == NULL) {
		free(rows);
		free(p);
		mf_engine_admin_fail(e, call->call_id, MF_E_NOMEM, "out of memory");
		return;
	}
	for (const struct mf_key *k = mf_state_next_key(e->state, NULL); k != NULL;
	     k = mf_state_next_key(e->state, k)) {
		if (k->state == MF_KEY_GONE && !call->list_keys->all)
			continue;
		fill_row(e, now, k, &rows[m.n_keys]);
		p[m.n_keys] = &rows[m.n_keys].key;
		m.n_keys++;
	}
	m.keys = p;
	m.bundle = e->keys.number[MF_KEY_IN_X509];
	reply.call_id = call->call_id;
	reply.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_KEYS;
	reply.keys = &m;
	e->ops->admin_reply(e->ctx, &reply);
	free(p);
	free(rows);
}

static void
answer_key(struct mf_engine *e, struct mf_now now, uint64_t call_id, const struct mf_key *k, uint64_t index,
    const char *note)
{
	Mayfly__Roles__V1__AdminReply reply = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	Mayfly__Admin__V1__KeyResponse m = MAYFLY__ADMIN__V1__KEY_RESPONSE__INIT;
	struct row row;
	char text[MF_ERR_MSG_MAX];
	fill_row(e, now, k, &row);
	row.key.published = mf_key_published(k); /* when this is read, it is durable */
	(void)snprintf(text, sizeof(text), "%s", note);
	m.key = &row.key;
	m.record_index = index;
	m.note = text;
	reply.call_id = call_id;
	reply.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_KEY;
	reply.key = &m;
	(void)mf_release_admin(e, now, index, &reply);
	mf_release_due(e, now);
}

/* ---- adding ---- */

static void
prepare(struct mf_engine *e, struct mf_now now, const call_t *call)
{
	const Mayfly__Admin__V1__PrepareKeyRequest *q = call->prepare_key;
	struct key_actor by;
	const char *why = NULL;
	const struct mf_key_use *use = use_of(q->use);
	if (use == NULL)
		why = NO_USE;
	else if (strlen(q->reason) > REASON_MAX)
		why = "the reason is longer than 512 bytes";
	if (why != NULL) {
		mf_engine_admin_fail(e, call->call_id, MF_E_INVALID, why);
		return;
	}
	take_actor(call, q->reason, &by);
	why = mf_engine_order_key(e, now, use, call->call_id, 0, &by);
	if (why != NULL)
		mf_engine_admin_fail(
		    e, call->call_id, mf_engine_why_not(e, now) != NULL ? MF_E_UNAVAILABLE : MF_E_STATE, why);
}

void
mf_engine_key_prepared(struct mf_engine *e, struct mf_now now, uint64_t call_id, const char *id,
    uint64_t index, const char *why_not)
{
	char note[MF_ERR_MSG_MAX];
	const struct mf_key *k = why_not == NULL ? mf_state_key(e->state, mf_slice_str(id)) : NULL;
	if (k == NULL) {
		mf_engine_admin_fail(e, call_id, MF_E_STATE, why_not != NULL ? why_not : "the key is gone");
		return;
	}
	if (k->use->bundle == MF_KEY_IN_OIDC)
		(void)snprintf(note, sizeof(note),
		    "it goes out with OIDC documents %llu; where they lie in a bucket, copy them there "
		    "('mayfly oidc "
		    "export'); 'mayfly key activate --use %s' in %llu s at the earliest",
		    (unsigned long long)k->bundle, k->use->name, (unsigned long long)e->conf.ca.publish_s);
	else if (k->use->bundle == MF_KEY_IN_NONE)
		(void)snprintf(note, sizeof(note),
		    "no document names it: 'mayfly key activate --use %s' at any time", k->use->name);
	else
		(void)snprintf(note, sizeof(note),
		    "it goes out with bundle %llu; 'mayfly key activate' in %llu s at the earliest, when all "
		    "agents "
		    "have confirmed",
		    (unsigned long long)k->bundle, (unsigned long long)e->conf.ca.publish_s);
	answer_key(e, now, call_id, k, index, note);
}

/* Tokens that name a CA which the front shows no more: agents take them, with an alarm. */
static uint32_t
older_tokens(const struct mf_engine *e, struct mf_now now)
{
	uint32_t n = 0;
	for (const struct mf_token *t = mf_state_next_token(e->state, NULL); t != NULL;
	     t = mf_state_next_token(e->state, t))
		n += t->uses > 0 && t->expires * 1000000 > now.wall_us;
	return n;
}

static void
activate(struct mf_engine *e, struct mf_now now, const call_t *call)
{
	const Mayfly__Admin__V1__ActivateKeyRequest *q = call->activate_key;
	const struct mf_key_use *use = use_of(q->use);
	if (use == NULL) {
		mf_engine_admin_fail(e, call->call_id, MF_E_INVALID, NO_USE);
		return;
	}
	const struct mf_key *k =
	    q->match[0] == '\0' ? mf_state_prepared_key(e->state, use->name) : find(e, call, q->match);
	const char *why = mf_engine_why_not(e, now);
	char text[MF_ERR_MSG_MAX], note[MF_ERR_MSG_MAX] = "";
	struct key_actor by;
	if (k == NULL) {
		if (q->match[0] == '\0')
			mf_engine_admin_fail(e, call->call_id, MF_E_STATE,
			    "no key is prepared: make one with 'mayfly key prepare'");
		return;
	}
	if (why != NULL) {
		mf_engine_admin_fail(e, call->call_id, MF_E_UNAVAILABLE, why);
		return;
	}
	why = mf_engine_activation_trouble(e, now, k, text, sizeof(text));
	/* Force shortens the wait; it does not make a key of what is none, nor one that no bundle on disk holds. */
	bool forced = why != NULL && q->force && mf_engine_may_force(e, now, k);
	if (strlen(q->reason) > REASON_MAX)
		why = "the reason is longer than 512 bytes";
	else if (forced)
		why = NULL;
	if (why != NULL) {
		mf_engine_admin_fail(e, call->call_id, MF_E_STATE, why);
		return;
	}
	take_actor(call, q->reason, &by);
	if (forced)
		(void)snprintf(by.reason, sizeof(by.reason), "forced: %.400s%s%s", text,
		    q->reason[0] == '\0' ? "" : "; ", q->reason);
	const struct mf_key *before = mf_engine_signer(e);
	bool new_root = mf_key_use_is_x509(k->use) &&
			(before == NULL || !mf_slice_eq(mf_key_root(before), mf_key_root(k)));
	uint32_t tokens = new_root ? older_tokens(e, now) : 0;
	uint64_t index = mf_engine_key_step(e, now, MF_REC_KEY_ACTIVATED, k, &by);
	if (index == UINT64_MAX) {
		mf_engine_admin_fail(e, call->call_id, MF_E_INTERNAL, "the broker must restart first");
		return;
	}
	if (tokens > 0)
		(void)snprintf(note, sizeof(note),
		    "%u join token%s made before name%s another CA: agents take them with an alarm in their "
		    "log",
		    tokens, tokens == 1 ? "" : "s", tokens == 1 ? "s" : "");
	answer_key(e, now, call->call_id, k, index, note);
}

/* ---- removing ---- */

static const char *
taint_trouble(const struct mf_key *k)
{
	if (k->state == MF_KEY_ACTIVE)
		return "this key signs: 'mayfly key prepare' another and 'mayfly key activate --force' it, "
		       "then "
		       "taint this one";
	if (k->state == MF_KEY_TAINTED)
		return "this key is tainted already";
	if (k->state >= MF_KEY_REVOKED)
		return "this key is revoked already";
	return NULL;
}

/*
 * Revoking is leaving the bundle. An intermediate's root stays there while other keys stand under it, and then verifiers go
 * on accepting: that is said, and not called revoked. ${text} has room for ${cap} bytes.
 */
static const char *
revoke_trouble(const struct mf_engine *e, const struct mf_key *k, char *text, size_t cap)
{
	struct mf_x509_peek p;
	char serial[2 * 20 + 1] = "";
	if (k->state >= MF_KEY_REVOKED)
		return "this key is revoked already";
	if (k->state != MF_KEY_TAINTED)
		return "taint it first ('mayfly key taint'), so that agents renew what it signed before "
		       "verifiers "
		       "refuse that";
	if (!mf_key_use_is_x509(k->use) || k->anchor_n == 0 || !mf_engine_root_is_shared(e, k))
		return NULL;
	if (mf_x509_peek(mf_bundle_first(mf_slice(k->certificate, k->certificate_n)), &p, NULL) == MF_OK)
		mf_engine_hex(mf_slice_sub(p.serial, 0, 20), serial);
	(void)snprintf(text, cap,
	    "its root stays in the bundle, because other keys stand under it, so verifiers would go on "
	    "accepting it: "
	    "have the upstream CA revoke the certificate with serial %s in its own CRL. It stays tainted: "
	    "agents "
	    "have renewed, and it leaves by itself",
	    serial);
	return text;
}

static void
answer_removal(struct mf_engine *e, struct mf_now now, uint64_t call_id, const struct mf_key *k,
    uint64_t index, bool revoked)
{
	Mayfly__Roles__V1__AdminReply reply = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	Mayfly__Admin__V1__RemovalResponse m = MAYFLY__ADMIN__V1__REMOVAL_RESPONSE__INIT;
	char id[MF_KEY_ID_MAX];
	memcpy(id, k->id, sizeof(id));
	m.effective = true;
	m.record_index = index;
	m.leases = signed_by(e, k, now, true);
	m.subject = id;
	reply.call_id = call_id;
	reply.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_REMOVAL;
	reply.removal = &m;
	struct release *r = mf_release_admin(e, now, index, &reply);
	if (r != NULL)
		r->whole = revoked; /* the bundle leaves with the record, and not before */
	mf_release_due(e, now);
}

static void
take_away(struct mf_engine *e, struct mf_now now, const call_t *call, const char *match, const char *reason,
    bool revoke)
{
	const struct mf_key *k = find(e, call, match);
	struct key_actor by;
	if (k == NULL)
		return;
	char text[MF_ERR_MSG_MAX];
	const char *why = revoke ? revoke_trouble(e, k, text, sizeof(text)) : taint_trouble(k);
	if (why == NULL && strlen(reason) > REASON_MAX)
		why = "the reason is longer than 512 bytes";
	if (why != NULL) {
		mf_engine_admin_fail(e, call->call_id, MF_E_STATE, why);
		return;
	}
	take_actor(call, reason, &by);
	mf_engine_keep_removal(e, revoke ? "revoke-key" : "taint-key", k->id);
	uint64_t index = mf_engine_key_step(e, now, revoke ? MF_REC_KEY_REVOKED : MF_REC_KEY_TAINTED, k, &by);
	if (index == UINT64_MAX) {
		mf_engine_admin_fail(e, call->call_id, MF_E_INTERNAL,
		    "the broker must restart first; the removal is kept and done then");
		return;
	}
	e->ops->removal_settled(e->ctx, index);
	answer_removal(e, now, call->call_id, k, index, revoke);
}

void
mf_engine_redo_key(struct mf_engine *e, struct mf_now now, struct mf_slice what, uint64_t *ret_index)
{
	bool revoke = mf_slice_starts(what, MF_SLICE_LIT("revoke-key "));
	if (!revoke && !mf_slice_starts(what, MF_SLICE_LIT("taint-key ")))
		return;
	struct key_actor by = { .kind = "operator" };
	const struct mf_key *k = mf_state_key(e->state, mf_slice_sub(what, revoke ? 11 : 10, what.n));
	char text[MF_ERR_MSG_MAX];
	if (k == NULL || (revoke ? revoke_trouble(e, k, text, sizeof(text)) : taint_trouble(k)) != NULL)
		return;
	(void)snprintf(by.reason, sizeof(by.reason), "asked for before the broker restarted");
	*ret_index = mf_engine_key_step(e, now, revoke ? MF_REC_KEY_REVOKED : MF_REC_KEY_TAINTED, k, &by);
}

bool
mf_engine_key_admin(struct mf_engine *e, struct mf_now now, const call_t *call)
{
	switch (call->what_case) {
	case MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_LIST_KEYS:
		mf_engine_issuer_hurry(e, now);
		list(e, now, call);
		return true;
	case MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_PREPARE_KEY:
		prepare(e, now, call);
		return true;
	case MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_ACTIVATE_KEY:
		mf_engine_issuer_hurry(e, now);
		activate(e, now, call);
		return true;
	case MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_TAINT_KEY:
		take_away(e, now, call, call->taint_key->match, call->taint_key->reason, false);
		return true;
	case MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_REVOKE_KEY:
		take_away(e, now, call, call->revoke_key->match, call->revoke_key->reason, true);
		return true;
	default:
		return false;
	}
}
