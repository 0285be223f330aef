/* The files of keys against the log: what a start makes, takes over and misses; which files belong to nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/text.h"
#include "broker/notary/key_files.h"
#include "store_kit.h"

struct world {
	struct store_kit k;
	struct mf_kek *kek;
	struct mf_ca_key_conf conf;
	struct mf_jwt_keys *jwt;
	struct mf_key_files *files;
	struct mf_state *st;
	struct mf_key_made first[MF_KEY_USES];
	size_t n;
};

/* The notary's start: files are read, then the log says which of them are known. */
static enum mf_status
start(struct world *w, struct mf_err *err)
{
	mf_key_files_free(w->files);
	mf_jwt_keys_free(w->jwt);
	w->files = NULL;
	w->jwt = NULL;
	assert_int_equal(mf_jwt_keys_load(STORE_KIT_BROKER, w->kek, w->k.keys_fd, &w->jwt, err), MF_OK);
	assert_int_equal(mf_key_files_new(&w->conf, NULL, w->jwt, &w->files, err), MF_OK);
	return mf_key_files_first(w->files, w->st, w->first, &w->n, err);
}

static void
open_world(struct world *w)
{
	*w = (struct world) { 0 };
	mf_store_kit_init(&w->k);
	w->kek = mf_store_kit_kek(1);
	w->conf = (struct mf_ca_key_conf) { STORE_KIT_TD, STORE_KIT_BROKER, w->kek, w->k.keys_fd };
	assert_int_equal(mf_state_new(&w->st, NULL), MF_OK);
}

static void
close_world(struct world *w)
{
	mf_key_files_free(w->files);
	mf_jwt_keys_free(w->jwt);
	mf_state_free(w->st);
	mf_kek_free(w->kek);
	mf_store_kit_fini(&w->k);
}

static void
apply(struct world *w, struct mf_record *r)
{
	struct mf_err err = { 0 };
	if (mf_state_apply(w->st, mf_state_size(w->st), r, &err) != MF_OK)
		fail_msg("%s", err.msg);
}

/* As the engine records it. */
static void
record(struct world *w, const struct mf_key_made *m, bool activated)
{
	struct mf_record r = { .type = MF_REC_KEY_PREPARED };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf cert;
	mf_buf_init(&cert, MF_LIM_RECORD);
	mf_base64url_put(&cert, m->certificate);
	mf_record_set_str(&r, MF_RS_KEY_ID, m->id);
	mf_record_set_str(&r, MF_RS_KEY_USE, m->use->name);
	mf_record_set(&r, MF_RS_CERTIFICATE, mf_buf_slice(&cert));
	mf_record_set(&r, MF_RS_JWK, m->jwk);
	if (m->use->bundle != MF_KEY_IN_NONE)
		mf_record_set_num(&r, MF_RN_BUNDLE, (int64_t)mf_state_bundle(w->st, m->use->bundle) + 1);
	apply(w, &r);
	if (!activated)
		return;
	r = (struct mf_record) { .type = MF_REC_KEY_ACTIVATED };
	mf_record_set_str(&r, MF_RS_KEY_ID, m->id);
	mf_record_set_str(&r, MF_RS_KEY_USE, m->use->name);
	apply(w, &r);
}

static const struct mf_key_made *
of(const struct world *w, const char *use)
{
	for (size_t i = 0; i < w->n; i++)
		if (strcmp(w->first[i].use->name, use) == 0)
			return &w->first[i];
	return NULL;
}

static size_t
files_of(struct world *w, const char *prefix)
{
	char names[16][32];
	size_t n = 0, all = mf_store_kit_list(&w->k, "keys", strlen("jwt-svid.1.key"), names, 16);
	for (size_t i = 0; i < all; i++)
		n += strncmp(names[i], prefix, strlen(prefix)) == 0;
	return n;
}

