/*
 * The life of the keys, of each use: the first one, the schedule, the end. What others are told of them is in keys_told.c.
 */
#include <stdio.h>

#include "base/text.h"
#include "broker/notary/engine_internal.h"

#define KEYS_MAX \
	16u /* of one use, that are not gone; what an agent is told holds MF_LIM_BUNDLE_CERTS of each kind */
#define LOOK_MS 1000u
#define AGAIN_MS 60000u	  /* after a failed try of the schedule */
#define LATER_MS 3600000u /* and where somebody must first bring other files */
#define DEAD_S 60	  /* clocks of verifiers lag: so long after its last credential's end a key leaves */
#define OIDC_DEAD_S 3600 /* an assertion lives a minute; but providers hold what they have read of our keys */

static const struct key_actor broker_itself = { .kind = "broker" };

const struct mf_key *
mf_engine_signer(const struct mf_engine *e)
{
	return mf_state_active_key(e->state, MF_KEY_USE_X509);
}

bool
mf_engine_is_lost(const struct mf_engine *e, const struct mf_key *k)
{
	for (size_t i = 0; i < e->keys.lost_n; i++)
		if (strcmp(e->keys.lost[i], k->id) == 0)
			return true;
	return false;
}

void
mf_engine_key_lost(struct mf_engine *e, const char *id)
{
	if (e->keys.lost_n < MF_ENGINE_LOST_MAX)
		(void)snprintf(e->keys.lost[e->keys.lost_n++], MF_KEY_ID_MAX, "%s", id);
}

/* ---- records ---- */

static struct mf_record
key_record(enum mf_record_type type, const struct mf_key_use *use, const char *id, const struct key_actor *by)
{
	struct mf_record r = { .type = type };
	mf_record_set_str(&r, MF_RS_ACTOR_KIND, by->kind);
	mf_record_set_str(&r, MF_RS_KEY_ID, id);
	mf_record_set_str(&r, MF_RS_KEY_USE, use->name);
	mf_record_set_str(&r, MF_RS_REASON, by->reason);
	if (by->call != NULL)
		mf_engine_actor(&r, by->call);
	return r;
}

static void
forget_file(
    struct mf_engine *e, struct mf_now now, uint64_t index, const struct mf_key_use *use, const char *id)
{
	struct release *r = mf_release_bytes(e, now, REL_FORGET, index, mf_slice(NULL, 0));
	if (r == NULL)
		return;
	r->use = use->name;
	(void)snprintf(r->lease, sizeof(r->lease), "%s", id);
}

static void
say(struct mf_engine *e, enum mf_record_type type, const struct mf_key_use *use, const char *id)
{
	char text[MF_KEY_ID_MAX + 64];
	(void)snprintf(text, sizeof(text), "%s key %s", mf_key_use_is_x509(use) ? "CA" : use->name, id);
	e->ops->event(e->ctx, mf_record_type_name(type), text);
}

/* Into a record that changes the bundle of ${use}, if there is one: its new number. */
static void
number_bundle(const struct mf_engine *e, const struct mf_key_use *use, struct mf_record *r)
{
	uint64_t next = use->bundle == MF_KEY_IN_NONE ? 0 : mf_state_bundle(e->state, use->bundle) + 1;
	mf_record_set_num(r, MF_RN_BUNDLE, (int64_t)next);
}

uint64_t
mf_engine_key_step(struct mf_engine *e, struct mf_now now, enum mf_record_type type, const struct mf_key *k,
    const struct key_actor *by)
{
	const struct mf_key_use *use = k->use;
	char id[MF_KEY_ID_MAX];
	struct mf_record r = key_record(type, use, k->id, by);
	bool unpublishes = type == MF_REC_KEY_REVOKED || (type == MF_REC_KEY_REMOVED && mf_key_published(k));
	bool distrust = type == MF_REC_KEY_TAINTED || mf_key_distrusted(k);
	memcpy(id, k->id, sizeof(id));
	if (unpublishes)
		number_bundle(e, use, &r);
	uint64_t index = mf_engine_record(e, now, &r);
	if (index == UINT64_MAX)
		return index;
	/* Which key signs stands in no bundle but the OIDC documents. */
	if (unpublishes || (type == MF_REC_KEY_ACTIVATED && use->bundle == MF_KEY_IN_OIDC))
		mf_engine_publish(e, now, use->bundle, index);
	if (type == MF_REC_KEY_REVOKED || type == MF_REC_KEY_REMOVED)
		forget_file(e, now, index, use, id);
	if (distrust)
		mf_engine_tell_distrust(e, NULL);
	say(e, type, use, id);
	return index;
}

