#include "agent/core/distrust.h"

#include "codec/bundle.h"
#include "codec/jws.h"
#include "codec/x509_peek.h"

enum mf_status
mf_distrust_add(struct mf_distrust *d, struct mf_slice id, struct mf_err *err)
{
	if (id.n != MF_DISTRUST_ID)
		return MF_FAIL(err, MF_E_INVALID, "distrust: a key id of %zu bytes", id.n);
	if (d->n == MF_LIM_BUNDLE_CERTS)
		return MF_FAIL(err, MF_E_TOOBIG, "distrust: more than %u keys", MF_LIM_BUNDLE_CERTS);
	memcpy(d->ids[d->n++], id.p, MF_DISTRUST_ID);
	return MF_OK;
}

bool
mf_distrust_covers(const struct mf_distrust *d, struct mf_slice chain)
{
	struct mf_slice certs[MF_LIM_CHAIN];
	struct mf_x509_peek p;
	size_t n = 0;
	if (d->n == 0 || mf_bundle_split(chain, certs, MF_LIM_CHAIN, &n, NULL) != MF_OK || n == 0 ||
	    mf_x509_peek(certs[0], &p, NULL) != MF_OK)
		return false;
	for (size_t i = 0; i < d->n; i++)
		if (mf_slice_eq(p.aki, mf_slice(d->ids[i], MF_DISTRUST_ID)))
			return true;
	return false;
}

enum mf_status
mf_distrust_add_kid(struct mf_distrust *d, struct mf_slice kid, struct mf_err *err)
{
	if (kid.n == 0 || kid.n >= MF_DISTRUST_KID || memchr(kid.p, 0, kid.n) != NULL)
		return MF_FAIL(err, MF_E_INVALID, "distrust: a kid of %zu bytes", kid.n);
	if (d->n_kids == MF_LIM_BUNDLE_CERTS)
		return MF_FAIL(err, MF_E_TOOBIG, "distrust: more than %u JWT keys", MF_LIM_BUNDLE_CERTS);
	memcpy(d->kids[d->n_kids], kid.p, kid.n);
	d->kids[d->n_kids++][kid.n] = '\0';
	return MF_OK;
}

bool
mf_distrust_covers_token(const struct mf_distrust *d, struct mf_slice token)
{
	MF_AUTO(mf_jws_free) struct mf_jws *jws = NULL;
	if (d->n_kids == 0 || mf_jws_parse(token, &jws, NULL) != MF_OK)
		return false;
	for (size_t i = 0; i < d->n_kids; i++)
		if (mf_slice_eq_str(mf_jws_kid(jws), d->kids[i]))
			return true;
	return false;
}
