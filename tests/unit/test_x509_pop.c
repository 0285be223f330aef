/* Proof of possession: what is accepted, and a table of evidence that breaks one rule each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include <openssl/x509v3.h>

#include "base/attribute.h"
#include "codec/x509_pop.h"
#include "pop_kit.h"

#define NOW INT64_C(1800000000)
#define DAY 86400

struct world {
	EVP_PKEY *root_key, *mid_key, *other_key;
	X509 *root, *mid, *other;
	struct mf_pop_anchors *anchors;
	uint8_t hash[MF_POP_HASH];
};

static const struct pop_cert ca_like = { .cn = "node root",
	.not_before_s = NOW - 100 * DAY,
	.not_after_s = NOW + 100 * DAY,
	.bc = "critical,CA:TRUE",
	.ku = "critical,keyCertSign,cRLSign" };
static const struct pop_cert leaf_like = { .cn = "gpu07",
	.ou = { "gpu-a" },
	.not_before_s = NOW - DAY,
	.not_after_s = NOW + DAY,
	.bc = "CA:FALSE",
	.ku = "critical,digitalSignature",
	.eku = "clientAuth",
	.san = "DNS:gpu07.example.org",
	.oid = "1.3.6.1.4.1.55555.1",
	.oid_text = "rack-12" };

static X509 *
make(struct pop_cert c, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
	c.key = key;
	c.issuer = issuer;
	c.issuer_key = issuer_key;
	return mf_pop_cert(&c);
}

static int
setup(void **state)
{
	static struct world w;
	struct mf_buf pem;
	struct pop_cert mid = ca_like, other = ca_like;
	mid.cn = "node mid";
	w.root_key = mf_pop_key("P-256");
	w.mid_key = mf_pop_key("P-256");
	w.other_key = mf_pop_key("P-256");
	w.root = make(ca_like, w.root_key, NULL, NULL);
	w.mid = make(mid, w.mid_key, w.root, w.root_key);
	w.other = make(other, w.other_key, NULL, NULL); /* the same name, another key */
	memset(w.hash, 7, sizeof(w.hash));
	mf_buf_init(&pem, 65536);
	mf_pop_pem(w.root, &pem);
	assert_int_equal(mf_pop_anchors_new(mf_buf_slice(&pem), &w.anchors, NULL), MF_OK);
	mf_buf_fini(&pem);
	*state = &w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;
	X509_free(w->root);
	X509_free(w->mid);
	X509_free(w->other);
	EVP_PKEY_free(w->root_key);
	EVP_PKEY_free(w->mid_key);
	EVP_PKEY_free(w->other_key);
	mf_pop_anchors_free(w->anchors);
	return 0;
}

struct
try {
	X509 *chain[6];
	size_t n;
	EVP_PKEY *key;		    /* signs */
	const uint8_t *signed_hash; /* NULL: the right one */
	const char *rules[8];
	int64_t now_s;			    /* 0: NOW */
	void (*spoil)(struct mf_buf * sig); /* of the signature */
};

static enum mf_status
verify(const struct world *w, const struct try *t, struct mf_buf *facts, struct mf_err *err)
{
	struct mf_buf der[6], key, sig;
	struct mf_slice chain[6], rules[8];
	size_t n_rules = 0;
	for (size_t i = 0; i < t->n; i++) {
		mf_buf_init(&der[i], 65536);
		mf_pop_der(t->chain[i], &der[i]);
		chain[i] = mf_buf_slice(&der[i]);
	}
	while (n_rules < MF_COUNT(rules) && t->rules[n_rules] != NULL) {
		rules[n_rules] = mf_slice_str(t->rules[n_rules]);
		n_rules++;
	}
	mf_buf_init(&key, 65536);
	mf_buf_init(&sig, 65536);
	mf_pop_key_pem(t->key, &key);
	if (mf_pop_sign(mf_buf_slice(&key), t->signed_hash == NULL ? w->hash : t->signed_hash, &sig, NULL) !=
	    MF_OK)
		mf_buf_put_str(&sig, "no signature of ours");
	if (t->spoil != NULL)
		t->spoil(&sig);
	struct mf_pop_evidence e = { .chain = chain, .n_chain = t->n, .signature = mf_buf_slice(&sig) };
	memcpy(e.hash, w->hash, sizeof(e.hash));
	enum mf_status s =
	    mf_pop_verify(w->anchors, &e, t->now_s == 0 ? NOW : t->now_s, rules, n_rules, facts, err);
	for (size_t i = 0; i < t->n; i++)
		mf_buf_fini(&der[i]);
	mf_buf_fini(&key);
	mf_buf_fini(&sig);
	return s;
}

