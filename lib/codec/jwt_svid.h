/*
 * jwt_svid: JWT-SVIDs (SPIFFE JWT-SVID standard): an encode-only writer and the validator.
 *
 * Dates are unix seconds. The clock is an argument. Nothing of a token that was not verified leaves this module.
 */
#ifndef MF_CODEC_JWT_SVID_H
#define MF_CODEC_JWT_SVID_H
#include "codec/json.h"
#include "codec/jwk_set.h"
#include "codec/jws.h"
#include "codec/spiffe_id.h"

#define MF_JWT_LEEWAY_MAX_S 10 /* clocks may differ by so much, not more (E-13) */

struct mf_jwt_svid_fields {
	enum mf_jws_alg alg;
	struct mf_slice kid;
	struct mf_slice spiffe_id;
	const struct mf_slice
	    *aud; /* 1 to MF_LIM_JWT_AUDIENCES, each 1 to MF_LIM_JWT_AUDIENCE bytes of UTF-8 */
	size_t aud_n;
	int64_t iat_s, exp_s;
	struct mf_slice jti;
};
/*
 * Append the token: claims aud (always an array, exactly what was given, in that order), exp, iat, jti and sub.
 * MF_E_INVALID when a field breaks a rule.
 */
MF_NODISCARD enum mf_status mf_jwt_svid_put(
    const struct mf_jwt_svid_fields *f, struct mf_jws_signer *signer, struct mf_buf *to, struct mf_err *err);

/* MF_OK when ${aud} may be asked for; else MF_E_INVALID or MF_E_TOOBIG with the rule. */
MF_NODISCARD enum mf_status mf_jwt_audience_check(struct mf_slice aud, struct mf_err *err);

struct mf_jwt_svid; /* opaque: a token that was verified */

struct mf_jwt_svid_check {
	struct mf_slice audience; /* who we are: must be an element of aud */
	int64_t now_s;
	uint32_t leeway_s; /* at most MF_JWT_LEEWAY_MAX_S */
	/* The JWT keys of one trust domain, NULL when it is not known; valid during the call. */
	const struct mf_jwk_set *(*keys_of)(void *ctx, struct mf_slice trust_domain);
	void *ctx;
};

/*
 * The whole of JWT-SVID section 5 on one token. MF_E_INVALID (MF_E_TOOBIG for its size) with the rule that it breaks;
 * MF_E_NOMEM says nothing about the token.
 */
MF_NODISCARD enum mf_status mf_jwt_svid_validate(struct mf_slice token, const struct mf_jwt_svid_check *check,
    struct mf_jwt_svid **ret_svid, struct mf_err *err);
void mf_jwt_svid_free(struct mf_jwt_svid *svid); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_jwt_svid, mf_jwt_svid_free)
const struct mf_spiffe_id *mf_jwt_svid_id(const struct mf_jwt_svid *svid);
const struct mf_json_value *mf_jwt_svid_claims(const struct mf_jwt_svid *svid); /* an object */
int64_t mf_jwt_svid_exp_s(const struct mf_jwt_svid *svid);
#endif
