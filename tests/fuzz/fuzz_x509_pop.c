/*
 * Evidence of a node on any bytes, as the verifier reads it: anchors (PEM), a chain, a signature, one attribute rule.
 * Input: u16 length and bytes of each, in this order: anchors, leaf, issuer, signature, rule. Nothing that is read can
 * be accepted unless it was signed, which no input of a fuzzer is; what rules look like is checked against the reader.
 */
#include <stdlib.h>

#include "base/attribute.h"
#include "codec/x509_pop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mf_slice
part(struct mf_reader *r)
{
	uint16_t n = 0;
	struct mf_slice s = { 0 };
	if (!mf_read_u16be(r, &n) || !mf_read_bytes(r, n, &s))
		return mf_slice(NULL, 0);
	return s;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_reader r = mf_reader(mf_slice(data, size));
	struct mf_err err = { 0 };
	MF_AUTO(mf_pop_anchors_free) struct mf_pop_anchors *a = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf facts;
	mf_buf_init(&facts, 4096);
	struct mf_slice pem = part(&r), chain[2], rule;
	chain[0] = part(&r);
	chain[1] = part(&r);
	struct mf_pop_evidence e = { .chain = chain, .n_chain = chain[1].n == 0 ? 1 : 2 };
	e.signature = part(&r);
	rule = part(&r);
	if (mf_pop_rule_check(rule) == NULL && rule.n > 300)
		abort();
	if (mf_pop_anchors_new(pem, &a, &err) != MF_OK) {
		if (err.msg[0] == '\0')
			abort();
		return 0;
	}
	if (mf_pop_verify(a, &e, INT64_C(1800000000), &rule, 1, &facts, &err) == MF_OK) {
		/* The corpus holds one that was really signed: what it says is in the alphabet. */
		struct mf_slice all = mf_buf_slice(&facts);
		if (all.n > 0 && !mf_attribute_ok(mf_slice_sub(all, 0, all.n - 1)))
			abort();
	} else if (err.msg[0] == '\0') {
		abort();
	}
	return 0;
}
