#include "agent/front/cloud_secret.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/secret.h"
#include "base/text.h"
#include "crypto/hash.h"

#define FIRST 2u /* 127.0.0.1 is everybody's */
#define LAST 254u

static void
derive(
    const uint8_t key[MF_CLOUD_KEY], const char *what, const char *instance_key, uint8_t ret[MF_SHA256_SIZE])
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 4096);
	mf_buf_put_str(&b, what);
	mf_buf_put_u8(&b, 0);
	mf_buf_put_str(&b, instance_key);
	mf_hmac_sha256(mf_slice(key, MF_CLOUD_KEY), mf_buf_slice(&b), ret);
}

struct in_addr
mf_cloud_address(const uint8_t key[MF_CLOUD_KEY], const char *instance_key)
{
	uint8_t d[MF_SHA256_SIZE];
	derive(key, "mayfly cloud address", instance_key, d);
	/* The SDK for C++ asks nobody outside of 127.0.0.0/24, whatever else is loopback. */
	uint32_t a = 127u << 24 | (FIRST + ((uint32_t)d[0] << 8 | d[1]) % (LAST - FIRST + 1u));
	return (struct in_addr) { .s_addr = htonl(a) };
}

void
mf_cloud_secret_put(const uint8_t key[MF_CLOUD_KEY], const char *instance_key, struct mf_buf *to)
{
	uint8_t d[MF_SHA256_SIZE];
	const char *slash = strrchr(instance_key, '/');
	derive(key, "mayfly cloud secret", instance_key, d);
	mf_buf_put_str(to, slash == NULL ? instance_key : slash + 1);
	mf_buf_put_u8(to, '.');
	mf_hex_put(to, mf_slice(d, sizeof(d)));
	mf_wipe(d, sizeof(d));
}

enum mf_status
mf_cloud_secret_name(struct mf_slice secret, char ret_name[MF_CLOUD_NAME + 1], struct mf_err *err)
{
	size_t n = 0;
	while (n < secret.n && secret.p[n] != '.')
		n++;
	bool shape = n > 2 && n <= MF_CLOUD_NAME && secret.n == n + 1 + 2 * (size_t)MF_SHA256_SIZE;
	for (size_t k = 0; shape && k < n; k++)
		shape = (secret.p[k] >= 'a' && secret.p[k] <= 'z') || secret.p[k] == '-' ||
			(secret.p[k] >= '0' && secret.p[k] <= '9');
	if (!shape)
		return MF_FAIL(err, MF_E_INVALID, "not a secret of this endpoint");
	memcpy(ret_name, secret.p, n);
	ret_name[n] = '\0';
	return MF_OK;
}

bool
mf_cloud_secret_is(const uint8_t key[MF_CLOUD_KEY], const char *instance_key, struct mf_slice secret)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_CLOUD_SECRET_MAX);
	mf_cloud_secret_put(key, instance_key, &b);
	return mf_buf_check(&b, NULL) == MF_OK && mf_ct_equal(mf_buf_slice(&b), secret);
}
