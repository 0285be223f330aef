#include "agent/front/clouds.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/rand.h"
#include "base/text.h"
#include "os/jlog.h"
#include "rpc/pb_check.h"

#define TICK_MS 100u  /* while somebody waits */
#define KEEP_MS 1000u /* while somebody keeps */

/* A question that is out. */
struct pending {
	uint64_t mint_id, handle;
	bool map_oom;
	UT_hash_handle hh;
};

struct mf_clouds {
	struct mf_clouds_config cfg;
	struct mf_list waiting, keeping;
	struct pending *pending;
	uint64_t next_mint;
	uint64_t round, over; /* of looking through those who wait; how many are done */
	struct mf_loop_timer *tick;
	struct mf_clouds_stats stats;
};

static const char *const codes[] = { [MF_CLOUD_GIVEN] = "",
	[MF_CLOUD_NO_GRANT] = "NoSuchGrant",
	[MF_CLOUD_REFUSED] = "AccessDenied",
	[MF_CLOUD_ENDED] = "CredentialRevoked",
	[MF_CLOUD_LATER] = "TryAgain" };

const char *
mf_cloud_result_code(enum mf_cloud_result r)
{
	return (size_t)r < MF_COUNT(codes) ? codes[r] : "";
}

struct mf_clouds_stats
mf_clouds_stats(const struct mf_clouds *c)
{
	return c->stats;
}

static uint64_t
rand64(void)
{
	uint64_t v;
	mf_rand_bytes(&v, sizeof(v));
	return v;
}

static void
drop(struct mf_clouds *c, struct pending *p)
{
	HASH_DELETE(hh, c->pending, p);
	free(p);
}

/* --- asking --- */

static bool
can_ask(const struct mf_clouds *c, const struct mf_svid_entry *e)
{
	return mf_identities_ready(c->cfg.ids) && e->state == MF_SVID_GRANTED &&
	       e->generation == mf_attestor_link_generation(c->cfg.link);
}

static enum mf_status
send(struct mf_clouds *c, struct mf_svid_entry *e, const struct mf_cloud_item *i, uint64_t *ret_id,
    struct mf_err *err)
{
	Mayfly__Roles__V1__MintInstanceCloud m = MAYFLY__ROLES__V1__MINT_INSTANCE_CLOUD__INIT;
	struct pending *p = calloc(1, sizeof(*p));
	if (p == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "the agent is out of memory");
	p->mint_id = ++c->next_mint;
	p->handle = e->handle;
	HASH_ADD(hh, c->pending, mint_id, sizeof(p->mint_id), p);
	if (p->map_oom) {
		free(p);
		return MF_FAIL(err, MF_E_NOMEM, "the agent is out of memory");
	}
	m.mint_id = p->mint_id;
	m.handle = e->handle;
	m.grant = (char *)(uintptr_t)i->grant; /* packing reads only */
	enum mf_status s = mf_attestor_link_send(c->cfg.link, MF_MSG_MINT_INSTANCE_CLOUD, &m.base, -1, err);
	if (s != MF_OK)
		drop(c, p);
	else
		*ret_id = p->mint_id;
	return s;
}

/* Ask for ${i} if that can be, and nobody has. */
static void
ask(struct mf_clouds *c, struct mf_svid_entry *e, struct mf_cloud_item *i)
{
	struct mf_now now = mf_loop_now(c->cfg.loop);
	struct mf_err err = { 0 };
	uint64_t id = 0;
	if (!can_ask(c, e) || !mf_cloud_item_may_ask(i, now))
		return;
	if (send(c, e, i, &id, &err) != MF_OK) {
		mf_cloud_item_failed(i, mf_slice_str(err.msg), now, rand64());
		return;
	}
	c->stats.asked++;
	mf_cloud_item_asked(i, id, now);
}

/* --- those who wait --- */

