/*
 * jws_alg: the nine signature algorithms of a JWT-SVID (RFC 7518 section 3.1; JWT-SVID 2.1: "alg ... MUST be one of the
 * values of the table"). There is no `none` and no HMAC anywhere in this library: what has no number cannot be chosen.
 */
#ifndef MF_CRYPTO_JWS_ALG_H
#define MF_CRYPTO_JWS_ALG_H
#include "base/slice.h"

enum mf_jws_alg {
	MF_JWS_ES256,
	MF_JWS_ES384,
	MF_JWS_ES512,
	MF_JWS_RS256,
	MF_JWS_RS384,
	MF_JWS_RS512,
	MF_JWS_PS256,
	MF_JWS_PS384,
	MF_JWS_PS512,
	MF_JWS_ALGS
};

/* "ES256", ...; as in the header, compared by bytes. */
const char *mf_jws_alg_name(enum mf_jws_alg alg);
MF_NODISCARD bool mf_jws_alg_parse(struct mf_slice name, enum mf_jws_alg *ret_alg);
#endif
