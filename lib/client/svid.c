/* mayfly/svid.h: snapshots of identities. */
#include <mayfly/svid.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/handle.h"
#include "client/status.h"
#include "codec/pem.h"

void
mf_svid_ref(struct mayfly_svid *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
}

void
mf_svid_unref(struct mayfly_svid *s)
{
	if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	free(s->hint);
	mf_svid_fini(&s->leaf);
	mf_buf_fini(&s->chain);
	mf_svid_key_free(s->key);
	free(s);
}

mayfly_x509 *
mayfly_x509_ref(const mayfly_x509 *x509)
{
	mayfly_x509 *x = (mayfly_x509 *)(uintptr_t)x509; /* as mayfly_bundles_ref */
	if (x != NULL)
		atomic_fetch_add_explicit(&x->refs, 1, memory_order_relaxed);
	return x;
}

void
mayfly_x509_unref(const mayfly_x509 *x509)
{
	mayfly_x509 *x = (mayfly_x509 *)(uintptr_t)x509;
	if (x == NULL || atomic_fetch_sub_explicit(&x->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < x->n; i++)
		mf_svid_unref(x->v[i]);
	mayfly_bundles_unref(x->bundles);
	free(x);
}

size_t
mayfly_x509_count(const mayfly_x509 *x509)
{
	return x509->n;
}

const mayfly_svid *
mayfly_x509_at(const mayfly_x509 *x509, size_t i)
{
	return i < x509->n ? x509->v[i] : NULL;
}

const mayfly_svid *
mayfly_x509_find(const mayfly_x509 *x509, const char *spiffe_id, const char *hint)
{
	for (size_t i = 0; i < x509->n; i++) {
		const struct mayfly_svid *s = x509->v[i];
		if ((spiffe_id == NULL || strcmp(mf_spiffe_id_str(s->leaf.id), spiffe_id) == 0) &&
		    (hint == NULL || strcmp(s->hint, hint) == 0))
			return s;
	}
	return NULL;
}

const mayfly_bundles *
mayfly_x509_bundles(const mayfly_x509 *x509)
{
	return x509->bundles;
}

int64_t
mf_x509_first_expiry(const mayfly_x509 *x)
{
	int64_t first = INT64_MAX;
	for (size_t i = 0; x != NULL && i < x->n; i++)
		if (x->v[i]->leaf.not_after_s < first)
			first = x->v[i]->leaf.not_after_s;
	return first;
}

enum mf_status
mf_x509_prune(const mayfly_x509 *x, int64_t now_s, mayfly_x509 **ret_x, struct mf_err *err)
{
	size_t n = 0;
	for (size_t i = 0; i < x->n; i++)
		n += x->v[i]->leaf.not_after_s >= now_s ? 1 : 0;
	if (n == 0)
		return MF_FAIL(err, MF_E_NOTFOUND, "every identity has expired");
	mayfly_x509 *y = calloc(1, sizeof(*y) + n * sizeof(y->v[0]));
	if (y == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "identities: out of memory");
	atomic_init(&y->refs, 1);
	y->bundles = mayfly_bundles_ref(x->bundles);
	for (size_t i = 0; i < x->n; i++) {
		if (x->v[i]->leaf.not_after_s < now_s)
			continue;
		mf_svid_ref(x->v[i]);
		y->v[y->n++] = x->v[i];
	}
	*ret_x = y;
	return MF_OK;
}

const char *
mayfly_svid_id(const mayfly_svid *svid)
{
	return mf_spiffe_id_str(svid->leaf.id);
}

const char *
mayfly_svid_hint(const mayfly_svid *svid)
{
	return svid->hint;
}

const char *
mayfly_svid_serial(const mayfly_svid *svid)
{
	return svid->leaf.serial;
}

int64_t
mayfly_svid_not_before(const mayfly_svid *svid)
{
	return svid->leaf.not_before_s;
}

int64_t
mayfly_svid_not_after(const mayfly_svid *svid)
{
	return svid->leaf.not_after_s;
}

size_t
mayfly_svid_chain_count(const mayfly_svid *svid)
{
	return svid->n;
}

mayfly_status
mayfly_svid_cert(
    const mayfly_svid *svid, size_t i, const unsigned char **ret_der, size_t *ret_n, mayfly_error *err)
{
	struct mf_err e = { 0 };
	if (i >= svid->n)
		return mf_pub(MF_FAIL(&e, MF_E_NOTFOUND, "the chain has %zu certificates", svid->n), &e, err);
	*ret_der = svid->certs[i].p;
	*ret_n = svid->certs[i].n;
	return MAYFLY_OK;
}

mayfly_status
mayfly_svid_key(const mayfly_svid *svid, const unsigned char **ret_pkcs8, size_t *ret_n, mayfly_error *err)
{
	struct mf_err e = { 0 };
	enum mf_status s = mf_same_process(svid->pid, &e);
	if (s == MF_OK) {
		struct mf_slice key = mf_svid_key_pkcs8(svid->key);
		*ret_pkcs8 = key.p;
		*ret_n = key.n;
	}
	return mf_pub(s, &e, err);
}

mayfly_status
mayfly_svid_chain_pem(const mayfly_svid *svid, char **ret_pem, mayfly_error *err)
{
	struct mf_err e = { 0 };
	return mf_pub(mf_pem_string(MF_PEM_CERTIFICATE, svid->certs, svid->n, ret_pem, &e), &e, err);
}

mayfly_status
mayfly_svid_key_pem(const mayfly_svid *svid, char **ret_pem, mayfly_error *err)
{
	struct mf_err e = { 0 };
	enum mf_status s = mf_same_process(svid->pid, &e);
	if (s == MF_OK) {
		struct mf_slice key = mf_svid_key_pkcs8(svid->key);
		s = mf_pem_string(MF_PEM_PRIVATE_KEY, &key, 1, ret_pem, &e);
	}
	return mf_pub(s, &e, err);
}
