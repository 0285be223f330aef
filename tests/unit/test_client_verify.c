/*
 * Peer verification through the public interface. The matrix: a chain that verifies, and one that breaks a single
 * rule; the test's name is the rule's id (docs: the SPIFFE conformance ids that the specifications' sections have here).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <mayfly/verify.h>
#include <openssl/err.h>

#include "base/clock.h"
#include "base/limits.h"
#include "x509_ref.h"

#define KU_LEAF 0x01u
#define KU_CA 0x60u

static struct {
	EVP_PKEY *root1_key, *mid_key, *root2_key, *leaf_key, *p224;
	X509 *root1, *mid, *root2;
	int64_t now;
} w;

static const struct ref_cert *
base(bool leaf, struct ref_cert *c)
{
	*c = (struct ref_cert) { .org = "Mayfly",
		.not_before_s = w.now - 1000,
		.not_after_s = w.now + 1000,
		.pathlen = -1,
		.eku = leaf,
		.ca = !leaf,
		.ku = leaf ? KU_LEAF : KU_CA };
	return c;
}

static X509 *
ca(const char *cn, const char *uri, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key, int pathlen)
{
	struct ref_cert c;
	(void)base(false, &c);
	c.cn = cn, c.uri[0] = uri, c.key = key, c.issuer = issuer, c.issuer_key = issuer_key,
	c.pathlen = pathlen;
	return mf_ref_cert(&c);
}

static int
setup(void **state)
{
	MF_UNUSED(state);
	w.now = mf_now().wall_us / 1000000;
	w.root1_key = mf_ref_key();
	w.mid_key = mf_ref_key();
	w.root2_key = mf_ref_key();
	w.leaf_key = mf_ref_key();
	w.root1 = ca("root1", "spiffe://td1", w.root1_key, NULL, NULL, 1);
	w.mid = ca("mid", "spiffe://td1", w.mid_key, w.root1, w.root1_key, 0);
	w.root2 = ca("root2", "spiffe://td2", w.root2_key, NULL, NULL, -1);
	return 0;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	EVP_PKEY_free(w.root1_key);
	EVP_PKEY_free(w.mid_key);
	EVP_PKEY_free(w.root2_key);
	EVP_PKEY_free(w.leaf_key);
	X509_free(w.root1);
	X509_free(w.mid);
	X509_free(w.root2);
	return 0;
}

/* One row: what is changed in a good leaf (or in its chain), and what must come of it. */
struct row {
	const char *name;
	void (*change)(struct ref_cert *c);
	mayfly_status want;
	const char *text; /* in the error */
	enum {
		BY_ROOT1,
		BY_MID,
		BY_DEEPER,
		BY_MID_ALONE,
		BY_ROOT2,
		ALTERED,
		ROOT_ITSELF,
		SECOND_IS_LEAF
	} issuer;
	enum { BOTH, NO_TD1, EMPTY_TD1 } bundles;
};

#define CHANGE(name, ...)                    \
	static void name(struct ref_cert *c) \
	{                                    \
		__VA_ARGS__;                 \
	}
CHANGE(nothing, (void)c)
CHANGE(two_uris, c->uri[1] = "https://x")
CHANGE(two_ids, c->uri[1] = "spiffe://td1/b")
CHANGE(no_uri, c->uri[0] = NULL; c->dns[0] = "x")
CHANGE(no_san, c->uri[0] = NULL)
CHANGE(dns_too, c->dns[0] = "a.example"; c->dns[1] = "b.example")
CHANGE(no_path, c->uri[0] = "spiffe://td1")
CHANGE(https, c->uri[0] = "https://td1/a")
CHANGE(nul_inside, c->uri[0] = "spiffe://td1/a\0b"; c->uri_len = 16)
CHANGE(is_ca, c->ca = true)
CHANGE(no_constraints, c->no_bc = true)
CHANGE(no_usage, c->ku = 0)
CHANGE(cert_sign, c->ku = KU_LEAF | 0x20u)
CHANGE(crl_sign, c->ku = KU_LEAF | 0x40u)
CHANGE(no_signature, c->ku = 0x04u)
CHANGE(encipherment, c->ku = KU_LEAF | 0x04u | 0x10u)
CHANGE(critical_extension, c->unknown_critical = true)
CHANGE(expired, c->not_after_s = w.now - 1)
CHANGE(not_yet, c->not_before_s = w.now + 60)
CHANGE(no_subject, c->org = NULL)
CHANGE(no_subject_critical, c->org = NULL; c->san_critical = true)
CHANGE(sha1, c->md = EVP_sha1())
CHANGE(of_td2, c->uri[0] = "spiffe://td2/x")
CHANGE(of_td3, c->uri[0] = "spiffe://td3/x")

