#include "x509_ref.h"

#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#define MUST(x)                                                                   \
	do {                                                                      \
		if (!(x)) {                                                       \
			(void)fprintf(stderr, "x509_ref:%d: %s\n", __LINE__, #x); \
			abort();                                                  \
		}                                                                 \
	} while (0)

EVP_PKEY *
mf_ref_key(void)
{
	EVP_PKEY *k = EVP_EC_gen("P-256");
	MUST(k != NULL);
	return k;
}

static void
add_names(X509 *x, const struct ref_cert *c)
{
	X509_NAME *n = X509_NAME_new();
	MUST(n != NULL);
	if (c->org != NULL)
		MUST(X509_NAME_add_entry_by_NID(n, NID_organizationName, MBSTRING_UTF8,
			 (const unsigned char *)c->org, -1, -1, 0) == 1);
	if (c->cn != NULL)
		MUST(X509_NAME_add_entry_by_NID(
			 n, NID_commonName, MBSTRING_UTF8, (const unsigned char *)c->cn, -1, -1, 0) == 1);
	MUST(X509_set_subject_name(x, n) == 1);
	MUST(X509_set_issuer_name(x, c->issuer == NULL ? n : X509_get_subject_name(c->issuer)) == 1);
	X509_NAME_free(n);
}

static void
add_key_ids(X509 *x, const struct ref_cert *c)
{
	unsigned char md[32];
	unsigned n = 0;
	const ASN1_BIT_STRING *pub = X509_get0_pubkey_bitstr(x);
	MUST(EVP_Digest(
	    ASN1_STRING_get0_data(pub), (size_t)ASN1_STRING_length(pub), md, &n, EVP_sha256(), NULL));
	if (!c->no_ski) {
		ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();
		MUST(ASN1_OCTET_STRING_set(id, md, 20) == 1);
		MUST(X509_add1_ext_i2d(x, NID_subject_key_identifier, id, 0, X509V3_ADD_APPEND) == 1);
		ASN1_OCTET_STRING_free(id);
	}
	if (c->issuer != NULL && !c->no_aki) {
		AUTHORITY_KEYID *aki = AUTHORITY_KEYID_new();
		aki->keyid = ASN1_OCTET_STRING_dup(X509_get0_subject_key_id(c->issuer));
		MUST(aki->keyid != NULL);
		MUST(X509_add1_ext_i2d(x, NID_authority_key_identifier, aki, 0, X509V3_ADD_APPEND) == 1);
		AUTHORITY_KEYID_free(aki);
	}
}

static void
add_name(GENERAL_NAMES *names, int type, const char *s, int n)
{
	GENERAL_NAME *gn = GENERAL_NAME_new();
	ASN1_IA5STRING *ia5 = ASN1_IA5STRING_new();
	MUST(gn != NULL && ia5 != NULL && ASN1_STRING_set(ia5, s, n) == 1);
	GENERAL_NAME_set0_value(gn, type, ia5);
	MUST(sk_GENERAL_NAME_push(names, gn) > 0);
}

static void
add_san(X509 *x, const struct ref_cert *c)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	for (size_t i = 0; i < MF_COUNT(c->uri) && c->uri[i] != NULL; i++)
		add_name(names, GEN_URI, c->uri[i],
		    i == 0 && c->uri_len > 0 ? c->uri_len : (int)strlen(c->uri[i]));
	for (size_t i = 0; i < MF_COUNT(c->dns) && c->dns[i] != NULL; i++)
		add_name(names, GEN_DNS, c->dns[i], (int)strlen(c->dns[i]));
	if (sk_GENERAL_NAME_num(names) > 0) {
		MUST(X509_add1_ext_i2d(x, NID_subject_alt_name, names, c->san_critical, X509V3_ADD_APPEND) ==
		     1);
		if (c->second_san)
			MUST(X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, X509V3_ADD_APPEND) == 1);
	}
	GENERAL_NAMES_free(names);
}

static X509_EXTENSION *
unknown_extension(void)
{
	ASN1_OBJECT *oid = OBJ_txt2obj("1.3.6.1.4.1.99999.1", 1);
	ASN1_OCTET_STRING *v = ASN1_OCTET_STRING_new();
	MUST(ASN1_OCTET_STRING_set(v, (const unsigned char *)"\x05\x00", 2) == 1);
	X509_EXTENSION *e = X509_EXTENSION_create_by_OBJ(NULL, oid, 1, v);
	MUST(e != NULL);
	ASN1_OCTET_STRING_free(v);
	ASN1_OBJECT_free(oid);
	return e;
}

