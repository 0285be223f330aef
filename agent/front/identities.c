#include "agent/front/identities.h"

#include <stdlib.h>

#include "agent/front/refusal.h"
#include "os/jlog.h"

/* Over how long renewals are spread when the broker is back. */
#define SPREAD_MS(lifetime) ((lifetime) / 20 < 5000 ? (lifetime) / 20 : 5000)

/* The front's part of an entry (entry->owner). */
struct held {
	struct mf_identities *all;
	struct mf_svid_entry *entry;
	struct mf_list watches;
	struct mf_list *next; /* of notify: the watch that hears of it after this one */
	struct mf_loop_timer *timer;
	struct mf_svid_keys keys; /* of the request that is out */
	size_t waiting, streams;
	bool fetched, all_keys; /* all_keys: a first request with fewer was refused */
	uint64_t fetched_ms;
};

struct mf_identities {
	struct mf_identities_config cfg;
	struct mf_svid_cache *cache;
	struct mf_loop_defer *sweep;
	struct mf_loop_timer *adopt;
	bool ready;   /* the session is */
	size_t usual; /* keys that one grant has used at most; 0: there was none */
	char why_not[MF_SVID_TEXT_MAX + 1];
	struct mf_identities_stats stats;
	struct mf_distrust distrust;
};

static void step(struct held *h);

static struct mf_now
now(const struct mf_identities *i)
{
	return mf_loop_now(i->cfg.loop);
}

static int64_t
now_s(const struct mf_identities *i)
{
	return now(i).wall_us / 1000000;
}

bool
mf_identities_ready(const struct mf_identities *i)
{
	return i->ready && mf_attestor_link_open(i->cfg.link);
}

const char *
mf_identities_why_not(const struct mf_identities *i)
{
	if (!mf_attestor_link_open(i->cfg.link))
		return "the agent's attestor is being started";
	return i->ready ? "" : i->why_not;
}

struct mf_svid_cache *
mf_identities_cache(struct mf_identities *i)
{
	return i->cache;
}

struct mf_identities_stats
mf_identities_stats(const struct mf_identities *i)
{
	struct mf_identities_stats s = i->stats;
	s.instances = mf_svid_cache_count(i->cache);
	MF_SVID_EACH(e, i->cache)
	s.served += e->state == MF_SVID_GRANTED;
	return s;
}

bool
mf_identities_servable(struct mf_identities *i, const struct mf_svid_entry *e)
{
	return mf_svid_servable(i->cache, e, now_s(i));
}

static void
notify(struct held *h)
{
	/* Who hears of it may end other watches of this entry, the next one, too. */
	for (h->next = h->watches.next; h->next != &h->watches;) {
		struct mf_identity_watch *w = MF_LIST_ITEM(h->next, struct mf_identity_watch, node);
		h->next = h->next->next;
		w->changed(w);
	}
}

/* --- when an entry may be forgotten --- */

static bool
idle(const struct held *h, struct mf_now t)
{
	const struct mf_svid_entry *e = h->entry;
	if (!mf_list_empty(&h->watches) || e->rotation.asked || e->state == MF_SVID_GRANTED)
		return false;
	/* A refusal or failure is remembered until it may be asked anew: who reconnects is not a new caller. */
	return e->state == MF_SVID_ENDED || e->rotation.not_before_ms <= t.mono_ms;
}

static void
forget(struct held *h)
{
	struct mf_svid_entry *e = h->entry;
	mf_loop_timer_free(h->timer);
	mf_svid_keys_fini(&h->keys);
	mf_svid_cache_del(h->all->cache, e);
	free(h);
}

static void
on_sweep(void *ctx)
{
	struct mf_identities *i = ctx;
	struct mf_now t = now(i);
	MF_SVID_EACH(e, i->cache)
	if (idle(e->owner, t))
		forget(e->owner);
}

/* --- asking --- */

static void
request_failed(struct held *h, const char *why)
{
	struct mf_svid_entry *e = h->entry;
	mf_svid_keys_fini(&h->keys);
	mf_rotation_failed(&e->rotation, now(h->all), mf_rand_system());
	if (e->state == MF_SVID_PENDING)
		mf_svid_lapse(e, mf_slice_str(why));
	else
		mf_svid_set_reason(e, mf_slice_str(why));
}

