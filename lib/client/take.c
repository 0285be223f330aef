#include "client/take.h"

#include <stdlib.h>
#include <unistd.h>

#include "codec/bundle.h"
#include "codec/x509_peek.h"
#include "workload.pb-c.h"

static struct mf_slice
bytes(ProtobufCBinaryData b)
{
	return mf_slice(b.data, b.len);
}

static void
svid_unref(struct mayfly_svid *s)
{
	mf_svid_unref(s);
}
MF_DEFINE_CLEANUP(struct mayfly_svid, svid_unref)

/* P-10: what stands between leaf and bundle must be able to sign, or every peer refuses the chain. */
static enum mf_status
check_chain(const struct mayfly_svid *s, struct mf_err *err)
{
	for (size_t i = 1; i < s->n; i++) {
		struct mf_x509_peek p;
		MF_TRY(mf_x509_peek(s->certs[i], &p, err));
		if (!p.has_basic_constraints || !p.ca || (p.key_usage & MF_X509_KU_KEY_CERT_SIGN) == 0)
			return MF_FAIL(err, MF_E_INVALID, "certificate %zu of the chain may not sign", i);
	}
	return MF_OK;
}

static enum mf_status
take_svid(const X509SVID *m, struct mayfly_svid **ret_svid, struct mf_err *err)
{
	MF_AUTO(svid_unref) struct mayfly_svid *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "identity: out of memory");
	atomic_init(&s->refs, 1);
	s->pid = (int)getpid();
	mf_buf_init(&s->chain, MF_LIM_CHAIN * MF_LIM_CERT_DER);
	if (m->spiffe_id[0] == '\0' || m->x509_svid.len == 0 || m->x509_svid_key.len == 0 ||
	    m->bundle.len == 0)
		return MF_FAIL(err, MF_E_INVALID, "a mandatory field is empty");
	if (strlen(m->hint) > MF_LIM_HINT)
		return MF_FAIL(err, MF_E_TOOBIG, "a hint of more than %u bytes", MF_LIM_HINT);
	mf_buf_put_slice(&s->chain, bytes(m->x509_svid));
	MF_TRY(mf_buf_check(&s->chain, err));
	MF_TRY(mf_bundle_split(mf_buf_slice(&s->chain), s->certs, MF_COUNT(s->certs), &s->n, err));
	MF_TRY(mf_svid_read(s->certs[0], &s->leaf, err));
	/* P-9: byte for byte; the agent emits the folded form */
	if (strcmp(mf_spiffe_id_str(s->leaf.id), m->spiffe_id) != 0)
		return MF_FAIL(err, MF_E_INVALID, "the certificate is of another SPIFFE ID");
	MF_TRY(check_chain(s, err));
	MF_TRY(mf_svid_key_new(bytes(m->x509_svid_key), &s->key, err));
	MF_TRY(mf_svid_key_fits(s->key, s->certs[0], err));
	s->hint = mf_slice_dup_str(mf_slice_str(m->hint));
	if (s->hint == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "identity: out of memory");
	*ret_svid = MF_TAKE(s);
	return MF_OK;
}

static enum mf_status
take_crls(mayfly_bundles *b, const ProtobufCBinaryData *crl, size_t n, struct mf_err *err)
{
	for (size_t i = 0; i < n; i++) {
		enum mf_status s = mf_bundles_put_crl(b, bytes(crl[i]), err);
		if (s != MF_OK)
			return mf_err_wrap(err, s, "CRL %zu", i);
	}
	return MF_OK;
}

/* Keys of the map are SPIFFE IDs of trust domains (WAPI-16); each once (BND-10). */
static enum mf_status
take_foreign(mayfly_bundles *b, const char *id, struct mf_slice der, struct mf_err *err)
{
	if (strncmp(id, "spiffe://", 9) != 0)
		return MF_FAIL(
		    err, MF_E_INVALID, "a bundle is keyed by something else than spiffe://<trust domain>");
	enum mf_status s = mf_bundles_put(b, mf_slice_str(id), der, err);
	return s == MF_E_EXISTS ? MF_E_INVALID : s;
}

/* WAPI-11: of two equal hints the first counts. An empty hint is nobody's. */
static bool
hint_is_taken(const mayfly_x509 *x, const char *hint)
{
	return hint[0] != '\0' && mayfly_x509_find(x, NULL, hint) != NULL;
}