static uint64_t
record_prepared(struct mf_engine *e, struct mf_now now, const struct mf_key_made *m,
    const struct key_actor *by, int64_t last_exp)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf cert, anchor;
	struct mf_record r = key_record(MF_REC_KEY_PREPARED, m->use, m->id, by);
	int64_t now_s = mf_engine_wall(e, now) / 1000000,
		jwt_exp = m->use->scheduled ? now_s + (int64_t)e->conf.ca.ttl_s : 0;
	bool x509 = mf_key_use_is_x509(m->use);
	mf_buf_init(&cert, MF_LIM_RECORD);
	mf_buf_init(&anchor, MF_LIM_RECORD);
	mf_base64url_put(&cert, m->certificate);
	mf_base64url_put(&anchor, m->anchor);
	if (mf_buf_check(&cert, NULL) != MF_OK || mf_buf_check(&anchor, NULL) != MF_OK)
		return UINT64_MAX;
	mf_record_set(&r, MF_RS_CERTIFICATE, mf_buf_slice(&cert));
	mf_record_set(&r, MF_RS_ANCHOR, mf_buf_slice(&anchor));
	mf_record_set(&r, MF_RS_JWK, m->jwk);
	mf_record_set_num(&r, MF_RN_NBF, x509 ? m->nbf : now_s);
	mf_record_set_num(&r, MF_RN_EXP, x509 ? m->exp : jwt_exp);
	number_bundle(e, m->use, &r);
	if (last_exp > 0)
		mf_record_set_num(&r, MF_RN_LAST_EXP, last_exp);
	uint64_t index = mf_engine_record(e, now, &r);
	if (index != UINT64_MAX) {
		mf_engine_publish(e, now, m->use->bundle, index);
		say(e, MF_REC_KEY_PREPARED, m->use, m->id);
	}
	return index;
}

/* ---- the first key ---- */

/* ${kid}: "" for certificates. */
static int64_t
latest_end(const struct mf_list *creds, const char *kid, int64_t so_far)
{
	MF_LIST_EACH(p, creds)
	{
		const struct mf_cred *c = MF_LIST_ITEM(p, struct mf_cred, at);
		so_far = c->exp > so_far && strcmp(c->kid, kid) == 0 ? c->exp : so_far;
	}
	return so_far;
}

/* A log of a release without key records: all that it issued was signed by the first keys. */
static int64_t
latest_of_all(const struct mf_engine *e, const struct mf_key_made *first)
{
	const char *kid = mf_key_use_is_x509(first->use) ? "" : first->id;
	int64_t end = latest_end(mf_state_broker_creds(e->state), kid, 0);
	for (const struct mf_lease *l = mf_state_next_lease(e->state, NULL); l != NULL;
	     l = mf_state_next_lease(e->state, l))
		end = latest_end(&l->creds, kid, end);
	for (const struct mf_node *n = mf_state_next_node(e->state, NULL); n != NULL;
	     n = mf_state_next_node(e->state, n))
		end = latest_end(&n->creds, kid, end);
	return end;
}

/* A crash may lie between the two records: the next look goes on. */
static void
begin_first(struct mf_engine *e, struct mf_now now, const struct mf_key_made *first)
{
	if (!e->log_room || mf_state_active_key(e->state, first->use->name) != NULL)
		return;
	const struct mf_key *k = mf_state_key(e->state, mf_slice_str(first->id));
	if (k == NULL) {
		if (record_prepared(e, now, first, &broker_itself, latest_of_all(e, first)) == UINT64_MAX)
			return;
		k = mf_state_key(e->state, mf_slice_str(first->id));
	}
	if (k != NULL && k->state == MF_KEY_PREPARED)
		(void)mf_engine_key_step(e, now, MF_REC_KEY_ACTIVATED, k, &broker_itself);
}

