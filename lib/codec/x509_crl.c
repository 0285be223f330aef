#include "codec/x509_crl.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "crypto/provider.h"

#define SKEW_S 300 /* how far ahead of our clock a list may have been made */

MF_DEFINE_CLEANUP(X509_CRL, X509_CRL_free)

struct mf_crls {
	size_t n;
	X509_CRL *v[MF_LIM_CRLS];
};

enum mf_status
mf_crls_new(struct mf_crls **ret_crls, struct mf_err *err)
{
	struct mf_crls *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "crl: out of memory");
	*ret_crls = c;
	return MF_OK;
}

void
mf_crls_free(struct mf_crls *crls)
{
	if (crls == NULL)
		return;
	for (size_t i = 0; i < crls->n; i++)
		X509_CRL_free(crls->v[i]);
	free(crls);
}

size_t
mf_crls_count(const struct mf_crls *crls)
{
	return crls == NULL ? 0 : crls->n;
}

enum mf_status
mf_crls_add(struct mf_crls *crls, struct mf_slice der, struct mf_err *err)
{
	if (der.n > MF_LIM_CRL_DER)
		return MF_FAIL(err, MF_E_TOOBIG, "crl: %zu bytes, at most %u", der.n, MF_LIM_CRL_DER);
	if (crls->n == MF_COUNT(crls->v))
		return MF_FAIL(err, MF_E_TOOBIG, "crl: more than %u lists", MF_LIM_CRLS);
	mf_crypto_init();
	const uint8_t *p = der.p;
	MF_AUTO(X509_CRL_free) X509_CRL *crl = der.n == 0 ? NULL : d2i_X509_CRL(NULL, &p, (long)der.n);
	if (crl == NULL)
		return mf_crypto_fail(err, MF_E_INVALID, "crl: not DER");
	if (p != der.p + der.n)
		return MF_FAIL(
		    err, MF_E_INVALID, "crl: %zu bytes behind its end", der.n - (size_t)(p - der.p));
	crls->v[crls->n++] = MF_TAKE(crl);
	return mf_crypto_ok();
}

/* Complete (no delta, no partition) and valid at ${now_s}. */
static bool
is_current(const X509_CRL *crl, int64_t now_s)
{
	time_t now = (time_t)now_s, ahead = now + SKEW_S;
	const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl);
	/* X509_cmp_time: 0 is an error, never "equal" */
	return X509_CRL_get_ext_by_critical(crl, 1, -1) < 0 &&
	       X509_cmp_time(X509_CRL_get0_lastUpdate(crl), &ahead) < 0 &&
	       (next == NULL || X509_cmp_time(next, &now) > 0);
}

/* Does the issuer of ${cert} list it? *ret_current: it gave a list that is_current. */
static bool
is_revoked(const struct mf_crls *crls, X509 *cert, X509 *issuer, int64_t now_s, bool *ret_current)
{
	bool current = false, revoked = false;
	for (size_t i = 0; i < crls->n && !revoked; i++) {
		X509_REVOKED *entry = NULL;
		if (X509_NAME_cmp(X509_CRL_get_issuer(crls->v[i]), X509_get_subject_name(issuer)) != 0 ||
		    X509_CRL_verify(crls->v[i], X509_get0_pubkey(issuer)) != 1)
			continue;
		current = current || is_current(crls->v[i], now_s);
		/* 2 is removeFromCRL: listed no more */
		revoked = X509_CRL_get0_by_cert(crls->v[i], &entry, cert) == 1;
	}
	*ret_current = current;
	ERR_clear_error();
	return revoked;
}

enum mf_status
mf_crls_check(const struct mf_crls *crls, const struct stack_st_X509 *path, int64_t now_s, bool need,
    struct mf_err *err)
{
	static const struct mf_crls none = { .n = 0 };
	if (crls == NULL)
		crls = &none;
	for (int i = 0; i + 1 < sk_X509_num(path); i++) {
		bool current = false;
		if (is_revoked(crls, sk_X509_value(path, i), sk_X509_value(path, i + 1), now_s, &current))
			return MF_FAIL(err, MF_E_UNAUTH, "svid: revoked by its issuer (certificate %d)", i);
		if (i == 0 && need && !current)
			return MF_FAIL(
			    err, MF_E_UNAUTH, "svid: no valid CRL of its issuer, and one is required");
	}
	return MF_OK;
}