static void
test_keys(void **state)
{
	static const struct {
		const char *kind;
		bool good;
	} kinds[] = { { "P-256", true }, { "P-384", true }, { "ED25519", true }, { "RSA-2048", true },
		{ "RSA-3072", true }, { "RSA-1024", false }, { "P-521", false }, { "ED448", false } };
	struct world *w = *state;
	for (size_t i = 0; i < MF_COUNT(kinds); i++) {
		struct mf_err err = { 0 };
		EVP_PKEY *k = mf_pop_key(kinds[i].kind);
		X509 *leaf = make(leaf_like, k, w->root, w->root_key);
		struct mf_buf facts, pem, der;
		mf_buf_init(&facts, 4096);
		mf_buf_init(&pem, 65536);
		mf_buf_init(&der, 65536);
		struct try t = { .chain = { leaf }, .n = 1, .key = k };
		enum mf_status s = verify(w, &t, &facts, &err);
		if ((s == MF_OK) != kinds[i].good)
			fail_msg("%s: %s", kinds[i].kind, err.msg);
		mf_pop_key_pem(k, &pem);
		mf_pop_der(leaf, &der);
		assert_int_equal(mf_pop_fits(mf_buf_slice(&pem), mf_buf_slice(&der), NULL),
		    kinds[i].good ? MF_OK : MF_E_INVALID);
		mf_buf_reset(&der);
		mf_pop_der(w->root, &der);
		assert_int_equal(mf_pop_fits(mf_buf_slice(&pem), mf_buf_slice(&der), NULL), MF_E_INVALID);
		mf_buf_fini(&facts);
		mf_buf_fini(&pem);
		mf_buf_fini(&der);
		X509_free(leaf);
		EVP_PKEY_free(k);
	}
}

static void
flip(struct mf_buf *sig)
{
	sig->p[sig->n - 1] ^= 1;
}

static void
cut(struct mf_buf *sig)
{
	sig->n /= 2;
}

static void
none(struct mf_buf *sig)
{
	sig->n = 0;
}

static void
huge(struct mf_buf *sig)
{
	static const char x[MF_LIM_POP_SIGNATURE + 1];
	mf_buf_reset(sig);
	mf_buf_put(sig, x, sizeof(x));
}

struct row {
	const char *what, *text;
	struct try t;
};

/* Each row breaks one thing; the text must name it. */
static void
all_refused(const struct world *w, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct mf_err err = { 0 };
		struct mf_buf facts;
		mf_buf_init(&facts, 4096);
		if (verify(w, &rows[i].t, &facts, &err) == MF_OK)
			fail_msg("%s: accepted", rows[i].what);
		if (strstr(err.msg, rows[i].text) == NULL || err.msg[0] == '\0')
			fail_msg("%s: %s", rows[i].what, err.msg);
		mf_buf_fini(&facts);
	}
}

static void
test_hostile_proofs(void **state)
{
	struct world *w = *state;
	EVP_PKEY *k = mf_pop_key("P-256"), *thief = mf_pop_key("P-256");
	static const uint8_t other_hash[MF_POP_HASH] = { 8 };
	X509 *good = make(leaf_like, k, w->root, w->root_key);
	const struct row rows[] = {
		{ "another key's signature", "signature", { .chain = { good }, .n = 1, .key = thief } },
		{ "relayed from another session", "signature",
		    { .chain = { good }, .n = 1, .key = k, .signed_hash = other_hash } },
		{ "signature altered", "signature", { .chain = { good }, .n = 1, .key = k, .spoil = flip } },
		{ "signature cut", "signature", { .chain = { good }, .n = 1, .key = k, .spoil = cut } },
		{ "no signature", "signature", { .chain = { good }, .n = 1, .key = k, .spoil = none } },
		{ "huge signature", "signature", { .chain = { good }, .n = 1, .key = k, .spoil = huge } },
	};
	all_refused(w, rows, MF_COUNT(rows));
	X509_free(good);
	EVP_PKEY_free(k);
	EVP_PKEY_free(thief);
}

