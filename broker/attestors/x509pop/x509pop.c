/* A certificate of the operator's node CA and its key. The certificate is the node: the same one is the same node. */
#include "base/text.h"
#include "broker/attestors/node_attestor.h"
#include "crypto/hash.h"

/* Sizes only: reading is the verifier's. The digest is ours, so that no verifier can name another certificate. */
static const char *
check(const struct mf_attest_claim *c, struct mf_attested *ret)
{
	uint8_t sum[32];
	if (!c->conf->x509pop)
		return "this broker takes no node certificates: set node_attestors in broker.yaml, or join "
		       "with a "
		       "token";
	if (c->certificates_n == 0 || c->certificates_n > MF_LIM_CHAIN)
		return "a node certificate comes as a chain of 1 to 4 certificates, the node's own first";
	for (size_t i = 0; i < c->certificates_n; i++)
		if (c->certificates[i].n == 0 || c->certificates[i].n > MF_LIM_CERT_DER)
			return "a certificate of the node's chain is larger than 8192 bytes, or empty";
	if (c->signature.n == 0 || c->signature.n > MF_LIM_POP_SIGNATURE)
		return "the proof of possession is missing or larger than 1024 bytes";
	mf_sha256(c->certificates[0], sum);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf hex;
	mf_buf_init(&hex, sizeof(ret->evidence));
	mf_hex_put(&hex, mf_slice(sum, sizeof(sum)));
	const char *text = mf_buf_cstr(&hex);
	if (text == NULL)
		return "the broker is out of memory: try again";
	memcpy(ret->evidence, text, sizeof(ret->evidence));
	return NULL;
}

/* The name of one of our rules, not said before. */
static bool
asked_for(const struct mf_attest_conf *conf, const struct mf_attested *so_far, struct mf_slice name)
{
	bool known = false;
	for (size_t i = 0; i < conf->rules_n && !known; i++)
		known = conf->rules[i].n > name.n && mf_slice_starts(conf->rules[i], name) &&
			conf->rules[i].p[name.n] == '=';
	for (size_t i = 0; i < so_far->attributes_n; i++)
		if (so_far->attributes[i].n > name.n && mf_slice_starts(so_far->attributes[i], name) &&
		    so_far->attributes[i].p[name.n] == '=')
			return false;
	return known;
}

static const char *
decide(const struct mf_attest_conf *conf, const struct mf_slice *said, size_t said_n, struct mf_attested *ret)
{
	static const char lies[] = "the verifier of this evidence said what nobody asked it";
	if (said_n > conf->rules_n || said_n > MF_ATTRIBUTES)
		return lies;
	for (size_t i = 0; i < said_n; i++) {
		const uint8_t *eq = said[i].n == 0 ? NULL : memchr(said[i].p, '=', said[i].n);
		if (eq == NULL || !mf_attribute_ok(said[i]) ||
		    !asked_for(conf, ret, mf_slice(said[i].p, (size_t)(eq - said[i].p))))
			return lies;
		ret->attributes[ret->attributes_n++] = said[i];
	}
	return NULL;
}

const struct mf_node_attestor mf_attestor_x509pop = {
	.name = "x509pop", .verified = true, .check = check, .decide = decide
};
