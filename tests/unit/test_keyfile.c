#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "crypto/aead.h"
#include "crypto/keyfile.h"
#include "lib/hex.h"

#define KEY "0123456789abcdef0123456789abcdef"
#define SECRET MF_SLICE_LIT("the secret")
#define PASS MF_SLICE_LIT("correct horse battery")

static struct mf_kek *
raw_kek(const char *key)
{
	struct mf_kek *k = NULL;
	assert_int_equal(mf_kek_raw(mf_slice_str(key), &k, NULL), MF_OK);
	return k;
}

static struct mf_kek *
pass_kek(struct mf_slice pass)
{
	struct mf_kek *k = NULL;
	assert_int_equal(mf_kek_passphrase(pass, NULL, &k, NULL), MF_OK);
	return k;
}

static void
seal(struct mf_kek *k, const char *purpose, const char *id, struct mf_buf *out)
{
	mf_buf_init(out, MF_LIM_KEYFILE);
	assert_int_equal(mf_keyfile_seal(k, purpose, id, SECRET, NULL, out, NULL), MF_OK);
}

static enum mf_status
open_as(struct mf_kek *k, const char *purpose, const char *id, struct mf_slice file, struct mf_err *err)
{
	MF_AUTO(mf_secret_free) struct mf_secret *s = NULL;
	enum mf_status st = mf_keyfile_open(k, purpose, id, file, &s, err);
	assert_int_equal(ERR_peek_error(), 0);
	if (st == MF_OK)
		assert_true(mf_slice_eq(mf_secret_slice(s), SECRET));
	else
		assert_null(s);
	return st;
}

static void
fill_seq(void *ctx, void *to, size_t n)
{
	uint8_t *v = ctx, *p = to;
	for (size_t i = 0; i < n; i++)
		p[i] = (*v)++;
}

/* The text itself is a contract: files outlive releases. */
static void
test_golden_text(void **state)
{
	MF_UNUSED(state);
	uint8_t v = 0;
	const struct mf_rand rand = { fill_seq, &v };
	MF_AUTO(mf_kek_free) struct mf_kek *k = raw_kek(KEY);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out;
	mf_buf_init(&out, MF_LIM_KEYFILE);
	assert_int_equal(mf_keyfile_seal(k, "ca", "c-1", SECRET, &rand, &out, NULL), MF_OK);
	assert_string_equal(mf_buf_cstr(&out), "mayfly-key 1\n"
					       "purpose ca\n"
					       "id c-1\n"
					       "kdf none\n"
					       "nonce 000102030405060708090a0b\n"
					       "sealed WY3eXKp9sd7NqPr8S6YC/1KLzijyC/Uw7x8=\n");
	assert_int_equal(open_as(k, "ca", "c-1", mf_buf_slice(&out), NULL), MF_OK);
}

static void
test_raw(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_kek_free) struct mf_kek *k = raw_kek(KEY);
	MF_AUTO(mf_kek_free) struct mf_kek *other = raw_kek("0123456789abcdef0123456789abcdeF");
	MF_AUTO_IN(mf_buf_fini) struct mf_buf a;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	struct mf_err err = { 0 };
	seal(k, "inner", "n-1", &a);
	seal(k, "inner", "n-1", &b);
	assert_false(mf_slice_eq(mf_buf_slice(&a), mf_buf_slice(&b))); /* nonces are never the same */
	assert_int_equal(open_as(k, "inner", "n-1", mf_buf_slice(&a), NULL), MF_OK);
	assert_int_equal(open_as(other, "inner", "n-1", mf_buf_slice(&a), &err), MF_E_CORRUPT);
	assert_string_equal(err.msg,
	    "key file inner n-1: does not open: another key-encryption key, or the file was altered");
	assert_int_equal(open_as(k, "inner", "n-2", mf_buf_slice(&a), &err), MF_E_INVALID);
	assert_string_equal(err.msg, "key file: it is inner n-1, not inner n-2");
	assert_int_equal(open_as(k, "log", "n-1", mf_buf_slice(&a), &err), MF_E_INVALID);
	struct mf_kek *copy = NULL;
	assert_int_equal(mf_kek_copy(k, &copy, NULL), MF_OK);
	mf_kek_free(MF_TAKE(k));
	assert_int_equal(open_as(copy, "inner", "n-1", mf_buf_slice(&a), NULL), MF_OK);
	mf_kek_free(copy);
}