static void
test_hostile_certificates(void **state)
{
	struct world *w = *state;
	EVP_PKEY *k = mf_pop_key("P-256"), *thief = mf_pop_key("P-256"), *tiny = mf_pop_key("RSA-1024");
	struct pop_cert c[12];
	for (size_t i = 0; i < MF_COUNT(c); i++)
		c[i] = leaf_like;
	c[0].not_after_s = NOW - 1;
	c[1].not_before_s = NOW + 60;
	c[2].bc = "critical,CA:TRUE";
	c[3].ku = "digitalSignature,keyCertSign";
	c[4].ku = "keyEncipherment";
	c[5].eku = "serverAuth";
	c[6].md = EVP_sha1();
	c[7].san = "DNS:a.example.org,DNS:b.example.org";
	c[8].ou[1] = "gpu-b";
	c[9].ou[0] = "gpu a\n";
	c[10].oid_text = "";
	X509 *x[MF_COUNT(c)];
	for (size_t i = 0; i < MF_COUNT(c); i++)
		x[i] = make(c[i], k, w->root, w->root_key);
	X509 *good = x[11], *of_mid = make(leaf_like, k, w->mid, w->mid_key);
	X509 *of_other = make(leaf_like, k, w->other, w->other_key);
	X509 *of_leaf = make(leaf_like, thief, good, k); /* a node's own certificate as an issuer */
	X509 *self = make(leaf_like, k, NULL, NULL);
	X509 *weak = make(leaf_like, tiny, w->root, w->root_key);
	struct pop_cert no_sign = ca_like;
	no_sign.cn = "no sign";
	no_sign.ku = "critical,cRLSign";
	X509 *bad_mid = make(no_sign, w->mid_key, w->root, w->root_key);
	X509 *of_bad_mid = make(leaf_like, k, bad_mid, w->mid_key);
	const struct row rows[] = {
		{ "expired", "expired", { .chain = { x[0] }, .n = 1, .key = k } },
		{ "not yet valid", "not yet valid", { .chain = { x[1] }, .n = 1, .key = k } },
		{ "expired by the time", "expired",
		    { .chain = { good }, .n = 1, .key = k, .now_s = NOW + 2 * DAY } },
		{ "wrong CA", "", { .chain = { of_other }, .n = 1, .key = k } },
		{ "wrong CA, brought along", "", { .chain = { of_other, w->other }, .n = 2, .key = k } },
		{ "self-signed", "self-signed", { .chain = { self }, .n = 1, .key = k } },
		{ "a CA as the leaf", "CA", { .chain = { x[2] }, .n = 1, .key = k } },
		{ "the CA itself", "CA", { .chain = { w->root }, .n = 1, .key = w->root_key } },
		{ "leaf that may sign certificates", "may sign", { .chain = { x[3] }, .n = 1, .key = k } },
		{ "leaf that may not sign", "digitalSignature", { .chain = { x[4] }, .n = 1, .key = k } },
		{ "wrong EKU", "clientAuth", { .chain = { x[5] }, .n = 1, .key = k } },
		{ "SHA-1", "too weak", { .chain = { x[6] }, .n = 1, .key = k } },
		{ "tiny RSA", "", { .chain = { weak }, .n = 1, .key = tiny } },
		{ "a leaf as an issuer", "", { .chain = { of_leaf, good }, .n = 2, .key = thief } },
		{ "an issuer that may not", "", { .chain = { of_bad_mid, bad_mid }, .n = 2, .key = k } },
		{ "intermediate missing", "", { .chain = { of_mid }, .n = 1, .key = k } },
		{ "no certificate", "chain of 0", { .n = 0, .key = k } },
		{ "too long a chain", "chain of 5",
		    { .chain = { of_mid, w->mid, w->root, w->root, w->root }, .n = 5, .key = k } },
		{ "two names", "2 times",
		    { .chain = { x[7] }, .n = 1, .key = k, .rules = { "host=san.dns" } } },
		{ "two units", "2 times",
		    { .chain = { x[8] }, .n = 1, .key = k, .rules = { "pool=subject.OU" } } },
		{ "bad letters", "no attribute value",
		    { .chain = { x[9] }, .n = 1, .key = k, .rules = { "pool=subject.OU" } } },
		{ "empty value", "no attribute value",
		    { .chain = { x[10] },
			.n = 1,
			.key = k,
			.rules = { "rack=extension.1.3.6.1.4.1.55555.1" } } },
	};
	all_refused(w, rows, MF_COUNT(rows));
	for (size_t i = 0; i < MF_COUNT(x); i++)
		X509_free(x[i]);
	X509_free(of_mid);
	X509_free(of_other);
	X509_free(of_leaf);
	X509_free(self);
	X509_free(weak);
	X509_free(bad_mid);
	X509_free(of_bad_mid);
	EVP_PKEY_free(k);
	EVP_PKEY_free(thief);
	EVP_PKEY_free(tiny);
}

