/* A certificate that leaves the notary, as libcrypto reads it. */
#include "sim_observer.h"

#include <openssl/asn1.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/text.h"
#include "crypto/hash.h"

static int64_t
not_after(const X509 *x)
{
	struct tm t;
	if (ASN1_TIME_to_tm(X509_get0_notAfter(x), &t) != 1)
		return INT64_MAX;
	return (int64_t)timegm(&t);
}

/* Who signed it lives longer. NULL when nobody of the bundle did. */
static bool
issuer_outlives(X509 *leaf, int64_t exp)
{
	uint64_t number;
	struct mf_slice b = sim_notary_bundle(&number);
	const unsigned char *p = b.p, *end = b.p + b.n;
	bool found = false;
	while (!found && p < end) {
		X509 *ca = d2i_X509(NULL, &p, end - p);
		if (ca == NULL)
			break;
		found = X509_check_issued(ca, leaf) == X509_V_OK &&
			X509_verify(leaf, X509_get0_pubkey(ca)) == 1 && not_after(ca) >= exp;
		X509_free(ca);
	}
	return found;
}

/* The record names this very certificate, and lies on the disk. */
static void
check_record(const Mayfly__Agent__V1__Issued *c, struct mf_slice leaf)
{
	uint8_t sum[MF_SHA256_SIZE];
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b64;
	struct obs_cred *cred = obs_cred(c->serial);
	mf_sha256(leaf, sum);
	mf_buf_init(&b64, 64);
	mf_base64url_put(&b64, mf_slice(sum, sizeof(sum)));
	if (cred == NULL || memmem(cred->record.p, cred->record.n, b64.p, b64.n) == NULL) {
		sim_violated(1, "certificate %s leaves, and no record names it", c->serial);
		return;
	}
	if (!obs_durable(&cred->record))
		sim_violated(1, "certificate %s leaves, and its record is not on disk", c->serial);
	cred->sent = true;
}

void
obs_certificate(
    struct obs_job *j, int64_t now_s, const Mayfly__Agent__V1__Grant *g, const Mayfly__Agent__V1__Issued *c)
{
	const unsigned char *p = c->chain.data;
	X509 *x = d2i_X509(NULL, &p, (long)c->chain.len);
	if (x == NULL)
		sim_abort("a certificate that libcrypto does not read");
	int64_t exp = not_after(x);
	struct mf_slice leaf = mf_slice(c->chain.data, (size_t)(p - c->chain.data));
	check_record(c, leaf);
	if (exp > now_s + SIM_MAX_TTL_S + 1)
		sim_violated(2, "certificate %s lives for %lld s", c->serial, (long long)(exp - now_s));
	if (exp > j->granted_s + SIM_MAX_JOB_S + SIM_DRAIN_S + 1)
		sim_violated(2, "certificate %s outlives the longest life of its job by %lld s", c->serial,
		    (long long)(exp - j->granted_s - SIM_MAX_JOB_S - SIM_DRAIN_S));
	/* What was on record before the announcement is as good as handed out: the record of the end names it. */
	const struct obs_cred *cred = obs_cred(c->serial);
	bool later = cred != NULL && j->ending != NEVER && cred->index > j->ending;
	if (later && exp > j->ending_until)
		sim_violated(2, "certificate %s outlives the drain of its job by %lld s", c->serial,
		    (long long)(exp - j->ending_until));
	if (exp != c->not_after || exp > g->deadline)
		sim_violated(2, "certificate %s lives until %lld, and the grant says otherwise", c->serial,
		    (long long)exp);
	if (!issuer_outlives(x, exp))
		sim_violated(2, "certificate %s outlives every CA that could have signed it", c->serial);
	X509_free(x);
}