static void
wait_over(struct mf_cloud_wait *w)
{
	if (!w->there)
		return;
	w->there = false;
	w->clouds->over++;
	w->clouds->stats.waiting--;
	mf_list_del(&w->node);
	mf_identity_use_set(w->clouds->cfg.ids, &w->use, NULL, false, false);
	mf_identity_watch_set(w->clouds->cfg.ids, &w->watch, NULL);
}

void
mf_cloud_wait_cancel(struct mf_cloud_wait *w)
{
	wait_over(w);
}

static void
nothing(struct mf_identity_watch *w)
{
	MF_UNUSED(w);
}

static void
finish(
    struct mf_cloud_wait *w, enum mf_cloud_result result, const struct mf_cloud_item *i, const char *reason)
{
	struct mf_cloud_answer a = { .result = result, .item = i, .reason = reason };
	char text[MF_SVID_TEXT_MAX + 1]; /* ${reason} may go with the entry */
	mf_svid_text(text, mf_slice_str(reason));
	a.reason = text;
	/* The watch is what keeps the entry, and so the item: it goes last. */
	struct mf_clouds *c = w->clouds;
	struct mf_identity_watch hold = { .changed = nothing };
	mf_identity_watch_set(c->cfg.ids, &hold, w->entry);
	if (result == MF_CLOUD_GIVEN)
		mf_identities_fetched(c->cfg.ids, w->entry);
	wait_over(w);
	w->done(w, &a);
	mf_identity_watch_set(c->cfg.ids, &hold, NULL);
}

static void
give(struct mf_cloud_wait *w, const struct mf_cloud_item *i, enum mf_cloud_view view)
{
	w->clouds->stats.served++;
	w->clouds->stats.served_old += view == MF_CLOUD_STALE;
	finish(w, MF_CLOUD_GIVEN, i, "");
}

static const char *
what_is_missing(const struct mf_cloud_wait *w, const struct mf_cloud_item *i)
{
	const char *why = mf_identities_why_not(w->clouds->cfg.ids);
	if (i != NULL && i->reason[0] != '\0')
		return i->reason;
	if (w->entry->reason[0] != '\0')
		return w->entry->reason;
	return why[0] != '\0' ? why : "the broker has not answered yet";
}

/* Answer, if there is something to say. May end ${w}. */
static void
look(struct mf_cloud_wait *w)
{
	struct mf_clouds *c = w->clouds;
	struct mf_svid_entry *e = w->entry;
	struct mf_now now = mf_loop_now(c->cfg.loop);
	if (e->state == MF_SVID_ENDED || e->state == MF_SVID_REFUSED) {
		finish(w, e->state == MF_SVID_ENDED ? MF_CLOUD_ENDED : MF_CLOUD_REFUSED, NULL, e->reason);
		return;
	}
	struct mf_cloud_item *i = mf_cloud_cache_find(&e->clouds, mf_slice_str(w->grant));
	if (i == NULL && e->clouds.offered && e->state == MF_SVID_GRANTED) {
		finish(w, MF_CLOUD_NO_GRANT, NULL,
		    "the job's profile has no such cloud grant (`mayfly token ls` lists them)");
		return;
	}
	enum mf_cloud_view view = i == NULL ? MF_CLOUD_NONE : mf_cloud_item_view(i, now);
	if (view == MF_CLOUD_FRESH) {
		give(w, i, view);
		return;
	}
	if (i != NULL && i->over) {
		finish(w, MF_CLOUD_ENDED, NULL, i->reason);
		return;
	}
	if (i != NULL)
		ask(c, e, i);
	if (view == MF_CLOUD_STALE &&
	    (i->mint_id == 0 || now.mono_ms - w->began_ms >= MF_CLOUDS_PATIENCE_MS)) {
		give(w, i, view);
		return;
	}
	if (i != NULL && i->denied && i->mint_id == 0)
		finish(w, MF_CLOUD_REFUSED, NULL, i->reason);
	else if (now.mono_ms >= w->until_ms)
		finish(w, MF_CLOUD_LATER, NULL, what_is_missing(w, i));
}

