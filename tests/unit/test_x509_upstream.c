/* An upstream CA from files: what is signed under it verifies to the root alone, and each thing wrong with the files is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/pem.h>

#include "broker/keys/ca_key.h"
#include "codec/bundle.h"
#include "codec/x509_read.h"
#include "crypto/hash.h"
#include "pop_kit.h"

#define TD "prod.example"
#define NOW INT64_C(1800000000)
#define DAY 86400

static const struct pop_cert root_like = { .cn = "Company Root",
	.not_before_s = NOW - 100 * DAY,
	.not_after_s = NOW + 1000 * DAY,
	.bc = "critical,CA:TRUE",
	.ku = "critical,keyCertSign,cRLSign" };
static const struct pop_cert mid_like = { .cn = "Company Sub CA",
	.not_before_s = NOW - 10 * DAY,
	.not_after_s = NOW + 50 * DAY,
	.bc = "critical,CA:TRUE,pathlen:1",
	.ku = "critical,keyCertSign,cRLSign" };

/* A root, a sub CA of it, and the files of that. */
struct world {
	EVP_PKEY *root_key, *mid_key;
	X509 *root, *mid;
	struct mf_buf cert, key, bundle;
};

static X509 *
make(struct pop_cert c, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
	c.key = key;
	c.issuer = issuer;
	c.issuer_key = issuer_key;
	return mf_pop_cert(&c);
}

static void
begin(struct world *w, const struct pop_cert *root, const struct pop_cert *mid, const char *kind)
{
	w->root_key = mf_pop_key("P-256");
	w->mid_key = mf_pop_key(kind);
	w->root = make(*root, w->root_key, NULL, NULL);
	w->mid = make(*mid, w->mid_key, w->root, w->root_key);
	mf_buf_init(&w->cert, 65536);
	mf_buf_init(&w->key, 65536);
	mf_buf_init(&w->bundle, 65536);
	mf_pop_pem(w->mid, &w->cert);
	mf_pop_key_pem(w->mid_key, &w->key);
	mf_pop_pem(w->root, &w->bundle);
}

static void
end(struct world *w)
{
	X509_free(w->root);
	X509_free(w->mid);
	EVP_PKEY_free(w->root_key);
	EVP_PKEY_free(w->mid_key);
	mf_buf_fini(&w->cert);
	mf_buf_fini(&w->key);
	mf_buf_fini(&w->bundle);
}

static enum mf_status
judge(const struct world *w, struct mf_upstream_ca **ret_u, struct mf_err *err)
{
	const struct mf_upstream_ca_files f = { mf_buf_slice(&w->cert), mf_buf_slice(&w->key),
		mf_buf_slice(&w->bundle) };
	return mf_upstream_ca_new(&f, MF_SLICE_LIT(TD), NOW, ret_u, err);
}

/* Refused, with these words; then the world ends. */
static void
refused(struct world *w, const char *words)
{
	struct mf_upstream_ca *u = NULL;
	struct mf_err err = { 0 };
	if (judge(w, &u, &err) == MF_OK)
		fail_msg("taken, where '%s' was expected", words);
	if (strstr(err.msg, words) == NULL)
		fail_msg("'%s' does not say '%s'", err.msg, words);
	assert_null(u);
	end(w);
}

static void
must(enum mf_status s, const struct mf_err *err)
{
	if (s != MF_OK)
		fail_msg("%s", err->msg);
}

/* A leaf under ${k} verifies with ${root} alone, at ${now_s}. */
static enum mf_status
leaf_verifies(const struct mf_ca_key *k, X509 *root, int64_t now_s, struct mf_err *err)
{
	struct mf_slice chain[MF_LIM_CHAIN];
	size_t n = 0;
	MF_AUTO(mf_ca_free) struct mf_ca *ca = NULL;
	MF_AUTO(mf_p256_key_free) struct mf_p256_key *key = NULL;
	MF_AUTO(mf_p256_signer_free) struct mf_p256_signer *signer = NULL;
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
	MF_AUTO(mf_anchors_free) struct mf_anchors *anchors = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf tbs, all, root_der;
	struct mf_svid svid = { 0 };
	mf_buf_init(&tbs, MF_LIM_CERT_DER);
	mf_buf_init(&all, MF_LIM_BUNDLE_DER);
	mf_buf_init(&root_der, MF_LIM_CERT_DER);
	MF_TRY(
	    mf_ca_parse_issued(mf_bundle_first(mf_buf_slice(&k->certificate)), MF_SLICE_LIT(TD), &ca, err));
	MF_TRY(mf_spiffe_id_parse(MF_SLICE_LIT("spiffe://" TD "/job/1"), &id, err));
	MF_TRY(mf_p256_generate(&key, err));
	struct mf_x509_leaf leaf = { .serial = { 0x41 },
		.issuer = mf_ca_subject(ca),
		.not_before_s = k->not_before_s,
		.not_after_s = k->not_after_s,
		.id = id };
	memcpy(leaf.aki, mf_ca_key_id(ca), sizeof(leaf.aki));
	mf_p256_public(key, leaf.point);
	MF_TRY(mf_x509_tbs_leaf(&leaf, &tbs, err));
	MF_TRY(mf_p256_signer_new(k->key, &signer, err));
	MF_TRY(mf_x509_sign(mf_buf_slice(&tbs), signer, &all, err));
	mf_buf_put_slice(&all, mf_buf_slice(&k->certificate));
	MF_TRY(mf_bundle_split(mf_buf_slice(&all), chain, MF_LIM_CHAIN, &n, err));
	mf_pop_der(root, &root_der);
	MF_TRY(mf_anchors_new(MF_SLICE_LIT(TD), mf_buf_slice(&root_der), &anchors, err));
	const struct mf_anchors *sets[] = { anchors };
	enum mf_status s = mf_svid_verify(chain, n, sets, 1, now_s, &svid, err);
	mf_svid_fini(&svid);
	return s;
}