static enum mf_status
send_request(struct held *h, struct mf_err *err)
{
	struct mf_svid_entry *e = h->entry;
	/* A first request offers what other jobs needed, or else what any profile may use; later ones what it used. */
	size_t first = h->all_keys || h->all->usual == 0 ? MF_LIM_IDENTITIES : h->all->usual;
	size_t n = e->state == MF_SVID_GRANTED ? e->n_keys : first;
	MF_TRY(mf_front_keys_make(&h->keys, n, err));
	ProtobufCBinaryData points[MF_LIM_IDENTITIES];
	for (size_t k = 0; k < n; k++)
		points[k] = (ProtobufCBinaryData) { MF_SVID_POINT, h->keys.points[k] };
	if (e->state == MF_SVID_GRANTED) {
		Mayfly__Roles__V1__RenewInstance m = MAYFLY__ROLES__V1__RENEW_INSTANCE__INIT;
		m.handle = e->handle;
		m.points = points;
		m.n_points = n;
		return mf_attestor_link_send(h->all->cfg.link, MF_MSG_RENEW_INSTANCE, &m.base, -1, err);
	}
	Mayfly__Roles__V1__AttachInstance m = MAYFLY__ROLES__V1__ATTACH_INSTANCE__INIT;
	m.handle = e->handle;
	m.points = points;
	m.n_points = n;
	return mf_attestor_link_send(h->all->cfg.link, MF_MSG_ATTACH_INSTANCE, &m.base, -1, err);
}

static void
ask(struct held *h)
{
	struct mf_err err = { 0 };
	struct mf_svid_entry *e = h->entry;
	if (send_request(h, &err) != MF_OK) {
		mf_jlog_err(
		    MF_LOG_WARN, "identity.not_asked", "a request for an identity could not be sent", &err);
		request_failed(h, err.msg);
		return;
	}
	h->all->stats.asked++;
	mf_rotation_asked(&e->rotation, now(h->all));
	if (e->state == MF_SVID_GRANTED)
		return;
	mf_svid_pend(e);
}

static void
lapse(struct held *h)
{
	struct mf_svid_entry *e = h->entry;
	MF_LOG(MF_LOG_WARN, "identity.lapsed", "identities expired and were wiped", mf_js("instance", e->key),
	    mf_js("job", e->job.job_id), mf_js("reason", h->all->ready ? e->reason : h->all->why_not));
	h->all->stats.lapsed++;
	bool asked = e->rotation.asked;
	uint64_t asked_ms = e->rotation.asked_ms;
	mf_rotation_drop(&e->rotation);
	e->rotation.asked = asked; /* a renewal that is out may still bring new ones */
	e->rotation.asked_ms = asked_ms;
	mf_svid_lapse(e, MF_SLICE_LIT("the identity expired before it could be renewed"));
	notify(h);
}

static struct mf_rotation_want
want(const struct held *h)
{
	const struct mf_svid_entry *e = h->entry;
	return (struct mf_rotation_want) {
		.waiting = h->waiting > 0,
		.streams = h->streams,
		.answer_ms = h->all->cfg.answer_ms,
		.fetched = h->fetched,
		.fetched_ms = h->fetched_ms,
		/* a refusal holds until somebody asks again; a handle is good under its own link only */
		.reachable = mf_identities_ready(h->all) && e->state != MF_SVID_REFUSED &&
			     e->generation == mf_attestor_link_generation(h->all->cfg.link),
	};
}

/* Do what is due and set the timer for the rest. */
static void
step(struct held *h)
{
	struct mf_svid_entry *e = h->entry;
	struct mf_identities *i = h->all;
	struct mf_rotation_next next = { MF_ROTATION_SLEEP, UINT64_MAX };
	struct mf_now t = now(i);
	/* Each act leads to another one at most: give up or lapse, then ask, then sleep. */
	for (int acts = 0; acts < 4 && e->state != MF_SVID_ENDED; acts++) {
		struct mf_rotation_want w = want(h);
		next = mf_rotation_step(&e->rotation, &w, t);
		if (next.what == MF_ROTATION_SLEEP)
			break;
		if (next.what == MF_ROTATION_LAPSE)
			lapse(h);
		if (next.what == MF_ROTATION_ASK)
			ask(h);
		if (next.what == MF_ROTATION_GIVE_UP) {
			i->stats.unanswered++;
			request_failed(h, "the broker did not answer in time");
		}
	}
	bool unused = mf_list_empty(&h->watches) && e->state != MF_SVID_GRANTED && !e->rotation.asked;
	if (unused && e->rotation.not_before_ms > t.mono_ms && e->rotation.not_before_ms < next.at_ms)
		next.at_ms = e->rotation.not_before_ms;
	if (next.at_ms == UINT64_MAX || e->state == MF_SVID_ENDED)
		mf_loop_timer_clear(h->timer);
	else
		mf_loop_timer_set(h->timer, next.at_ms > t.mono_ms ? next.at_ms - t.mono_ms : 0);
	if (unused)
		mf_loop_defer_set(i->sweep);
}