static void
on_entry(struct mf_identity_watch *watch)
{
	struct mf_cloud_wait *w = MF_CONTAINER_OF(watch, struct mf_cloud_wait, watch);
	if (w->there)
		look(w);
}

void
mf_clouds_get(struct mf_clouds *c, struct mf_cloud_wait *w, struct mf_svid_entry *e, struct mf_slice grant,
    uint64_t hold_ms)
{
	size_t n = grant.n > MF_CLOUD_NAME_MAX ? 0 : grant.n; /* longer than any: there is none such */
	w->clouds = c;
	w->entry = e;
	if (n > 0)
		memcpy(w->grant, grant.p, n);
	w->grant[n] = '\0';
	w->began_ms = mf_loop_now(c->cfg.loop).mono_ms;
	w->until_ms = w->began_ms + hold_ms;
	w->watch.changed = on_entry;
	w->there = true;
	c->stats.waiting++;
	mf_list_init(&w->node);
	mf_list_add_tail(&c->waiting, &w->node);
	mf_identity_watch_set(c->cfg.ids, &w->watch, e);
	/* An instance without an identity is attached for this; one that has it is not bothered. */
	if (e->state != MF_SVID_GRANTED && e->state != MF_SVID_ENDED)
		mf_identity_use_set(c->cfg.ids, &w->use, e, true, false);
	if (!mf_loop_timer_pending(c->tick) || mf_list_empty(&c->keeping) == false)
		mf_loop_timer_set(c->tick, TICK_MS);
	if (w->there)
		look(w);
}

struct mf_cloud_item *
mf_clouds_ready(struct mf_clouds *c, struct mf_svid_entry *e, struct mf_slice grant)
{
	struct mf_cloud_item *i = e->state == MF_SVID_GRANTED ? mf_cloud_cache_find(&e->clouds, grant) : NULL;
	if (i == NULL || mf_cloud_item_view(i, mf_loop_now(c->cfg.loop)) != MF_CLOUD_FRESH)
		return NULL;
	c->stats.served++;
	mf_identities_fetched(c->cfg.ids, e);
	return i;
}

/* One answer may bring others (an entry that lapses tells all who watch it): after one the list is gone through anew. */
static void
look_all(struct mf_clouds *c, const struct mf_svid_entry *e)
{
	uint64_t round = ++c->round;
	struct mf_list *p = c->waiting.next;
	while (p != &c->waiting) {
		struct mf_cloud_wait *w = MF_LIST_ITEM(p, struct mf_cloud_wait, node);
		uint64_t over = c->over;
		if (w->round < round && (e == NULL || w->entry == e)) {
			w->round = round;
			look(w);
		}
		p = c->over == over ? p->next : c->waiting.next;
	}
}

/* --- those who keep --- */

static void
renew_kept(struct mf_clouds *c)
{
	struct mf_now now = mf_loop_now(c->cfg.loop);
	MF_LIST_EACH(p, &c->keeping)
	{
		struct mf_cloud_keep *k = MF_LIST_ITEM(p, struct mf_cloud_keep, node);
		MF_LIST_EACH(q, &k->entry->clouds.items)
		{
			struct mf_cloud_item *i = MF_LIST_ITEM(q, struct mf_cloud_item, at);
			if (i->kind == MF_CLOUD_BEARER && mf_cloud_item_view(i, now) != MF_CLOUD_FRESH)
				ask(c, k->entry, i);
		}
	}
}

static void
tell_keepers(struct mf_clouds *c, const struct mf_svid_entry *e, const struct mf_cloud_item *i)
{
	MF_LIST_EACH(p, &c->keeping)
	{
		struct mf_cloud_keep *k = MF_LIST_ITEM(p, struct mf_cloud_keep, node);
		if (k->entry == e)
			k->changed(k, i);
	}
}