/* A file put in the place of another: the header can be edited, but then it does not open. */
static void
test_swapped(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_kek_free) struct mf_kek *k = raw_kek(KEY);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf a;
	seal(k, "ca", "one", &a);
	char *at = (char *)memmem(a.p, a.n, "id one", 6);
	assert_non_null(at);
	memcpy(at, "id two", 6);
	assert_int_equal(open_as(k, "ca", "two", mf_buf_slice(&a), NULL), MF_E_CORRUPT);
	memcpy(at, "id one", 6);
	at = (char *)memmem(a.p, a.n, "purpose ca", 10);
	assert_non_null(at);
	memcpy(at, "purpose ab", 10);
	assert_int_equal(open_as(k, "ab", "one", mf_buf_slice(&a), NULL), MF_E_CORRUPT);
}

static void
test_every_byte(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_kek_free) struct mf_kek *k = raw_kek(KEY);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf a;
	seal(k, "ca", "one", &a);
	for (size_t i = 0; i < a.n; i++) {
		uint8_t was = a.p[i];
		for (unsigned flip = 1; flip < 256; flip <<= 1) {
			a.p[i] = (uint8_t)(was ^ flip);
			assert_int_not_equal(open_as(k, "ca", "one", mf_buf_slice(&a), NULL), MF_OK);
		}
		a.p[i] = was;
	}
	for (size_t n = 0; n < a.n; n++)
		assert_int_equal(open_as(k, "ca", "one", mf_slice(a.p, n), NULL), MF_E_INVALID);
	mf_buf_put_u8(&a, '\n');
	assert_int_equal(open_as(k, "ca", "one", mf_buf_slice(&a), NULL), MF_E_INVALID);
	a.n--;
	assert_int_equal(open_as(k, "ca", "one", mf_buf_slice(&a), NULL), MF_OK);
}

#define HEAD "mayfly-key 1\npurpose ca\nid x\n"
#define NONCE "nonce 000102030405060708090a0b\n"
#define SALT "000102030405060708090a0b0c0d0e0f"
#define SEALED "sealed AAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
static const struct {
	const char *text;
	enum mf_status want;
} bad[] = {
	{ HEAD "kdf none\n" NONCE SEALED, MF_OK },
	{ HEAD "kdf scrypt 15 " SALT "\n" NONCE SEALED, MF_OK },
	{ HEAD "kdf scrypt 18 " SALT "\n" NONCE SEALED, MF_OK },
	{ "", MF_E_INVALID },
	{ "mayfly-key 2\npurpose ca\nid x\nkdf none\n" NONCE SEALED, MF_E_UNSUPPORTED },
	{ "mayfly-key\n", MF_E_INVALID },
	{ "mayfly-key 1\r\npurpose ca\nid x\nkdf none\n" NONCE SEALED, MF_E_UNSUPPORTED },
	{ "mayfly-key 1\npurpose CA\nid x\nkdf none\n" NONCE SEALED, MF_E_INVALID },
	{ "mayfly-key 1\npurpose \nid x\nkdf none\n" NONCE SEALED, MF_E_INVALID },
	{ "mayfly-key 1\npurpose ca\nid ../x\nkdf none\n" NONCE SEALED, MF_E_INVALID },
	{ "mayfly-key 1\nid x\npurpose ca\nkdf none\n" NONCE SEALED, MF_E_INVALID },
	{ HEAD "kdf none \n" NONCE SEALED, MF_E_INVALID },
	{ HEAD "kdf scrypt 13 " SALT "\n" NONCE SEALED, MF_E_INVALID },
	{ HEAD "kdf scrypt 19 " SALT "\n" NONCE SEALED, MF_E_INVALID },
	{ HEAD "kdf scrypt 015 " SALT "\n" NONCE SEALED, MF_E_INVALID },
	{ HEAD "kdf scrypt 15 " SALT "00\n" NONCE SEALED, MF_E_INVALID },
	{ HEAD "kdf scrypt 15\n" NONCE SEALED, MF_E_INVALID },
	{ HEAD "kdf pbkdf2 15 " SALT "\n" NONCE SEALED, MF_E_INVALID },
	{ HEAD "kdf none\nnonce 000102030405060708090a\n" SEALED, MF_E_INVALID },
	{ HEAD "kdf none\nnonce 000102030405060708090A0B\n" SEALED, MF_E_INVALID },
	{ HEAD "kdf none\n" NONCE "sealed \n", MF_E_INVALID },
	{ HEAD "kdf none\n" NONCE SEALED "x", MF_E_INVALID },
	{ HEAD "kdf none\n" NONCE "sealed AAAA", MF_E_INVALID },
};

