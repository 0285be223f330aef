#include "agent/front/keys.h"

#include "crypto/p256.h"

static enum mf_status
make_one(struct mf_svid_keys *k, struct mf_err *err)
{
	MF_AUTO(mf_p256_key_free) struct mf_p256_key *key = NULL;
	MF_TRY(mf_p256_generate(&key, err));
	MF_TRY(mf_p256_to_pkcs8(key, &k->pkcs8[k->n], err));
	mf_p256_public(key, k->points[k->n]);
	k->n++;
	return MF_OK;
}

enum mf_status
mf_front_keys_make(struct mf_svid_keys *ret, size_t n, struct mf_err *err)
{
	if (ret->n != 0 || n > MF_LIM_IDENTITIES)
		return MF_FAIL(err, MF_E_STATE, "keys: %zu of %zu", ret->n, n);
	for (size_t i = 0; i < n; i++) {
		enum mf_status s = make_one(ret, err);
		if (s != MF_OK) {
			mf_svid_keys_fini(ret);
			return s;
		}
	}
	return MF_OK;
}