static void
add_extensions(X509 *x, const struct ref_cert *c)
{
	if (!c->no_bc) {
		BASIC_CONSTRAINTS *bc = BASIC_CONSTRAINTS_new();
		bc->ca = c->ca ? 0xff : 0;
		if (c->pathlen >= 0) {
			bc->pathlen = ASN1_INTEGER_new();
			MUST(ASN1_INTEGER_set(bc->pathlen, c->pathlen) == 1);
		}
		MUST(X509_add1_ext_i2d(x, NID_basic_constraints, bc, 1, X509V3_ADD_APPEND) == 1);
		BASIC_CONSTRAINTS_free(bc);
	}
	if (c->ku != 0) {
		ASN1_BIT_STRING *ku = ASN1_BIT_STRING_new();
		for (int i = 0; i < 9; i++)
			if ((c->ku & 1u << i) != 0)
				MUST(ASN1_BIT_STRING_set_bit(ku, i, 1) == 1);
		MUST(X509_add1_ext_i2d(x, NID_key_usage, ku, 1, X509V3_ADD_APPEND) == 1);
		ASN1_BIT_STRING_free(ku);
	}
	if (c->eku) {
		EXTENDED_KEY_USAGE *eku = EXTENDED_KEY_USAGE_new();
		MUST(sk_ASN1_OBJECT_push(eku, OBJ_nid2obj(NID_server_auth)) > 0 &&
		     sk_ASN1_OBJECT_push(eku, OBJ_nid2obj(NID_client_auth)) > 0);
		MUST(X509_add1_ext_i2d(x, NID_ext_key_usage, eku, 0, X509V3_ADD_APPEND) == 1);
		EXTENDED_KEY_USAGE_free(eku);
	}
	add_key_ids(x, c);
	add_san(x, c);
	if (c->unknown_critical) {
		X509_EXTENSION *e = unknown_extension();
		MUST(X509_add_ext(x, e, -1) == 1);
		X509_EXTENSION_free(e);
	}
}

X509 *
mf_ref_cert(const struct ref_cert *c)
{
	static const uint8_t one = 1;
	X509 *x = X509_new();
	MUST(x != NULL && X509_set_version(x, X509_VERSION_3) == 1);
	BIGNUM *bn =
	    BN_bin2bn(c->serial == NULL ? &one : c->serial, c->serial == NULL ? 1 : c->n_serial, NULL);
	MUST(bn != NULL && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x)) != NULL);
	BN_free(bn);
	MUST(ASN1_TIME_set(X509_getm_notBefore(x), (time_t)c->not_before_s) != NULL);
	MUST(ASN1_TIME_set(X509_getm_notAfter(x), (time_t)c->not_after_s) != NULL);
	MUST(X509_set_pubkey(x, c->key) == 1);
	add_names(x, c);
	add_extensions(x, c);
	MUST(X509_sign(x, c->issuer == NULL ? c->key : c->issuer_key, c->md == NULL ? EVP_sha256() : c->md) >
	     0);
	return x;
}

void
mf_ref_crl(const struct ref_crl *c, struct mf_buf *to)
{
	X509_CRL *crl = X509_CRL_new();
	MUST(crl != NULL && X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1);
	MUST(X509_CRL_set_issuer_name(crl, X509_get_subject_name(c->issuer)) == 1);
	ASN1_TIME *t = ASN1_TIME_set(NULL, (time_t)c->this_s);
	MUST(t != NULL && X509_CRL_set1_lastUpdate(crl, t) == 1);
	if (c->revoked != NULL) {
		X509_REVOKED *r = X509_REVOKED_new();
		ASN1_INTEGER *serial = ASN1_INTEGER_dup(X509_get0_serialNumber(c->revoked));
		MUST(r != NULL && serial != NULL && X509_REVOKED_set_serialNumber(r, serial) == 1 &&
		     X509_REVOKED_set_revocationDate(r, t) == 1 && X509_CRL_add0_revoked(crl, r) == 1);
		ASN1_INTEGER_free(serial);
	}
	if (c->next_s != 0)
		MUST(ASN1_TIME_set(t, (time_t)c->next_s) != NULL && X509_CRL_set1_nextUpdate(crl, t) == 1);
	ASN1_TIME_free(t);
	if (c->critical_ext) {
		X509_EXTENSION *e = unknown_extension();
		MUST(X509_CRL_add_ext(crl, e, -1) == 1);
		X509_EXTENSION_free(e);
	}
	MUST(X509_CRL_sign(crl, c->issuer_key, EVP_sha256()) > 0);
	uint8_t *der = NULL;
	int n = i2d_X509_CRL(crl, &der);
	MUST(n > 0);
	mf_buf_put(to, der, (size_t)n);
	OPENSSL_free(der);
	X509_CRL_free(crl);
}

void
mf_ref_der(X509 *x, struct mf_buf *to)
{
	uint8_t *der = NULL;
	int n = i2d_X509(x, &der);
	MUST(n > 0);
	mf_buf_put(to, der, (size_t)n);
	OPENSSL_free(der);
}