static void
test_attributes(void **state)
{
	struct world *w = *state;
	struct mf_err err = { 0 };
	struct mf_buf facts;
	EVP_PKEY *k = mf_pop_key("P-256");
	X509 *leaf = make(leaf_like, k, w->mid, w->mid_key);
	mf_buf_init(&facts, 4096);
	struct try t = { .chain = { leaf, w->mid },
		.n = 2,
		.key = k,
		.rules = { "pool=subject.OU", "name=subject.CN", "org=subject.O", "host=san.dns",
		    "uri=san.uri", "rack=extension.1.3.6.1.4.1.55555.1",
		    "none=extension.1.3.6.1.4.1.55555.2" } };
	if (verify(w, &t, &facts, &err) != MF_OK)
		fail_msg("%s", err.msg);
	assert_string_equal(
	    mf_buf_cstr(&facts), "pool=gpu-a\nname=gpu07\nhost=gpu07.example.org\nrack=rack-12\n");
	mf_buf_fini(&facts);
	X509_free(leaf);
	EVP_PKEY_free(k);
	static const char *const good[] = { "pool=subject.OU", "a.b-c_9=san.uri", "x=extension.1.2.3" };
	static const char *const bad[] = { "", "=", "pool", "pool=", "=subject.OU", "id=subject.OU",
		"attestor=subject.OU", "Pool=subject.OU", "pool=subject.ou", "pool=extension.",
		"pool=extension.x", "pool=extension.1.2.3\n", "pool=extension.99.1", "pool=subject",
		"po ol=subject.CN" };
	for (size_t i = 0; i < MF_COUNT(good); i++)
		assert_null(mf_pop_rule_check(mf_slice_str(good[i])));
	for (size_t i = 0; i < MF_COUNT(bad); i++)
		if (mf_pop_rule_check(mf_slice_str(bad[i])) == NULL)
			fail_msg("taken: %s", bad[i]);
	assert_true(mf_attribute_ok(MF_SLICE_LIT("pool=gpu-a")));
	assert_false(mf_attribute_ok(MF_SLICE_LIT("pool=gpu=a")));
	assert_false(mf_attribute_ok(MF_SLICE_LIT("pool")));
	assert_false(mf_attribute_ok(MF_SLICE_LIT("pool=")));
	assert_false(mf_attribute_value_ok(MF_SLICE_LIT("a\0b")));
	assert_false(mf_attribute_value_ok(MF_SLICE_LIT("a\xc3\xa4")));
}

static void
test_files(void **state)
{
	struct world *w = *state;
	struct mf_pop_anchors *a = NULL;
	struct mf_err err = { 0 };
	struct mf_buf pem;
	EVP_PKEY *k = mf_pop_key("P-256");
	X509 *leaf = make(leaf_like, k, w->root, w->root_key);
	uint8_t hash[MF_POP_HASH] = { 0 };
	mf_buf_init(&pem, 1u << 20);
	assert_int_equal(mf_pop_anchors_new(mf_slice(NULL, 0), &a, &err), MF_E_INVALID);
	assert_int_equal(mf_pop_anchors_new(MF_SLICE_LIT("rubbish\n"), &a, &err), MF_E_INVALID);
	mf_pop_pem(leaf, &pem); /* no CA */
	assert_int_equal(mf_pop_anchors_new(mf_buf_slice(&pem), &a, &err), MF_E_INVALID);
	assert_non_null(strstr(err.msg, "no CA certificate"));
	mf_buf_reset(&pem);
	for (size_t i = 0; i <= MF_LIM_BUNDLE_CERTS; i++)
		mf_pop_pem(w->root, &pem);
	assert_int_equal(mf_pop_anchors_new(mf_buf_slice(&pem), &a, &err), MF_E_TOOBIG);
	mf_buf_reset(&pem);
	mf_pop_pem(w->root, &pem);
	mf_pop_pem(w->mid, &pem);
	assert_int_equal(mf_pop_anchors_new(mf_buf_slice(&pem), &a, NULL), MF_OK);
	mf_pop_anchors_free(a);
	/* Keys: only whole ones, and texts without their bytes. */
	struct mf_buf sig;
	mf_buf_init(&sig, 4096);
	assert_int_equal(mf_pop_sign(mf_buf_slice(&pem), hash, &sig, &err), MF_E_INVALID);
	assert_non_null(strstr(err.msg, "openssl pkcs8"));
	mf_buf_reset(&pem);
	mf_pop_key_pem(k, &pem);
	pem.p[40] = pem.p[40] == 'A' ? 'B' : 'A';
	assert_int_equal(mf_pop_sign(mf_buf_slice(&pem), hash, &sig, &err), MF_E_INVALID);
	mf_buf_fini(&sig);
	mf_buf_fini(&pem);
	X509_free(leaf);
	EVP_PKEY_free(k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_hostile_proofs),
		cmocka_unit_test(test_hostile_certificates),
		cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_files),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
