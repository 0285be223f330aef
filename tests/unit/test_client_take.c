/* Answers of an agent, judged whole: one rule broken per test, and the rule's id as its name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/take.h"
#include "codec/pem.h"
#include "fake_agent.h"
#include "x509_ref.h"

static int64_t now;
static struct mint *td1, *td2;

static int
setup(void **state)
{
	MF_UNUSED(state);
	now = mf_now().wall_us / 1000000;
	td1 = mf_mint_new("td1", now);
	td2 = mf_mint_new("td2", now);
	return 0;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	mf_mint_free(td1);
	mf_mint_free(td2);
	return 0;
}

static struct wl_answer *
answer(void)
{
	struct wl_answer *w = malloc(sizeof(*w));
	assert_non_null(w);
	mf_wl_init(w);
	mf_wl_add(w, td1, "td1", "/job/a", "first", now, now + 600);
	mf_wl_add(w, td1, "td1", "/job/b", "", now, now + 900);
	mf_wl_federate(w, "spiffe://td2", mf_mint_ca(td2));
	return w;
}

static void
drop(struct wl_answer *w)
{
	mf_wl_fini(w);
	free(w);
}

static mayfly_x509 *
taken(const struct wl_answer *w)
{
	mayfly_x509 *x = NULL;
	struct mf_err err = { 0 };
	enum mf_status s = mf_take_x509(&w->r.base, &x, &err);
	assert_string_equal(err.msg, "");
	assert_int_equal(s, MF_OK);
	return x;
}

/* Refused, with this word in the text. Frees ${w}. */
static void
refused(struct wl_answer *w, enum mf_status want, const char *word)
{
	mayfly_x509 *x = NULL;
	struct mf_err err = { 0 };
	assert_int_equal(mf_take_x509(&w->r.base, &x, &err), want);
	assert_null(x);
	if (strstr(err.msg, word) == NULL)
		fail_msg("\"%s\" has no \"%s\"", err.msg, word);
	drop(w);
}

static void
test_good(void **state)
{
	MF_UNUSED(state);
	struct wl_answer *w = answer();
	mayfly_x509 *x = taken(w);
	assert_int_equal(mayfly_x509_count(x), 2);
	const mayfly_svid *s = mayfly_x509_at(x, 0);
	assert_string_equal(mayfly_svid_id(s), "spiffe://td1/job/a");
	assert_string_equal(mayfly_svid_hint(s), "first");
	assert_int_equal(mayfly_svid_not_after(s), now + 600);
	assert_int_equal(mayfly_svid_not_before(s), now - 60);
	assert_true(strlen(mayfly_svid_serial(s)) > 8);
	assert_int_equal(mayfly_svid_chain_count(s), 1);
	const unsigned char *p = NULL;
	size_t n = 0;
	assert_int_equal(mayfly_svid_cert(s, 0, &p, &n, NULL), MAYFLY_OK);
	assert_true(mf_slice_eq(mf_slice(p, n), mf_buf_slice(&w->chain[0])));
	assert_int_equal(mayfly_svid_cert(s, 1, &p, &n, NULL), MAYFLY_E_NOTFOUND);
	assert_int_equal(mayfly_svid_key(s, &p, &n, NULL), MAYFLY_OK);
	assert_true(mf_slice_eq(mf_slice(p, n), mf_buf_slice(&w->key[0])));
	assert_null(mayfly_x509_at(x, 2));
	assert_ptr_equal(mayfly_x509_find(x, NULL, NULL), s);
	assert_ptr_equal(mayfly_x509_find(x, "spiffe://td1/job/b", NULL), mayfly_x509_at(x, 1));
	assert_ptr_equal(mayfly_x509_find(x, NULL, "first"), s);
	assert_null(mayfly_x509_find(x, "spiffe://td1/job/b", "first"));
	assert_null(mayfly_x509_find(x, NULL, "none"));
	const mayfly_bundles *b = mayfly_x509_bundles(x);
	assert_int_equal(mayfly_bundles_count(b), 2);
	assert_string_equal(mayfly_bundles_trust_domain(b, 0), "td1");
	assert_string_equal(mayfly_bundles_trust_domain(b, 1), "td2");
	assert_null(mayfly_bundles_trust_domain(b, 2));
	assert_int_equal(mayfly_bundles_der(b, "spiffe://td2", &p, &n, NULL), MAYFLY_OK);
	assert_true(mf_slice_eq(mf_slice(p, n), mf_mint_ca(td2)));
	assert_int_equal(mayfly_bundles_der(b, "td3", &p, &n, NULL), MAYFLY_E_NOTFOUND);
	/* a snapshot outlives the message, and its bundles outlive it */
	drop(w);
	mayfly_bundles *kept = mayfly_bundles_ref(b);
	mayfly_x509_unref(x);
	assert_int_equal(mayfly_bundles_add_der(kept, "td9", NULL, 0, NULL), MAYFLY_E_STATE);
	assert_int_equal(mayfly_bundles_count(kept), 2);
	mayfly_bundles_unref(kept);
}