/* What init made is what the log begins with; a start after that offers nothing. */
static void
test_init(void **state)
{
	MF_UNUSED(state);
	struct world w;
	struct mf_err err = { 0 };
	open_world(&w);
	assert_int_equal(start(&w, &err), MF_OK);
	assert_int_equal(w.n, 6); /* the CA, two of svid, two of assertion, one of selfserve */
	assert_int_equal(files_of(&w, "jwt-svid"), 2);
	assert_string_equal(
	    of(&w, MF_KEY_USE_JWT_ES256)->id, mf_jwt_keys_next(w.jwt, MF_JWT_SVID, NULL)->kid);
	assert_null(of(&w, "jwt-selfserve-rs256"));
	for (size_t i = 0; i < w.n; i++)
		record(&w, &w.first[i], true);
	assert_int_equal(start(&w, &err), MF_OK);
	assert_int_equal(w.n, 0);
	close_world(&w);
}

/* A state directory of a release that had no JWT keys: they are made once, whatever cuts the start in two. */
static void
test_older_directory(void **state)
{
	MF_UNUSED(state);
	struct world w;
	struct mf_err err = { 0 };
	char kid[MF_KEY_ID_MAX];
	static const char *const files[] = { "jwt-svid.1.key", "jwt-svid.2.key", "jwt-assertion.1.key",
		"jwt-assertion.2.key", "jwt-selfserve.1.key" };
	open_world(&w);
	for (size_t i = 0; i < MF_COUNT(files); i++)
		assert_int_equal(unlinkat(w.k.keys_fd, files[i], 0), 0);
	assert_int_equal(start(&w, &err), MF_OK);
	assert_int_equal(w.n, 6);
	(void)snprintf(kid, sizeof(kid), "%s", of(&w, MF_KEY_USE_JWT_ES256)->id);
	/* It died before a record: the next start has the same. */
	assert_int_equal(start(&w, &err), MF_OK);
	assert_string_equal(of(&w, MF_KEY_USE_JWT_ES256)->id, kid);
	/* It died between the two records: the same, to be activated. */
	record(&w, of(&w, MF_KEY_USE_JWT_ES256), false);
	assert_int_equal(start(&w, &err), MF_OK);
	assert_string_equal(of(&w, MF_KEY_USE_JWT_ES256)->id, kid);
	/* And its file is gone meanwhile: no other key may begin in its place. */
	assert_int_equal(unlinkat(w.k.keys_fd, "jwt-svid.1.key", 0), 0);
	assert_int_equal(start(&w, &err), MF_E_NOTFOUND);
	assert_non_null(strstr(err.msg, "put it back from a backup"));
	assert_non_null(strstr(err.msg, kid));
	close_world(&w);
}

/* The key that tokens are signed with is one of the set svid, and of no other. */
static void
test_lookup(void **state)
{
	MF_UNUSED(state);
	struct world w;
	struct mf_err err = { 0 };
	open_world(&w);
	assert_int_equal(start(&w, &err), MF_OK);
	MF_AUTO(mf_jws_key_free)
	struct mf_jws_key *k = mf_key_files_jwt(w.files, of(&w, MF_KEY_USE_JWT_RS256)->id);
	assert_non_null(k);
	assert_int_equal(mf_jws_key_alg(k), MF_JWS_RS256);
	assert_null(mf_key_files_jwt(w.files, of(&w, "jwt-assertion-es256")->id));
	MF_AUTO(mf_jws_key_free)
	struct mf_jws_key *a = mf_key_files_assertion(w.files, of(&w, MF_KEY_USE_ASSERTION_RS256)->id);
	assert_true(a != NULL && mf_jws_key_alg(a) == MF_JWS_RS256);
	assert_null(mf_key_files_assertion(w.files, of(&w, MF_KEY_USE_JWT_RS256)->id));
	close_world(&w);
}

