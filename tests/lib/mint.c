#include "mint.h"

#include <stdlib.h>

#include "base/rand.h"
#include "base/text.h"
#include "codec/x509_peek.h"

struct mint {
	char *td;
	struct mf_p256_key *key;
	struct mf_p256_signer *signer;
	struct mf_buf ca;
	struct mf_x509_peek peek;
	uint8_t key_id[MF_X509_KEY_ID_SIZE];
};

static void
must(enum mf_status s)
{
	if (s != MF_OK)
		abort();
}

static void
new_serial(uint8_t *serial)
{
	mf_rand_bytes(serial, MF_X509_SERIAL_SIZE);
	mf_x509_serial_from_random(serial);
}

struct mint *
mf_mint_new(const char *trust_domain, int64_t now_s)
{
	struct mint *m = calloc(1, sizeof(*m));
	if (m == NULL)
		abort();
	m->td = mf_slice_dup_str(mf_slice_str(trust_domain));
	struct mf_x509_ca ca = { .trust_domain = mf_slice_str(m->td),
		.not_before_s = now_s - 3600,
		.not_after_s = now_s + INT64_C(365) * 86400 };
	must(mf_p256_generate(&m->key, NULL));
	must(mf_p256_signer_new(m->key, &m->signer, NULL));
	mf_p256_public(m->key, ca.point);
	mf_x509_key_id(ca.point, m->key_id);
	new_serial(ca.serial);
	struct mf_buf tbs;
	mf_buf_init(&tbs, MF_LIM_CERT_DER);
	mf_buf_init(&m->ca, MF_LIM_CERT_DER);
	must(mf_x509_tbs_ca(&ca, &tbs, NULL));
	must(mf_x509_sign(mf_buf_slice(&tbs), m->signer, &m->ca, NULL));
	must(mf_x509_peek(mf_buf_slice(&m->ca), &m->peek, NULL));
	mf_buf_fini(&tbs);
	return m;
}

void
mf_mint_free(struct mint *m)
{
	if (m == NULL)
		return;
	mf_p256_key_free(m->key);
	mf_p256_signer_free(m->signer);
	mf_buf_fini(&m->ca);
	free(m->td);
	free(m);
}

struct mf_slice
mf_mint_ca(const struct mint *m)
{
	return mf_buf_slice(&m->ca);
}

struct mint_leaf
mf_mint_leaf(const struct mint *m, const char *path, const uint8_t *point, int64_t now_s, int64_t not_after_s,
    struct mf_buf *to)
{
	struct mint_leaf ret = { .not_before_s = now_s - 60, .not_after_s = not_after_s };
	struct mf_spiffe_id *id = NULL;
	must(mf_spiffe_id_build(mf_slice_str(m->td), mf_slice_str(path), &id, NULL));
	struct mf_x509_leaf leaf = { .issuer = m->peek.subject,
		.not_before_s = ret.not_before_s,
		.not_after_s = not_after_s,
		.id = id };
	new_serial(leaf.serial);
	memcpy(leaf.aki, m->key_id, sizeof(leaf.aki));
	memcpy(leaf.point, point, sizeof(leaf.point));
	struct mf_buf tbs, hex;
	mf_buf_init(&tbs, MF_LIM_CERT_DER);
	mf_buf_init(&hex, sizeof(ret.serial));
	mf_hex_put(&hex, mf_slice(leaf.serial, sizeof(leaf.serial)));
	memcpy(ret.serial, hex.p, hex.n);
	must(mf_x509_tbs_leaf(&leaf, &tbs, NULL));
	must(mf_x509_sign(mf_buf_slice(&tbs), m->signer, to, NULL));
	mf_buf_fini(&tbs);
	mf_buf_fini(&hex);
	mf_spiffe_id_free(id);
	return ret;
}

struct mint_leaf
mf_mint_keyed(const struct mint *m, const char *path, int64_t now_s, int64_t not_after_s, struct mf_buf *to,
    struct mf_buf *key)
{
	struct mf_p256_key *k = NULL;
	struct mf_secret *der = NULL;
	uint8_t point[MF_P256_POINT_SIZE];
	must(mf_p256_generate(&k, NULL));
	must(mf_p256_to_pkcs8(k, &der, NULL));
	mf_p256_public(k, point);
	mf_buf_put_slice(key, mf_secret_slice(der));
	struct mint_leaf ret = mf_mint_leaf(m, path, point, now_s, not_after_s, to);
	mf_secret_free(der);
	mf_p256_key_free(k);
	return ret;
}