static void
on_timer(void *ctx)
{
	step(ctx);
}

static void
step_all(struct mf_identities *i)
{
	MF_SVID_EACH(e, i->cache)
	step(e->owner);
}

/* --- what others do with entries --- */

enum mf_status
mf_identities_bind(struct mf_identities *i, const char *instance_key, uint64_t handle, uint32_t uid,
    struct mf_svid_entry **ret_e, struct mf_err *err)
{
	struct mf_svid_entry *e = NULL;
	MF_TRY(mf_svid_cache_bind(
	    i->cache, instance_key, handle, mf_attestor_link_generation(i->cfg.link), &e, err));
	if (e->owner == NULL) {
		struct held *h = calloc(1, sizeof(*h));
		enum mf_status s = h == NULL ? MF_FAIL(err, MF_E_NOMEM, "instance: out of memory")
					     : mf_loop_timer_new(i->cfg.loop, on_timer, h, &h->timer, err);
		if (s != MF_OK) {
			free(h);
			mf_svid_cache_del(i->cache, e);
			return s;
		}
		h->all = i;
		h->entry = e;
		mf_list_init(&h->watches);
		e->owner = h;
	}
	if (mf_svid_set_uid(e, uid))
		notify(e->owner);
	step(e->owner);
	*ret_e = e;
	return MF_OK;
}

void
mf_identity_watch_set(struct mf_identities *i, struct mf_identity_watch *w, struct mf_svid_entry *e)
{
	if (w->entry == e)
		return;
	if (w->entry != NULL) {
		struct held *old = w->entry->owner;
		if (old->next == &w->node)
			old->next = w->node.next;
		mf_list_del(&w->node);
		mf_loop_defer_set(i->sweep);
		w->entry = NULL;
		step(old);
	}
	if (e != NULL) {
		struct held *h = e->owner;
		w->entry = e;
		mf_list_init(&w->node);
		mf_list_add_tail(&h->watches, &w->node);
	}
}

void
mf_identity_use_set(
    struct mf_identities *i, struct mf_identity_use *u, struct mf_svid_entry *e, bool waiting, bool stream)
{
	if (u->entry == e && u->waiting == waiting && u->stream == stream)
		return;
	struct mf_svid_entry *old = u->entry;
	bool begins = e != NULL && waiting && !(old == e && u->waiting);
	if (old != NULL) {
		struct held *h = old->owner;
		h->waiting -= u->waiting;
		h->streams -= u->stream;
	}
	*u = (struct mf_identity_use) { e, e != NULL && waiting, e != NULL && stream };
	if (e != NULL) {
		struct held *h = e->owner;
		h->waiting += u->waiting;
		h->streams += u->stream;
		if (begins && e->state == MF_SVID_REFUSED && e->rotation.not_before_ms <= now(i).mono_ms)
			mf_svid_forget(e, mf_slice(NULL, 0));
		step(h);
	}
	if (old != NULL && old != e)
		step(old->owner);
}

void
mf_identities_fetched(struct mf_identities *i, struct mf_svid_entry *e)
{
	struct held *h = e->owner;
	h->fetched = true;
	h->fetched_ms = now(i).mono_ms;
}

/* --- from the link --- */

static struct held *
held_by_handle(struct mf_identities *i, uint64_t handle)
{
	struct mf_svid_entry *e = mf_svid_cache_by_handle(i->cache, handle);
	return e == NULL ? NULL : e->owner;
}

/* What was asked under the old link is void; handles wait until they are named again. */
void
mf_identities_link_closed(struct mf_identities *i)
{
	i->ready = false;
	MF_SVID_EACH(e, i->cache)
	{
		struct held *h = e->owner;
		mf_svid_keys_fini(&h->keys);
		mf_rotation_void(&e->rotation);
		if (e->state == MF_SVID_PENDING)
			mf_svid_lapse(e, MF_SLICE_LIT("the agent's attestor is being started"));
	}
	mf_loop_timer_clear(i->adopt);
	step_all(i);
}

