#include "agent/front/outer_key.h"

#include <stdlib.h>

#include "agent/core/distrust.h"
#include "agent/core/rotation.h"
#include "agent/front/keys.h"
#include "codec/bundle.h"
#include "codec/x509_read.h"
#include "os/jlog.h"

struct mf_outer_key {
	struct mf_loop *loop;
	struct mf_attestor_link *link;
	const char *trust_domain;
	struct mf_loop_timer *timer;
	struct mf_rotation rotation;
	bool ready;
	struct mf_svid_keys asked; /* of the request that is out */
	struct mf_svid_keys held;
	struct mf_buf chain;
	int64_t not_after_s;
	struct mf_distrust distrust;
};

static void step(struct mf_outer_key *k);

static void
ask(struct mf_outer_key *k)
{
	struct mf_now now = mf_loop_now(k->loop);
	struct mf_err err = { 0 };
	Mayfly__Roles__V1__OuterKey m = MAYFLY__ROLES__V1__OUTER_KEY__INIT;
	enum mf_status s = mf_front_keys_make(&k->asked, 1, &err);
	if (s == MF_OK) {
		m.point = (ProtobufCBinaryData) { MF_SVID_POINT, k->asked.points[0] };
		s = mf_attestor_link_send(k->link, MF_MSG_OUTER_KEY, &m.base, -1, &err);
	}
	if (s == MF_OK) {
		mf_rotation_asked(&k->rotation, now);
		return;
	}
	mf_jlog_err(MF_LOG_WARN, "outer.not_asked", "the front's certificate could not be asked for", &err);
	mf_svid_keys_fini(&k->asked);
	mf_rotation_failed(&k->rotation, now, mf_rand_system());
}

static void
drop_held(struct mf_outer_key *k)
{
	mf_svid_keys_fini(&k->held);
	mf_buf_fini(&k->chain);
	k->not_after_s = 0;
}

static void
step(struct mf_outer_key *k)
{
	struct mf_now now = mf_loop_now(k->loop);
	struct mf_rotation_next next = { MF_ROTATION_SLEEP, UINT64_MAX };
	for (int acts = 0; acts < 4; acts++) {
		struct mf_rotation_want w = { .streams = 1,
			.reachable = k->ready && mf_attestor_link_open(k->link) };
		next = mf_rotation_step(&k->rotation, &w, now);
		if (next.what == MF_ROTATION_SLEEP)
			break;
		if (next.what == MF_ROTATION_LAPSE) {
			MF_LOG(MF_LOG_WARN, "outer.lapsed",
			    "the front's certificate expired: sessions go by the lane");
			drop_held(k);
			mf_svid_keys_fini(&k->asked);
			mf_rotation_drop(&k->rotation);
		}
		if (next.what == MF_ROTATION_GIVE_UP) {
			mf_svid_keys_fini(&k->asked);
			mf_rotation_failed(&k->rotation, now, mf_rand_system());
		}
		if (next.what == MF_ROTATION_ASK)
			ask(k);
	}
	if (next.at_ms == UINT64_MAX)
		mf_loop_timer_clear(k->timer);
	else
		mf_loop_timer_set(k->timer, next.at_ms > now.mono_ms ? next.at_ms - now.mono_ms : 0);
}

static void
renew_distrusted(struct mf_outer_key *k)
{
	if (k->held.n > 0 && mf_distrust_covers(&k->distrust, mf_buf_slice(&k->chain)))
		mf_rotation_hurry(
		    &k->rotation, k->distrust.spread_ms, mf_loop_now(k->loop), mf_rand_system());
}

void
mf_outer_key_distrust(struct mf_outer_key *k, const struct mf_distrust *d)
{
	k->distrust = *d;
	renew_distrusted(k);
	step(k);
}

static void
on_timer(void *ctx)
{
	step(ctx);
}

void
mf_outer_key_session(struct mf_outer_key *k, bool ready)
{
	if (!ready) { /* an answer of that session will not come */
		mf_rotation_void(&k->rotation);
		mf_svid_keys_fini(&k->asked);
	}
	k->ready = ready;
	step(k);
}

