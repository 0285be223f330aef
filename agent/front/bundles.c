#include "agent/front/bundles.h"

#include <stdio.h>
#include <stdlib.h>

#include "codec/bundle_map.h"

struct foreign_set {
	struct mf_foreign v[MF_LIM_FOREIGN];
	size_t n;
};

struct mf_bundles {
	char *trust_domain;
	struct mf_jwk_set *own;
	struct mf_buf own_text, foreign_text; /* what was taken last */
	struct foreign_set *foreign;	      /* NULL: none yet */
	uint64_t jwt_version, x509_version;
	uint64_t x509_number, jwt_number; /* the notary's, of our own; 0: none yet */
};

static void
foreign_free(struct foreign_set *f)
{
	if (f == NULL)
		return;
	for (size_t i = 0; i < f->n; i++) {
		free(f->v[i].id);
		free(f->v[i].trust_domain);
		mf_buf_fini(&f->v[i].x509);
		mf_jwk_set_free(f->v[i].jwt);
	}
	free(f);
}
MF_DEFINE_CLEANUP(struct foreign_set, foreign_free)

enum mf_status
mf_bundles_new(const char *trust_domain, struct mf_bundles **ret_b, struct mf_err *err)
{
	MF_AUTO(mf_bundles_free) struct mf_bundles *b = calloc(1, sizeof(*b));
	if (b == NULL || (b->trust_domain = strdup(trust_domain)) == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "bundles: out of memory");
	mf_buf_init(&b->own_text, MF_LIM_DOCUMENT);
	mf_buf_init(&b->foreign_text, MF_LIM_DOCUMENT);
	*ret_b = MF_TAKE(b);
	return MF_OK;
}

void
mf_bundles_free(struct mf_bundles *b)
{
	if (b == NULL)
		return;
	mf_jwk_set_free(b->own);
	foreign_free(b->foreign);
	mf_buf_fini(&b->own_text);
	mf_buf_fini(&b->foreign_text);
	free(b->trust_domain);
	free(b);
}

struct reading {
	const char *own;
	struct foreign_set *to;
};

static enum mf_status
take_entry(void *ctx, const struct mf_bundle_entry *e, struct mf_err *err)
{
	struct reading *r = ctx;
	/* WAPI-16: our own trust domain is never among the foreign ones, whoever says so. */
	if (mf_slice_eq_str(e->trust_domain, r->own))
		return MF_FAIL(err, MF_E_INVALID, "it is our own trust domain");
	if (r->to->n == MF_LIM_FOREIGN)
		return MF_FAIL(err, MF_E_TOOBIG, "more than %u foreign trust domains", MF_LIM_FOREIGN);
	struct mf_foreign *f = &r->to->v[r->to->n];
	mf_buf_init(&f->x509, MF_LIM_BUNDLE_DER);
	mf_buf_put_slice(&f->x509, e->x509_der);
	f->trust_domain = mf_slice_dup_str(e->trust_domain);
	f->jwt = mf_jwk_set_ref(e->jwt);
	f->id = malloc(e->trust_domain.n + sizeof("spiffe://"));
	r->to->n++;
	if (f->trust_domain == NULL || f->id == NULL || mf_buf_check(&f->x509, NULL) != MF_OK)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	(void)snprintf(f->id, e->trust_domain.n + sizeof("spiffe://"), "spiffe://%s", f->trust_domain);
	return MF_OK;
}

static enum mf_status
take_foreign(struct mf_bundles *b, struct mf_slice body, struct mf_err *err)
{
	MF_AUTO(foreign_free) struct foreign_set *f = calloc(1, sizeof(*f));
	if (f == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "bundles: out of memory");
	struct reading r = { b->trust_domain, f };
	MF_TRY(mf_bundle_map_read(body, MF_LIM_DOCUMENT, take_entry, &r, err));
	foreign_free(b->foreign);
	b->foreign = MF_TAKE(f);
	b->jwt_version++;
	b->x509_version++;
	return MF_OK;
}

static enum mf_status
take_own(struct mf_bundles *b, struct mf_slice body, struct mf_err *err)
{
	struct mf_jwk_set *set = NULL;
	MF_TRY(mf_jwk_set_read(body, MF_JWKS_SPIFFE, &set, err));
	mf_jwk_set_free(b->own);
	b->own = set;
	b->jwt_version++;
	return MF_OK;
}

enum mf_status
mf_bundles_on_document(
    struct mf_bundles *b, const Mayfly__Roles__V1__TrustDocument *m, bool *ret_changed, struct mf_err *err)
{
	*ret_changed = false;
	if (m->document == NULL)
		return MF_FAIL(err, MF_E_INVALID, "no document");
	bool own = m->document->kind == MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_JWT_BUNDLE;
	if (!own && m->document->kind != MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_FOREIGN_BUNDLES)
		return MF_OK; /* of a later release */
	struct mf_slice body = mf_slice(m->document->body.data, m->document->body.len);
	struct mf_buf *last = own ? &b->own_text : &b->foreign_text;
	if (last->n > 0 && mf_slice_eq(mf_buf_slice(last), body))
		return MF_OK; /* P-31: said again */
	MF_TRY(own ? take_own(b, body, err) : take_foreign(b, body, err));
	if (own)
		b->jwt_number = m->document->number;
	*ret_changed = true;
	mf_buf_reset(last);
	mf_buf_put_slice(last, body);
	if (mf_buf_check(last, NULL) != MF_OK)
		mf_buf_fini(last); /* it is taken for new once more */
	return MF_OK;
}

void
mf_bundles_set_number(struct mf_bundles *b, uint64_t number)
{
	b->x509_number = number;
}

uint64_t
mf_bundles_sequence(const struct mf_bundles *b)
{
	/* Each only grows, so their sum does when one of them does. */
	return b->x509_number == 0 || b->jwt_number == 0 ? 0 : b->x509_number + b->jwt_number;
}

const struct mf_jwk_set *
mf_bundles_own(const struct mf_bundles *b)
{
	return b->own;
}

const struct mf_jwk_set *
mf_bundles_keys_of(void *ctx, struct mf_slice trust_domain)
{
	const struct mf_bundles *b = ctx;
	if (mf_slice_eq_str(trust_domain, b->trust_domain))
		return b->own;
	for (size_t i = 0; b->foreign != NULL && i < b->foreign->n; i++)
		if (mf_slice_eq_str(trust_domain, b->foreign->v[i].trust_domain))
			return b->foreign->v[i].jwt;
	return NULL;
}

size_t
mf_bundles_foreign_count(const struct mf_bundles *b)
{
	return b->foreign == NULL ? 0 : b->foreign->n;
}

const struct mf_foreign *
mf_bundles_foreign(const struct mf_bundles *b, size_t i)
{
	return &b->foreign->v[i];
}

uint64_t
mf_bundles_jwt_version(const struct mf_bundles *b)
{
	return b->jwt_version;
}

uint64_t
mf_bundles_x509_version(const struct mf_bundles *b)
{
	return b->x509_version;
}