static void
begin_all(struct mf_engine *e, struct mf_now now)
{
	for (size_t i = 0; i < e->conf.first_n; i++)
		begin_first(e, now, &e->conf.first[i]);
}

void
mf_engine_keys_start(struct mf_engine *e, struct mf_now now)
{
	mf_engine_keys_told_start(e);
	/* A crash may have come between the record of a key's end and the removal of its file. */
	for (const struct mf_key *k = mf_state_next_key(e->state, NULL); k != NULL;
	     k = mf_state_next_key(e->state, k))
		if (k->state == MF_KEY_GONE || k->state == MF_KEY_REVOKED)
			e->ops->forget_key(e->ctx, k->use->name, k->id);
	begin_all(e, now);
}

/* ---- making one ---- */

/* Who asked is needed when the key is there. */
static bool
keep_caller(struct mf_engine *e, const struct key_actor *by)
{
	mf_engine_keys_fini(e);
	e->keys.actor = *by;
	if (by->call == NULL)
		return true;
	size_t n = mayfly__roles__v1__admin_call__get_packed_size(by->call);
	uint8_t *bytes = malloc(n > 0 ? n : 1);
	if (bytes == NULL)
		return false;
	(void)mayfly__roles__v1__admin_call__pack(by->call, bytes);
	e->keys.actor.call = e->keys.call = mayfly__roles__v1__admin_call__unpack(NULL, n, bytes);
	free(bytes);
	return e->keys.call != NULL;
}

void
mf_engine_keys_fini(struct mf_engine *e)
{
	if (e->keys.call != NULL)
		mayfly__roles__v1__admin_call__free_unpacked(e->keys.call, NULL);
	e->keys.call = NULL;
	e->keys.actor.call = NULL;
}

const char *
mf_engine_order_key(struct mf_engine *e, struct mf_now now, const struct mf_key_use *use, uint64_t call_id,
    int64_t outlive, const struct key_actor *by)
{
	const char *why = mf_engine_why_not(e, now);
	if (why != NULL)
		return why;
	if (e->keys.ticket != 0)
		return "a key is being made already: look with 'mayfly key ls' in a moment";
	if (mf_state_prepared_key(e->state, use->name) != NULL)
		return "a key is prepared already: 'mayfly key activate' it, or 'mayfly key taint' and "
		       "'mayfly key revoke' it first";
	size_t n = 0;
	for (const struct mf_key *k = mf_state_next_key(e->state, NULL); k != NULL;
	     k = mf_state_next_key(e->state, k))
		n += k->state != MF_KEY_GONE && k->use == use;
	if (n >= KEYS_MAX)
		return "too many keys are still trusted: wait until retired ones leave, or revoke tainted "
		       "ones";
	int64_t now_s = mf_engine_wall(e, now) / 1000000;
	struct mf_key_order order = { ++e->keys.last_ticket, use, now_s - (int64_t)e->conf.backdate_s,
		now_s + (int64_t)e->conf.ca.ttl_s, outlive };
	if (!keep_caller(e, by))
		return "out of memory: try again";
	e->keys.ticket = order.ticket;
	e->keys.use = use;
	e->keys.call_id = call_id;
	e->ops->make_key(e->ctx, &order);
	return NULL;
}

