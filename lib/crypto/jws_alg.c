#include "crypto/jws_alg.h"

static const char *const names[MF_JWS_ALGS] = {
	[MF_JWS_ES256] = "ES256",
	[MF_JWS_ES384] = "ES384",
	[MF_JWS_ES512] = "ES512",
	[MF_JWS_RS256] = "RS256",
	[MF_JWS_RS384] = "RS384",
	[MF_JWS_RS512] = "RS512",
	[MF_JWS_PS256] = "PS256",
	[MF_JWS_PS384] = "PS384",
	[MF_JWS_PS512] = "PS512",
};

const char *
mf_jws_alg_name(enum mf_jws_alg alg)
{
	return (unsigned)alg < MF_JWS_ALGS ? names[alg] : "unknown";
}

bool
mf_jws_alg_parse(struct mf_slice name, enum mf_jws_alg *ret_alg)
{
	for (unsigned i = 0; i < MF_JWS_ALGS; i++) {
		if (!mf_slice_eq_str(name, names[i]))
			continue;
		*ret_alg = (enum mf_jws_alg)i;
		return true;
	}
	return false;
}
