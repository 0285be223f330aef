/* CA keys in files: sealed for this broker and generation, whole before anybody may name them, gone when they are gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "broker/keys/ca_key.h"
#include "broker/keys/upstream_files.h"
#include "codec/x509_read.h"
#include "pop_kit.h"
#include "store_kit.h"

static void
conf_of(const struct store_kit *k, struct mf_kek *kek, struct mf_ca_key_conf *ret_c)
{
	*ret_c = (struct mf_ca_key_conf) { STORE_KIT_TD, STORE_KIT_BROKER, kek, k->keys_fd };
}

static struct mf_ca_key *
new_key(void)
{
	struct mf_ca_key *k = NULL;
	struct mf_err err = { 0 };
	int64_t now_s = mf_now().wall_us / 1000000;
	if (mf_ca_key_make(STORE_KIT_TD, now_s - 30, now_s + 3600, &k, &err) != MF_OK)
		fail_msg("%s", err.msg);
	return k;
}

static bool
there(const struct store_kit *k, const char *name)
{
	return faccessat(k->keys_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* X509-11: the signing certificate is an SVID itself, without a path, in the trust domain that it signs for. */
static void
test_made(void **state)
{
	MF_UNUSED(state);
	struct mf_ca_key *a = new_key(), *b = new_key();
	struct mf_anchors *anchors = NULL;
	assert_int_equal(strspn(a->id, "0123456789abcdef"), MF_CA_KEY_ID);
	assert_string_not_equal(a->id, b->id);
	assert_int_equal(a->anchor.n, 0);
	assert_int_equal(
	    mf_anchors_new(MF_SLICE_LIT(STORE_KIT_TD), mf_buf_slice(&a->certificate), &anchors, NULL), MF_OK);
	mf_anchors_free(anchors);
	mf_ca_key_free(a);
	mf_ca_key_free(b);
}

static void
test_files(void **state)
{
	MF_UNUSED(state);
	struct store_kit kit;
	struct mf_ca_key_conf c;
	struct mf_err err = { 0 };
	MF_AUTO(mf_kek_free) struct mf_kek *kek = mf_store_kit_kek(1);
	MF_AUTO(mf_kek_free) struct mf_kek *wrong = mf_store_kit_kek(2);
	struct mf_ca_key *k = new_key(), *other = new_key(), *got = NULL;
	char file[64], other_file[64];
	mf_store_kit_init(&kit);
	conf_of(&kit, kek, &c);
	(void)snprintf(file, sizeof(file), "ca-%s.key", k->id);
	(void)snprintf(other_file, sizeof(other_file), "ca-%s.key", other->id);
	struct mf_slice cert = mf_buf_slice(&k->certificate), none = mf_slice(NULL, 0);
	assert_int_equal(mf_ca_key_load(&c, cert, none, &got, &err), MF_E_NOTFOUND);
	assert_int_equal(mf_ca_key_save(&c, k, &err), MF_OK);
	assert_int_equal(mf_ca_key_save(&c, k, &err), MF_E_EXISTS);
	assert_int_equal(mf_ca_key_load(&c, cert, none, &got, &err), MF_OK);
	assert_string_equal(got->id, k->id);
	mf_ca_key_free(MF_TAKE(got));
	/* Another KEK, another broker, another generation's name. */
	struct mf_ca_key_conf bad = c;
	bad.kek = wrong;
	assert_int_equal(mf_ca_key_load(&bad, cert, none, &got, &err), MF_E_CORRUPT);
	bad = c;
	bad.broker_id = "b2";
	assert_int_not_equal(mf_ca_key_load(&bad, cert, none, &got, &err), MF_OK);
	assert_int_equal(renameat(kit.keys_fd, file, kit.keys_fd, other_file), 0);
	assert_int_not_equal(mf_ca_key_load(&c, mf_buf_slice(&other->certificate), none, &got, &err), MF_OK);
	assert_int_equal(renameat(kit.keys_fd, other_file, kit.keys_fd, file), 0);
	/* Torn. */
	assert_int_equal(fchmodat(kit.keys_fd, file, 0600, 0), 0);
	int fd = openat(kit.keys_fd, file, O_WRONLY | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, 60), 0);
	(void)close(fd);
	assert_int_not_equal(mf_ca_key_load(&c, cert, none, &got, &err), MF_OK);
	assert_null(got);
	assert_int_equal(mf_ca_key_remove(&c, k->id, &err), MF_OK);
	assert_false(there(&kit, file));
	assert_int_equal(mf_ca_key_remove(&c, k->id, &err), MF_OK);
	assert_true(there(&kit, "ca.key"));
	mf_ca_key_free(k);
	mf_ca_key_free(other);
	mf_store_kit_fini(&kit);
}