void
mf_engine_key_made(struct mf_engine *e, struct mf_now now, const struct mf_key_made *m)
{
	if (m->ticket == 0 || m->ticket != e->keys.ticket)
		return;
	e->keys.ticket = 0;
	/* The world may have changed while the disk was busy: then its file is of no use. */
	const char *why = m->ok ? mf_engine_why_not(e, now) : m->why;
	struct mf_key_made made = *m;
	made.use = e->keys.use; /* what was ordered */
	uint64_t index = why == NULL ? record_prepared(e, now, &made, &e->keys.actor, 0) : UINT64_MAX;
	if (why == NULL && index == UINT64_MAX)
		why = "the broker could not record the key: try again";
	if (why != NULL) {
		e->keys.not_before_ms = now.mono_ms + (m->later ? LATER_MS : AGAIN_MS);
		e->ops->event(e->ctx, "key.not_prepared", why);
		if (m->ok)
			e->ops->forget_key(e->ctx, e->keys.use->name, m->id);
	}
	if (e->keys.call_id != 0)
		mf_engine_key_prepared(e, now, e->keys.call_id, m->id, index, why);
	mf_engine_keys_fini(e);
}

/* ---- may it sign? ---- */

void
mf_engine_key_agents(const struct mf_engine *e, const struct mf_key *k, uint32_t *ret_all, uint32_t *ret_held)
{
	struct session *s, *tmp;
	*ret_all = *ret_held = 0;
	HASH_ITER(hh, e->sessions, s, tmp)
	{
		if (s->phase != PHASE_READY || !s->confirms[k->use->bundle])
			continue;
		(*ret_all)++;
		*ret_held += s->held[k->use->bundle] >= k->bundle;
	}
}

/* Only a certificate ends by itself. */
static bool
has_expired(const struct mf_engine *e, struct mf_now now, const struct mf_key *k)
{
	return mf_key_use_is_x509(k->use) && k->exp * 1000000 <= mf_engine_wall(e, now);
}

bool
mf_engine_may_force(const struct mf_engine *e, struct mf_now now, const struct mf_key *k)
{
	return k->state == MF_KEY_PREPARED && !mf_engine_is_lost(e, k) && !has_expired(e, now, k) &&
	       e->keys.number[k->use->bundle] >= k->bundle;
}

const char *
mf_engine_activation_trouble(
    const struct mf_engine *e, struct mf_now now, const struct mf_key *k, char *text, size_t cap)
{
	uint32_t all, held;
	int64_t wall_us = mf_engine_wall(e, now);
	int64_t out_s = (wall_us - k->prepared_us) / 1000000;
	mf_engine_key_agents(e, k, &all, &held);
	if (k->state != MF_KEY_PREPARED)
		(void)snprintf(text, cap, "key %s is %s: only a prepared key can be activated", k->id,
		    mf_key_state_name(k->state));
	else if (has_expired(e, now, k))
		(void)snprintf(text, cap,
		    "the certificate of key %s has expired: taint and revoke it, then "
		    "prepare another",
		    k->id);
	else if (mf_engine_is_lost(e, k))
		(void)snprintf(text, cap,
		    "the private key of %s is not among the broker's files: taint and "
		    "revoke it, then prepare another",
		    k->id);
	else if (k->use->bundle == MF_KEY_IN_NONE)
		return NULL; /* nobody has to learn it */
	else if (e->keys.number[k->use->bundle] < k->bundle)
		(void)snprintf(text, cap, "the bundle with key %s is not on disk yet: try again", k->id);
	else if (out_s < (int64_t)e->conf.ca.publish_s)
		(void)snprintf(text, cap,
		    "key %s has been in the bundle for %lld s of %llu (key_publish): verifiers that have not "
		    "fetched it would refuse what it signs; wait, or use --force",
		    k->id, (long long)(out_s < 0 ? 0 : out_s), (unsigned long long)e->conf.ca.publish_s);
	else if (k->use->bundle == MF_KEY_IN_OIDC)
		return mf_engine_issuer_trouble(e, k, text, cap) ? text : NULL;
	else if (held < all)
		(void)snprintf(text, cap,
		    "%u of %u connected agents have not confirmed the bundle with key %s: wait, or use "
		    "--force",
		    all - held, all, k->id);
	else
		return NULL;
	return text;
}

/* ---- the schedule ---- */

/* When its successor should have taken its place. A key of a release that made no schedule for its use says nothing. */
static int64_t
schedule_end(const struct mf_engine *e, const struct mf_key *k)
{
	return k->exp != 0 ? k->exp : k->prepared_us / 1000000 + (int64_t)e->conf.ca.ttl_s;
}

