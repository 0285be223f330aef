#include "broker/notary/crew_key.h"

#include <stdlib.h>

#include "codec/bundle.h"
#include "codec/x509_write.h"
#include "crypto/hash.h"

#define USUAL_LEAF 700u /* bytes */

void
mf_crew_key_free(struct mf_crew_key *k)
{
	if (k == NULL)
		return;
	mf_list_del(&k->at);
	mf_p256_signer_free(k->signer);
	mf_ca_free(k->ca);
	mf_buf_fini(&k->rest);
	free(k);
}

/* ${chain} gets the leaf; what follows it is the caller's to add. */
static bool
leaf_of(struct mf_crew_key *k, const struct mf_sign_request *r, struct mf_buf *chain)
{
	const struct mf_ca *ca = k->ca;
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
	struct mf_x509_leaf leaf = { .issuer = mf_ca_subject(ca),
		.cn = mf_slice_str(r->cn),
		.not_before_s = r->nbf,
		.not_after_s = r->exp,
		.n_dns = r->dns_n < MF_LIM_DNS_NAMES ? r->dns_n : MF_LIM_DNS_NAMES };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf tbs;
	mf_buf_init(&tbs, MF_LIM_CERT_DER);
	mf_buf_expect(&tbs, USUAL_LEAF);
	mf_buf_expect(chain, USUAL_LEAF + k->rest.n);
	memcpy(leaf.serial, r->serial, sizeof(leaf.serial));
	memcpy(leaf.aki, mf_ca_key_id(ca), sizeof(leaf.aki));
	memcpy(leaf.point, r->point, sizeof(leaf.point));
	for (size_t i = 0; i < leaf.n_dns; i++)
		leaf.dns[i] = mf_slice_str(r->dns[i]);
	if (mf_p256_point_check(mf_slice(r->point, sizeof(r->point)), NULL) != MF_OK ||
	    mf_spiffe_id_parse(mf_slice_str(r->spiffe_id), &id, NULL) != MF_OK)
		return false;
	leaf.id = id;
	return mf_x509_tbs_leaf(&leaf, &tbs, NULL) == MF_OK &&
	       mf_x509_sign(mf_buf_slice(&tbs), k->signer, chain, NULL) == MF_OK;
}

bool
mf_crew_key_make(
    struct mf_crew_key *k, const struct mf_sign_request *r, struct mf_buf *chain, uint8_t ret_der_sha256[32])
{
	if (!leaf_of(k, r, chain))
		return false;
	mf_sha256(mf_buf_slice(chain), ret_der_sha256);
	mf_buf_put_slice(chain, mf_buf_slice(&k->rest));
	return mf_buf_check(chain, NULL) == MF_OK;
}

enum mf_status
mf_crew_key_new(
    const char *trust_domain, const struct mf_ca_key *from, struct mf_crew_key **ret_k, struct mf_err *err)
{
	struct mf_slice certs[MF_LIM_CHAIN];
	size_t n = 0;
	MF_AUTO(mf_crew_key_free) struct mf_crew_key *k = calloc(1, sizeof(*k));
	if (k == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "crew: out of memory");
	mf_list_init(&k->at);
	mf_buf_init(&k->rest, MF_LIM_CHAIN * MF_LIM_CERT_DER);
	memcpy(k->id, from->id, sizeof(k->id));
	MF_TRY(mf_bundle_split(mf_buf_slice(&from->certificate), certs, MF_LIM_CHAIN, &n, err));
	if (n == 0)
		return MF_FAIL(err, MF_E_INVALID, "crew: a CA key without certificate");
	MF_TRY(from->anchor.n > 0 ? mf_ca_parse_issued(certs[0], mf_slice_str(trust_domain), &k->ca, err)
				  : mf_ca_parse(certs[0], mf_slice_str(trust_domain), &k->ca, err));
	MF_TRY(mf_p256_signer_new(from->key, &k->signer, err));
	/* Under an own root the chain is the leaf alone: the root is in the bundle. */
	for (size_t i = 0; from->anchor.n > 0 && i < n; i++)
		mf_buf_put_slice(&k->rest, certs[i]);
	MF_TRY(mf_buf_check(&k->rest, err));
	*ret_k = MF_TAKE(k);
	return MF_OK;
}
