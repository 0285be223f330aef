#include "codec/jws.h"

#include <stdlib.h>

#include "base/text.h"
#include "codec/json.h"
#include "codec/json_write.h"
#include "crypto/jws_pub.h"

struct mf_jws {
	struct mf_json *header;
	struct mf_buf payload, sig;
	struct mf_slice kid, input;
	enum mf_jws_alg alg;
};

void
mf_jws_free(struct mf_jws *jws)
{
	if (jws == NULL)
		return;
	mf_json_free(jws->header);
	mf_buf_fini(&jws->payload);
	mf_buf_fini(&jws->sig);
	free(jws);
}

/* Cut at the next dot; without one, false. */
static bool
cut(struct mf_slice *rest, struct mf_slice *ret_part)
{
	const uint8_t *dot = rest->n == 0 ? NULL : memchr(rest->p, '.', rest->n);
	if (dot == NULL)
		return false;
	size_t n = (size_t)(dot - rest->p);
	*ret_part = mf_slice(rest->p, n);
	*rest = mf_slice_sub(*rest, n + 1, rest->n);
	return true;
}

static enum mf_status
read_typ(const struct mf_json_value *header, struct mf_err *err)
{
	struct mf_slice typ;
	const struct mf_json_value *v = mf_json_get(header, "typ");
	/* JWT-4: "If set, its value MUST be either JWT or JOSE" */
	if (v != NULL &&
	    (!mf_json_string(v, &typ) || !(mf_slice_eq_str(typ, "JWT") || mf_slice_eq_str(typ, "JOSE"))))
		return MF_FAIL(err, MF_E_INVALID, "jwt: typ is neither JWT nor JOSE");
	return MF_OK;
}

static enum mf_status
read_header(struct mf_slice text, struct mf_jws *j, struct mf_err *err)
{
	struct mf_slice alg;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf bytes;
	mf_buf_init(&bytes, MF_LIM_JWT);
	enum mf_status s = mf_base64url_get(text, &bytes, err);
	if (s == MF_OK)
		s = mf_json_parse(mf_buf_slice(&bytes), MF_LIM_JWT, &j->header, err);
	if (s != MF_OK)
		return mf_err_wrap(err, s, "jwt: header");
	const struct mf_json_value *h = mf_json_root(j->header);
	if (mf_json_type(h) != MF_JSON_OBJECT)
		return MF_FAIL(err, MF_E_INVALID, "jwt: header: not an object");
	/* JWT-3: "validators MUST reject all other alg values" before anything else is done with the token */
	if (!mf_json_string(mf_json_get(h, "alg"), &alg) || !mf_jws_alg_parse(alg, &j->alg))
		return MF_FAIL(
		    err, MF_E_INVALID, "jwt: alg is not one of RS, PS and ES with 256, 384 and 512");
	/* RFC 7515 4.1.11: what is critical and not understood makes the JWS invalid; RFC 7797 6 for b64. */
	if (mf_json_get(h, "crit") != NULL || mf_json_get(h, "b64") != NULL)
		return MF_FAIL(err, MF_E_INVALID, "jwt: crit and b64 are not understood");
	if (!mf_json_string(mf_json_get(h, "kid"), &j->kid) || j->kid.n == 0)
		return MF_FAIL(
		    err, MF_E_INVALID, "jwt: no kid: nothing says which key of its trust domain signed");
	return read_typ(h, err);
}

enum mf_status
mf_jws_parse(struct mf_slice token, struct mf_jws **ret_jws, struct mf_err *err)
{
	struct mf_slice rest = token, header, payload;
	if (token.n > MF_LIM_JWT)
		return MF_FAIL(err, MF_E_TOOBIG, "jwt: more than %u bytes", MF_LIM_JWT);
	/* JWT-1: "JWT-SVIDs ... MUST use the JWS Compact Serialization": three parts, nothing else. */
	if (!cut(&rest, &header) || !cut(&rest, &payload) || header.n == 0 || rest.n == 0 ||
	    memchr(rest.p, '.', rest.n) != NULL)
		return MF_FAIL(err, MF_E_INVALID, "jwt: not three parts with two dots between them");
	MF_AUTO(mf_jws_free) struct mf_jws *j = calloc(1, sizeof(*j));
	if (j == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "jwt: out of memory");
	mf_buf_init(&j->payload, MF_LIM_JWT);
	mf_buf_init(&j->sig, MF_JWS_SIG_MAX);
	MF_TRY(read_header(header, j, err));
	enum mf_status s = mf_base64url_get(payload, &j->payload, err);
	if (s != MF_OK)
		return mf_err_wrap(err, s, "jwt: payload");
	s = mf_base64url_get(rest, &j->sig, err);
	if (s != MF_OK)
		return mf_err_wrap(err, s, "jwt: signature");
	j->input = mf_slice_sub(token, 0, header.n + 1 + payload.n);
	*ret_jws = MF_TAKE(j);
	return MF_OK;
}

enum mf_jws_alg
mf_jws_alg(const struct mf_jws *jws)
{
	return jws->alg;
}

struct mf_slice
mf_jws_kid(const struct mf_jws *jws)
{
	return jws->kid;
}

struct mf_slice
mf_jws_payload(const struct mf_jws *jws)
{
	return mf_buf_slice(&jws->payload);
}

struct mf_slice
mf_jws_input(const struct mf_jws *jws)
{
	return jws->input;
}

struct mf_slice
mf_jws_sig(const struct mf_jws *jws)
{
	return mf_buf_slice(&jws->sig);
}

enum mf_status
mf_jws_put(enum mf_jws_alg alg, struct mf_slice kid, struct mf_slice payload, struct mf_jws_signer *signer,
    struct mf_buf *to, struct mf_err *err)
{
	struct mf_jw w;
	size_t start = to->n;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf header, sig;
	mf_buf_init(&header, 1024);
	mf_buf_init(&sig, MF_JWS_SIG_MAX);
	/* JWT-2: alg, kid and typ, nothing else. */
	mf_jw_init(&w, &header, true);
	mf_jw_object_begin(&w);
	mf_jw_kstr(&w, "alg", mf_jws_alg_name(alg));
	mf_jw_kstring(&w, "kid", kid);
	mf_jw_kstr(&w, "typ", "JWT");
	mf_jw_object_end(&w);
	MF_TRY(mf_jw_finish(&w, err));
	mf_base64url_put(to, mf_buf_slice(&header));
	mf_buf_put_u8(to, '.');
	mf_base64url_put(to, payload);
	MF_TRY(mf_buf_check(to, err));
	MF_TRY(mf_jws_sign(signer, mf_slice(to->p + start, to->n - start), &sig, err));
	mf_buf_put_u8(to, '.');
	mf_base64url_put(to, mf_buf_slice(&sig));
	return mf_buf_check(to, err);
}