static void
schedule(struct mf_engine *e, struct mf_now now, const struct mf_key_use *use)
{
	const struct mf_key *active = mf_state_active_key(e->state, use->name);
	const struct mf_key *next = mf_state_prepared_key(e->state, use->name);
	char text[MF_ERR_MSG_MAX];
	if (active == NULL || !use->scheduled || !e->conf.ca.scheduled || mf_engine_why_not(e, now) != NULL)
		return;
	int64_t left_s = schedule_end(e, active) - mf_engine_wall(e, now) / 1000000;
	if (next == NULL && left_s <= (int64_t)e->conf.ca.prepare_before_s && e->keys.ticket == 0 &&
	    now.mono_ms >= e->keys.not_before_ms)
		(void)mf_engine_order_key(e, now, use, 0, active->exp, &broker_itself);
	if (next != NULL && mf_engine_is_lost(e, next)) {
		struct key_actor by = broker_itself;
		(void)snprintf(
		    by.reason, sizeof(by.reason), "its private key is not among the broker's files");
		(void)mf_engine_key_step(e, now, MF_REC_KEY_TAINTED, next, &by);
		return; /* it never signed: it leaves at once, and another is prepared */
	}
	if (next == NULL || left_s > (int64_t)e->conf.ca.activate_before_s)
		return;
	/*
	 * Agents that never confirm may hold it up for half of the time that is left, not until nothing can be issued. A key
	 * of assertions that its issuer does not show would be good for nothing, and the old one is still good.
	 */
	if (mf_engine_activation_trouble(e, now, next, text, sizeof(text)) == NULL ||
	    (left_s < (int64_t)e->conf.ca.activate_before_s / 2 && use->bundle != MF_KEY_IN_OIDC &&
		mf_engine_may_force(e, now, next)))
		(void)mf_engine_key_step(e, now, MF_REC_KEY_ACTIVATED, next, &broker_itself);
}

/* Nothing that it signed is of use any more. Assertions stand in the log by their intents, not by their keys. */
static bool
is_dead(const struct mf_engine *e, const struct mf_key *k, int64_t now_s)
{
	int64_t until = k->last_exp + DEAD_S;
	if (k->use->bundle == MF_KEY_IN_OIDC) {
		const struct mf_key *next = mf_state_active_key(e->state, k->use->name);
		int64_t signed_us =
		    k->activated_us == 0 || next == NULL ? k->prepared_us : next->activated_us;
		/* Whoever tainted it wants it away. */
		int64_t spare_s = mf_key_distrusted(k) ? 2 * DEAD_S : OIDC_DEAD_S;
		signed_us = mf_key_distrusted(k) && k->tainted_us > signed_us ? k->tainted_us : signed_us;
		until = signed_us / 1000000 + spare_s > until ? signed_us / 1000000 + spare_s : until;
	}
	return now_s > until;
}

/* Keys whose last credential is dead leave. One at a time: the step changes the list. */
static bool
remove_dead(struct mf_engine *e, struct mf_now now)
{
	int64_t now_s = mf_engine_wall(e, now) / 1000000;
	for (const struct mf_key *k = mf_state_next_key(e->state, NULL); k != NULL;
	     k = mf_state_next_key(e->state, k)) {
		bool may = k->state == MF_KEY_RETIRED || mf_key_distrusted(k);
		if (may && is_dead(e, k, now_s))
			return mf_engine_key_step(e, now, MF_REC_KEY_REMOVED, k, &broker_itself) !=
			       UINT64_MAX;
	}
	return false;
}

void
mf_engine_keys_tick(struct mf_engine *e, struct mf_now now)
{
	begin_all(e, now);
	if (now.mono_ms - e->keys.looked_ms < LOOK_MS || e->jumped)
		return;
	e->keys.looked_ms = now.mono_ms;
	mf_engine_replace_ca(e, now);
	mf_engine_issuer_tick(e, now);
	for (size_t i = 0; i < MF_KEY_USES; i++)
		schedule(e, now, mf_key_use_at(i));
	while (remove_dead(e, now))
		;
}
