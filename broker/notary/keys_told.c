/*
 * What others are told of the keys: the bundle, and the keys that nothing held should be signed by. Whatever changes the
 * bundle is recorded with the bundle's new number, and handed out when that record is durable: a number never stands for
 * two contents.
 */
#include <stdio.h>

#include "base/text.h"
#include "broker/notary/engine_internal.h"
#include "codec/bundle.h"
#include "codec/json_write.h"
#include "crypto/hash.h"

#define BUNDLE_MAX (MF_LIM_BUNDLE_DER < MF_LIM_DOCUMENT ? MF_LIM_BUNDLE_DER : MF_LIM_DOCUMENT)
#define SPREAD_MS 2000u	 /* renewals of what a distrusted key signed: at least over so long */
#define SPREAD_PER_MS 5u /* and so many in each millisecond */

struct mf_slice
mf_key_anchor(const struct mf_key *k)
{
	return k->anchor_n > 0 ? mf_slice(k->anchor, k->anchor_n)
			       : mf_slice(k->certificate, k->certificate_n);
}

struct mf_slice
mf_key_root(const struct mf_key *k)
{
	return mf_bundle_first(mf_key_anchor(k));
}

static bool
holds(const struct mf_key *k, struct mf_slice root)
{
	struct mf_slice cut[MF_LIM_BUNDLE_CERTS];
	size_t n = 0;
	bool there = false;
	if (mf_bundle_split(mf_key_anchor(k), cut, MF_LIM_BUNDLE_CERTS, &n, NULL) != MF_OK)
		return false;
	for (size_t i = 0; i < n; i++)
		there |= mf_slice_eq(cut[i], root);
	return there;
}

bool
mf_engine_root_is_shared(const struct mf_engine *e, const struct mf_key *k)
{
	struct mf_slice root = mf_key_root(k);
	bool shared = false;
	for (const struct mf_key *o = mf_state_next_key(e->state, NULL); o != NULL;
	     o = mf_state_next_key(e->state, o))
		shared |= o != k && mf_key_use_is_x509(o->use) && mf_key_published(o) && holds(o, root);
	return shared;
}

/* ---- the bundles ---- */

/* The anchors of all published keys, each once: several intermediates may stand under one company root. */
static enum mf_status
put_x509(const struct mf_engine *e, struct mf_buf *to)
{
	struct mf_slice all[MF_LIM_BUNDLE_CERTS];
	size_t n = 0;
	for (const struct mf_key *k = mf_state_next_key(e->state, NULL); k != NULL;
	     k = mf_state_next_key(e->state, k)) {
		struct mf_slice a = mf_key_anchor(k), cut[MF_LIM_BUNDLE_CERTS];
		size_t n_cut = 0;
		if (!mf_key_published(k) || !mf_key_use_is_x509(k->use))
			continue;
		MF_TRY(mf_bundle_split(a, cut, MF_LIM_BUNDLE_CERTS, &n_cut, NULL));
		for (size_t i = 0; i < n_cut; i++) {
			bool there = false;
			for (size_t j = 0; j < n; j++)
				there |= mf_slice_eq(all[j], cut[i]);
			if (!there && n == MF_LIM_BUNDLE_CERTS)
				return MF_E_TOOBIG;
			if (!there)
				all[n++] = cut[i];
		}
	}
	for (size_t i = 0; i < n; i++)
		mf_buf_put_slice(to, all[i]);
	return mf_buf_check(to, NULL);
}

static enum mf_status
put_jwk(const struct mf_key *k, struct mf_jw *w)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf jwk;
	mf_buf_init(&jwk, MF_LIM_RECORD);
	/* All are base64url and fixed words: nothing needs escaping. Its own members follow. */
	if (k->use->bundle == MF_KEY_IN_JWT)
		mf_buf_put_str(&jwk, "{\"use\":\"jwt-svid\",");
	else
		mf_buf_putf(&jwk, "{\"use\":\"sig\",\"alg\":\"%s\",", k->use->alg);
	mf_buf_putf(&jwk, "\"kid\":\"%s\",%s", k->id, k->jwk + 1);
	MF_TRY(mf_buf_check(&jwk, NULL));
	mf_jw_raw(w, mf_buf_slice(&jwk));
	return MF_OK;
}