/* ---- what is good ---- */

/* X509-6, X509-11: each kind of upstream key; the chain goes to the root, the root is in the bundle and not in the chain. */
static void
test_kinds(void **state)
{
	MF_UNUSED(state);
	static const char *const kinds[] = { "RSA-2048", "P-256", "P-384", "P-521" };
	for (size_t i = 0; i < MF_COUNT(kinds); i++) {
		struct world w;
		struct mf_err err = { 0 };
		MF_AUTO(mf_upstream_ca_free) struct mf_upstream_ca *u = NULL;
		MF_AUTO(mf_ca_key_free) struct mf_ca_key *k = NULL;
		struct mf_slice certs[MF_LIM_CHAIN];
		size_t n = 0;
		begin(&w, &root_like, &mid_like, kinds[i]);
		must(judge(&w, &u, &err), &err);
		must(mf_ca_key_make_under(u, TD, NOW - 60, NOW + 90 * DAY, &k, &err), &err);
		must(mf_bundle_split(mf_buf_slice(&k->certificate), certs, MF_LIM_CHAIN, &n, &err), &err);
		assert_int_equal(n, 2);
		MF_AUTO_IN(mf_buf_fini) struct mf_buf mid, root;
		mf_buf_init(&mid, 8192);
		mf_buf_init(&root, 8192);
		mf_pop_der(w.mid, &mid);
		mf_pop_der(w.root, &root);
		assert_true(mf_slice_eq(certs[1], mf_buf_slice(&mid)));
		assert_true(mf_slice_eq(mf_buf_slice(&k->anchor), mf_buf_slice(&root)));
		assert_true(mf_slice_eq(mf_ca_key_root(k), mf_buf_slice(&root)));
		/* Never beyond the upstream's chain, at either end. */
		assert_int_equal(k->not_after_s, NOW + 50 * DAY);
		assert_int_equal(k->not_before_s, NOW - 60);
		must(leaf_verifies(k, w.root, NOW, &err), &err);
		assert_int_equal(leaf_verifies(k, w.root, NOW + 51 * DAY, &err), MF_E_UNAUTH);
		/* Ours is not self-signed, and does not pass for it. */
		struct mf_ca *ca = NULL;
		assert_int_equal(mf_ca_parse(certs[0], MF_SLICE_LIT(TD), &ca, &err), MF_E_INVALID);
		end(&w);
	}
}

/* The root itself as the upstream CA: no bundle file; the chain is ours alone. Backdating stops at the root's begin. */
static void
test_root_as_upstream(void **state)
{
	MF_UNUSED(state);
	struct world w;
	struct mf_err err = { 0 };
	struct pop_cert young = root_like;
	MF_AUTO(mf_upstream_ca_free) struct mf_upstream_ca *u = NULL;
	MF_AUTO(mf_ca_key_free) struct mf_ca_key *k = NULL;
	young.not_before_s = NOW - 5;
	begin(&w, &young, &mid_like, "P-256");
	mf_buf_reset(&w.cert);
	mf_buf_reset(&w.key);
	mf_buf_reset(&w.bundle);
	mf_pop_pem(w.root, &w.cert);
	mf_pop_key_pem(w.root_key, &w.key);
	must(judge(&w, &u, &err), &err);
	assert_int_equal(mf_upstream_ca_between(u).n, 0);
	must(mf_ca_key_make_under(u, TD, NOW - 60, NOW + DAY, &k, &err), &err);
	assert_int_equal(k->not_before_s, NOW - 5);
	assert_int_equal(k->not_after_s, NOW + DAY);
	must(leaf_verifies(k, w.root, NOW, &err), &err);
	end(&w);
}