static void
test_pem(void **state)
{
	MF_UNUSED(state);
	struct wl_answer *w = answer();
	mayfly_x509 *x = taken(w);
	char *pem = NULL;
	struct mf_buf der;
	mf_buf_init(&der, 65536);
	assert_int_equal(mayfly_svid_chain_pem(mayfly_x509_at(x, 0), &pem, NULL), MAYFLY_OK);
	assert_int_equal(mf_pem_get_all(mf_slice_str(pem), MF_PEM_CERTIFICATE, &der, NULL), MF_OK);
	assert_true(mf_slice_eq(mf_buf_slice(&der), mf_buf_slice(&w->chain[0])));
	mayfly_string_free(pem);
	mf_buf_reset(&der);
	assert_int_equal(mayfly_svid_key_pem(mayfly_x509_at(x, 0), &pem, NULL), MAYFLY_OK);
	assert_int_equal(mf_pem_get_all(mf_slice_str(pem), MF_PEM_PRIVATE_KEY, &der, NULL), MF_OK);
	assert_true(mf_slice_eq(mf_buf_slice(&der), mf_buf_slice(&w->key[0])));
	mayfly_string_free(pem);
	mf_buf_reset(&der);
	assert_int_equal(mayfly_bundles_pem(mayfly_x509_bundles(x), "td1", &pem, NULL), MAYFLY_OK);
	assert_int_equal(mf_pem_get_all(mf_slice_str(pem), MF_PEM_CERTIFICATE, &der, NULL), MF_OK);
	assert_true(mf_slice_eq(mf_buf_slice(&der), mf_mint_ca(td1)));
	mayfly_string_free(pem);
	mayfly_string_free(NULL);
	mf_buf_fini(&der);
	mayfly_x509_unref(x);
	drop(w);
}

/* WAPI-8: "a mandatory field with its default value": each in turn, in the second identity too. */
static void
test_mandatory(void **state)
{
	MF_UNUSED(state);
	static char empty[] = "";
	for (size_t i = 0; i < 8; i++) {
		struct wl_answer *w = answer();
		X509SVID *s = &w->svid[i / 4];
		switch (i % 4) {
		case 0:
			s->spiffe_id = empty;
			break;
		case 1:
			s->x509_svid.len = 0;
			break;
		case 2:
			s->x509_svid_key.len = 0;
			break;
		default:
			s->bundle.len = 0;
			break;
		}
		char where[16];
		(void)snprintf(where, sizeof(where), "identity %zu", i / 4);
		refused(w, MF_E_INVALID, where);
	}
}

static void
test_none(void **state)
{
	MF_UNUSED(state);
	struct wl_answer *w = answer();
	w->r.n_svids = 0;
	refused(w, MF_E_INVALID, "without an identity");
}

static void
test_other_id(void **state)
{
	MF_UNUSED(state);
	static char other[] = "spiffe://td1/job/c", cased[] = "SPIFFE://td1/job/a", nul[] = "spiffe://td1";
	char *const ids[] = { other, cased, nul };
	for (size_t i = 0; i < MF_COUNT(ids); i++) {
		struct wl_answer *w = answer();
		w->svid[0].spiffe_id = ids[i];
		refused(w, MF_E_INVALID, "another SPIFFE ID");
	}
}

static void
test_other_key(void **state)
{
	MF_UNUSED(state);
	struct wl_answer *w = answer();
	w->svid[0].x509_svid_key = w->svid[1].x509_svid_key;
	refused(w, MF_E_INVALID, "not the certificate's");
	w = answer();
	w->svid[0].x509_svid_key.len--;
	refused(w, MF_E_INVALID, "svid key");
}