void
mf_clouds_keep(struct mf_clouds *c, struct mf_cloud_keep *k, struct mf_svid_entry *e)
{
	k->clouds = c;
	k->entry = e;
	mf_list_init(&k->node);
	mf_list_add_tail(&c->keeping, &k->node);
	renew_kept(c);
	if (!mf_loop_timer_pending(c->tick))
		mf_loop_timer_set(c->tick, KEEP_MS);
}

void
mf_cloud_keep_end(struct mf_cloud_keep *k)
{
	if (k->entry == NULL)
		return;
	mf_list_del(&k->node);
	k->entry = NULL;
}

static void
on_tick(void *ctx)
{
	struct mf_clouds *c = ctx;
	look_all(c, NULL);
	renew_kept(c);
	if (!mf_list_empty(&c->waiting))
		mf_loop_timer_set(c->tick, TICK_MS);
	else if (!mf_list_empty(&c->keeping))
		mf_loop_timer_set(c->tick, KEEP_MS);
}

/* --- from the link --- */

static bool
of_kind(const struct mf_cloud_item *i, ProtobufCBinaryData token)
{
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	if (mf_pb_unpack(&mayfly__roles__v1__cloud_token__descriptor, mf_slice(token.data, token.len), &msg,
		NULL) != MF_OK)
		return false;
	const Mayfly__Roles__V1__CloudToken *t = (const void *)msg;
	if (i->kind == MF_CLOUD_AWS)
		return t->kind == MAYFLY__ROLES__V1__CLOUD_TOKEN__KIND__KIND_AWS &&
		       t->access_key_id[0] != '\0' && t->secret_access_key[0] != '\0';
	return t->kind == MAYFLY__ROLES__V1__CLOUD_TOKEN__KIND__KIND_BEARER && t->access_token[0] != '\0';
}

static void
take_grant(struct mf_clouds *c, struct mf_svid_entry *e, struct mf_cloud_item *i,
    const Mayfly__Agent__V1__CloudGrant *g)
{
	struct mf_err err = { 0 };
	struct mf_now now = mf_loop_now(c->cfg.loop);
	struct mf_cloud_granted in = { .grant = mf_slice_str(g->grant),
		.kind = mf_slice_str(g->kind),
		.credential_id = mf_slice_str(g->credential_id),
		.issued_s = g->issued_at,
		.expires_s = g->expires,
		.effective_s = g->effective_expires };
	/* What is no token of its kind is an empty one. */
	if (of_kind(i, g->token))
		in.token = mf_slice(g->token.data, g->token.len);
	if (mf_cloud_item_grant(i, &in, now, rand64(), &err) != MF_OK) {
		mf_jlog_err(MF_LOG_ERROR, "cloud.bad_grant", "a cloud token was not taken", &err);
		return;
	}
	c->stats.granted++;
	MF_LOG(MF_LOG_INFO, "cloud.granted", "a cloud token is served", mf_js("instance", e->key),
	    mf_js("job", e->job.job_id), mf_js("grant", i->grant), mf_js("credential", i->credential_id),
	    mf_ji("until", i->effective_s));
	tell_keepers(c, e, i);
}

static void
take_refusal(struct mf_clouds *c, struct mf_svid_entry *e, struct mf_cloud_item *i,
    const Mayfly__Agent__V1__Refusal *r)
{
	struct mf_now now = mf_loop_now(c->cfg.loop);
	uint32_t code = r == NULL ? 0 : (uint32_t)r->code;
	struct mf_slice reason = r == NULL ? MF_SLICE_LIT("no answer") : mf_slice_str(r->reason);
	MF_LOG(MF_LOG_INFO, "cloud.refused", "no cloud token for an instance", mf_js("instance", e->key),
	    mf_js("grant", i->grant), mf_ju("refusal", code), mf_js("reason", r == NULL ? "" : r->reason));
	/* Over, or to be attached anew: the entry hears of it by its own way. */
	if (code == MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_DENIED ||
	    code == MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID) {
		c->stats.refused++;
		mf_cloud_item_deny(i, reason, c->cfg.refusal_ms, now);
		tell_keepers(c, e, i);
		return;
	}
	c->stats.unavailable++;
	mf_cloud_item_failed(i, reason, now, rand64());
}

