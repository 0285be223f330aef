/* mayfly/bundle.h: bundles by trust domain. */
#include <stdlib.h>

#include "client/handle.h"
#include "client/status.h"
#include "codec/bundle.h"
#include "codec/bundle_json.h"
#include "codec/pem.h"

enum mf_status
mf_trust_domain_id(struct mf_slice s, struct mf_spiffe_id **ret_id, struct mf_err *err)
{
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
	if (s.n > 0 && memchr(s.p, ':', s.n) != NULL)
		MF_TRY(mf_spiffe_id_parse(s, &id, err));
	else
		MF_TRY(mf_spiffe_id_build(s, mf_slice(NULL, 0), &id, err));
	if (mf_spiffe_id_path(id).n > 0)
		return MF_FAIL(err, MF_E_INVALID, "a trust domain has no path: write example.org");
	*ret_id = MF_TAKE(id);
	return MF_OK;
}

enum mf_status
mf_bundles_make(mayfly_bundles **ret_b, struct mf_err *err)
{
	mayfly_bundles *b = calloc(1, sizeof(*b));
	if (b == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "bundles: out of memory");
	atomic_init(&b->refs, 1);
	*ret_b = b;
	return MF_OK;
}

static size_t
find(const mayfly_bundles *b, struct mf_slice td)
{
	size_t i = 0;
	while (i < b->n && !mf_slice_eq_str(td, b->v[i].td))
		i++;
	return i;
}

/* Room for one more in both rows. */
static enum mf_status
grow(mayfly_bundles *b, struct mf_err *err)
{
	if (b->n >= MF_LIM_TRUST_DOMAINS)
		return MF_FAIL(err, MF_E_TOOBIG, "bundles: more than %u trust domains", MF_LIM_TRUST_DOMAINS);
	struct mf_bundle *v = reallocarray(b->v, b->n + 1, sizeof(*v));
	if (v != NULL)
		b->v = v;
	struct mf_anchors **a = reallocarray(b->anchors, b->n + 1, sizeof(*a));
	if (a != NULL)
		b->anchors = a;
	return v != NULL && a != NULL ? MF_OK : MF_FAIL(err, MF_E_NOMEM, "bundles: out of memory");
}

enum mf_status
mf_bundles_put(mayfly_bundles *b, struct mf_slice td, struct mf_slice der, struct mf_err *err)
{
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
	MF_AUTO(mf_anchors_free) struct mf_anchors *anchors = NULL;
	struct mf_bundle one = { 0 };
	MF_TRY(mf_trust_domain_id(td, &id, err));
	struct mf_slice name = mf_spiffe_id_trust_domain(id);
	if (find(b, name) < b->n)
		return MF_FAIL(err, MF_E_EXISTS, "bundles: %.*s is there already, and bundles are not merged",
		    (int)name.n, (const char *)name.p);
	MF_TRY(mf_anchors_new(name, der, &anchors, err));
	MF_TRY(grow(b, err));
	mf_buf_init(&one.der, MF_LIM_BUNDLE_DER);
	mf_buf_put_slice(&one.der, der);
	one.td = mf_slice_dup_str(name);
	if (one.td == NULL || one.der.failed != MF_OK) {
		free(one.td);
		mf_buf_fini(&one.der);
		return MF_FAIL(err, MF_E_NOMEM, "bundles: out of memory");
	}
	b->v[b->n] = one;
	b->anchors[b->n++] = MF_TAKE(anchors);
	return MF_OK;
}

enum mf_status
mf_bundles_put_crl(mayfly_bundles *b, struct mf_slice der, struct mf_err *err)
{
	if (b->crls == NULL)
		MF_TRY(mf_crls_new(&b->crls, err));
	return mf_crls_add(b->crls, der, err);
}