/*
 * A JWK Set of every published key of JWT-SVIDs, or of assertions. ${first}, if it is among them, stands first.
 * JWT-12: "The use parameter MUST be set to jwt-svid. The kid parameter MUST be set".
 */
static enum mf_status
put_jwks(const struct mf_engine *e, enum mf_key_bundle which, const struct mf_key *first, struct mf_buf *to)
{
	struct mf_jw w;
	mf_jw_init(&w, to, false);
	mf_jw_object_begin(&w);
	mf_jw_key(&w, "keys");
	mf_jw_array_begin(&w);
	if (first != NULL)
		MF_TRY(put_jwk(first, &w));
	for (const struct mf_key *k = mf_state_next_key(e->state, NULL); k != NULL;
	     k = mf_state_next_key(e->state, k))
		if (k != first && mf_key_published(k) && k->use->bundle == which)
			MF_TRY(put_jwk(k, &w));
	mf_jw_array_end(&w);
	mf_jw_object_end(&w);
	return mf_jw_finish(&w, NULL);
}

static void
vouch(struct mf_engine *e, struct session *s)
{
	Mayfly__Agent__V1__Down down = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__Vouch v = MAYFLY__AGENT__V1__VOUCH__INIT;
	v.kind = MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_BUNDLE;
	v.number = s->vouched = e->keys.number[MF_KEY_IN_X509];
	v.sha256.data = e->keys.sha256;
	v.sha256.len = sizeof(e->keys.sha256);
	down.body_case = MAYFLY__AGENT__V1__DOWN__BODY_VOUCH;
	down.vouch = &v;
	mf_send_down(e, s->sid, &down, MF_ENGINE_NORMAL, MF_ENGINE_COALESCE_BUNDLE);
}

static bool
may_be_told(const struct session *s)
{
	return s->phase == PHASE_STORED || s->phase == PHASE_READY;
}

void
mf_engine_published(struct mf_engine *e, enum mf_key_bundle which, uint64_t number, struct mf_slice bytes)
{
	struct session *s, *tmp;
	e->keys.number[which] = number;
	if (which == MF_KEY_IN_JWT) {
		mf_engine_document(e, MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_JWT_BUNDLE, number, bytes);
		e->ops->jwt_bundle(e->ctx, number, bytes);
		return;
	}
	mf_sha256(bytes, e->keys.sha256);
	e->ops->publish(e->ctx, number, bytes);
	HASH_ITER(hh, e->sessions, s, tmp)
	{
		if (may_be_told(s))
			vouch(e, s);
	}
}

void
mf_engine_keys_stored(struct mf_engine *e, struct session *s)
{
	if (s->vouched != e->keys.number[MF_KEY_IN_X509])
		vouch(e, s);
}

/* ---- the OIDC documents ---- */

static const struct mf_key *
rs256_signer(const struct mf_engine *e)
{
	return mf_state_active_key(e->state, MF_KEY_USE_ASSERTION_RS256);
}

void
mf_engine_oidc_out(struct mf_engine *e, const struct release *r)
{
	struct mf_oidc_set set = { .number = r->request_id,
		.revision = r->index,
		.jwks = mf_slice(r->bytes, r->bytes_n),
		.x5c = r->lease,
		.x5c_nbf = r->not_after };
	if (e->ops->oidc == NULL)
		mf_engine_oidc_written(e, set.number);
	else
		e->ops->oidc(e->ctx, &set);
}

void
mf_engine_oidc_written(struct mf_engine *e, uint64_t number)
{
	if (number > e->keys.number[MF_KEY_IN_OIDC])
		e->keys.number[MF_KEY_IN_OIDC] = number;
}