static enum mf_status
check(const struct mf_outer_key *k, struct mf_slice chain, int64_t *ret_not_after_s, struct mf_err *err)
{
	struct mf_slice certs[MF_LIM_CHAIN];
	struct mf_svid leaf = { 0 };
	size_t n = 0;
	MF_TRY(mf_bundle_split(chain, certs, MF_COUNT(certs), &n, err));
	if (n == 0)
		return MF_FAIL(err, MF_E_INVALID, "no certificate");
	MF_TRY(mf_svid_read(certs[0], &leaf, err));
	enum mf_status s = MF_OK;
	if (!leaf.p256 || memcmp(leaf.point, k->asked.points[0], MF_SVID_POINT) != 0)
		s = MF_FAIL(err, MF_E_INVALID, "it is for another key");
	else if (!mf_slice_eq_str(mf_spiffe_id_trust_domain(leaf.id), k->trust_domain) ||
		 !mf_slice_starts(mf_spiffe_id_path(leaf.id), MF_SLICE_LIT("/mayfly/")))
		s = MF_FAIL(err, MF_E_INVALID, "its name is not under spiffe://%s/mayfly/", k->trust_domain);
	else if (leaf.not_after_s <= mf_loop_now(k->loop).wall_us / 1000000)
		s = MF_FAIL(err, MF_E_INVALID, "expired already: compare the clocks of node and broker");
	*ret_not_after_s = leaf.not_after_s;
	mf_svid_fini(&leaf);
	return s;
}

enum mf_status
mf_outer_key_on_certificate(
    struct mf_outer_key *k, const Mayfly__Roles__V1__OuterCertificate *m, struct mf_err *err)
{
	struct mf_now now = mf_loop_now(k->loop);
	struct mf_slice chain = mf_slice(m->chain.data, m->chain.len);
	int64_t not_after_s = 0;
	if (!k->rotation.asked)
		return MF_FAIL(err, MF_E_STATE, "outer certificate: nobody asked");
	struct mf_buf fresh;
	mf_buf_init(&fresh, MF_LIM_CHAIN * MF_LIM_CERT_DER);
	mf_buf_put_slice(&fresh, chain);
	enum mf_status s = check(k, chain, &not_after_s, err);
	if (s == MF_OK)
		s = mf_buf_check(&fresh, err);
	if (s != MF_OK) {
		mf_buf_fini(&fresh);
		mf_svid_keys_fini(&k->asked);
		mf_rotation_failed(&k->rotation, now, mf_rand_system());
		step(k);
		return mf_err_wrap(err, s, "outer certificate");
	}
	drop_held(k);
	k->held = k->asked; /* moved: the secrets have one owner */
	mf_wipe(&k->asked, sizeof(k->asked));
	k->chain = fresh;
	k->not_after_s = not_after_s;
	mf_rotation_granted(&k->rotation, not_after_s, now, mf_rand_system());
	renew_distrusted(k);
	MF_LOG(
	    MF_LOG_INFO, "outer.certified", "the front has its certificate", mf_ji("not_after", not_after_s));
	step(k);
	return MF_OK;
}

int64_t
mf_outer_key_expires_s(const struct mf_outer_key *k)
{
	return k->not_after_s;
}

bool
mf_outer_key_current(const struct mf_outer_key *k, struct mf_outer_identity *ret_id)
{
	struct mf_err err = { 0 };
	if (k->held.n == 0 || k->not_after_s <= mf_loop_now(k->loop).wall_us / 1000000)
		return false;
	ret_id->key = mf_secret_slice(k->held.pkcs8[0]);
	return mf_bundle_split(mf_buf_slice(&k->chain), ret_id->chain, MF_LIM_CHAIN, &ret_id->n, &err) ==
	       MF_OK;
}

enum mf_status
mf_outer_key_new(struct mf_loop *l, struct mf_attestor_link *link, const char *trust_domain,
    struct mf_outer_key **ret_k, struct mf_err *err)
{
	MF_AUTO(mf_outer_key_free) struct mf_outer_key *k = calloc(1, sizeof(*k));
	if (k == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "outer key: out of memory");
	k->loop = l;
	k->link = link;
	k->trust_domain = trust_domain;
	mf_buf_init(&k->chain, MF_LIM_CHAIN * MF_LIM_CERT_DER);
	MF_TRY(mf_loop_timer_new(l, on_timer, k, &k->timer, err));
	*ret_k = MF_TAKE(k);
	return MF_OK;
}

void
mf_outer_key_free(struct mf_outer_key *k)
{
	if (k == NULL)
		return;
	mf_loop_timer_free(k->timer);
	mf_svid_keys_fini(&k->asked);
	drop_held(k);
	free(k);
}