#define BAD MAYFLY_E_INVALID
#define NO MAYFLY_E_UNTRUSTED
static const struct row rows[] = {
	{ "X509-1 good", nothing, MAYFLY_OK, "", BY_ROOT1, BOTH },
	{ "X509-1 DNS names too", dns_too, MAYFLY_OK, "", BY_ROOT1, BOTH },
	{ "X509-2 URI of another scheme", two_uris, BAD, "more than one URI", BY_ROOT1, BOTH },
	{ "X509-2 two IDs", two_ids, BAD, "more than one URI", BY_ROOT1, BOTH },
	{ "X509-2 no URI", no_uri, BAD, "no URI SAN", BY_ROOT1, BOTH },
	{ "X509-2 no SAN", no_san, BAD, "no SAN", BY_ROOT1, BOTH },
	{ "X509-3 no path", no_path, BAD, "no path", BY_ROOT1, BOTH },
	{ "X509-4 SAN not critical", no_subject, BAD, "not critical", BY_ROOT1, BOTH },
	{ "X509-4 SAN critical", no_subject_critical, MAYFLY_OK, "", BY_ROOT1, BOTH },
	{ "X509-5 no basic constraints", no_constraints, BAD, "no basic constraints", BY_ROOT1, BOTH },
	{ "X509-7 no key usage", no_usage, BAD, "no key usage", BY_ROOT1, BOTH },
	{ "X509-9 keyCertSign", cert_sign, BAD, "keyCertSign", BY_ROOT1, BOTH },
	{ "X509-9 cRLSign", crl_sign, BAD, "keyCertSign", BY_ROOT1, BOTH },
	{ "X509-9 no digitalSignature", no_signature, BAD, "digitalSignature", BY_ROOT1, BOTH },
	{ "X509-9 keyEncipherment, keyAgreement", encipherment, MAYFLY_OK, "", BY_ROOT1, BOTH },
	{ "X509-12 signing certificate as leaf", nothing, BAD, "no path", ROOT_ITSELF, BOTH },
	{ "X509-13 expired", expired, NO, "expired", BY_ROOT1, BOTH },
	{ "X509-13 not yet valid", not_yet, NO, "not yet valid", BY_ROOT1, BOTH },
	{ "X509-13 signature", nothing, NO, "signature", ALTERED, BOTH },
	{ "X509-13 unknown critical extension", critical_extension, NO, "critical extension", BY_ROOT1,
	    BOTH },
	{ "X509-13 weak digest", sha1, NO, "", BY_ROOT1, BOTH },
	{ "X509-13 with an intermediate", nothing, MAYFLY_OK, "", BY_MID, BOTH },
	{ "X509-13 path length", nothing, NO, "path length", BY_DEEPER, BOTH },
	{ "X509-13 intermediate missing", nothing, NO, "issuer", BY_MID_ALONE, BOTH },
	{ "X509-13 a leaf as issuer", nothing, NO, "", SECOND_IS_LEAF, BOTH },
	{ "X509-14 other domain's authority", nothing, NO, "", BY_ROOT2, BOTH },
	{ "X509-14 federated peer", of_td2, MAYFLY_OK, "", BY_ROOT2, BOTH },
	{ "X509-14 own authority, foreign name", of_td2, NO, "", BY_ROOT1, BOTH },
	{ "X509-14 no bundle", of_td3, NO, "no bundle", BY_ROOT1, BOTH },
	{ "X509-14 own bundle gone", nothing, NO, "no bundle", BY_ROOT1, NO_TD1 },
	{ "X509-15 cA", is_ca, BAD, "cA is TRUE", BY_ROOT1, BOTH },
	{ "X509-15 scheme", https, BAD, "spiffe://", BY_ROOT1, BOTH },
	{ "E-2 NUL in the ID", nul_inside, BAD, "", BY_ROOT1, BOTH },
	{ "X509-19 BND-7 empty bundle", nothing, NO, "", BY_ROOT1, EMPTY_TD1 },
};