static bool
is_own(const mayfly_x509 *x, const char *id)
{
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *td = NULL;
	if (mf_trust_domain_id(mf_slice_str(id), &td, NULL) != MF_OK)
		return false; /* it will be refused by its name */
	for (size_t i = 0; i < x->n; i++)
		if (mf_slice_eq(mf_spiffe_id_trust_domain(td), mf_spiffe_id_trust_domain(x->v[i]->leaf.id)))
			return true;
	return false;
}

static enum mf_status
add_svid(mayfly_x509 *x, const X509SVID *m, struct mf_err *err)
{
	if (hint_is_taken(x, m->hint))
		return MF_OK;
	MF_TRY(take_svid(m, &x->v[x->n], err));
	struct mf_slice td = mf_spiffe_id_trust_domain(x->v[x->n++]->leaf.id);
	/* P-11: identities of one trust domain have one bundle; two would be merged by luck of the order. */
	for (size_t i = 0; i < x->bundles->n; i++)
		if (mf_slice_eq_str(td, x->bundles->v[i].td))
			return mf_slice_eq(mf_buf_slice(&x->bundles->v[i].der), bytes(m->bundle))
				   ? MF_OK
				   : MF_FAIL(err, MF_E_INVALID, "two different bundles of one trust domain");
	return mf_bundles_put(x->bundles, td, bytes(m->bundle), err);
}

enum mf_status
mf_take_x509(const ProtobufCMessage *msg, mayfly_x509 **ret_x509, struct mf_err *err)
{
	const X509SVIDResponse *r = (const X509SVIDResponse *)(const void *)msg;
	if (r->n_svids == 0) /* P-8 */
		return MF_FAIL(err, MF_E_INVALID, "agent: an answer without an identity");
	if (r->n_svids > MF_LIM_CLIENT_SVIDS)
		return MF_FAIL(
		    err, MF_E_TOOBIG, "agent: %zu identities, at most %u", r->n_svids, MF_LIM_CLIENT_SVIDS);
	MF_AUTO(mf_x509_drop) mayfly_x509 *x = calloc(1, sizeof(*x) + r->n_svids * sizeof(x->v[0]));
	if (x == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "identities: out of memory");
	atomic_init(&x->refs, 1);
	MF_TRY(mf_bundles_make(&x->bundles, err));
	x->bundles->frozen = true;
	for (size_t i = 0; i < r->n_svids; i++) {
		enum mf_status s = add_svid(x, r->svids[i], err);
		if (s != MF_OK)
			return mf_err_wrap(err, s, "agent: identity %zu", i);
	}
	for (size_t i = 0; i < r->n_federated_bundles; i++) {
		const X509SVIDResponse__FederatedBundlesEntry *f = r->federated_bundles[i];
		if (is_own(x, f->key)) /* P-11: the own bundle is the one beside the identity */
			continue;
		enum mf_status s = take_foreign(x->bundles, f->key, bytes(f->value), err);
		if (s != MF_OK)
			return mf_err_wrap(err, s, "agent: federated bundle %zu", i);
	}
	enum mf_status s = take_crls(x->bundles, r->crl, r->n_crl, err);
	if (s != MF_OK)
		return mf_err_wrap(err, s, "agent");
	*ret_x509 = MF_TAKE(x);
	return MF_OK;
}

enum mf_status
mf_take_bundles(const ProtobufCMessage *msg, mayfly_bundles **ret_bundles, struct mf_err *err)
{
	const X509BundlesResponse *r = (const X509BundlesResponse *)(const void *)msg;
	MF_AUTO(mf_bundles_drop) mayfly_bundles *b = NULL;
	if (r->n_bundles == 0)
		return MF_FAIL(err, MF_E_INVALID, "agent: an answer without a bundle");
	MF_TRY(mf_bundles_make(&b, err));
	b->frozen = true;
	for (size_t i = 0; i < r->n_bundles; i++) {
		enum mf_status s = take_foreign(b, r->bundles[i]->key, bytes(r->bundles[i]->value), err);
		if (s != MF_OK)
			return mf_err_wrap(err, s, "agent: bundle %zu", i);
	}
	enum mf_status s = take_crls(b, r->crl, r->n_crl, err);
	if (s != MF_OK)
		return mf_err_wrap(err, s, "agent");
	*ret_bundles = MF_TAKE(b);
	return MF_OK;
}