/* P-10: the leaf's own rules, and issuers that may not sign. */
static void
test_chain(void **state)
{
	MF_UNUSED(state);
	struct wl_answer *w = answer();
	mf_buf_put_slice(&w->chain[0], mf_mint_ca(td1)); /* may sign */
	w->svid[0].x509_svid.data = w->chain[0].p;
	w->svid[0].x509_svid.len = w->chain[0].n;
	mayfly_x509 *x = taken(w);
	assert_int_equal(mayfly_svid_chain_count(mayfly_x509_at(x, 0)), 2);
	mayfly_x509_unref(x);
	mf_buf_put_slice(&w->chain[0], mf_buf_slice(&w->chain[1])); /* a leaf may not */
	w->svid[0].x509_svid.data = w->chain[0].p;
	w->svid[0].x509_svid.len = w->chain[0].n;
	refused(w, MF_E_INVALID, "certificate 2 of the chain may not sign");
	w = answer();
	w->svid[0].x509_svid = w->svid[0].bundle; /* X509-12 */
	refused(w, MF_E_INVALID, "identity 0");
	w = answer();
	w->svid[0].x509_svid.len--;
	refused(w, MF_E_INVALID, "identity 0");
	w = answer();
	for (int i = 0; i < 4; i++)
		mf_buf_put_slice(&w->chain[0], mf_mint_ca(td1));
	w->svid[0].x509_svid.data = w->chain[0].p;
	w->svid[0].x509_svid.len = w->chain[0].n;
	refused(w, MF_E_TOOBIG, "more than 4");
}

/* WAPI-11 (and WAPI-12: the order stays) */
static void
test_hints(void **state)
{
	MF_UNUSED(state);
	static const char *const hints[] = { "a", "b", "a", "" };
	struct wl_answer *w = malloc(sizeof(*w));
	assert_non_null(w);
	mf_wl_init(w);
	for (size_t i = 0; i < 4; i++) {
		char path[] = "/j0";
		path[2] = (char)('0' + i);
		mf_wl_add(w, td1, "td1", path, hints[i], now, now + 60);
	}
	mayfly_x509 *x = taken(w);
	assert_int_equal(mayfly_x509_count(x), 3);
	assert_string_equal(mayfly_svid_id(mayfly_x509_at(x, 0)), "spiffe://td1/j0");
	assert_string_equal(mayfly_svid_id(mayfly_x509_at(x, 1)), "spiffe://td1/j1");
	assert_string_equal(mayfly_svid_id(mayfly_x509_at(x, 2)), "spiffe://td1/j3");
	mayfly_x509_unref(x);
	w->svid[1].hint = w->svid[3].hint; /* two empty ones are no duplicates */
	x = taken(w);
	assert_int_equal(mayfly_x509_count(x), 3);
	mayfly_x509_unref(x);
	char *longest = malloc(MF_LIM_HINT + 2);
	assert_non_null(longest);
	memset(longest, 'h', MF_LIM_HINT + 1);
	longest[MF_LIM_HINT + 1] = '\0';
	w->svid[0].hint = longest;
	refused(w, MF_E_TOOBIG, "hint");
	free(longest);
}

/* P-11, WAPI-16: the own trust domain's bundle is the one beside the identity, and there is one only. */
static void
test_own_bundle(void **state)
{
	MF_UNUSED(state);
	struct wl_answer *w = answer();
	mf_wl_federate(w, "spiffe://td1", mf_mint_ca(td2));
	mayfly_x509 *x = taken(w);
	const unsigned char *p;
	size_t n;
	assert_int_equal(mayfly_bundles_count(mayfly_x509_bundles(x)), 2);
	assert_int_equal(mayfly_bundles_der(mayfly_x509_bundles(x), "td1", &p, &n, NULL), MAYFLY_OK);
	assert_true(mf_slice_eq(mf_slice(p, n), mf_mint_ca(td1)));
	mayfly_x509_unref(x);
	w->svid[1].bundle = w->foreign[0].value;
	refused(w, MF_E_INVALID, "two different bundles");
}

