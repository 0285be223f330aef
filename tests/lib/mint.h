/*
 * mint: a small CA for tests, made of the product's own template writers. Aborts on any failure.
 */
#ifndef MF_TESTS_MINT_H
#define MF_TESTS_MINT_H
#include "base/buf.h"
#include "codec/x509_write.h"

struct mint;
struct mint *mf_mint_new(const char *trust_domain, int64_t now_s);
void mf_mint_free(struct mint *m);
struct mf_slice mf_mint_ca(const struct mint *m); /* DER */

struct mint_leaf {
	char serial[2 * MF_X509_SERIAL_SIZE + 1];
	int64_t not_before_s, not_after_s;
};
/* Append a leaf for ${point}, named spiffe://td${path}, from a minute ago to ${not_after_s}. */
struct mint_leaf mf_mint_leaf(const struct mint *m, const char *path, const uint8_t *point, int64_t now_s,
    int64_t not_after_s, struct mf_buf *to);
/* The same with its own key, appended to ${key} as PKCS#8. */
struct mint_leaf mf_mint_keyed(const struct mint *m, const char *path, int64_t now_s, int64_t not_after_s,
    struct mf_buf *to, struct mf_buf *key);
#endif