static void
add(mayfly_bundles *b, const char *td, X509 *anchor)
{
	struct mf_buf der;
	mf_buf_init(&der, MF_LIM_CERT_DER);
	if (anchor != NULL)
		mf_ref_der(anchor, &der);
	assert_int_equal(mayfly_bundles_add_der(b, td, der.p, der.n, NULL), MAYFLY_OK);
	mf_buf_fini(&der);
}

static mayfly_bundles *
bundles_of(const struct row *r)
{
	mayfly_bundles *b = NULL;
	assert_int_equal(mayfly_bundles_new(&b, NULL), MAYFLY_OK);
	if (r->bundles != NO_TD1)
		add(b, "td1", r->bundles == EMPTY_TD1 ? NULL : w.root1);
	add(b, "td2", w.root2);
	return b;
}

/* The chain of a row, DER by DER. */
static size_t
chain_of(const struct row *r, struct mf_buf chain[4])
{
	struct ref_cert c;
	size_t n = 0;
	(void)base(true, &c);
	c.uri[0] = "spiffe://td1/a";
	c.key = w.leaf_key;
	X509 *issuer = r->issuer == BY_ROOT2 ? w.root2 : w.root1, *extra = NULL;
	EVP_PKEY *issuer_key = r->issuer == BY_ROOT2 ? w.root2_key : w.root1_key, *extra_key = NULL;
	for (size_t i = 0; i < 4; i++)
		mf_buf_init(&chain[i], MF_LIM_CERT_DER);
	if (r->issuer == ROOT_ITSELF) {
		mf_ref_der(w.root1, &chain[n++]);
		return n;
	}
	if (r->issuer == BY_MID || r->issuer == BY_MID_ALONE)
		issuer = w.mid, issuer_key = w.mid_key;
	if (r->issuer == BY_DEEPER) {
		extra_key = mf_ref_key();
		issuer = extra = ca("deeper", "spiffe://td1", extra_key, w.mid, w.mid_key, -1);
		issuer_key = extra_key;
	} else if (r->issuer == SECOND_IS_LEAF) {
		struct ref_cert l = c;
		l.issuer = w.root1, l.issuer_key = w.root1_key, l.cn = "leaf as issuer";
		extra_key = mf_ref_key();
		l.key = extra_key;
		issuer = extra = mf_ref_cert(&l);
		issuer_key = extra_key;
	}
	c.issuer = issuer;
	c.issuer_key = issuer_key;
	r->change(&c);
	X509 *leaf = mf_ref_cert(&c);
	mf_ref_der(leaf, &chain[n++]);
	if (r->issuer == ALTERED)
		chain[0].p[chain[0].n - 1] ^= 1;
	if (extra != NULL)
		mf_ref_der(extra, &chain[n++]);
	if (r->issuer == BY_MID || r->issuer == BY_DEEPER)
		mf_ref_der(w.mid, &chain[n++]);
	X509_free(leaf);
	X509_free(extra);
	EVP_PKEY_free(extra_key);
	return n;
}

static void
check(const struct row *r, const mayfly_authorizer *a, unsigned flags, mayfly_peer **ret_peer)
{
	struct mf_buf chain[4];
	mayfly_der der[4];
	mayfly_error err = { .text = "" };
	mayfly_peer *peer = NULL;
	mayfly_bundles *b = bundles_of(r);
	size_t n = chain_of(r, chain);
	for (size_t i = 0; i < n; i++)
		der[i] = (mayfly_der) { chain[i].p, chain[i].n };
	mayfly_status s = mayfly_verify_x509(b, der, n, a, flags, w.now, &peer, &err);
	if (s != r->want)
		fail_msg("%s: %s (%s)", r->name, mayfly_status_name(s), err.text);
	if (s == MAYFLY_OK) {
		assert_non_null(peer);
	} else {
		assert_null(peer);
		assert_int_equal(err.status, s);
		if (strstr(err.text, r->text) == NULL)
			fail_msg("%s: \"%s\" has no \"%s\"", r->name, err.text, r->text);
	}
	assert_int_equal(ERR_peek_error(), 0);
	if (ret_peer != NULL)
		*ret_peer = peer;
	else
		mayfly_peer_free(peer);
	mayfly_bundles_unref(b);
	for (size_t i = 0; i < 4; i++)
		mf_buf_fini(&chain[i]);
}