/* Several roots in the file: that of the path comes first, whatever their order; it is what join tokens pin. */
static void
test_two_roots(void **state)
{
	MF_UNUSED(state);
	struct world w, other;
	struct mf_err err = { 0 };
	struct pop_cert another = root_like;
	MF_AUTO(mf_upstream_ca_free) struct mf_upstream_ca *u = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf root;
	another.cn = "Another Root";
	mf_buf_init(&root, 8192);
	begin(&other, &another, &mid_like, "P-256");
	begin(&w, &root_like, &mid_like, "P-256");
	mf_buf_reset(&w.bundle);
	mf_pop_pem(other.root, &w.bundle);
	mf_pop_pem(w.root, &w.bundle);
	must(judge(&w, &u, &err), &err);
	mf_pop_der(w.root, &root);
	assert_true(mf_slice_eq(mf_bundle_first(mf_upstream_ca_roots(u)), mf_buf_slice(&root)));
	assert_true(mf_upstream_ca_roots(u).n > root.n);
	end(&other);
	end(&w);
}

/* The root's id, or the trust domain's own id, in an upstream certificate is welcome; other URIs are not our business. */
static void
test_ids(void **state)
{
	MF_UNUSED(state);
	static const char *const good[] = { "URI:spiffe://" TD, "URI:https://pki.example/ca" };
	for (size_t i = 0; i < MF_COUNT(good); i++) {
		struct world w;
		struct mf_err err = { 0 };
		struct pop_cert mid = mid_like;
		MF_AUTO(mf_upstream_ca_free) struct mf_upstream_ca *u = NULL;
		mid.san = good[i];
		begin(&w, &root_like, &mid, "P-256");
		must(judge(&w, &u, &err), &err);
		end(&w);
	}
}

/* ---- what is refused ---- */

struct refusal {
	const char *bc, *ku, *san;
	int64_t from_s, to_s;
	const char *words;
};

static void
test_certificates(void **state)
{
	MF_UNUSED(state);
	static const struct refusal table[] = {
		{ .bc = "critical,CA:FALSE", .words = "is not a CA" },
		{ .ku = "critical,digitalSignature", .words = "keyCertSign" },
		{ .bc = "critical,CA:TRUE,pathlen:0", .words = "pathLen 1 or more" },
		{ .to_s = NOW - DAY, .words = "expired 86400 s ago" },
		{ .from_s = NOW + DAY, .words = "is not valid yet" },
		{ .san = "URI:spiffe://other.example", .words = "another trust domain" },
		{ .san = "URI:spiffe://" TD "/ca", .words = "another trust domain" },
	};
	for (size_t i = 0; i < MF_COUNT(table); i++) {
		struct world w;
		struct pop_cert mid = mid_like;
		mid.bc = table[i].bc != NULL ? table[i].bc : mid.bc;
		mid.ku = table[i].ku != NULL ? table[i].ku : mid.ku;
		mid.san = table[i].san;
		mid.not_before_s = table[i].from_s != 0 ? table[i].from_s : mid.not_before_s;
		mid.not_after_s = table[i].to_s != 0 ? table[i].to_s : mid.not_after_s;
		begin(&w, &root_like, &mid, "P-256");
		refused(&w, table[i].words);
	}
}

/* The root is judged like what it signed. */
static void
test_roots(void **state)
{
	MF_UNUSED(state);
	struct world w;
	struct pop_cert root = root_like;
	root.bc = "critical,CA:TRUE,pathlen:1";
	begin(&w, &root, &mid_like, "P-256");
	refused(&w, "pathLen 2 or more");
	root = root_like;
	root.not_after_s = NOW - 1;
	begin(&w, &root, &mid_like, "P-256");
	refused(&w, "no path to a root");
	root = root_like;
	root.san = "URI:spiffe://other.example";
	begin(&w, &root, &mid_like, "P-256");
	refused(&w, "another trust domain");
}

