/*
 * unseal_assertion STATE-DIR KID: the private half of a key that signs assertions, as PEM on stdout, unsealed with STATE-DIR/kek: for tests
 * that sign what the notary would, and show it to real counterparts.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "broker/keys/jwt_keys.h"

static int
give_up(const char *what, const struct mf_err *err)
{
	(void)fprintf(stderr, "unseal_assertion: %s: %s\n", what, err->msg);
	return 1;
}

/* 64 letters in a line (RFC 7468). */
static void
print_pem(struct mf_slice der)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 65536);
	mf_base64_put(&b, der);
	(void)puts("-----BEGIN PRIVATE KEY-----");
	for (size_t at = 0; at < b.n; at += 64) {
		struct mf_slice line = mf_slice_sub(mf_buf_slice(&b), at, 64);
		(void)printf("%.*s\n", (int)line.n, (const char *)line.p);
	}
	(void)puts("-----END PRIVATE KEY-----");
}

int
main(int argc, char **argv)
{
	struct mf_err err = { 0 };
	MF_AUTO(mf_kek_free) struct mf_kek *kek = NULL;
	MF_AUTO(mf_jwt_keys_free) struct mf_jwt_keys *keys = NULL;
	MF_AUTO(mf_secret_free) struct mf_secret *der = NULL;
	int state = argc == 3 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (state < 0) {
		(void)fputs("usage: unseal_assertion STATE-DIR KID\n", stderr);
		return 2;
	}
	int kek_fd = openat(state, "kek", O_RDONLY | O_CLOEXEC),
	    dir = openat(state, "keys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mf_kek_read_fd(kek_fd, MF_KEK_RAW, &kek, &err) != MF_OK)
		return give_up("kek", &err);
	if (mf_jwt_keys_load("b1", kek, dir, &keys, &err) != MF_OK)
		return give_up("keys", &err);
	const struct mf_jwt_key *k = mf_jwt_keys_find(keys, MF_JWT_ASSERTION, mf_slice_str(argv[2]));
	if (k == NULL || mf_jws_key_to_pkcs8(k->key, &der, &err) != MF_OK)
		return give_up("no such key", &err);
	print_pem(mf_secret_slice(der));
	(void)close(kek_fd);
	(void)close(dir);
	(void)close(state);
	return 0;
}