void
mf_identities_link_opened(struct mf_identities *i)
{
	i->ready = false;
	mf_svid_text(i->why_not, MF_SLICE_LIT("the agent has no session with the broker yet"));
	mf_loop_timer_set(i->adopt, i->cfg.adopt_ms);
}

/* The attestor had its time: whom it did not name again, and nobody here can show, is not known to live. */
static void
on_adopt(void *ctx)
{
	struct mf_identities *i = ctx;
	uint32_t generation = mf_attestor_link_generation(i->cfg.link);
	MF_SVID_EACH(e, i->cache)
	{
		struct held *h = e->owner;
		if (e->generation == generation || !mf_list_empty(&h->watches))
			continue;
		mf_rotation_drop(&e->rotation);
		mf_svid_forget(e, MF_SLICE_LIT("not seen since the attestor was started again"));
		step(h);
	}
	mf_loop_defer_set(i->sweep);
}

/* Who waits goes at once; renewals that became due meanwhile do not all leave in this moment. */
static void
session_back(struct mf_identities *i)
{
	MF_SVID_EACH(e, i->cache)
	{
		if (e->state == MF_SVID_GRANTED)
			mf_rotation_wait(&e->rotation,
			    mf_rotation_uniform(mf_rand_system(), SPREAD_MS(e->rotation.lifetime_ms)),
			    now(i));
		else if (e->state != MF_SVID_REFUSED)
			mf_rotation_clear(&e->rotation);
	}
}

void
mf_identities_session(struct mf_identities *i, bool ready, const char *reason)
{
	bool back = ready && !i->ready;
	i->ready = ready;
	mf_svid_text(i->why_not, mf_slice_str(reason));
	if (i->why_not[0] == '\0')
		mf_svid_text(i->why_not, MF_SLICE_LIT("the broker cannot be reached"));
	if (back)
		session_back(i);
	step_all(i);
}

static struct mf_slice
bytes(ProtobufCBinaryData b)
{
	return mf_slice(b.data, b.len);
}

static size_t
read_issued(const Mayfly__Agent__V1__Grant *g, struct mf_svid_issued *to)
{
	size_t n = g->n_issued < MF_LIM_IDENTITIES ? g->n_issued : MF_LIM_IDENTITIES;
	for (size_t k = 0; k < n; k++) {
		const Mayfly__Agent__V1__Issued *s = g->issued[k];
		to[k] = (struct mf_svid_issued) {
			.point = s->point,
			.spiffe_id = mf_slice_str(s->spiffe_id),
			.hint = mf_slice_str(s->hint),
			.serial = mf_slice_str(s->serial),
			.chain = bytes(s->chain),
			.not_before_s = s->not_before,
			.not_after_s = s->not_after,
		};
	}
	return g->n_issued;
}

/* Renewed soon, whether or not somebody asked for it lately: what is cached must not be served on for long. */
static void
renew_distrusted(struct held *h)
{
	struct mf_identities *i = h->all;
	struct mf_svid_entry *e = h->entry;
	bool covered = false;
	for (size_t k = 0; e->state == MF_SVID_GRANTED && k < e->n_identities; k++)
		covered |= mf_distrust_covers(&i->distrust, mf_buf_slice(&e->identities[k].chain));
	if (!covered)
		return;
	h->fetched = true;
	h->fetched_ms = now(i).mono_ms;
	mf_rotation_hurry(&e->rotation, i->distrust.spread_ms, now(i), mf_rand_system());
	i->stats.hurried++;
}

void
mf_identities_distrust(struct mf_identities *i, const struct mf_distrust *d)
{
	i->distrust = *d;
	MF_SVID_EACH(e, i->cache)
	{
		renew_distrusted(e->owner);
		step(e->owner);
	}
}

static enum mf_status
take_grant(struct held *h, const Mayfly__Agent__V1__Grant *g, struct mf_err *err)
{
	struct mf_svid_issued issued[MF_LIM_IDENTITIES];
	struct mf_svid_entry *e = h->entry;
	size_t dropped = 0;
	if (!e->rotation.asked)
		return MF_FAIL(err, MF_E_STATE, "grant: nobody asked");
	struct mf_svid_grant in = { .lease_id = mf_slice_str(g->lease_id),
		.job_id = mf_slice_str(g->job_id),
		.job_key = mf_slice_str(g->job_key),
		.run_id = mf_slice_str(g->run_id),
		.profile = mf_slice_str(g->profile),
		.rule = mf_slice_str(g->rule),
		.tenant = mf_slice_str(g->tenant),
		.epoch = g->epoch,
		.instance = g->instance,
		.drain_ms = g->drain_ms,
		.deadline_s = g->deadline,
		.issued = issued,
		.n_issued = read_issued(g, issued) };
	MF_TRY(mf_svid_take_grant(h->all->cache, e, &in, &h->keys, now_s(h->all), &dropped, err));
	mf_cloud_offers_take(e, g);
	if (dropped > 0)
		MF_LOG(MF_LOG_WARN, "identity.hint_twice",
		    "identities with a hint that another has were left out", mf_js("job", e->job.job_id),
		    mf_js("profile", e->job.profile), mf_ju("count", dropped));
	return MF_OK;
}

