/*
 * jws: a JSON Web Signature in compact serialization (RFC 7515 7.1), taken apart, not yet believed.
 *
 * One spelling per token: three parts, base64url without padding, canonical last letters, nothing around them (so that
 * a token has one hash). The header is a JSON object without duplicate names; `alg` is one of the nine (jws_alg.h),
 * `kid` is there and not empty, `typ` is absent, "JWT" or "JOSE", `crit` and `b64` are refused (nothing that is critical
 * is understood here). `jwk`, `jku`, `x5c`, `x5u` and other members are not looked at: a token does not say which key
 * to believe. Pure; objects never change.
 */
#ifndef MF_CODEC_JWS_H
#define MF_CODEC_JWS_H
#include "base/buf.h"
#include "base/limits.h"
#include "crypto/jws_key.h"

struct mf_jws; /* opaque */

/* At most MF_LIM_JWT bytes. MF_E_INVALID, MF_E_TOOBIG, MF_E_NOMEM; the text names the rule, never the bytes. */
MF_NODISCARD enum mf_status mf_jws_parse(struct mf_slice token, struct mf_jws **ret_jws, struct mf_err *err);
void mf_jws_free(struct mf_jws *jws); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_jws, mf_jws_free)

enum mf_jws_alg mf_jws_alg(const struct mf_jws *jws);
/* The slices live as long as ${jws}; ${input} lies in the token that was parsed, and lives as long as that. */
struct mf_slice mf_jws_kid(const struct mf_jws *jws);
struct mf_slice mf_jws_payload(const struct mf_jws *jws);
struct mf_slice mf_jws_input(const struct mf_jws *jws); /* what is signed */
struct mf_slice mf_jws_sig(const struct mf_jws *jws);

/* Append header.payload.signature, signed by ${signer}, which is one of ${alg} and ${kid}. */
MF_NODISCARD enum mf_status mf_jws_put(enum mf_jws_alg alg, struct mf_slice kid, struct mf_slice payload,
    struct mf_jws_signer *signer, struct mf_buf *to, struct mf_err *err);
#endif