static void
test_row(void **state)
{
	mayfly_authorizer *any = NULL;
	assert_int_equal(mayfly_authorize_any(&any, NULL), MAYFLY_OK);
	check(*state, any, 0, NULL);
	mayfly_authorizer_free(any);
}

static int
says_no(void *ctx, const char *id)
{
	(*(int *)ctx)++;
	assert_string_equal(id, "spiffe://td1/a");
	return 0;
}

static int
says_yes(void *ctx, const char *id)
{
	MF_UNUSED(id);
	(*(int *)ctx)++;
	return 1;
}

static void
test_authorizers(void **state)
{
	MF_UNUSED(state);
	struct row good = rows[0], no = rows[0], bad = rows[0];
	mayfly_authorizer *a = NULL;
	mayfly_error err;
	int called = 0;
	no.want = MAYFLY_E_DENIED;
	no.text = "spiffe://td1/a is authentic, but not";
	static const char *const ids[] = { "spiffe://td1/b", "SPIFFE://TD1/a" }, *const others[] = {
		"spiffe://td1/b", "spiffe://td1/A", "spiffe://td1/a/b", "spiffe://td2/a", "spiffe://td1"
	};
	assert_int_equal(mayfly_authorize_ids(ids, 2, &a, NULL), MAYFLY_OK);
	check(&good, a, 0, NULL);
	mayfly_authorizer_free(a);
	assert_int_equal(mayfly_authorize_ids(others, 5, &a, NULL), MAYFLY_OK); /* ID-13 */
	check(&no, a, 0, NULL);
	mayfly_authorizer_free(a);
	assert_int_equal(mayfly_authorize_members("td1", &a, NULL), MAYFLY_OK);
	check(&good, a, 0, NULL);
	mayfly_authorizer_free(a);
	assert_int_equal(mayfly_authorize_members("spiffe://td2", &a, NULL), MAYFLY_OK);
	check(&no, a, 0, NULL);
	mayfly_authorizer_free(a);
	assert_int_equal(mayfly_authorize_by(says_no, &called, &a, NULL), MAYFLY_OK);
	check(&no, a, 0, NULL);
	assert_int_equal(called, 1);
	mayfly_authorizer_free(a);
	assert_int_equal(mayfly_authorize_by(says_yes, &called, &a, NULL), MAYFLY_OK);
	check(&good, a, 0, NULL);
	assert_int_equal(called, 2);
	/* never asked about who is not authentic */
	bad.issuer = ALTERED, bad.want = NO;
	check(&bad, a, 0, NULL);
	assert_int_equal(called, 2);
	mayfly_authorizer_free(a);
	a = NULL;
	assert_int_equal(mayfly_authorize_ids(ids, 0, &a, &err), MAYFLY_E_INVALID);
	assert_int_equal(mayfly_authorize_ids(ids, 1025, &a, &err), MAYFLY_E_INVALID);
	static const char *const broken[] = { "spiffe://td1/a", "td1/b" };
	assert_int_equal(mayfly_authorize_ids(broken, 2, &a, &err), MAYFLY_E_INVALID);
	assert_non_null(strstr(err.text, "ID 1"));
	assert_int_equal(mayfly_authorize_members("spiffe://td1/a", &a, &err), MAYFLY_E_INVALID);
	assert_int_equal(mayfly_authorize_by(NULL, NULL, &a, &err), MAYFLY_E_INVALID);
	assert_null(a);
	mayfly_authorizer_free(NULL);
}

