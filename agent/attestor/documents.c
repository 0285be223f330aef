/*
 * Documents beside the trust domain's bundle: the JWT bundle and the bundles of foreign trust domains. They come in
 * clear, through both fronts; what the session vouches for by hash is believed and given to the front, nothing else.
 * They are not kept over a restart: the next session brings them.
 */
#include "agent/attestor/attestor_internal.h"
#include "crypto/hash.h"
#include "os/jlog.h"

static struct mf_document_slot *
slot_of(struct mf_attestor *a, Mayfly__Agent__V1__DocumentKind kind)
{
	switch (kind) {
	case MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_JWT_BUNDLE:
		return &a->documents[0];
	case MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_FOREIGN_BUNDLES:
		return &a->documents[1];
	default:
		return NULL; /* another's, or of a later release */
	}
}

static Mayfly__Agent__V1__DocumentKind
kind_of(const struct mf_attestor *a, const struct mf_document_slot *s)
{
	return s == &a->documents[0] ? MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_JWT_BUNDLE
				     : MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_FOREIGN_BUNDLES;
}

void
mf_documents_init(struct mf_attestor *a)
{
	for (size_t i = 0; i < MF_ATTESTOR_DOCUMENTS; i++) {
		mf_buf_init(&a->documents[i].seen, MF_LIM_DOCUMENT);
		mf_buf_init(&a->documents[i].body, MF_LIM_DOCUMENT);
	}
}

void
mf_documents_fini(struct mf_attestor *a)
{
	for (size_t i = 0; i < MF_ATTESTOR_DOCUMENTS; i++) {
		mf_buf_fini(&a->documents[i].seen);
		mf_buf_fini(&a->documents[i].body);
	}
}

static void
tell(struct mf_attestor *a, const struct mf_document_slot *s)
{
	Mayfly__Roles__V1__TrustDocument m = MAYFLY__ROLES__V1__TRUST_DOCUMENT__INIT;
	Mayfly__Agent__V1__Document d = MAYFLY__AGENT__V1__DOCUMENT__INIT;
	d.kind = kind_of(a, s);
	d.number = s->number;
	d.body = (ProtobufCBinaryData) { .len = s->body.n, .data = s->body.p };
	m.document = &d;
	mf_attestor_tell(a, MF_MSG_TRUST_DOCUMENT, &m.base);
}

/* The notary waits for it before it signs with a new key. What comes after it to the front finds the keys there. */
static void
say_held(struct mf_attestor *a, const struct mf_document_slot *s)
{
	if (s == &a->documents[0])
		mf_session_say_jwt_held(a, s->number);
}

/* The two may come in either order, and the last word of the session counts. */
static void
match(struct mf_attestor *a, struct mf_document_slot *s)
{
	uint8_t sum[MF_SHA256_SIZE];
	if (!s->has_vouch || s->seen.n == 0)
		return;
	mf_sha256(mf_buf_slice(&s->seen), sum);
	if (memcmp(sum, s->vouched, sizeof(sum)) != 0)
		return; /* the one of the two that is newer has yet to come */
	bool same = s->believed && mf_slice_eq(mf_buf_slice(&s->seen), mf_buf_slice(&s->body));
	if (same) {
		say_held(a, s); /* to a session that is new */
		return;
	}
	mf_buf_reset(&s->body);
	mf_buf_put_slice(&s->body, mf_buf_slice(&s->seen));
	s->believed = mf_buf_check(&s->body, NULL) == MF_OK;
	if (!s->believed)
		return;
	MF_LOG(MF_LOG_INFO, "trust.document", "a new document of the broker", mf_ju("kind", kind_of(a, s)),
	    mf_ju("number", s->number));
	tell(a, s);
	say_held(a, s);
}

enum mf_status
mf_documents_vouch(struct mf_attestor *a, const Mayfly__Agent__V1__Vouch *v, struct mf_err *err)
{
	struct mf_document_slot *s = slot_of(a, v->kind);
	if (s == NULL)
		return MF_OK;
	if (v->sha256.len != sizeof(s->vouched))
		return MF_FAIL(err, MF_E_INVALID, "vouch: a digest of %zu bytes", v->sha256.len);
	memcpy(s->vouched, v->sha256.data, sizeof(s->vouched));
	s->has_vouch = true;
	s->number = v->number;
	match(a, s);
	return MF_OK;
}

void
mf_documents_seen(struct mf_attestor *a, const Mayfly__Agent__V1__Document *d)
{
	struct mf_document_slot *s = slot_of(a, d->kind);
	if (s == NULL || d->body.len > MF_LIM_DOCUMENT)
		return;
	mf_buf_reset(&s->seen);
	mf_buf_put(&s->seen, d->body.data, d->body.len);
	if (mf_buf_check(&s->seen, NULL) == MF_OK)
		match(a, s);
}

void
mf_documents_greet_front(struct mf_attestor *a)
{
	for (size_t i = 0; i < MF_ATTESTOR_DOCUMENTS; i++)
		if (a->documents[i].believed)
			tell(a, &a->documents[i]);
}
