#include "codec/x509_self.h"

#include "base/limits.h"
#include "codec/der.h"
#include "codec/x509_write.h"
#include "crypto/hash.h"

static const uint8_t version3[] = { 0xa0, 0x03, 0x02, 0x01, 0x02 };
/* SEQUENCE { sha256WithRSAEncryption, NULL } (RFC 4055, 5) */
static const uint8_t sha256_rsa[] = { 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01,
	0x0b, 0x05, 0x00 };
/* SEQUENCE { rsaEncryption, NULL } (RFC 3279, 2.3.1) */
static const uint8_t rsa_encryption[] = { 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01,
	0x01, 0x01, 0x05, 0x00 };
static const uint8_t oid_organization[] = { 0x06, 0x03, 0x55, 0x04, 0x0a };
static const uint8_t oid_common_name[] = { 0x06, 0x03, 0x55, 0x04, 0x03 };

static void
put_attribute(struct mf_buf *b, struct mf_slice oid, struct mf_slice text)
{
	size_t set = mf_der_open(b, MF_DER_SET), seq = mf_der_open(b, MF_DER_SEQUENCE);
	mf_buf_put_slice(b, oid);
	mf_der_put(b, MF_DER_UTF8_STRING, text);
	mf_der_close(b, seq);
	mf_der_close(b, set);
}

static void
put_name(struct mf_buf *b, const struct mf_jws_key *key)
{
	size_t seq = mf_der_open(b, MF_DER_SEQUENCE);
	put_attribute(b, mf_slice(oid_organization, sizeof(oid_organization)), MF_SLICE_LIT("Mayfly"));
	put_attribute(
	    b, mf_slice(oid_common_name, sizeof(oid_common_name)), mf_slice_str(mf_jws_key_kid(key)));
	mf_der_close(b, seq);
}

static void
put_spki(struct mf_buf *b, const struct mf_jws_public *pub)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf rsa;
	mf_buf_init(&rsa, MF_LIM_CERT_DER);
	size_t numbers = mf_der_open(&rsa, MF_DER_SEQUENCE);
	mf_der_put_uint(&rsa, pub->n);
	mf_der_put_uint(&rsa, pub->e);
	mf_der_close(&rsa, numbers);
	size_t seq = mf_der_open(b, MF_DER_SEQUENCE);
	mf_buf_put(b, rsa_encryption, sizeof(rsa_encryption));
	mf_der_put_bits(b, mf_buf_slice(&rsa));
	mf_der_close(b, seq);
	if (rsa.failed != MF_OK && b->failed == MF_OK)
		b->failed = rsa.failed;
}

static void
put_tbs(struct mf_buf *b, const struct mf_jws_key *key, int64_t not_before_s, int64_t not_after_s)
{
	struct mf_jws_public pub = mf_jws_key_public(key);
	uint8_t sha[MF_SHA256_SIZE];
	mf_sha256(pub.n, sha);
	mf_x509_serial_from_random(sha); /* of the key's number: no other key has it */
	size_t seq = mf_der_open(b, MF_DER_SEQUENCE);
	mf_buf_put(b, version3, sizeof(version3));
	mf_der_put_uint(b, mf_slice(sha, MF_X509_SERIAL_SIZE));
	mf_buf_put(b, sha256_rsa, sizeof(sha256_rsa));
	put_name(b, key);
	size_t validity = mf_der_open(b, MF_DER_SEQUENCE);
	mf_der_put_time(b, not_before_s);
	mf_der_put_time(b, not_after_s);
	mf_der_close(b, validity);
	put_name(b, key);
	put_spki(b, &pub);
	mf_der_close(b, seq);
}

enum mf_status
mf_x509_self(const struct mf_jws_key *key, int64_t not_before_s, int64_t not_after_s, struct mf_buf *to,
    struct mf_err *err)
{
	if (mf_jws_key_alg(key) != MF_JWS_RS256)
		return MF_FAIL(err, MF_E_UNSUPPORTED, "x5c: only keys for RS256 have a certificate");
	MF_AUTO_IN(mf_buf_fini) struct mf_buf tbs, sig;
	MF_AUTO(mf_jws_signer_free) struct mf_jws_signer *signer = NULL;
	mf_buf_init(&tbs, MF_LIM_CERT_DER);
	mf_buf_init(&sig, 1024);
	put_tbs(&tbs, key, not_before_s, not_after_s);
	MF_TRY(mf_buf_check(&tbs, err));
	MF_TRY(mf_jws_signer_new(key, &signer, err));
	MF_TRY(mf_jws_sign(signer, mf_buf_slice(&tbs), &sig, err));
	return mf_x509_assemble_by(
	    mf_buf_slice(&tbs), mf_slice(sha256_rsa, sizeof(sha256_rsa)), mf_buf_slice(&sig), to, err);
}