void
mf_identities_on_grant(struct mf_identities *i, const Mayfly__Roles__V1__InstanceGrant *m)
{
	struct mf_err err = { 0 };
	struct held *h = held_by_handle(i, m->handle);
	if (h == NULL || m->grant == NULL) {
		MF_LOG(MF_LOG_INFO, "identity.grant_unknown", "a grant for an instance that is not held",
		    mf_ju("handle", m->handle));
		return;
	}
	struct mf_svid_entry *e = h->entry;
	if (take_grant(h, m->grant, &err) != MF_OK) {
		i->stats.bad_grants++;
		mf_jlog_err(MF_LOG_ERROR, "identity.bad_grant", "a grant was not taken", &err);
		if (e->rotation.asked)
			request_failed(h, err.msg);
		step(h);
		notify(h);
		return;
	}
	mf_svid_keys_fini(&h->keys);
	e->ending_until_s = m->grant->ending_until;
	i->stats.granted++;
	i->usual = e->n_keys > i->usual ? e->n_keys : i->usual;
	h->all_keys = false;
	mf_rotation_granted(&e->rotation, mf_svid_expires_s(e), now(i), mf_rand_system());
	MF_LOG(MF_LOG_INFO, "identity.granted", "identities are served", mf_js("instance", e->key),
	    mf_js("job", e->job.job_id), mf_js("spiffe_id", e->identities[0].spiffe_id),
	    mf_js("serial", e->identities[0].serial), mf_ju("count", e->n_identities));
	renew_distrusted(h); /* it was under way when its key was distrusted */
	notify(h);
	step(h);
}

static void
take_refusal(struct held *h, uint32_t code, const char *reason, const char *rule)
{
	struct mf_identities *i = h->all;
	struct mf_svid_entry *e = h->entry;
	if (code == MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_ENDED) {
		i->stats.ended++;
		mf_svid_end(e, mf_slice_str(reason));
		mf_rotation_drop(&e->rotation);
	} else if (code == MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_SUSPENDED) {
		i->stats.suspended++;
		mf_svid_forget(e, mf_slice_str(reason));
		mf_rotation_drop(&e->rotation);
		mf_rotation_failed(&e->rotation, now(i), mf_rand_system());
	} else if (mf_refusal_may_pass(code)) {
		i->stats.unavailable++;
		request_failed(h, reason);
	} else {
		i->stats.refused++;
		mf_svid_refuse(e, code, mf_slice_str(reason), mf_slice_str(rule));
		mf_rotation_drop(&e->rotation);
		mf_rotation_wait(&e->rotation, i->cfg.refusal_ms, now(i));
	}
}

void
mf_identities_on_refused(struct mf_identities *i, const Mayfly__Roles__V1__InstanceRefused *m)
{
	struct held *h = held_by_handle(i, m->handle);
	if (h == NULL || !h->entry->rotation.asked)
		return; /* ended or given up meanwhile */
	uint32_t code = m->refusal == NULL ? 0 : (uint32_t)m->refusal->code;
	bool more = h->entry->state != MF_SVID_GRANTED && mf_refusal_wants_keys(code, h->keys.n);
	mf_svid_keys_fini(&h->keys);
	if (more) {
		h->all_keys = true;
		ask(h);
		step(h);
		return;
	}
	const char *reason = m->refusal == NULL ? "" : m->refusal->reason;
	take_refusal(h, code, reason, m->refusal == NULL ? "" : m->refusal->rule);
	MF_LOG(MF_LOG_INFO, "identity.refused", "no identity for an instance",
	    mf_js("instance", h->entry->key), mf_ju("refusal", code), mf_js("reason", reason));
	notify(h);
	step(h);
}