/* The generation that init made is found by its certificate, and goes like any other; the broker starts without it. */
static void
test_first(void **state)
{
	MF_UNUSED(state);
	struct store_kit kit;
	struct mf_ca_key_conf c;
	struct mf_err err = { 0 };
	MF_AUTO(mf_kek_free) struct mf_kek *kek = mf_store_kit_kek(1);
	struct mf_ca_key *first = NULL, *again = NULL;
	struct mf_broker_keys *keys = NULL;
	mf_store_kit_init(&kit);
	conf_of(&kit, kek, &c);
	assert_int_equal(mf_ca_key_first(&c, &first, &err), MF_OK);
	assert_int_equal(
	    mf_ca_key_load(&c, mf_buf_slice(&first->certificate), mf_slice(NULL, 0), &again, &err), MF_OK);
	assert_string_equal(first->id, again->id);
	assert_int_equal(mf_ca_key_remove(&c, first->id, &err), MF_OK);
	assert_false(there(&kit, "ca.key"));
	assert_false(there(&kit, "ca.pem"));
	mf_ca_key_free(MF_TAKE(again));
	assert_int_equal(mf_ca_key_first(&c, &again, &err), MF_E_NOTFOUND);
	if (mf_broker_keys_load(STORE_KIT_TD, STORE_KIT_BROKER, kek, kit.keys_fd, &keys, &err) != MF_OK)
		fail_msg("%s", err.msg);
	assert_null(keys->ca);
	mf_broker_keys_free(keys);
	mf_ca_key_free(first);
	mf_store_kit_fini(&kit);
}

/* ---- under an upstream CA ---- */

static int
memfd_of(struct mf_slice content)
{
	int fd = memfd_create("upstream", MFD_CLOEXEC);
	assert_int_equal(pwrite(fd, content.p, content.n, 0), content.n);
	return fd;
}

/* A company root that signs ours itself: two files, as descriptors. */
static void
upstream_files(int64_t now_s, struct mf_upstream_ca_fds *ret_fds)
{
	EVP_PKEY *key = mf_pop_key("P-256");
	const struct pop_cert root = { .key = key,
		.cn = "Company Root",
		.not_before_s = now_s - 3600,
		.not_after_s = now_s + 86400,
		.bc = "critical,CA:TRUE",
		.ku = "critical,keyCertSign,cRLSign" };
	X509 *x = mf_pop_cert(&root);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf cert, pem;
	mf_buf_init(&cert, 65536);
	mf_buf_init(&pem, 65536);
	mf_pop_pem(x, &cert);
	mf_pop_key_pem(key, &pem);
	*ret_fds = (struct mf_upstream_ca_fds) { MF_UPSTREAM_IS_ROOT, memfd_of(mf_buf_slice(&cert)),
		memfd_of(mf_buf_slice(&pem)), -1 };
	X509_free(x);
	EVP_PKEY_free(key);
}

static void
close_files(const struct mf_upstream_ca_fds *fds)
{
	(void)close(fds->cert);
	(void)close(fds->key);
}

/* What is not there is named; a configured bundle that is missing is not taken for a root among the certificates. */
static void
test_missing_files(void **state)
{
	MF_UNUSED(state);
	struct mf_upstream_ca_fds fds, part;
	struct mf_upstream_ca_bytes *b = NULL;
	struct mf_err err = { 0 };
	int64_t now_s = mf_now().wall_us / 1000000;
	upstream_files(now_s, &fds);
	part = fds;
	part.cert = -1;
	assert_int_equal(mf_upstream_ca_read(&part, &b, &err), MF_E_NOTFOUND);
	assert_non_null(strstr(err.msg, "upstream_ca.cert"));
	part = fds;
	part.key = -1;
	assert_int_equal(mf_upstream_ca_read(&part, &b, &err), MF_E_NOTFOUND);
	assert_non_null(strstr(err.msg, "upstream_ca.key"));
	part = fds;
	part.kind = MF_UPSTREAM_HAS_BUNDLE;
	assert_int_equal(mf_upstream_ca_read(&part, &b, &err), MF_E_NOTFOUND);
	assert_non_null(strstr(err.msg, "upstream_ca.bundle"));
	part.bundle = memfd_of(mf_slice(NULL, 0));
	assert_int_equal(mf_upstream_ca_read(&part, &b, &err), MF_E_INVALID);
	(void)close(part.bundle);
	assert_int_equal(ftruncate(fds.key, MF_UPSTREAM_KEY_MAX + 10), 0);
	assert_int_equal(mf_upstream_ca_read(&fds, &b, &err), MF_OK);
	struct mf_upstream_ca *up = NULL;
	assert_int_equal(mf_upstream_ca_judge(b, STORE_KIT_TD, 1, &up, &err), MF_E_INVALID); /* long ago */
	assert_int_equal(mf_upstream_ca_judge(b, STORE_KIT_TD, now_s, &up, &err), MF_E_TOOBIG);
	mf_upstream_ca_bytes_free(b);
	close_files(&fds);
}

