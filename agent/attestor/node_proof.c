#include "agent/attestor/node_proof.h"

#include <stdlib.h>

#include "codec/pem.h"
#include "codec/x509_pop.h"

struct mf_node_proof {
	struct mf_buf der[MF_LIM_CHAIN], key, signature;
	ProtobufCBinaryData chain[MF_LIM_CHAIN];
	size_t n;
	char name[16];
};

static enum mf_status
read_chain(struct mf_node_proof *p, struct mf_slice pem, struct mf_err *err)
{
	for (;; p->n++) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf der;
		mf_buf_init(&der, MF_LIM_CERT_DER);
		enum mf_status s = mf_pem_get(&pem, MF_PEM_CERTIFICATE, &der, err);
		if (s == MF_E_NOTFOUND && p->n > 0)
			return MF_OK;
		if (s == MF_E_NOTFOUND)
			return MF_FAIL(err, MF_E_INVALID, "the file of the node's certificate holds none");
		MF_TRY(s);
		if (p->n == MF_COUNT(p->der))
			return MF_FAIL(err, MF_E_TOOBIG,
			    "the node's chain has more than %u certificates: leave the root out",
			    MF_LIM_CHAIN);
		mf_buf_put_slice(&p->der[p->n], mf_buf_slice(&der));
		MF_TRY(mf_buf_check(&p->der[p->n], err));
		p->chain[p->n] = (ProtobufCBinaryData) { p->der[p->n].n, p->der[p->n].p };
	}
}

enum mf_status
mf_node_proof_new(
    struct mf_slice cert_pem, struct mf_slice key_pem, struct mf_node_proof **ret_p, struct mf_err *err)
{
	MF_AUTO(mf_node_proof_free) struct mf_node_proof *p = calloc(1, sizeof(*p));
	if (p == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "the node's certificate: out of memory");
	for (size_t i = 0; i < MF_COUNT(p->der); i++)
		mf_buf_init(&p->der[i], MF_LIM_CERT_DER);
	mf_buf_init(&p->key, 2 * MF_LIM_POP_KEY);
	mf_buf_init(&p->signature, MF_LIM_POP_SIGNATURE);
	memcpy(p->name, "x509pop", sizeof("x509pop"));
	MF_TRY(read_chain(p, cert_pem, err));
	MF_TRY(mf_pop_fits(key_pem, mf_buf_slice(&p->der[0]), err));
	mf_buf_put_slice(&p->key, key_pem);
	MF_TRY(mf_buf_check(&p->key, err));
	*ret_p = MF_TAKE(p);
	return MF_OK;
}

void
mf_node_proof_free(struct mf_node_proof *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < MF_COUNT(p->der); i++)
		mf_buf_fini(&p->der[i]);
	mf_buf_fini(&p->key);
	mf_buf_fini(&p->signature);
	free(p);
}

enum mf_status
mf_node_proof_fill(
    struct mf_node_proof *p, const uint8_t hash[32], Mayfly__Agent__V1__Join *join, struct mf_err *err)
{
	mf_buf_reset(&p->signature);
	MF_TRY(mf_pop_sign(mf_buf_slice(&p->key), hash, &p->signature, err));
	join->attestor = p->name;
	join->certificates = p->chain;
	join->n_certificates = p->n;
	join->signature = (ProtobufCBinaryData) { p->signature.n, p->signature.p };
	return MF_OK;
}
