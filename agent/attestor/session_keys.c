/* The session's part about keys and what the notary can do: which bundles are held, which keys nothing held should be signed by. */
#include "agent/attestor/attestor_internal.h"
#include "os/jlog.h"

void
mf_session_features(struct mf_attestor *a, const Mayfly__Agent__V1__Welcome *w)
{
	a->keys_told = a->jwt_keys_told = a->explains = a->mints_cloud = false;
	for (size_t i = 0; i < w->n_features; i++) {
		a->keys_told |= strcmp(w->features[i], MF_SESSION_FEATURE_KEYS) == 0;
		a->jwt_keys_told |= strcmp(w->features[i], MF_SESSION_FEATURE_JWT_KEYS) == 0;
		a->mints_cloud |= strcmp(w->features[i], MF_SESSION_FEATURE_CLOUD) == 0;
		a->explains |= strcmp(w->features[i], MF_SESSION_FEATURE_EXPLAIN) == 0;
	}
}

void
mf_session_outer_certificate(struct mf_attestor *a, uint64_t id, const Mayfly__Agent__V1__OuterCertificate *c)
{
	uint64_t tag = 0;
	Mayfly__Roles__V1__OuterCertificate m = MAYFLY__ROLES__V1__OUTER_CERTIFICATE__INIT;
	if (mf_ic_answered(a->ic, id, 1u << MF_IC_CERTIFY, &tag, NULL) != MF_OK)
		return;
	m.chain = c->chain;
	m.not_after = c->not_after;
	mf_attestor_tell(a, MF_MSG_OUTER_CERTIFICATE, &m.base);
}

void
mf_session_put_distrust(struct mf_attestor *a, Mayfly__Roles__V1__Trust *m, struct mf_distrust_refs *refs)
{
	ProtobufCBinaryData *ids = refs->ids;
	for (; m->n_distrusted < a->distrust.n; m->n_distrusted++)
		ids[m->n_distrusted] =
		    (ProtobufCBinaryData) { MF_DISTRUST_ID, a->distrust.ids[m->n_distrusted] };
	m->distrusted = ids;
	for (; m->n_distrusted_kids < a->distrust.n_kids; m->n_distrusted_kids++)
		refs->kids[m->n_distrusted_kids] = a->distrust.kids[m->n_distrusted_kids];
	m->distrusted_kids = refs->kids;
	m->spread_ms = a->distrust.spread_ms;
}

/* The notary waits for it before it signs with a new key. */
void
mf_session_say_held(struct mf_attestor *a)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__BundleHeld h = MAYFLY__AGENT__V1__BUNDLE_HELD__INIT;
	if (!a->keys_told || mf_ic_phase(a->ic) != MF_IC_READY || a->trust.bundle_number != a->vouch_number)
		return;
	h.number = a->trust.bundle_number;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_BUNDLE_HELD;
	up.bundle_held = &h;
	mf_session_send(a, MF_INNER_BOUNDED, &up);
}

void
mf_session_say_jwt_held(struct mf_attestor *a, uint64_t number)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__BundleHeld h = MAYFLY__AGENT__V1__BUNDLE_HELD__INIT;
	if (!a->jwt_keys_told || mf_ic_phase(a->ic) != MF_IC_READY)
		return;
	h.number = number;
	h.kind = MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_JWT_BUNDLE;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_BUNDLE_HELD;
	up.bundle_held = &h;
	mf_session_send(a, MF_INNER_BOUNDED, &up);
}

enum mf_status
mf_session_distrust(struct mf_attestor *a, const Mayfly__Agent__V1__Distrust *m, struct mf_err *err)
{
	struct mf_distrust d = { .spread_ms = m->spread_ms };
	for (size_t i = 0; i < m->n_key_ids; i++)
		MF_TRY(mf_distrust_add(&d, mf_slice(m->key_ids[i].data, m->key_ids[i].len), err));
	for (size_t i = 0; i < m->n_jwt_key_ids; i++)
		MF_TRY(mf_distrust_add_kid(&d, mf_slice_str(m->jwt_key_ids[i]), err));
	if (d.n + d.n_kids == 0 && a->distrust.n + a->distrust.n_kids == 0)
		return MF_OK;
	a->distrust = d;
	MF_LOG(MF_LOG_INFO, "trust.distrust", "what these keys signed is renewed", mf_ju("ca_keys", d.n),
	    mf_ju("jwt_keys", d.n_kids));
	mf_session_tell_trust(a);
	return MF_OK;
}

void
mf_session_tell_trust(struct mf_attestor *a)
{
	Mayfly__Roles__V1__Trust m = MAYFLY__ROLES__V1__TRUST__INIT;
	if (a->trust.bundle_number == 0)
		return;
	m.trust_domain = a->trust.trust_domain;
	m.bundle = (ProtobufCBinaryData) { .len = a->trust.bundle.n, .data = a->trust.bundle.p };
	m.number = a->trust.bundle_number;
	struct mf_distrust_refs refs;
	mf_session_put_distrust(a, &m, &refs);
	mf_attestor_tell(a, MF_MSG_TRUST, &m.base);
}