/* init's generation and a later one, each with its root: written, found again, checked against the root, removed. */
static void
test_under_upstream(void **state)
{
	MF_UNUSED(state);
	struct store_kit kit;
	struct mf_ca_key_conf c;
	struct mf_upstream_ca_fds fds;
	struct mf_err err = { 0 };
	int64_t now_s = mf_now().wall_us / 1000000;
	MF_AUTO(mf_kek_free) struct mf_kek *kek = mf_store_kit_kek(1);
	MF_AUTO(mf_upstream_ca_bytes_free) struct mf_upstream_ca_bytes *b = NULL;
	MF_AUTO(mf_upstream_ca_free) struct mf_upstream_ca *up = NULL;
	struct mf_ca_key *k = NULL, *got = NULL, *own = new_key();
	mf_store_kit_init(&kit);
	conf_of(&kit, kek, &c);
	upstream_files(now_s, &fds);
	assert_int_equal(mf_upstream_ca_read(&fds, &b, &err), MF_OK);
	assert_int_equal(mf_upstream_ca_judge(b, STORE_KIT_TD, now_s, &up, &err), MF_OK);
	assert_int_equal(
	    mf_ca_key_make_under(up, STORE_KIT_TD, now_s - 60, now_s + 90 * 86400, &k, &err), MF_OK);
	assert_int_equal(k->not_after_s, now_s + 86400);
	assert_int_equal(mf_ca_key_save(&c, k, &err), MF_OK);
	struct mf_slice cert = mf_buf_slice(&k->certificate), root = mf_buf_slice(&k->anchor);
	assert_int_equal(mf_ca_key_load(&c, cert, root, &got, &err), MF_OK);
	assert_string_equal(got->id, k->id);
	mf_ca_key_free(MF_TAKE(got));
	/* Not without its root, nor under another. */
	assert_int_equal(mf_ca_key_load(&c, cert, mf_slice(NULL, 0), &got, &err), MF_E_INVALID);
	assert_int_equal(mf_ca_key_load(&c, cert, mf_buf_slice(&own->certificate), &got, &err), MF_E_INVALID);
	assert_int_equal(mf_ca_key_remove(&c, k->id, &err), MF_OK);
	/* As the first generation. */
	assert_int_equal(mf_ca_key_first(&c, &got, &err), MF_OK);
	assert_int_equal(mf_ca_key_save_first(&c, k, &err), MF_E_EXISTS);
	assert_int_equal(mf_ca_key_remove(&c, got->id, &err), MF_OK);
	mf_ca_key_free(MF_TAKE(got));
	assert_int_equal(mf_ca_key_save_first(&c, k, &err), MF_OK);
	assert_true(there(&kit, "ca-roots.pem"));
	assert_int_equal(mf_ca_key_first(&c, &got, &err), MF_OK);
	assert_string_equal(got->id, k->id);
	assert_true(mf_slice_eq(mf_ca_key_root(got), root));
	assert_int_equal(mf_ca_key_remove(&c, k->id, &err), MF_OK);
	assert_false(there(&kit, "ca.key"));
	assert_false(there(&kit, "ca-roots.pem"));
	mf_ca_key_free(got);
	mf_ca_key_free(k);
	mf_ca_key_free(own);
	close_files(&fds);
	mf_store_kit_fini(&kit);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_first),
		cmocka_unit_test(test_missing_files),
		cmocka_unit_test(test_under_upstream),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
