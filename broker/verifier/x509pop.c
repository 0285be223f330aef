/* Evidence x509pop: a certificate of the operator's node CA, and a signature over the session's handshake hash. */
#include "base/attribute.h"
#include "broker/verifier/judge.h"
#include "codec/x509_pop.h"

static enum mf_status
verify(const Mayfly__Roles__V1__VerifyAnchors *anchors, const Mayfly__Roles__V1__VerifyEvidence *e,
    struct mf_buf *facts, struct mf_err *err)
{
	MF_AUTO(mf_pop_anchors_free) struct mf_pop_anchors *a = NULL;
	struct mf_slice chain[MF_LIM_CHAIN], rules[MF_ATTRIBUTES];
	if (e->n_certificates > MF_LIM_CHAIN || anchors->n_rules > MF_ATTRIBUTES ||
	    e->handshake_hash.len != MF_POP_HASH)
		return MF_FAIL(err, MF_E_TOOBIG, "evidence: a chain of %zu certificates, at most %u",
		    e->n_certificates, MF_LIM_CHAIN);
	MF_TRY(mf_pop_anchors_new(mf_slice(anchors->pem.data, anchors->pem.len), &a, err));
	for (size_t i = 0; i < e->n_certificates; i++)
		chain[i] = mf_slice(e->certificates[i].data, e->certificates[i].len);
	for (size_t i = 0; i < anchors->n_rules; i++)
		rules[i] = mf_slice_str(anchors->rules[i]);
	struct mf_pop_evidence in = { .chain = chain,
		.n_chain = e->n_certificates,
		.signature = mf_slice(e->signature.data, e->signature.len) };
	memcpy(in.hash, e->handshake_hash.data, sizeof(in.hash));
	return mf_pop_verify(a, &in, e->now, rules, anchors->n_rules, facts, err);
}

const struct mf_judge_kind mf_judge_x509pop = { "x509pop", verify };
