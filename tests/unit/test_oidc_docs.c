/* The OIDC documents: what they say, the certificate of x5c by libcrypto, the manifest over them, and their files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "broker/notary/oidc_files.h"
#include "codec/json.h"
#include "codec/x509_self.h"
#include "crypto/inner.h"
#include "os/secure_file.h"
#include "store_kit.h"

#define ISSUER "https://oidc.example.org/td1"
#define HANG_MS 60000

static struct store_kit kit;

static int
setup(void **state)
{
	MF_UNUSED(state);
	mf_store_kit_init(&kit);
	return 0;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	mf_store_kit_fini(&kit);
	return 0;
}

static struct mf_oidc_docs_conf
conf(void)
{
	return (struct mf_oidc_docs_conf) { ISSUER, ISSUER "/x5c", mf_buf_slice(&kit.origin), kit.keys->log };
}

static const struct mf_jws_key *
key_of(enum mf_jws_alg alg)
{
	const struct mf_jwt_key *k = mf_jwt_keys_next(kit.keys->jwt, MF_JWT_ASSERTION, NULL);
	while (k != NULL && k->alg != alg)
		k = mf_jwt_keys_next(kit.keys->jwt, MF_JWT_ASSERTION, k);
	assert_non_null(k);
	return k->key;
}

static const char jwks[] =
    "{\"keys\":[{\"use\":\"sig\",\"alg\":\"RS256\"},{\"use\":\"sig\",\"alg\":\"ES256\"}]}";

static struct mf_oidc_set
set_of(uint64_t number, uint64_t revision)
{
	return (struct mf_oidc_set) { number, revision, mf_slice_str(jwks),
		mf_jws_key_kid(key_of(MF_JWS_RS256)), INT64_C(1800000000) };
}

static void
is(const struct mf_json_value *o, const char *key, const char *want)
{
	struct mf_slice s;
	assert_true(mf_json_string(mf_json_get(o, key), &s));
	if (!mf_slice_eq_str(s, want))
		fail_msg("%s is %.*s", key, (int)s.n, (const char *)s.p);
}

static void
test_discovery(void **state)
{
	MF_UNUSED(state);
	static const char *const needed[] = { "response_types_supported", "subject_types_supported",
		"id_token_signing_alg_values_supported", "claims_supported" };
	struct mf_oidc_docs_conf c = conf();
	struct mf_oidc_set set = set_of(3, 7);
	struct mf_oidc_docs d;
	MF_AUTO(mf_json_free) struct mf_json *doc = NULL;
	MF_AUTO(mf_json_free) struct mf_json *x5c = NULL;
	mf_oidc_docs_init(&d);
	assert_int_equal(mf_oidc_docs_make(&c, &set, key_of(MF_JWS_RS256), &d, NULL), MF_OK);
	assert_int_equal(mf_json_parse(mf_buf_slice(&d.files[MF_PUBLISHED_DISCOVERY]), 0, &doc, NULL), MF_OK);
	is(mf_json_root(doc), "issuer", ISSUER);
	is(mf_json_root(doc), "jwks_uri", ISSUER "/keys");
	for (size_t i = 0; i < MF_COUNT(needed); i++)
		assert_true(mf_json_size(mf_json_get(mf_json_root(doc), needed[i])) > 0);
	assert_int_equal(
	    mf_json_size(mf_json_get(mf_json_root(doc), "id_token_signing_alg_values_supported")), 2);
	assert_int_equal(
	    mf_json_parse(mf_buf_slice(&d.files[MF_PUBLISHED_X5C_DISCOVERY]), 0, &x5c, NULL), MF_OK);
	is(mf_json_root(x5c), "issuer", ISSUER "/x5c");
	is(mf_json_root(x5c), "jwks_uri", ISSUER "/x5c/keys");
	assert_true(mf_slice_eq_str(mf_buf_slice(&d.files[MF_PUBLISHED_KEYS]), jwks));
	struct mf_published p;
	assert_int_equal(mf_published_open(mf_buf_slice(&d.manifest), &kit.note, &p, NULL), MF_OK);
	assert_int_equal(p.revision, 7);
	for (unsigned i = 0; i < MF_PUBLISHED_FILES; i++)
		assert_true(mf_published_is(&p, (enum mf_published_file)i, mf_buf_slice(&d.files[i])));
	mf_oidc_docs_fini(&d);
}

/* One key, whose certificate libcrypto verifies by that key; the same bytes each time; ES256 has none. */
static void
test_x5c(void **state)
{
	MF_UNUSED(state);
	const struct mf_jws_key *key = key_of(MF_JWS_RS256);
	struct mf_oidc_docs_conf c = conf();
	struct mf_oidc_set set = set_of(3, 7);
	struct mf_oidc_docs d, again;
	struct mf_slice s, n = { 0 };
	MF_AUTO(mf_json_free) struct mf_json *doc = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf der, jwk;
	mf_buf_init(&der, 8192);
	mf_buf_init(&jwk, 8192);
	mf_oidc_docs_init(&d);
	mf_oidc_docs_init(&again);
	assert_int_equal(mf_oidc_docs_make(&c, &set, key, &d, NULL), MF_OK);
	assert_int_equal(mf_oidc_docs_make(&c, &set, key, &again, NULL), MF_OK);
	for (size_t i = 0; i < MF_PUBLISHED_FILES; i++)
		assert_true(mf_slice_eq(mf_buf_slice(&d.files[i]), mf_buf_slice(&again.files[i])));
	assert_int_equal(mf_json_parse(mf_buf_slice(&d.files[MF_PUBLISHED_X5C_KEYS]), 0, &doc, NULL), MF_OK);
	const struct mf_json_value *keys = mf_json_get(mf_json_root(doc), "keys"), *k = mf_json_at(keys, 0);
	assert_int_equal(mf_json_size(keys), 1);
	is(k, "kid", mf_jws_key_kid(key));
	is(k, "use", "sig");
	is(k, "alg", "RS256");
	assert_int_equal(mf_json_size(mf_json_get(k, "x5c")), 1);
	assert_true(mf_json_string(mf_json_at(mf_json_get(k, "x5c"), 0), &s) &&
		    mf_json_string(mf_json_get(k, "n"), &n));
	assert_int_equal(mf_base64_get(s, &der, NULL), MF_OK);
	const uint8_t *p = der.p;
	X509 *cert = d2i_X509(NULL, &p, (long)der.n);
	assert_true(cert != NULL && p == der.p + der.n);
	EVP_PKEY *pub = X509_get0_pubkey(cert);
	assert_true(pub != NULL && EVP_PKEY_is_a(pub, "RSA") && X509_verify(cert, pub) == 1);
	assert_int_equal(X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)), 0);
	BIGNUM *number = NULL;
	uint8_t raw[256];
	assert_int_equal(EVP_PKEY_get_bn_param(pub, "n", &number), 1);
	assert_int_equal(BN_bn2binpad(number, raw, sizeof(raw)), sizeof(raw));
	mf_base64url_put(&jwk, mf_slice(raw, sizeof(raw)));
	assert_true(mf_slice_eq(mf_buf_slice(&jwk), n));
	BN_free(number);
	X509_free(cert);
	struct mf_err err = { 0 };
	mf_buf_reset(&der);
	assert_int_equal(mf_x509_self(key_of(MF_JWS_ES256), 0, 1, &der, &err), MF_E_UNSUPPORTED);
	mf_oidc_docs_fini(&d);
	mf_oidc_docs_fini(&again);
	/* No key signs RS256: a whole document, without one. */
	mf_oidc_docs_init(&d);
	assert_int_equal(mf_oidc_docs_make(&c, &set, NULL, &d, NULL), MF_OK);
	assert_true(mf_slice_eq_str(mf_buf_slice(&d.files[MF_PUBLISHED_X5C_KEYS]), "{\"keys\":[]}"));
	mf_oidc_docs_fini(&d);
}