static void
test_parse_table(void **state)
{
	MF_UNUSED(state);
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		struct mf_err err = { 0 };
		struct mf_keyfile_view v = { .nonce = { 0xee } };
		assert_int_equal(mf_keyfile_parse(mf_slice_str(bad[i].text), &v, &err), bad[i].want);
		assert_int_equal(err.msg[0] != '\0', bad[i].want != MF_OK);
		assert_int_equal(v.nonce[0], bad[i].want == MF_OK ? 0 : 0xee);
	}
	uint8_t *big = calloc(1, MF_LIM_KEYFILE + 1);
	struct mf_keyfile_view v;
	assert_non_null(big);
	assert_int_equal(mf_keyfile_parse(mf_slice(big, MF_LIM_KEYFILE + 1), &v, NULL), MF_E_TOOBIG);
	free(big);
	/* Well-formed, but too short to hold a tag and a secret. */
	MF_AUTO(mf_kek_free) struct mf_kek *k = raw_kek(KEY);
	assert_int_equal(open_as(k, "ca", "x",
			     mf_slice_str(HEAD "kdf none\n" NONCE "sealed AAAAAAAAAAAAAAAAAAAAAA==\n"), NULL),
	    MF_E_INVALID);
	assert_int_equal(
	    open_as(k, "ca", "x", mf_slice_str(HEAD "kdf none\n" NONCE "sealed A?==\n"), NULL), MF_E_INVALID);
}

static void
test_seal_refuses(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_kek_free) struct mf_kek *k = raw_kek(KEY);
	uint8_t *p = calloc(1, MF_LIM_KEYFILE_SECRET + 1);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out;
	mf_buf_init(&out, MF_LIM_KEYFILE);
	assert_non_null(p);
	char long_id[MF_KEYFILE_ID + 2];
	memset(long_id, 'a', sizeof(long_id));
	long_id[sizeof(long_id) - 1] = '\0';
	assert_int_equal(mf_keyfile_seal(k, "CA", "x", SECRET, NULL, &out, NULL), MF_E_INVALID);
	assert_int_equal(mf_keyfile_seal(k, "", "x", SECRET, NULL, &out, NULL), MF_E_INVALID);
	assert_int_equal(mf_keyfile_seal(k, "ca", "a\nb", SECRET, NULL, &out, NULL), MF_E_INVALID);
	assert_int_equal(mf_keyfile_seal(k, "ca", long_id, SECRET, NULL, &out, NULL), MF_E_INVALID);
	assert_int_equal(mf_keyfile_seal(k, "ca", "x", mf_slice(p, 0), NULL, &out, NULL), MF_E_TOOBIG);
	assert_int_equal(
	    mf_keyfile_seal(k, "ca", "x", mf_slice(p, MF_LIM_KEYFILE_SECRET + 1), NULL, &out, NULL),
	    MF_E_TOOBIG);
	assert_int_equal(out.n, 0);
	/* The largest one fits, with the longest names. */
	long_id[MF_KEYFILE_ID] = '\0';
	assert_int_equal(mf_keyfile_seal(k, "0123456789abcdef0123456789abcdef", long_id,
			     mf_slice(p, MF_LIM_KEYFILE_SECRET), NULL, &out, NULL),
	    MF_OK);
	MF_AUTO(mf_secret_free) struct mf_secret *s = NULL;
	assert_int_equal(
	    mf_keyfile_open(k, "0123456789abcdef0123456789abcdef", long_id, mf_buf_slice(&out), &s, NULL),
	    MF_OK);
	assert_int_equal(mf_secret_size(s), MF_LIM_KEYFILE_SECRET);
	free(p);
}