/* WAPI-16, BND-8, BND-10 */
static void
test_foreign_keys(void **state)
{
	MF_UNUSED(state);
	static const char *const bad[] = { "td3", "spiffe://td3/", "spiffe://td3/a", "", "spiffe://",
		"http://td3", "spiffe://td2", "SPIFFE://TD2" };
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		struct wl_answer *w = answer();
		mf_wl_federate(w, bad[i], mf_mint_ca(td2));
		refused(w, MF_E_INVALID, "federated bundle 1");
	}
	/* P-7: an empty bundle is a trust domain that trusts nothing. */
	struct wl_answer *w = answer();
	mf_wl_federate(w, "spiffe://td3", mf_slice(NULL, 0));
	mayfly_x509 *x = taken(w);
	assert_int_equal(mayfly_bundles_count(mayfly_x509_bundles(x)), 3);
	mayfly_x509_unref(x);
	mf_wl_federate(w, "spiffe://td4", MF_SLICE_LIT("\x30\x03garbage"));
	refused(w, MF_E_INVALID, "federated bundle 2");
	w = answer();
	mf_wl_federate(w, "spiffe://td4", mf_buf_slice(&w->chain[0])); /* a leaf is no anchor */
	refused(w, MF_E_INVALID, "federated bundle 1");
}

static void
test_crls(void **state)
{
	MF_UNUSED(state);
	EVP_PKEY *key = mf_ref_key();
	struct ref_cert ca = { .key = key,
		.org = "x",
		.not_before_s = now,
		.not_after_s = now + 9,
		.uri = { "spiffe://td1" },
		.ca = true,
		.pathlen = -1,
		.ku = 0x60 };
	X509 *issuer = mf_ref_cert(&ca);
	struct ref_crl c = { .issuer = issuer, .issuer_key = key, .this_s = now - 9 };
	struct mf_buf der;
	mf_buf_init(&der, 4096);
	mf_ref_crl(&c, &der);
	struct wl_answer *w = answer();
	mf_wl_crl(w, mf_buf_slice(&der));
	mf_wl_crl(w, mf_buf_slice(&der));
	mayfly_x509 *x = taken(w);
	assert_int_equal(mayfly_bundles_crl_count(mayfly_x509_bundles(x)), 2);
	mayfly_x509_unref(x);
	mf_wl_crl(w, MF_SLICE_LIT("x"));
	refused(w, MF_E_INVALID, "CRL 2");
	mf_buf_fini(&der);
	X509_free(issuer);
	EVP_PKEY_free(key);
}

/* W-9 */
static void
test_bundles(void **state)
{
	MF_UNUSED(state);
	X509BundlesResponse r = X509_BUNDLES_RESPONSE__INIT;
	X509BundlesResponse__BundlesEntry e[2], *at[2] = { &e[0], &e[1] };
	static char k1[] = "spiffe://td1", k2[] = "spiffe://td2";
	struct mf_slice ca1 = mf_mint_ca(td1), ca2 = mf_mint_ca(td2);
	mayfly_bundles *b = NULL;
	assert_int_equal(mf_take_bundles(&r.base, &b, NULL), MF_E_INVALID); /* P-8 */
	for (size_t i = 0; i < 2; i++)
		x509_bundles_response__bundles_entry__init(&e[i]);
	e[0].key = k1, e[0].value = (ProtobufCBinaryData) { ca1.n, (uint8_t *)(uintptr_t)ca1.p };
	e[1].key = k2, e[1].value = (ProtobufCBinaryData) { ca2.n, (uint8_t *)(uintptr_t)ca2.p };
	r.bundles = at;
	r.n_bundles = 2;
	assert_int_equal(mf_take_bundles(&r.base, &b, NULL), MF_OK);
	assert_int_equal(mayfly_bundles_count(b), 2);
	mayfly_bundles_unref(b);
	e[1].key = k1;
	assert_int_equal(mf_take_bundles(&r.base, &b, NULL), MF_E_INVALID); /* BND-10 */
	static char bare[] = "td2";
	e[1].key = bare;
	assert_int_equal(mf_take_bundles(&r.base, &b, NULL), MF_E_INVALID);
}