/* ---- files, by a real crew ---- */

struct world {
	struct mf_mailbox *box;
	struct mf_crew *crew;
	struct mf_oidc_files *files;
	int dirfd;
};

static uint64_t written;

static void
hear(void *ctx, uint64_t number)
{
	MF_UNUSED(ctx);
	written = number;
}

static void
pump(struct world *w, uint64_t number)
{
	uint64_t until = mf_now().mono_ms + HANG_MS;
	while (written < number && mf_now().mono_ms < until) {
		mf_crew_push(w->crew);
		struct pollfd p = { mf_mailbox_fd(w->box), POLLIN, 0 };
		struct mf_list todo;
		mf_list_init(&todo);
		(void)poll(&p, 1, 100);
		(void)mf_mailbox_take(w->box, &todo);
		MF_LIST_EACH(at, &todo)
		{
			mf_list_del(at);
			struct mf_crew_event *ev = MF_LIST_ITEM(at, struct mf_crew_event, at);
			if (ev->kind == MF_CREW_DONE)
				assert_true(mf_oidc_files_done(w->files, w->crew, ev->arg));
			mf_crew_event_free(ev);
		}
	}
	assert_true(written >= number);
}

static void
write_set(struct world *w, uint64_t number)
{
	struct mf_oidc_set set = set_of(number, 100 + number);
	struct mf_jwt_key const *k = mf_jwt_keys_find(kit.keys->jwt, MF_JWT_ASSERTION, mf_slice_str(set.x5c));
	mf_oidc_files_write(w->files, w->crew, &set, mf_jws_key_ref(k->key));
}