static void
test_passphrase(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_kek_free) struct mf_kek *k = pass_kek(PASS);
	MF_AUTO(mf_kek_free) struct mf_kek *again = pass_kek(PASS);
	MF_AUTO(mf_kek_free) struct mf_kek *wrong = pass_kek(MF_SLICE_LIT("correct horse batterY"));
	MF_AUTO(mf_kek_free) struct mf_kek *raw = raw_kek(KEY);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf a;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	struct mf_err err = { 0 };
	struct mf_keyfile_view va, vb;
	seal(k, "ca", "one", &a);
	seal(again, "ca", "one", &b);
	assert_int_equal(mf_keyfile_parse(mf_buf_slice(&a), &va, NULL), MF_OK);
	assert_int_equal(mf_keyfile_parse(mf_buf_slice(&b), &vb, NULL), MF_OK);
	assert_memory_not_equal(va.kek.salt, vb.kek.salt, MF_KEK_SALT);
	/* Files of different salts through one object, back and forth. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(open_as(again, "ca", "one", mf_buf_slice(&a), NULL), MF_OK);
		assert_int_equal(open_as(again, "ca", "one", mf_buf_slice(&b), NULL), MF_OK);
	}
	struct mf_kek *copy = NULL;
	assert_int_equal(mf_kek_copy(again, &copy, NULL), MF_OK);
	mf_kek_free(MF_TAKE(again));
	assert_int_equal(open_as(copy, "ca", "one", mf_buf_slice(&a), NULL), MF_OK);
	mf_kek_free(copy);
	assert_int_equal(open_as(wrong, "ca", "one", mf_buf_slice(&a), &err), MF_E_CORRUPT);
	assert_int_equal(open_as(raw, "ca", "one", mf_buf_slice(&a), &err), MF_E_DENIED);
	assert_string_equal(err.msg, "key file: sealed with a passphrase, but a raw key was given");
	MF_AUTO_IN(mf_buf_fini) struct mf_buf c;
	seal(raw, "ca", "one", &c);
	assert_int_equal(open_as(k, "ca", "one", mf_buf_slice(&c), &err), MF_E_DENIED);
}

/* scrypt(passphrase, salt 00..0f, N = 2^15, r = 8, p = 1), as another implementation (Python's hashlib) gives it. */
static void
test_scrypt_known_answer(void **state)
{
	MF_UNUSED(state);
	uint8_t v = 0;
	const struct mf_rand rand = { fill_seq, &v };
	MF_AUTO(mf_kek_free) struct mf_kek *k = NULL;
	assert_int_equal(mf_kek_passphrase(PASS, &rand, &k, NULL), MF_OK);
	struct mf_slice key;
	assert_int_equal(mf_kek_key(k, mf_kek_own_params(k), &key, NULL), MF_OK);
	assert_hex(key, "c72e940880b3f15bff3fa26a3a49140f80ce9a1c4dd2d5d27bab10014071ba94");
	struct mf_kek_params p = *mf_kek_own_params(k);
	p.log2_n = MF_KEK_LOG2_N_MAX + 1;
	assert_int_equal(mf_kek_key(k, &p, &key, NULL), MF_E_INVALID);
	p.log2_n = 0;
	assert_int_equal(mf_kek_key(k, &p, &key, NULL), MF_E_INVALID);
}