/* The record that the documents follow from. */
static uint64_t
oidc_revision(const struct mf_engine *e)
{
	uint64_t last = 0;
	for (const struct mf_key *k = mf_state_next_key(e->state, NULL); k != NULL;
	     k = mf_state_next_key(e->state, k)) {
		const uint64_t at[] = { k->index, k->activated_index, k->revoked_index, k->gone_index };
		for (size_t i = 0; k->use->bundle == MF_KEY_IN_OIDC && i < MF_COUNT(at); i++)
			last = at[i] > last ? at[i] : last;
	}
	return last;
}

static void
oidc_release(struct mf_engine *e, struct release *r)
{
	const struct mf_key *signer = rs256_signer(e);
	r->request_id = mf_state_bundle(e->state, MF_KEY_IN_OIDC);
	if (signer == NULL)
		return;
	(void)snprintf(r->lease, sizeof(r->lease), "%s", signer->id);
	r->not_after = signer->nbf;
}

static enum mf_status
put_bundle(const struct mf_engine *e, enum mf_key_bundle which, struct mf_buf *to)
{
	if (which == MF_KEY_IN_X509)
		return put_x509(e, to);
	return put_jwks(e, which, which == MF_KEY_IN_OIDC ? rs256_signer(e) : NULL, to);
}

void
mf_engine_publish(struct mf_engine *e, struct mf_now now, enum mf_key_bundle which, uint64_t index)
{
	static const enum release_kind kinds[MF_KEY_BUNDLES] = {
		[MF_KEY_IN_X509] = REL_BUNDLE, [MF_KEY_IN_JWT] = REL_JWT_BUNDLE, [MF_KEY_IN_OIDC] = REL_OIDC
	};
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, BUNDLE_MAX);
	if (which == MF_KEY_IN_NONE)
		return;
	if (put_bundle(e, which, &b) != MF_OK) {
		mf_engine_break(e, "the bundle cannot be made: too many keys, or no memory");
		return;
	}
	struct release *r = mf_release_bytes(e, now, kinds[which], index, mf_buf_slice(&b));
	if (r == NULL)
		return;
	r->request_id = mf_state_bundle(e->state, which);
	if (which == MF_KEY_IN_OIDC)
		oidc_release(e, r);
}

/* Of what it was told: a number from elsewhere is none. */
void
mf_engine_bundle_held(const struct mf_engine *e, struct session *s, const Mayfly__Agent__V1__BundleHeld *h)
{
	bool jwt = h->kind == MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_JWT_BUNDLE;
	if (jwt && h->number <= e->keys.number[MF_KEY_IN_JWT])
		s->held[MF_KEY_IN_JWT] = h->number;
	else if (!jwt && h->number <= s->vouched)
		s->held[MF_KEY_IN_X509] = h->number;
}

/* ---- whom nobody should hold a certificate or token of ---- */

static size_t
put_distrusted(const struct mf_engine *e, struct mf_buf *to)
{
	size_t n = 0;
	for (const struct mf_key *k = mf_state_next_key(e->state, NULL); k != NULL;
	     k = mf_state_next_key(e->state, k)) {
		if (!mf_key_distrusted(k) || !mf_key_use_is_x509(k->use))
			continue;
		if (mf_hex_get(mf_slice_str(k->id), to, NULL) == MF_OK)
			n++;
	}
	return n;
}

/* The ids are the state's. */
static size_t
distrusted_kids(const struct mf_engine *e, char *ids[MF_LIM_BUNDLE_CERTS])
{
	size_t n = 0;
	for (const struct mf_key *k = mf_state_next_key(e->state, NULL); k != NULL && n < MF_LIM_BUNDLE_CERTS;
	     k = mf_state_next_key(e->state, k))
		if (mf_key_distrusted(k) && k->use->bundle == MF_KEY_IN_JWT)
			ids[n++] = (char *)(uintptr_t)k->id; /* packing only reads */
	return n;
}