static void
test_files(void **state)
{
	MF_UNUSED(state);
	struct world w = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf prologue, b;
	struct mf_oidc_docs_conf c = conf();
	struct mf_published p;
	mf_buf_init(&prologue, 1024);
	mf_buf_init(&b, MF_LIM_OIDC_DOCUMENT);
	w.dirfd = openat(kit.state_fd, MF_PUBLISHED_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(w.dirfd >= 0);
	assert_int_equal(
	    mf_inner_prologue(MF_SLICE_LIT("example.org"), MF_SLICE_LIT("b1"), &prologue, NULL), MF_OK);
	assert_int_equal(mf_mailbox_new(true, &w.box, NULL), MF_OK);
	struct mf_crew_conf cc = { .threads = 2,
		.inner = kit.keys->inner,
		.prologue = mf_buf_slice(&prologue),
		.max_sessions = 4,
		.inbox = w.box };
	assert_int_equal(mf_crew_new(&cc, &w.crew, NULL), MF_OK);
	assert_int_equal(mf_oidc_files_new(&c, w.dirfd, hear, NULL, &w.files, NULL), MF_OK);
	/* The newest of those that come while one is written is the next: five are at most so many writes, in order. */
	for (uint64_t i = 1; i <= 5; i++)
		write_set(&w, i);
	pump(&w, 5);
	assert_int_equal(mf_file_read(w.dirfd, MF_PUBLISHED_MANIFEST, &b, NULL), MF_OK);
	assert_int_equal(mf_published_open(mf_buf_slice(&b), &kit.note, &p, NULL), MF_OK);
	assert_int_equal(p.revision, 105);
	for (unsigned i = 0; i < MF_PUBLISHED_FILES; i++) {
		struct stat st;
		const char *name = mf_published_name((enum mf_published_file)i);
		mf_buf_reset(&b);
		assert_int_equal(mf_file_read(w.dirfd, name, &b, NULL), MF_OK);
		assert_true(mf_published_is(&p, (enum mf_published_file)i, mf_buf_slice(&b)));
		assert_int_equal(fstatat(w.dirfd, name, &st, 0), 0);
		assert_int_equal(st.st_mode & 07777, 0444);
	}
	mf_oidc_files_free(w.files);
	/* Without an issuer nothing is published, and nobody waits for it. */
	c.issuer = NULL;
	assert_int_equal(mf_oidc_files_new(&c, w.dirfd, hear, NULL, &w.files, NULL), MF_OK);
	write_set(&w, 9);
	assert_int_equal(written, 9);
	mf_oidc_files_free(w.files);
	/* A directory that takes nothing: nobody hears that it was written, and it is tried again later. */
	char dir[] = "/tmp/mf-oidc-XXXXXX";
	assert_non_null(mkdtemp(dir));
	int gone = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(rmdir(dir), 0);
	c.issuer = ISSUER;
	assert_int_equal(mf_oidc_files_new(&c, gone, hear, NULL, &w.files, NULL), MF_OK);
	write_set(&w, 10);
	for (bool done = false; !done;) {
		mf_crew_push(w.crew);
		struct pollfd wait = { mf_mailbox_fd(w.box), POLLIN, 0 };
		struct mf_list todo;
		mf_list_init(&todo);
		assert_int_equal(poll(&wait, 1, HANG_MS), 1);
		(void)mf_mailbox_take(w.box, &todo);
		MF_LIST_EACH(at, &todo)
		{
			mf_list_del(at);
			struct mf_crew_event *ev = MF_LIST_ITEM(at, struct mf_crew_event, at);
			done |= ev->kind == MF_CREW_DONE && mf_oidc_files_done(w.files, w.crew, ev->arg);
			mf_crew_event_free(ev);
		}
	}
	mf_oidc_files_turn(w.files, w.crew); /* not at once */
	assert_int_equal(written, 9);
	mf_oidc_files_free(w.files);
	(void)close(gone);
	mf_crew_free(w.crew);
	mf_mailbox_free(w.box);
	(void)close(w.dirfd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_discovery),
		cmocka_unit_test(test_x5c),
		cmocka_unit_test(test_files),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