/* The warnings of a start. */
static void
heard(struct world *w, struct mf_buf *to)
{
	char path[] = "/tmp/mf-key-files.XXXXXX", text[8192];
	int fd = mkstemp(path), kept = dup(STDERR_FILENO);
	assert_true(fd >= 0 && kept >= 0);
	(void)fflush(stderr);
	assert_true(dup2(fd, STDERR_FILENO) >= 0);
	mf_key_files_orphans(w->files, w->st);
	(void)fflush(stderr);
	assert_true(dup2(kept, STDERR_FILENO) >= 0);
	ssize_t n = pread(fd, text, sizeof(text), 0);
	assert_true(n >= 0);
	mf_buf_put(to, text, (size_t)n);
	(void)close(fd);
	(void)close(kept);
	assert_int_equal(unlink(path), 0);
}

/* A key that was being made when the broker died: its file is told of, by name; those of the log's keys are not. */
static void
test_orphans(void **state)
{
	MF_UNUSED(state);
	struct world w;
	struct mf_err err = { 0 };
	struct mf_jwt_order o = { MF_JWT_SVID, MF_JWS_ES256, 3 };
	MF_AUTO(mf_jws_key_free) struct mf_jws_key *made = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf before, after;
	mf_buf_init(&before, 65536);
	mf_buf_init(&after, 65536);
	open_world(&w);
	assert_int_equal(start(&w, &err), MF_OK);
	for (size_t i = 0; i < w.n; i++)
		record(&w, &w.first[i], true);
	heard(&w, &before);
	assert_int_equal(before.n, 0);
	assert_int_equal(mf_jwt_key_make(&o, STORE_KIT_BROKER, w.kek, w.k.keys_fd, &made, &err), MF_OK);
	assert_int_equal(start(&w, &err), MF_OK);
	assert_int_equal(w.n, 0); /* it is nobody's first key */
	heard(&w, &after);
	assert_non_null(mf_buf_cstr(&after));
	assert_non_null(strstr(mf_buf_cstr(&after), "key.orphan"));
	assert_non_null(strstr(mf_buf_cstr(&after), "jwt-svid.3.key"));
	assert_non_null(strstr(mf_buf_cstr(&after), "remove it"));
	assert_null(strstr(mf_buf_cstr(&after), "jwt-svid.1.key"));
	close_world(&w);
}

static void
collect(void *ctx, const char *file, const char *id)
{
	struct mf_buf *b = ctx;
	mf_buf_putf(b, "%s %.4s\n", file, id);
}

static void
test_ca_files(void **state)
{
	MF_UNUSED(state);
	struct world w;
	struct mf_err err = { 0 };
	MF_AUTO(mf_ca_key_free) struct mf_ca_key *k = NULL, *first = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf got, want;
	mf_buf_init(&got, 4096);
	mf_buf_init(&want, 4096);
	open_world(&w);
	assert_int_equal(mf_ca_key_make(STORE_KIT_TD, 1, 1000, &k, &err), MF_OK);
	assert_int_equal(mf_ca_key_save(&w.conf, k, &err), MF_OK);
	assert_int_equal(mf_ca_key_first(&w.conf, &first, &err), MF_OK);
	/* Other names are nobody's. */
	mf_store_kit_write(&w.k, "keys/ca-00.key", MF_SLICE_LIT("x"));
	mf_store_kit_write(
	    &w.k, "keys/ca-0123456789abcdef0123456789abcdef01234567.key.bak", MF_SLICE_LIT("x"));
	assert_int_equal(mf_ca_key_each_file(&w.conf, collect, &got, &err), MF_OK);
	mf_buf_putf(&want, "ca-%s.key %.4s\nca.key %.4s\n", k->id, k->id, first->id);
	assert_string_equal(mf_buf_cstr(&got), mf_buf_cstr(&want));
	close_world(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_init),
		cmocka_unit_test(test_older_directory),
		cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_orphans),
		cmocka_unit_test(test_ca_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
