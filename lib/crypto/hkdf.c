#include "crypto/hkdf.h"

#include "base/secret.h"
#include "crypto/hash.h"

#define INFO_MAX 1024u

/* T(i) = HMAC(prk, T(i-1) | info | i), RFC 5869 2.3; ${prev}.n is 0 for the first. */
static void
block(const uint8_t prk[MF_HKDF_HASH], struct mf_slice prev, struct mf_slice info, uint8_t counter,
    uint8_t ret[MF_HKDF_HASH])
{
	uint8_t in[MF_HKDF_HASH + INFO_MAX + 1];
	size_t n = 0;
	if (prev.n > 0)
		memcpy(in, prev.p, prev.n);
	n += prev.n;
	if (info.n > 0)
		memcpy(in + n, info.p, info.n);
	n += info.n;
	in[n++] = counter;
	mf_hmac_sha256(mf_slice(prk, MF_HKDF_HASH), mf_slice(in, n), ret);
	mf_wipe(in, n);
}

enum mf_status
mf_hkdf_sha256(struct mf_slice salt, struct mf_slice ikm, struct mf_slice info, uint8_t *ret, size_t n,
    struct mf_err *err)
{
	if (n == 0 || n > MF_HKDF_MAX || info.n > INFO_MAX)
		return MF_FAIL(err, MF_E_INVALID, "hkdf: %zu bytes asked for, info of %zu bytes", n, info.n);
	uint8_t prk[MF_HKDF_HASH], t[MF_HKDF_HASH];
	mf_hmac_sha256(salt, ikm, prk); /* HMAC pads a short key with zeros: an empty salt is 32 zeros */
	struct mf_slice prev = mf_slice(t, 0);
	uint8_t counter = 1;
	for (size_t done = 0; done < n; counter++) {
		block(prk, prev, info, counter, t);
		prev = mf_slice(t, sizeof(t));
		size_t take = n - done < sizeof(t) ? n - done : sizeof(t);
		memcpy(ret + done, t, take);
		done += take;
	}
	mf_wipe(prk, sizeof(prk));
	mf_wipe(t, sizeof(t));
	return MF_OK;
}

void
mf_noise_hkdf2(const uint8_t ck[MF_HKDF_HASH], struct mf_slice ikm, uint8_t ret_1[MF_HKDF_HASH],
    uint8_t ret_2[MF_HKDF_HASH])
{
	const struct mf_slice none = mf_slice(NULL, 0);
	uint8_t prk[MF_HKDF_HASH], t1[MF_HKDF_HASH];
	mf_hmac_sha256(mf_slice(ck, MF_HKDF_HASH), ikm, prk);
	block(prk, none, none, 1, t1);
	block(prk, mf_slice(t1, sizeof(t1)), none, 2, ret_2);
	memcpy(ret_1, t1, sizeof(t1));
	mf_wipe(prk, sizeof(prk));
	mf_wipe(t1, sizeof(t1));
}