static uint32_t
spread_ms(const struct mf_engine *e)
{
	uint64_t creds = 0;
	for (const struct mf_lease *l = mf_state_next_lease(e->state, NULL); l != NULL;
	     l = mf_state_next_lease(e->state, l))
		creds += mf_lease_may_renew(l->state) ? 1 : 0;
	return (uint32_t)(SPREAD_MS + creds / SPREAD_PER_MS);
}

void
mf_engine_tell_distrust(struct mf_engine *e, struct session *one)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	ProtobufCBinaryData ids[MF_LIM_BUNDLE_CERTS];
	char *kids[MF_LIM_BUNDLE_CERTS];
	Mayfly__Agent__V1__Down down = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__Distrust d = MAYFLY__AGENT__V1__DISTRUST__INIT;
	struct session *s, *tmp;
	mf_buf_init(&b, MF_LIM_BUNDLE_CERTS * 20u);
	size_t n = put_distrusted(e, &b);
	if (n > MF_LIM_BUNDLE_CERTS || mf_buf_check(&b, NULL) != MF_OK)
		return;
	for (size_t i = 0; i < n; i++)
		ids[i] = (ProtobufCBinaryData) { 20, b.p + 20 * i };
	d.n_key_ids = n;
	d.key_ids = ids;
	d.n_jwt_key_ids = distrusted_kids(e, kids);
	d.jwt_key_ids = kids;
	d.spread_ms = spread_ms(e);
	down.body_case = MAYFLY__AGENT__V1__DOWN__BODY_DISTRUST;
	down.distrust = &d;
	if (one != NULL) {
		mf_send_down(e, one->sid, &down, MF_ENGINE_REMOVAL, MF_ENGINE_COALESCE_DISTRUST);
		return;
	}
	e->ops->distrusted(e->ctx, mf_buf_slice(&b));
	HASH_ITER(hh, e->sessions, s, tmp)
	{
		if (s->phase == PHASE_READY)
			mf_send_down(e, s->sid, &down, MF_ENGINE_REMOVAL, MF_ENGINE_COALESCE_DISTRUST);
	}
}

/* At its resync a node that was away catches up. */
void
mf_engine_keys_ready(struct mf_engine *e, struct session *s)
{
	mf_engine_tell_distrust(e, s);
}

/* Written anew at every start: the issuer may be another, and whoever died may have left half of it. */
static void
oidc_start(struct mf_engine *e)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	struct release r = { .index = oidc_revision(e) };
	mf_buf_init(&b, BUNDLE_MAX);
	if (r.index == 0 || put_bundle(e, MF_KEY_IN_OIDC, &b) != MF_OK)
		return; /* no key yet */
	oidc_release(e, &r);
	r.bytes = b.p;
	r.bytes_n = b.n;
	mf_engine_oidc_out(e, &r);
}

/* Everything that was replayed is durable. */
void
mf_engine_keys_told_start(struct mf_engine *e)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b, ids;
	static const enum mf_key_bundle both[] = { MF_KEY_IN_X509, MF_KEY_IN_JWT };
	mf_buf_init(&b, BUNDLE_MAX);
	mf_buf_init(&ids, MF_LIM_BUNDLE_CERTS * 20u);
	for (size_t i = 0; i < MF_COUNT(both); i++) {
		uint64_t number = mf_state_bundle(e->state, both[i]);
		mf_buf_reset(&b);
		if (number > 0 && mf_state_next_key(e->state, NULL) != NULL &&
		    put_bundle(e, both[i], &b) == MF_OK)
			mf_engine_published(e, both[i], number, mf_buf_slice(&b));
	}
	oidc_start(e);
	if (put_distrusted(e, &ids) > 0)
		e->ops->distrusted(e->ctx, mf_buf_slice(&ids));
}
