#include "pop_kit.h"

#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/pem.h"

#define MUST(x)                                                                  \
	do {                                                                     \
		if (!(x)) {                                                      \
			(void)fprintf(stderr, "pop_kit:%d: %s\n", __LINE__, #x); \
			abort();                                                 \
		}                                                                \
	} while (0)

EVP_PKEY *
mf_pop_key(const char *kind)
{
	EVP_PKEY *k = NULL;
	if (strncmp(kind, "RSA-", 4) == 0)
		k = EVP_RSA_gen((unsigned)strtoul(kind + 4, NULL, 10));
	else if (kind[0] == 'P')
		k = EVP_EC_gen(kind);
	else
		k = EVP_PKEY_Q_keygen(NULL, NULL, kind);
	MUST(k != NULL);
	return k;
}

static void
add_name(X509_NAME *n, int nid, const char *v)
{
	if (v != NULL)
		MUST(X509_NAME_add_entry_by_NID(n, nid, MBSTRING_UTF8, (const unsigned char *)v, -1, -1, 0) ==
		     1);
}

static void
add_ext(X509 *x, X509V3_CTX *v3, int nid, const char *value)
{
	if (value == NULL)
		return;
	X509_EXTENSION *e = X509V3_EXT_nconf_nid(NULL, v3, nid, value);
	MUST(e != NULL);
	MUST(X509_add_ext(x, e, -1) == 1);
	X509_EXTENSION_free(e);
}

static void
add_oid(X509 *x, const char *oid, const char *text)
{
	if (oid == NULL)
		return;
	ASN1_OBJECT *o = OBJ_txt2obj(oid, 1);
	ASN1_OCTET_STRING *s = ASN1_OCTET_STRING_new();
	unsigned char der[130] = { V_ASN1_UTF8STRING, (unsigned char)strlen(text) };
	MUST(o != NULL && s != NULL && strlen(text) < 128);
	memcpy(der + 2, text, strlen(text));
	MUST(ASN1_OCTET_STRING_set(s, der, (int)strlen(text) + 2) == 1);
	X509_EXTENSION *e = X509_EXTENSION_create_by_OBJ(NULL, o, 0, s);
	MUST(e != NULL && X509_add_ext(x, e, -1) == 1);
	X509_EXTENSION_free(e);
	ASN1_OCTET_STRING_free(s);
	ASN1_OBJECT_free(o);
}

X509 *
mf_pop_cert(const struct pop_cert *c)
{
	X509 *x = X509_new();
	X509V3_CTX v3;
	X509_NAME *n = X509_NAME_new();
	unsigned char serial[8];
	EVP_PKEY *signer = c->issuer_key == NULL ? c->key : c->issuer_key;
	MUST(x != NULL && n != NULL && RAND_bytes(serial, sizeof(serial)) == 1);
	MUST(X509_set_version(x, X509_VERSION_3) == 1);
	ASN1_INTEGER *number = ASN1_INTEGER_new();
	MUST(ASN1_INTEGER_set_uint64(number, (uint64_t)serial[0] << 8 | serial[1] | 0x10000) == 1);
	MUST(X509_set_serialNumber(x, number) == 1);
	ASN1_INTEGER_free(number);
	add_name(n, NID_commonName, c->cn);
	for (size_t i = 0; i < MF_COUNT(c->ou); i++)
		add_name(n, NID_organizationalUnitName, c->ou[i]);
	MUST(X509_set_subject_name(x, n) == 1);
	MUST(X509_set_issuer_name(x, c->issuer == NULL ? n : X509_get_subject_name(c->issuer)) == 1);
	X509_NAME_free(n);
	ASN1_TIME *nb = ASN1_TIME_set(NULL, (time_t)c->not_before_s);
	ASN1_TIME *na = ASN1_TIME_set(NULL, (time_t)c->not_after_s);
	MUST(X509_set1_notBefore(x, nb) == 1 && X509_set1_notAfter(x, na) == 1);
	ASN1_TIME_free(nb);
	ASN1_TIME_free(na);
	MUST(X509_set_pubkey(x, c->key) == 1);
	X509V3_set_ctx(&v3, c->issuer == NULL ? x : c->issuer, x, NULL, NULL, 0);
	add_ext(x, &v3, NID_basic_constraints, c->bc);
	add_ext(x, &v3, NID_key_usage, c->ku);
	add_ext(x, &v3, NID_ext_key_usage, c->eku);
	add_ext(x, &v3, NID_subject_alt_name, c->san);
	add_oid(x, c->oid, c->oid_text);
	bool no_md = EVP_PKEY_is_a(signer, "ED25519") == 1 || EVP_PKEY_is_a(signer, "ED448") == 1;
	MUST(X509_sign(x, signer, no_md ? NULL : c->md == NULL ? EVP_sha256() : c->md) > 0);
	return x;
}

void
mf_pop_der(X509 *x, struct mf_buf *to)
{
	unsigned char *der = NULL;
	int n = i2d_X509(x, &der);
	MUST(n > 0);
	mf_buf_put(to, der, (size_t)n);
	OPENSSL_free(der);
}

void
mf_pop_pem(X509 *x, struct mf_buf *to)
{
	struct mf_buf der;
	mf_buf_init(&der, 65536);
	mf_pop_der(x, &der);
	mf_pem_put(to, MF_PEM_CERTIFICATE, mf_buf_slice(&der));
	mf_buf_fini(&der);
}

void
mf_pop_key_pem(EVP_PKEY *k, struct mf_buf *to)
{
	PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(k);
	unsigned char *der = NULL;
	int n = p8 == NULL ? 0 : i2d_PKCS8_PRIV_KEY_INFO(p8, &der);
	MUST(n > 0);
	mf_pem_put(to, MF_PEM_PRIVATE_KEY, mf_slice(der, (size_t)n));
	OPENSSL_free(der);
	PKCS8_PRIV_KEY_INFO_free(p8);
}
