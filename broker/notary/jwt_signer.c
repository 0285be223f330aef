#include "broker/notary/jwt_signer.h"

#include <stdlib.h>

#include "codec/jwt_svid.h"

#define KEYS \
	8u /* of SVIDs and assertions: both algorithms, and those before them while a rotation is under way */

struct mf_jwt_signer {
	struct {
		struct mf_jws_key *key; /* a reference; NULL: empty */
		struct mf_jws_signer *signer;
	} at[KEYS];
	size_t next; /* whose turn it is to make room */
};

enum mf_status
mf_jwt_signer_new(struct mf_jwt_signer **ret_s, struct mf_err *err)
{
	struct mf_jwt_signer *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "jwt signer: out of memory");
	*ret_s = s;
	return MF_OK;
}

static void
forget(struct mf_jwt_signer *s, size_t i)
{
	mf_jws_signer_free(s->at[i].signer);
	mf_jws_key_free(s->at[i].key);
	s->at[i].signer = NULL;
	s->at[i].key = NULL;
}

void
mf_jwt_signer_free(struct mf_jwt_signer *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < KEYS; i++)
		forget(s, i);
	free(s);
}

enum mf_status
mf_jwt_signer_of(
    struct mf_jwt_signer *s, struct mf_jws_key *key, struct mf_jws_signer **ret_signer, struct mf_err *err)
{
	for (size_t i = 0; i < KEYS; i++)
		if (s->at[i].key == key) {
			*ret_signer = s->at[i].signer;
			return MF_OK;
		}
	size_t i = s->next++ % KEYS;
	forget(s, i);
	MF_TRY(mf_jws_signer_new(key, &s->at[i].signer, err));
	s->at[i].key = mf_jws_key_ref(key); /* while it is held no other key has this address */
	*ret_signer = s->at[i].signer;
	return MF_OK;
}

enum mf_status
mf_jwt_signer_make(
    struct mf_jwt_signer *s, const struct mf_jwt_request *req, struct mf_buf *to, struct mf_err *err)
{
	struct mf_jws_signer *signer = NULL;
	struct mf_slice aud[MF_LIM_JWT_AUDIENCES];
	if (req->audiences_n > MF_LIM_JWT_AUDIENCES)
		return MF_FAIL(err, MF_E_TOOBIG, "jwt: more than %u audiences", MF_LIM_JWT_AUDIENCES);
	for (size_t i = 0; i < req->audiences_n; i++)
		aud[i] = mf_slice_str(req->audiences[i]);
	MF_TRY(mf_jwt_signer_of(s, req->key, &signer, err));
	const struct mf_jwt_svid_fields f = { .alg = mf_jws_key_alg(req->key),
		.kid = mf_slice_str(mf_jws_key_kid(req->key)),
		.spiffe_id = mf_slice_str(req->spiffe_id),
		.aud = aud,
		.aud_n = req->audiences_n,
		.iat_s = req->iat,
		.exp_s = req->exp,
		.jti = mf_slice_str(req->jti) };
	return mf_jwt_svid_put(&f, signer, to, err);
}