void
mf_clouds_on_answer(struct mf_clouds *c, const Mayfly__Roles__V1__InstanceCloud *m)
{
	struct pending *p = NULL;
	uint64_t id = m->mint_id;
	HASH_FIND(hh, c->pending, &id, sizeof(id), p);
	if (p == NULL)
		return; /* an older front's, or given up */
	struct mf_svid_entry *e = mf_svid_cache_by_handle(mf_identities_cache(c->cfg.ids), p->handle);
	struct mf_cloud_item *i = e == NULL ? NULL : mf_cloud_cache_by_mint(&e->clouds, id);
	drop(c, p);
	if (i == NULL)
		return; /* wiped meanwhile: the job is over */
	if (m->grant != NULL)
		take_grant(c, e, i, m->grant);
	else
		take_refusal(c, e, i, m->refusal);
	look_all(c, e);
}

void
mf_clouds_on_ended(struct mf_clouds *c, const Mayfly__Roles__V1__InstanceCloudEnded *m)
{
	struct mf_svid_entry *e = mf_svid_cache_by_handle(mf_identities_cache(c->cfg.ids), m->handle);
	bool ended = false;
	if (e == NULL)
		return;
	MF_LIST_EACH(p, &e->clouds.items)
	{
		struct mf_cloud_item *i = MF_LIST_ITEM(p, struct mf_cloud_item, at);
		if (m->grant[0] != '\0' && strcmp(i->grant, m->grant) != 0)
			continue;
		if (!mf_cloud_item_end(
			i, mf_slice_str(m->credential_id), mf_slice_str(m->reason), m->may_ask_again))
			continue;
		ended = true;
		c->stats.ended++;
		MF_LOG(MF_LOG_INFO, "cloud.ended", "a cloud token is served no more",
		    mf_js("instance", e->key), mf_js("job", e->job.job_id), mf_js("grant", i->grant),
		    mf_js("reason", m->reason), mf_jb("may_ask_again", m->may_ask_again));
		tell_keepers(c, e, i);
	}
	if (ended)
		look_all(c, e);
}

void
mf_clouds_link_closed(struct mf_clouds *c)
{
	struct pending *p, *next;
	HASH_ITER(hh, c->pending, p, next)
	drop(c, p);
	MF_SVID_EACH(e, mf_identities_cache(c->cfg.ids))
	mf_cloud_cache_void(&e->clouds);
}

void
mf_clouds_look(struct mf_clouds *c)
{
	look_all(c, NULL);
}

enum mf_status
mf_clouds_new(const struct mf_clouds_config *cfg, struct mf_clouds **ret_c, struct mf_err *err)
{
	MF_AUTO(mf_clouds_free) struct mf_clouds *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "cloud tokens: out of memory");
	c->cfg = *cfg;
	mf_list_init(&c->waiting);
	mf_list_init(&c->keeping);
	/* An answer that was for the front before us is nobody's. */
	c->next_mint = rand64() >> 1;
	MF_TRY(mf_loop_timer_new(cfg->loop, on_tick, c, &c->tick, err));
	*ret_c = MF_TAKE(c);
	return MF_OK;
}

void
mf_clouds_free(struct mf_clouds *c)
{
	if (c == NULL)
		return;
	struct pending *p, *next;
	HASH_ITER(hh, c->pending, p, next)
	drop(c, p);
	mf_loop_timer_free(c->tick);
	free(c);
}
