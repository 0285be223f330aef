/* mayfly/verify.h: authentication by the bundle of the leaf's own trust domain, then authorization. */
#include <mayfly/verify.h>
#include <stdlib.h>

#include "client/handle.h"
#include "client/status.h"

#define IDS_MAX 1024u

enum kind { ANY, MEMBERS, IDS, CALLBACK };

struct mayfly_authorizer {
	atomic_uint refs;
	enum kind kind;
	mayfly_authorize_fn fn;
	void *ctx;
	size_t n;
	struct mf_spiffe_id *ids[]; /* or one trust domain */
};

struct mayfly_peer {
	struct mf_svid svid;
};

static enum mf_status
make(enum kind kind, size_t n, mayfly_authorizer **ret, struct mf_err *err)
{
	mayfly_authorizer *a = calloc(1, sizeof(*a) + n * sizeof(a->ids[0]));
	if (a == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "authorizer: out of memory");
	atomic_init(&a->refs, 1);
	a->kind = kind;
	a->n = n;
	*ret = a;
	return MF_OK;
}

void
mf_authorizer_ref(mayfly_authorizer *a)
{
	atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
}

void
mayfly_authorizer_free(mayfly_authorizer *authorizer)
{
	if (authorizer == NULL || atomic_fetch_sub_explicit(&authorizer->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < authorizer->n; i++)
		mf_spiffe_id_free(authorizer->ids[i]);
	free(authorizer);
}
MF_DEFINE_CLEANUP(mayfly_authorizer, mayfly_authorizer_free)

static enum mf_status
make_ids(const char *const *ids, size_t n, mayfly_authorizer **ret, struct mf_err *err)
{
	MF_AUTO(mayfly_authorizer_free) mayfly_authorizer *a = NULL;
	if (n == 0 || n > IDS_MAX)
		return MF_FAIL(err, MF_E_INVALID, "authorizer: %zu IDs, not 1 to %u", n, IDS_MAX);
	MF_TRY(make(IDS, n, &a, err));
	for (size_t i = 0; i < n; i++) {
		enum mf_status s = mf_spiffe_id_parse(mf_slice_str(ids[i]), &a->ids[i], err);
		if (s != MF_OK)
			return mf_err_wrap(err, s, "authorizer: ID %zu", i);
	}
	*ret = MF_TAKE(a);
	return MF_OK;
}

mayfly_status
mayfly_authorize_ids(
    const char *const *spiffe_ids, size_t n, mayfly_authorizer **ret_authorizer, mayfly_error *err)
{
	struct mf_err e = { 0 };
	return mf_pub(make_ids(spiffe_ids, n, ret_authorizer, &e), &e, err);
}

static enum mf_status
make_members(const char *td, mayfly_authorizer **ret, struct mf_err *err)
{
	MF_AUTO(mayfly_authorizer_free) mayfly_authorizer *a = NULL;
	MF_TRY(make(MEMBERS, 1, &a, err));
	MF_TRY(mf_trust_domain_id(mf_slice_str(td), &a->ids[0], err));
	*ret = MF_TAKE(a);
	return MF_OK;
}

mayfly_status
mayfly_authorize_members(const char *trust_domain, mayfly_authorizer **ret_authorizer, mayfly_error *err)
{
	struct mf_err e = { 0 };
	return mf_pub(make_members(trust_domain, ret_authorizer, &e), &e, err);
}

mayfly_status
mayfly_authorize_any(mayfly_authorizer **ret_authorizer, mayfly_error *err)
{
	struct mf_err e = { 0 };
	return mf_pub(make(ANY, 0, ret_authorizer, &e), &e, err);
}

mayfly_status
mayfly_authorize_by(mayfly_authorize_fn fn, void *ctx, mayfly_authorizer **ret_authorizer, mayfly_error *err)
{
	struct mf_err e = { 0 };
	if (fn == NULL)
		return mf_pub(MF_FAIL(&e, MF_E_INVALID, "authorizer: no function"), &e, err);
	enum mf_status s = make(CALLBACK, 0, ret_authorizer, &e);
	if (s == MF_OK) {
		(*ret_authorizer)->fn = fn;
		(*ret_authorizer)->ctx = ctx;
	}
	return mf_pub(s, &e, err);
}

static bool
allowed(const mayfly_authorizer *a, const struct mf_spiffe_id *id)
{
	switch (a->kind) {
	case ANY:
		return true;
	case MEMBERS:
		return mf_slice_eq(mf_spiffe_id_trust_domain(a->ids[0]), mf_spiffe_id_trust_domain(id));
	case IDS:
		for (size_t i = 0; i < a->n; i++)
			if (mf_spiffe_id_eq(a->ids[i], id))
				return true;
		return false;
	case CALLBACK:
		return a->fn(a->ctx, mf_spiffe_id_str(id)) != 0;
	}
	return false;
}

enum mf_status
mf_verify_peer(const mayfly_bundles *bundles, const struct mf_slice *chain, size_t n,
    const mayfly_authorizer *authorizer, unsigned flags, int64_t now_s, struct mf_svid *ret_svid,
    struct mf_err *err)
{
	const struct mf_svid_rules rules = {
		.now_s = now_s, .crls = bundles->crls, .need_crl = (flags & MAYFLY_VERIFY_NEED_CRL) != 0
	};
	struct mf_svid svid = { 0 };
	MF_TRY(mf_svid_verify_by(
	    chain, n, (const struct mf_anchors *const *)bundles->anchors, bundles->n, &rules, &svid, err));
	if (!allowed(authorizer, svid.id)) {
		(void)MF_FAIL(err, MF_E_DENIED, "%s is authentic, but not who is accepted here",
		    mf_spiffe_id_str(svid.id));
		mf_svid_fini(&svid);
		return MF_E_DENIED;
	}
	*ret_svid = svid;
	return MF_OK;
}

static enum mf_status
verify(const mayfly_bundles *bundles, const mayfly_der *chain, size_t n, const mayfly_authorizer *authorizer,
    unsigned flags, int64_t now_s, mayfly_peer **ret_peer, struct mf_err *err)
{
	struct mf_slice certs[MF_LIM_CHAIN];
	if (bundles == NULL || authorizer == NULL || (chain == NULL && n > 0))
		return MF_FAIL(err, MF_E_INVALID, "verify: without bundles, chain or authorizer");
	if ((flags & ~MAYFLY_VERIFY_NEED_CRL) != 0)
		return MF_FAIL(err, MF_E_INVALID, "verify: a flag that this release does not know");
	if (n > MF_COUNT(certs))
		return MF_FAIL(
		    err, MF_E_TOOBIG, "svid: a chain of %zu certificates, at most %u", n, MF_LIM_CHAIN);
	for (size_t i = 0; i < n; i++)
		certs[i] = mf_slice(chain[i].p, chain[i].n);
	mayfly_peer *peer = calloc(1, sizeof(*peer));
	if (peer == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "peer: out of memory");
	if (now_s == 0)
		now_s = mf_now().wall_us / 1000000;
	enum mf_status s = mf_verify_peer(bundles, certs, n, authorizer, flags, now_s, &peer->svid, err);
	if (s == MF_OK)
		*ret_peer = peer;
	else
		mayfly_peer_free(peer);
	return s;
}

mayfly_status
mayfly_verify_x509(const mayfly_bundles *bundles, const mayfly_der *chain, size_t n,
    const mayfly_authorizer *authorizer, unsigned flags, int64_t now_s, mayfly_peer **ret_peer,
    mayfly_error *err)
{
	struct mf_err e = { 0 };
	return mf_pub(verify(bundles, chain, n, authorizer, flags, now_s, ret_peer, &e), &e, err);
}

void
mayfly_peer_free(mayfly_peer *peer)
{
	if (peer == NULL)
		return;
	mf_svid_fini(&peer->svid);
	free(peer);
}

const char *
mayfly_peer_id(const mayfly_peer *peer)
{
	return mf_spiffe_id_str(peer->svid.id);
}

const char *
mayfly_peer_serial(const mayfly_peer *peer)
{
	return peer->svid.serial;
}

int64_t
mayfly_peer_not_after(const mayfly_peer *peer)
{
	return peer->svid.not_after_s;
}