/* What a program fills by itself. */
static void
test_own_bundles(void **state)
{
	MF_UNUSED(state);
	mayfly_bundles *b = NULL;
	mayfly_error err;
	char *pem = NULL;
	struct mf_slice ca = mf_mint_ca(td1);
	assert_int_equal(mayfly_bundles_new(&b, NULL), MAYFLY_OK);
	assert_int_equal(mayfly_bundles_add_der(b, "td1", ca.p, ca.n, &err), MAYFLY_OK);
	assert_int_equal(mayfly_bundles_add_der(b, "spiffe://TD1", ca.p, ca.n, &err), MAYFLY_E_INVALID);
	assert_non_null(strstr(err.text, "not merged"));
	assert_int_equal(mayfly_bundles_add_der(b, "spiffe://td2/a", ca.p, ca.n, &err), MAYFLY_E_INVALID);
	assert_int_equal(mayfly_bundles_add_der(b, "a b", ca.p, ca.n, &err), MAYFLY_E_INVALID);
	assert_int_equal(mayfly_bundles_add_der(b, "", ca.p, ca.n, &err), MAYFLY_E_INVALID);
	assert_int_equal(mayfly_bundles_add_der(b, NULL, ca.p, ca.n, &err), MAYFLY_E_INVALID);
	assert_int_equal(mayfly_bundles_add_der(b, "td3", NULL, 3, &err), MAYFLY_E_INVALID);
	assert_int_equal(mayfly_bundles_pem(b, "td1", &pem, NULL), MAYFLY_OK);
	assert_int_equal(mayfly_bundles_add_pem(b, "td2", pem, strlen(pem), NULL), MAYFLY_OK);
	assert_int_equal(mayfly_bundles_add_pem(b, "td4", "x", 1, &err), MAYFLY_E_INVALID);
	mayfly_string_free(pem);
	/* X509-19, BND-4, BND-5 */
	static const char none[] = "{\"keys\":[]}", no_keys[] = "{}";
	assert_int_equal(mayfly_bundles_add_json(b, "td5", none, strlen(none), NULL), MAYFLY_OK);
	assert_int_equal(mayfly_bundles_add_json(b, "td6", no_keys, strlen(no_keys), &err), MAYFLY_E_INVALID);
	assert_int_equal(mayfly_bundles_count(b), 3);
	assert_int_equal(mayfly_bundles_crl_count(b), 0);
	assert_int_equal(mayfly_bundles_add_crl(b, ca.p, ca.n, &err), MAYFLY_E_INVALID);
	mayfly_bundles_unref(b);
	mayfly_bundles_unref(NULL);
}

static void
test_expiry(void **state)
{
	MF_UNUSED(state);
	struct wl_answer *w = answer();
	mayfly_x509 *x = taken(w), *y = NULL;
	assert_int_equal(mf_x509_first_expiry(x), now + 600);
	assert_int_equal(mf_x509_prune(x, now + 600, &y, NULL), MF_OK);
	assert_int_equal(mayfly_x509_count(y), 2);
	mayfly_x509_unref(y);
	assert_int_equal(mf_x509_prune(x, now + 601, &y, NULL), MF_OK);
	mayfly_x509_unref(x);
	drop(w);
	assert_int_equal(mayfly_x509_count(y), 1);
	assert_string_equal(mayfly_svid_id(mayfly_x509_at(y, 0)), "spiffe://td1/job/b");
	assert_int_equal(mf_x509_first_expiry(y), now + 900);
	assert_int_equal(mf_x509_prune(y, now + 901, &x, NULL), MF_E_NOTFOUND);
	assert_int_equal(mf_x509_first_expiry(NULL), INT64_MAX);
	mayfly_x509_unref(y);
}

static void
test_fork(void **state)
{
	MF_UNUSED(state);
	struct wl_answer *w = answer();
	mayfly_x509 *x = taken(w);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		const unsigned char *p;
		size_t n;
		char *pem;
		mayfly_error err;
		_exit(mayfly_svid_key(mayfly_x509_at(x, 0), &p, &n, &err) == MAYFLY_E_STATE &&
			      mayfly_svid_key_pem(mayfly_x509_at(x, 0), &pem, &err) == MAYFLY_E_STATE
			  ? 0
			  : 1);
	}
	int st = -1;
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_int_equal(st, 0);
	mayfly_x509_unref(x);
	drop(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_pem),
		{ "WAPI-8", test_mandatory, NULL, NULL, NULL },
		{ "P-8", test_none, NULL, NULL, NULL },
		{ "P-9", test_other_id, NULL, NULL, NULL },
		{ "P-10 key", test_other_key, NULL, NULL, NULL },
		{ "P-10 chain", test_chain, NULL, NULL, NULL },
		{ "WAPI-11 WAPI-12 WAPI-13", test_hints, NULL, NULL, NULL },
		{ "P-11", test_own_bundle, NULL, NULL, NULL },
		{ "WAPI-16 BND-8 BND-10 P-7", test_foreign_keys, NULL, NULL, NULL },
		cmocka_unit_test(test_crls),
		cmocka_unit_test(test_bundles),
		{ "BND-4 BND-5 X509-19", test_own_bundles, NULL, NULL, NULL },
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_fork),
	};
	return cmocka_run_group_tests_name("client_take", tests, setup, teardown);
}
