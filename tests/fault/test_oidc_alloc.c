/*
 * Each allocation of libcrypto and libssl fails once while the OIDC documents are made and while the publisher takes a
 * certificate: an error with a text (or success, where the libraries can do without), nothing leaked (ASan), the
 * certificate in force stays.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <unistd.h>

#include "broker/notary/oidc_docs.h"
#include "broker/publisher/publisher.h"
#include "codec/x509_self.h"
#include "net/grpc_conn.h"

#define ROUNDS 20000 /* more allocations than any operation makes: a hang limit */

static long countdown; /* 0: none fails */
static bool fired;

static bool
fails_now(const char *file)
{
	/* mf_sha256 aborts without memory (hash.h): its one allocation, and a signature's like it, is spared. */
	if (countdown == 0 || (file != NULL && strstr(file, "sha2_prov") != NULL) || --countdown > 0)
		return false;
	fired = true;
	return true;
}

static void *
hook_malloc(size_t n, const char *file, int line)
{
	MF_UNUSED(line);
	return fails_now(file) ? NULL : malloc(n);
}

static void *
hook_realloc(void *p, size_t n, const char *file, int line)
{
	MF_UNUSED(line);
	return fails_now(file) ? NULL : realloc(p, n);
}

static void
hook_free(void *p, const char *file, int line)
{
	MF_UNUSED(file);
	MF_UNUSED(line);
	free(p);
}

static struct {
	struct mf_jws_key *rsa;
	struct mf_ed25519 *log;
	struct mf_loop *loop;
	struct mf_publisher *pub;
	char chain[2048], key[1024];
} w;

static enum mf_status
op_self(struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf der;
	mf_buf_init(&der, 8192);
	return mf_x509_self(w.rsa, 0, 86400, &der, err);
}

static enum mf_status
op_documents(struct mf_err *err)
{
	static const char jwks[] = "{\"keys\":[{\"alg\":\"RS256\"}]}";
	const struct mf_oidc_docs_conf c = { "https://a.example", "https://a.example/x5c",
		MF_SLICE_LIT("example.org/mayfly/b1"), w.log };
	const struct mf_oidc_set set = { 1, 2, mf_slice_str(jwks), mf_jws_key_kid(w.rsa), 1 };
	MF_AUTO_IN(mf_oidc_docs_fini) struct mf_oidc_docs d;
	mf_oidc_docs_init(&d);
	return mf_oidc_docs_make(&c, &set, w.rsa, &d, err);
}

static enum mf_status
op_renew(struct mf_err *err)
{
	return mf_publisher_renew(w.pub, mf_slice_str(w.chain), mf_slice_str(w.key), err);
}

static void fail_each(enum mf_status (*op)(struct mf_err *err))
{
	unsigned refused = 0;
	for (long n = 1; n < ROUNDS; n++) {
		struct mf_err err = { 0 };
		fired = false;
		countdown = n;
		enum mf_status s = op(&err);
		countdown = 0;
		ERR_clear_error();
		if (s != MF_OK) {
			refused++;
			assert_true(err.msg[0] != '\0');
		}
		if (!fired) {
			assert_int_equal(s, MF_OK); /* whole again when nothing fails */
			assert_true(refused > 0);
			return;
		}
	}
	fail_msg("no end");
}

static void
test_documents(void **state)
{
	MF_UNUSED(state);
	fail_each(op_self);
	fail_each(op_documents);
}

static void
test_certificate(void **state)
{
	MF_UNUSED(state);
	fail_each(op_renew);
}

static int
pem_of(void)
{
	EVP_PKEY *k = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	BIO *b = BIO_new(BIO_s_mem());
	ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_set_pubkey(x, k);
	bool ok = X509_sign(x, k, EVP_sha256()) > 0 && PEM_write_bio_X509(b, x) == 1;
	int n = ok ? BIO_read(b, w.chain, sizeof(w.chain) - 1) : 0;
	ok = n > 0 && PEM_write_bio_PrivateKey(b, k, NULL, NULL, 0, NULL, NULL) == 1;
	n = ok ? BIO_read(b, w.key, sizeof(w.key) - 1) : 0;
	BIO_free(b);
	X509_free(x);
	EVP_PKEY_free(k);
	return n > 0 ? 0 : -1;
}

static int
setup(void **state)
{
	MF_UNUSED(state);
	int fd = -1;
	struct mf_publisher_conf c = {
		.issuer_path = "", .x5c_path = "/x5c", .public_dirfd = -1, .tls = true
	};
	if (pem_of() != 0 || mf_jws_key_generate(MF_JWS_RS256, &w.rsa, NULL) != MF_OK ||
	    mf_ed25519_generate(NULL, &w.log, NULL) != MF_OK || mf_loop_new(&w.loop, NULL) != MF_OK ||
	    mf_net_listen_tcp("127.0.0.1", 0, &fd, NULL) != MF_OK)
		return -1;
	c.listen_fd = fd;
	c.chain_pem = mf_slice_str(w.chain);
	c.key_pem = mf_slice_str(w.key);
	return mf_publisher_new(w.loop, &c, &w.pub, NULL) == MF_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	mf_publisher_free(w.pub);
	mf_loop_free(w.loop);
	mf_jws_key_free(w.rsa);
	mf_ed25519_free(w.log);
	return 0;
}

int
main(void)
{
	if (CRYPTO_set_mem_functions(hook_malloc, hook_realloc, hook_free) != 1)
		return 1;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_certificate),
	};
	return cmocka_run_group_tests_name("oidc_alloc", tests, setup, teardown);
}