void
mf_identities_on_ended(struct mf_identities *i, const Mayfly__Roles__V1__InstanceEnded *m)
{
	/* Handles are never used twice, so an end counts under whatever link the handle was learnt. */
	struct held *h = held_by_handle(i, m->handle);
	if (h == NULL)
		return;
	struct mf_svid_entry *e = h->entry;
	mf_svid_keys_fini(&h->keys);
	mf_rotation_drop(&e->rotation);
	if (m->suspended) {
		i->stats.suspended++;
		mf_svid_forget(e, mf_slice_str(m->cause));
	} else {
		i->stats.ended++;
		mf_svid_end(e, mf_slice_str(m->cause));
	}
	MF_LOG(MF_LOG_INFO, m->suspended ? "identity.suspended" : "identity.ended",
	    "identities are no longer served and their keys are wiped", mf_js("instance", e->key),
	    mf_js("job", e->job.job_id), mf_js("cause", m->cause));
	notify(h);
	step(h);
}

void
mf_identities_on_hurry(struct mf_identities *i, const Mayfly__Roles__V1__InstanceHurry *m)
{
	struct held *h = held_by_handle(i, m->handle);
	if (h == NULL)
		return;
	mf_rotation_hurry(&h->entry->rotation, m->within_ms, now(i), mf_rand_system());
	step(h);
}

void
mf_identities_on_ending(struct mf_identities *i, const Mayfly__Roles__V1__InstanceEnding *m)
{
	struct held *h = held_by_handle(i, m->handle);
	if (h == NULL || h->entry->state == MF_SVID_ENDED)
		return;
	h->entry->ending_until_s = m->until;
	MF_LOG(MF_LOG_INFO, "identity.ending", "the job's end was announced: what it has is served on",
	    mf_js("instance", h->entry->key), mf_js("job", h->entry->job.job_id), mf_js("cause", m->cause),
	    mf_ji("until", m->until));
}

void
mf_identities_on_deadline(struct mf_identities *i, const Mayfly__Roles__V1__InstanceDeadline *m)
{
	struct held *h = held_by_handle(i, m->handle);
	if (h == NULL || h->entry->state != MF_SVID_GRANTED)
		return;
	struct mf_svid_entry *e = h->entry;
	bool cut_short = m->deadline > e->job.deadline_s && mf_svid_expires_s(e) >= e->job.deadline_s;
	e->job.deadline_s = m->deadline;
	if (cut_short)
		mf_rotation_hurry(&e->rotation, 2000 /* ms: a fleet does not renew in one moment */, now(i),
		    mf_rand_system());
	step(h);
}

enum mf_status
mf_identities_on_trust(
    struct mf_identities *i, const Mayfly__Roles__V1__Trust *m, bool *ret_changed, struct mf_err *err)
{
	if (strcmp(m->trust_domain, i->cfg.trust_domain) != 0)
		return MF_FAIL(
		    err, MF_E_INVALID, "trust domain of the attestor is not %s", i->cfg.trust_domain);
	MF_TRY(mf_svid_cache_set_bundle(i->cache, bytes(m->bundle), ret_changed, err));
	if (!*ret_changed)
		return MF_OK;
	MF_LOG(MF_LOG_INFO, "trust.changed", "the trust domain's bundle changed", mf_ju("number", m->number));
	MF_SVID_EACH(e, i->cache)
	notify(e->owner);
	return MF_OK;
}

enum mf_status
mf_identities_new(const struct mf_identities_config *cfg, struct mf_identities **ret_i, struct mf_err *err)
{
	MF_AUTO(mf_identities_free) struct mf_identities *i = calloc(1, sizeof(*i));
	if (i == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "identities: out of memory");
	i->cfg = *cfg;
	MF_TRY(mf_svid_cache_new(cfg->trust_domain, cfg->max_instances, &i->cache, err));
	MF_TRY(mf_loop_defer_new(cfg->loop, on_sweep, i, &i->sweep, err));
	MF_TRY(mf_loop_timer_new(cfg->loop, on_adopt, i, &i->adopt, err));
	*ret_i = MF_TAKE(i);
	return MF_OK;
}

void
mf_identities_free(struct mf_identities *i)
{
	if (i == NULL)
		return;
	if (i->cache != NULL)
		MF_SVID_EACH(e, i->cache)
	forget(e->owner);
	mf_svid_cache_free(i->cache);
	mf_loop_defer_free(i->sweep);
	mf_loop_timer_free(i->adopt);
	free(i);
}