mayfly_bundles *
mayfly_bundles_ref(const mayfly_bundles *bundles)
{
	/* Counting is the one thing that changes in what is const for everybody. */
	mayfly_bundles *b = (mayfly_bundles *)(uintptr_t)bundles;
	if (b != NULL)
		atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

void
mayfly_bundles_unref(const mayfly_bundles *bundles)
{
	mayfly_bundles *b = (mayfly_bundles *)(uintptr_t)bundles;
	if (b == NULL || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < b->n; i++) {
		free(b->v[i].td);
		mf_buf_fini(&b->v[i].der);
		mf_anchors_free(b->anchors[i]);
	}
	free(b->v);
	free(b->anchors);
	mf_crls_free(b->crls);
	free(b);
}

mayfly_status
mayfly_bundles_new(mayfly_bundles **ret_bundles, mayfly_error *err)
{
	struct mf_err e = { 0 };
	return mf_pub(mf_bundles_make(ret_bundles, &e), &e, err);
}

static enum mf_status
may_add(const mayfly_bundles *b, const void *p, size_t n, struct mf_err *err)
{
	if (b->frozen)
		return MF_FAIL(err, MF_E_STATE, "bundles of a snapshot do not change: make your own");
	if (p == NULL && n > 0)
		return MF_FAIL(err, MF_E_INVALID, "bundles: NULL is not %zu bytes", n);
	return MF_OK;
}

mayfly_status
mayfly_bundles_add_der(
    mayfly_bundles *bundles, const char *trust_domain, const unsigned char *der, size_t n, mayfly_error *err)
{
	struct mf_err e = { 0 };
	enum mf_status s = may_add(bundles, der, n, &e);
	if (s == MF_OK)
		s = mf_bundles_put(bundles, mf_slice_str(trust_domain), mf_slice(der, n), &e);
	return mf_pub(s, &e, err);
}

static enum mf_status
add_pem(mayfly_bundles *b, const char *td, struct mf_slice pem, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf der;
	mf_buf_init(&der, MF_LIM_BUNDLE_DER);
	MF_TRY(mf_pem_get_all(pem, MF_PEM_CERTIFICATE, &der, err));
	return mf_bundles_put(b, mf_slice_str(td), mf_buf_slice(&der), err);
}

mayfly_status
mayfly_bundles_add_pem(
    mayfly_bundles *bundles, const char *trust_domain, const char *pem, size_t n, mayfly_error *err)
{
	struct mf_err e = { 0 };
	enum mf_status s = may_add(bundles, pem, n, &e);
	if (s == MF_OK)
		s = add_pem(bundles, trust_domain, mf_slice(pem, n), &e);
	return mf_pub(s, &e, err);
}

mayfly_status
mayfly_bundles_add_json(
    mayfly_bundles *bundles, const char *trust_domain, const char *json, size_t n, mayfly_error *err)
{
	struct mf_err e = { 0 };
	struct mf_bundle_doc doc = { 0 };
	enum mf_status s = may_add(bundles, json, n, &e);
	if (s == MF_OK)
		s = mf_bundle_json_get(mf_slice(json, n), &doc, &e);
	if (s == MF_OK)
		s = mf_bundles_put(bundles, mf_slice_str(trust_domain), mf_buf_slice(&doc.x509_der), &e);
	mf_bundle_doc_fini(&doc);
	return mf_pub(s, &e, err);
}

mayfly_status
mayfly_bundles_add_crl(mayfly_bundles *bundles, const unsigned char *der, size_t n, mayfly_error *err)
{
	struct mf_err e = { 0 };
	enum mf_status s = may_add(bundles, der, n, &e);
	if (s == MF_OK)
		s = mf_bundles_put_crl(bundles, mf_slice(der, n), &e);
	return mf_pub(s, &e, err);
}

size_t
mayfly_bundles_count(const mayfly_bundles *bundles)
{
	return bundles->n;
}

const char *
mayfly_bundles_trust_domain(const mayfly_bundles *bundles, size_t i)
{
	return i < bundles->n ? bundles->v[i].td : NULL;
}

size_t
mayfly_bundles_crl_count(const mayfly_bundles *bundles)
{
	return mf_crls_count(bundles->crls);
}

static enum mf_status
get(const mayfly_bundles *b, const char *td, struct mf_slice *ret_der, struct mf_err *err)
{
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
	MF_TRY(mf_trust_domain_id(mf_slice_str(td), &id, err));
	size_t i = find(b, mf_spiffe_id_trust_domain(id));
	if (i == b->n)
		return MF_FAIL(err, MF_E_NOTFOUND, "bundles: there is none of this trust domain");
	*ret_der = mf_buf_slice(&b->v[i].der);
	return MF_OK;
}

mayfly_status
mayfly_bundles_der(const mayfly_bundles *bundles, const char *trust_domain, const unsigned char **ret_der,
    size_t *ret_n, mayfly_error *err)
{
	struct mf_err e = { 0 };
	struct mf_slice der;
	enum mf_status s = get(bundles, trust_domain, &der, &e);
	if (s == MF_OK) {
		*ret_der = der.p;
		*ret_n = der.n;
	}
	return mf_pub(s, &e, err);
}

mayfly_status
mayfly_bundles_pem(const mayfly_bundles *bundles, const char *trust_domain, char **ret_pem, mayfly_error *err)
{
	struct mf_err e = { 0 };
	struct mf_slice der, certs[MF_LIM_BUNDLE_CERTS];
	size_t n = 0;
	enum mf_status s = get(bundles, trust_domain, &der, &e);
	if (s == MF_OK)
		s = mf_bundle_split(der, certs, MF_COUNT(certs), &n, &e);
	if (s == MF_OK)
		s = mf_pem_string(MF_PEM_CERTIFICATE, certs, n, ret_pem, &e);
	return mf_pub(s, &e, err);
}
