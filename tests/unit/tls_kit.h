/* Throw-away certificates, self-signed, for tests of TLS. */
#ifndef TEST_TLS_KIT_H
#define TEST_TLS_KIT_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "net/tls.h"

struct kit {
	struct mf_buf cert, key; /* DER */
	struct mf_slice chain[1];
};

static inline void
kit_init(struct kit *k, const char *cn)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	assert_non_null(key);
	assert_non_null(x);
	assert_int_equal(X509_set_version(x, 2), 1);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), 1), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), -60));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 3600));
	X509_NAME *name = X509_get_subject_name(x);
	assert_int_equal(
	    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0), 1);
	assert_int_equal(X509_set_issuer_name(x, name), 1);
	assert_int_equal(X509_set_pubkey(x, key), 1);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	mf_buf_init(&k->cert, 65536);
	mf_buf_init(&k->key, 65536);
	unsigned char *p = mf_buf_extend(&k->cert, (size_t)i2d_X509(x, NULL));
	assert_true(i2d_X509(x, &p) > 0);
	PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key);
	p = mf_buf_extend(&k->key, (size_t)i2d_PKCS8_PRIV_KEY_INFO(p8, NULL));
	assert_true(i2d_PKCS8_PRIV_KEY_INFO(p8, &p) > 0);
	PKCS8_PRIV_KEY_INFO_free(p8);
	X509_free(x);
	EVP_PKEY_free(key);
	k->chain[0] = mf_buf_slice(&k->cert);
}

static inline void
kit_fini(struct kit *k)
{
	mf_buf_fini(&k->cert);
	mf_buf_fini(&k->key);
}

static inline struct mf_tls_ctx *
kit_ctx(const struct kit *k, bool server,
    enum mf_status (*verify)(void *, void *, const struct mf_slice *, size_t, struct mf_err *), void *ctx)
{
	struct mf_tls_config cfg = { .server = server, .verify = verify, .ctx = ctx };
	struct mf_tls_ctx *c = NULL;
	struct mf_err err = { 0 };
	if (k != NULL) {
		cfg.chain = k->chain;
		cfg.n_chain = 1;
		cfg.key = mf_buf_slice(&k->key);
	}
	if (mf_tls_ctx_new(&cfg, &c, &err) != MF_OK)
		fail_msg("%s", err.msg);
	return c;
}
#endif