static int
file_of(struct mf_slice content, mode_t mode)
{
	int fd = memfd_create("kek", MFD_CLOEXEC); /* a regular file, as far as fstat says */
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content.p, content.n), (ssize_t)content.n);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	return fd;
}

static void
test_read_fd(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *content;
		mode_t mode;
		enum mf_kek_kind kind;
		enum mf_status want;
	} cases[] = {
		{ KEY, 0600, MF_KEK_RAW, MF_OK },
		{ KEY, 0400, MF_KEK_RAW, MF_OK },
		{ KEY "\n", 0600, MF_KEK_RAW, MF_E_INVALID },
		{ "short", 0600, MF_KEK_RAW, MF_E_INVALID },
		{ "", 0600, MF_KEK_RAW, MF_E_INVALID },
		{ KEY, 0640, MF_KEK_RAW, MF_E_DENIED },
		{ KEY, 0604, MF_KEK_RAW, MF_E_DENIED },
		{ KEY, 0602, MF_KEK_RAW, MF_E_DENIED },
		{ "correct horse battery\n", 0600, MF_KEK_PASSPHRASE, MF_OK },
		{ "too short", 0600, MF_KEK_PASSPHRASE, MF_E_INVALID },
		{ "", 0600, MF_KEK_PASSPHRASE, MF_E_INVALID },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		MF_AUTO(mf_kek_free) struct mf_kek *k = NULL;
		struct mf_err err = { 0 };
		int fd = file_of(mf_slice_str(cases[i].content), cases[i].mode);
		assert_int_equal(mf_kek_read_fd(fd, cases[i].kind, &k, &err), cases[i].want);
		assert_int_equal(k != NULL, cases[i].want == MF_OK);
		assert_int_equal(err.msg[0] != '\0', cases[i].want != MF_OK);
		assert_int_equal(close(fd), 0);
	}
	uint8_t *big = calloc(1, 2000);
	assert_non_null(big);
	memset(big, 'x', 2000);
	MF_AUTO(mf_kek_free) struct mf_kek *k = NULL;
	int fd = file_of(mf_slice(big, 2000), 0600);
	assert_int_equal(mf_kek_read_fd(fd, MF_KEK_PASSPHRASE, &k, NULL), MF_E_INVALID);
	assert_int_equal(close(fd), 0);
	free(big);
	assert_int_equal(mf_kek_read_fd(-1, MF_KEK_RAW, &k, NULL), MF_E_IO);

	/* A pipe, in two writes, without its newline counted: opens what the passphrase itself sealed. */
	int p[2];
	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], "correct horse ", 14), 14);
	assert_int_equal(write(p[1], "battery\n", 8), 8);
	assert_int_equal(close(p[1]), 0);
	assert_int_equal(mf_kek_read_fd(p[0], MF_KEK_PASSPHRASE, &k, NULL), MF_OK);
	assert_int_equal(close(p[0]), 0);
	MF_AUTO(mf_kek_free) struct mf_kek *same = pass_kek(PASS);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf a;
	seal(same, "ca", "one", &a);
	assert_int_equal(open_as(k, "ca", "one", mf_buf_slice(&a), NULL), MF_OK);
	mf_kek_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden_text),
		cmocka_unit_test(test_raw),
		cmocka_unit_test(test_swapped),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_parse_table),
		cmocka_unit_test(test_seal_refuses),
		cmocka_unit_test(test_passphrase),
		cmocka_unit_test(test_scrypt_known_answer),
		cmocka_unit_test(test_read_fd),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
