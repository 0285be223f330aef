/*
 * assertion: the JWT by which the broker speaks for one job at one cloud provider, or for itself at a token endpoint (RFC 7523).
 * Encode-only; short-lived; never an SVID: its issuer is the OIDC issuer, and its key is of a set of its own.
 */
#ifndef MF_CODEC_ASSERTION_H
#define MF_CODEC_ASSERTION_H
#include "base/buf.h"
#include "crypto/jws_key.h"

#define MF_ASSERTION_MAX_S 60
#define MF_ASSERTION_TAGS 8u

/* A session tag (AWS and those who speak like it): all of them go on to sessions that are made from this one. */
struct mf_assertion_tag {
	struct mf_slice name, value;
};
struct mf_assertion_fields {
	struct mf_slice iss, sub, aud, jti;
	int64_t iat_s, exp_s;
	const struct mf_assertion_tag
	    *tags; /* in byte order of their names; those without value are left out */
	size_t tags_n;
	struct mf_slice source_identity; /* empty: none */
};

/* Append the token, signed by ${signer} of ${key}. MF_E_INVALID when a field is missing or it would live too long. */
MF_NODISCARD enum mf_status mf_assertion_put(const struct mf_assertion_fields *f,
    const struct mf_jws_key *key, struct mf_jws_signer *signer, struct mf_buf *to, struct mf_err *err);
#endif
