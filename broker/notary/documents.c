/* What is the same for all nodes beside the bundle: its hash is told inside each session, its bytes go in clear. */
#include "broker/notary/engine_internal.h"
#include "crypto/hash.h"

static const Mayfly__Agent__V1__DocumentKind kinds[MF_ENGINE_DOCUMENTS] = {
	MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_JWT_BUNDLE,
	MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_FOREIGN_BUNDLES,
};

static void
vouch(struct mf_engine *e, uint64_t sid, size_t i)
{
	Mayfly__Agent__V1__Down down = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__Vouch v = MAYFLY__AGENT__V1__VOUCH__INIT;
	v.kind = kinds[i];
	v.number = e->documents[i].number;
	v.sha256.data = e->documents[i].sha256;
	v.sha256.len = sizeof(e->documents[i].sha256);
	down.body_case = MAYFLY__AGENT__V1__DOWN__BODY_VOUCH;
	down.vouch = &v;
	/* A newer one of the kind takes the place of one that has not left yet. */
	mf_send_down(e, sid, &down, MF_ENGINE_NORMAL, 0x100u + (uint64_t)kinds[i]);
}

void
mf_engine_vouch_documents(struct mf_engine *e, const struct session *s)
{
	for (size_t i = 0; i < MF_COUNT(kinds); i++)
		if (e->documents[i].number > 0)
			vouch(e, s->sid, i);
}

void
mf_engine_document(
    struct mf_engine *e, Mayfly__Agent__V1__DocumentKind kind, uint64_t number, struct mf_slice body)
{
	for (size_t i = 0; i < MF_COUNT(kinds); i++) {
		struct session *s, *next;
		if (kinds[i] != kind)
			continue;
		e->documents[i].number = number;
		mf_sha256(body, e->documents[i].sha256);
		HASH_ITER(hh, e->sessions, s, next)
		if (s->phase == PHASE_READY)
			vouch(e, s->sid, i);
	}
}