static void
test_paths(void **state)
{
	MF_UNUSED(state);
	struct world w, other;
	/* A root of the same name that is another's. */
	begin(&other, &root_like, &mid_like, "P-256");
	begin(&w, &root_like, &mid_like, "P-256");
	mf_buf_reset(&w.bundle);
	mf_pop_pem(other.root, &w.bundle);
	refused(&w, "no path to a root of upstream_ca.bundle");
	begin(&w, &root_like, &mid_like, "P-256");
	mf_buf_reset(&w.bundle);
	refused(&w, "upstream_ca.bundle is missing");
	/* Not a root. */
	begin(&w, &root_like, &mid_like, "P-256");
	mf_buf_reset(&w.bundle);
	mf_pop_pem(w.mid, &w.bundle);
	refused(&w, "is not a root");
	/* One more between: a server would have to show five certificates. */
	begin(&w, &root_like, &mid_like, "P-256");
	struct pop_cert low = mid_like, high = mid_like;
	high.cn = "Company Regional CA";
	high.bc = "critical,CA:TRUE";
	EVP_PKEY *high_key = mf_pop_key("P-256");
	X509 *top = make(high, high_key, w.root, w.root_key), *bottom = make(low, w.mid_key, top, high_key);
	mf_buf_reset(&w.cert);
	mf_pop_pem(bottom, &w.cert);
	mf_pop_pem(top, &w.cert);
	X509_free(top);
	X509_free(bottom);
	EVP_PKEY_free(high_key);
	refused(&w, "2 certificates between ours and the root, at most 1");
	begin(&w, &root_like, &mid_like, "P-256");
	for (int i = 0; i < 4; i++)
		mf_pop_pem(w.mid, &w.cert);
	refused(&w, "too many certificates: at most 4");
	begin(&w, &root_like, &mid_like, "P-256");
	for (int i = 0; i < 4; i++)
		mf_pop_pem(w.root, &w.bundle);
	refused(&w, "upstream_ca.bundle: too many certificates: at most 4");
	end(&other);
}

static void
test_keys(void **state)
{
	MF_UNUSED(state);
	struct world w;
	begin(&w, &root_like, &mid_like, "P-256");
	mf_buf_reset(&w.key);
	mf_pop_key_pem(w.root_key, &w.key);
	refused(&w, "not the key of the first certificate");
	begin(&w, &root_like, &mid_like, "ED25519");
	refused(&w, "neither RSA of 2048 bits");
	begin(&w, &root_like, &mid_like, "P-256");
	mf_buf_reset(&w.key);
	mf_buf_put_str(&w.key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
	refused(&w, "no private key in PEM");
	begin(&w, &root_like, &mid_like, "P-256");
	mf_buf_reset(&w.key);
	refused(&w, "0 bytes");
	/* Sealed by a passphrase: said, and nobody is asked. */
	begin(&w, &root_like, &mid_like, "P-256");
	BIO *out = BIO_new(BIO_s_mem());
	char *text = NULL;
	assert_int_equal(
	    PEM_write_bio_PKCS8PrivateKey(out, w.mid_key, EVP_aes_256_cbc(), "secret", 6, NULL, NULL), 1);
	long n = BIO_get_mem_data(out, &text);
	mf_buf_reset(&w.key);
	mf_buf_put(&w.key, text, (size_t)n);
	BIO_free(out);
	refused(&w, "the key is encrypted");
}

static void
test_no_pem(void **state)
{
	MF_UNUSED(state);
	struct world w;
	begin(&w, &root_like, &mid_like, "P-256");
	mf_buf_reset(&w.cert);
	mf_pop_der(w.mid, &w.cert);
	refused(&w, "upstream_ca.cert: not certificates in PEM");
	begin(&w, &root_like, &mid_like, "P-256");
	mf_buf_reset(&w.bundle);
	mf_buf_put_str(&w.bundle, "roots\n");
	refused(&w, "upstream_ca.bundle: not certificates in PEM");
	begin(&w, &root_like, &mid_like, "P-256");
	mf_buf_reset(&w.cert);
	refused(&w, "upstream_ca.cert: not certificates in PEM");
}

/* What came from a log or a file is checked again: another root, a certificate that is not under it. */
static void
test_check_path(void **state)
{
	MF_UNUSED(state);
	struct world w, other;
	struct mf_err err = { 0 };
	MF_AUTO(mf_upstream_ca_free) struct mf_upstream_ca *u = NULL, *o = NULL;
	MF_AUTO(mf_ca_key_free) struct mf_ca_key *k = NULL;
	begin(&w, &root_like, &mid_like, "P-256");
	begin(&other, &root_like, &mid_like, "P-256");
	must(judge(&w, &u, &err), &err);
	must(judge(&other, &o, &err), &err);
	must(mf_ca_key_make_under(u, TD, NOW - 60, NOW + DAY, &k, &err), &err);
	struct mf_slice chain = mf_buf_slice(&k->certificate);
	must(mf_upstream_ca_check_path(chain, mf_upstream_ca_roots(u), &err), &err);
	assert_int_equal(mf_upstream_ca_check_path(chain, mf_upstream_ca_roots(o), &err), MF_E_INVALID);
	assert_int_equal(
	    mf_upstream_ca_check_path(mf_slice(NULL, 0), mf_upstream_ca_roots(u), &err), MF_E_INVALID);
	/* Without what is between. */
	assert_int_equal(
	    mf_upstream_ca_check_path(mf_bundle_first(chain), mf_upstream_ca_roots(u), &err), MF_E_INVALID);
	end(&w);
	end(&other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_root_as_upstream),
		cmocka_unit_test(test_two_roots),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_roots),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_no_pem),
		cmocka_unit_test(test_check_path),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