static void
test_peer(void **state)
{
	MF_UNUSED(state);
	mayfly_authorizer *any = NULL;
	mayfly_peer *peer = NULL;
	assert_int_equal(mayfly_authorize_any(&any, NULL), MAYFLY_OK);
	check(&rows[0], any, 0, &peer);
	assert_string_equal(mayfly_peer_id(peer), "spiffe://td1/a");
	assert_string_equal(mayfly_peer_serial(peer), "01");
	assert_int_equal(mayfly_peer_not_after(peer), w.now + 1000);
	mayfly_peer_free(peer);
	mayfly_peer_free(NULL);
	/* a list is demanded, and there is none */
	struct row no = rows[0];
	no.want = NO;
	no.text = "no valid CRL";
	check(&no, any, MAYFLY_VERIFY_NEED_CRL, NULL);
	no.want = BAD;
	no.text = "flag";
	check(&no, any, 1u << 9, NULL);
	mayfly_authorizer_free(any);
}

/* P-5 */
static void
test_revoked(void **state)
{
	MF_UNUSED(state);
	struct mf_buf chain[4], crl;
	mayfly_authorizer *any = NULL;
	mayfly_bundles *b = bundles_of(&rows[0]);
	mayfly_peer *peer = NULL;
	mayfly_error err;
	size_t n = chain_of(&rows[0], chain);
	mayfly_der der = { chain[0].p, chain[0].n };
	const unsigned char *p = chain[0].p;
	X509 *leaf = d2i_X509(NULL, &p, (long)chain[0].n);
	struct ref_crl list = {
		.issuer = w.root1, .issuer_key = w.root1_key, .this_s = w.now - 9, .revoked = leaf
	};
	mf_buf_init(&crl, 4096);
	mf_ref_crl(&list, &crl);
	assert_int_equal(n, 1);
	assert_int_equal(mayfly_authorize_any(&any, NULL), MAYFLY_OK);
	assert_int_equal(mayfly_verify_x509(b, &der, 1, any, 0, 0, &peer, &err), MAYFLY_OK);
	mayfly_peer_free(peer);
	assert_int_equal(mayfly_bundles_add_crl(b, crl.p, crl.n, &err), MAYFLY_OK);
	assert_int_equal(mayfly_verify_x509(b, &der, 1, any, 0, 0, &peer, &err), NO);
	assert_non_null(strstr(err.text, "revoked"));
	X509_free(leaf);
	mayfly_bundles_unref(b);
	mayfly_authorizer_free(any);
	for (size_t i = 0; i < 4; i++)
		mf_buf_fini(&chain[i]);
	mf_buf_fini(&crl);
}

static void
test_arguments(void **state)
{
	MF_UNUSED(state);
	mayfly_authorizer *any = NULL;
	mayfly_bundles *b = bundles_of(&rows[0]);
	mayfly_peer *peer = NULL;
	mayfly_der der[5] = { { (const unsigned char *)"x", 1 } };
	assert_int_equal(mayfly_authorize_any(&any, NULL), MAYFLY_OK);
	assert_int_equal(mayfly_verify_x509(NULL, der, 1, any, 0, 0, &peer, NULL), BAD);
	assert_int_equal(mayfly_verify_x509(b, der, 1, NULL, 0, 0, &peer, NULL), BAD);
	assert_int_equal(mayfly_verify_x509(b, NULL, 1, any, 0, 0, &peer, NULL), BAD);
	assert_int_equal(mayfly_verify_x509(b, NULL, 0, any, 0, 0, &peer, NULL), BAD);
	assert_int_equal(mayfly_verify_x509(b, der, 1, any, 0, 0, &peer, NULL), BAD);
	assert_int_equal(mayfly_verify_x509(b, der, 5, any, 0, 0, &peer, NULL), MAYFLY_E_TOOBIG);
	assert_null(peer);
	mayfly_authorizer_free(any);
	mayfly_bundles_unref(b);
}

int
main(void)
{
	static struct row mutable_rows[MF_COUNT(rows)];
	struct CMUnitTest tests[MF_COUNT(rows) + 4] = {
		{ "authorizers", test_authorizers, NULL, NULL, NULL },
		{ "peer", test_peer, NULL, NULL, NULL },
		{ "revoked", test_revoked, NULL, NULL, NULL },
		{ "arguments", test_arguments, NULL, NULL, NULL },
	};
	memcpy(mutable_rows, rows, sizeof(rows));
	for (size_t i = 0; i < MF_COUNT(rows); i++)
		tests[i + 4] = (struct CMUnitTest) { rows[i].name, test_row, NULL, NULL, &mutable_rows[i] };
	return cmocka_run_group_tests_name("client_verify", tests, setup, teardown);
}
