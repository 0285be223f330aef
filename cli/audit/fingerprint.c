/*
 * `mayfly audit fingerprint FILE`: hashes of the certificates and tokens that a file holds, and its access key ids, so that
 * they can be looked for without showing them to anybody. What the file is, is found out: PEM, a JWT, JSON or
 * NAME=VALUE lines of a cloud credential, or a bare token.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/text.h"
#include "cli/audit/audit.h"
#include "codec/pem.h"
#include "crypto/hash.h"

#define FILE_MAX ((size_t)256 * 1024)
#define FOUND_MAX 32u
#define TOKEN_MIN 16u
#define KEY_ID_MIN 16u
#define KEY_ID_MAX 128u

struct found {
	struct mf_buf out;
	unsigned n;
};

static void
put_hash(struct found *f, struct mf_slice what)
{
	uint8_t h[MF_SHA256_SIZE];
	if (f->n >= FOUND_MAX)
		return;
	mf_sha256(what, h);
	mf_buf_put_str(&f->out, "sha256 ");
	mf_hex_put(&f->out, mf_slice(h, sizeof(h)));
	mf_buf_put_u8(&f->out, '\n');
	f->n++;
}

static void
certificates(struct found *f, struct mf_slice in)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----";
	MF_AUTO_IN(mf_buf_fini) struct mf_buf der;
	mf_buf_init(&der, FILE_MAX);
	/* Whatever stands around them: keys, text. */
	for (const uint8_t *at;
	     in.n > 0 && f->n < FOUND_MAX && (at = memmem(in.p, in.n, begin, sizeof(begin) - 1)) != NULL;) {
		in = mf_slice_sub(in, (size_t)(at - in.p), in.n);
		mf_buf_reset(&der);
		if (mf_pem_get(&in, MF_PEM_CERTIFICATE, &der, NULL) == MF_OK)
			put_hash(f, mf_buf_slice(&der));
		else
			in = mf_slice_sub(in, sizeof(begin) - 1, in.n);
	}
}

/* Letters that a token or an access key id may have. */
static bool
is_word(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("-._~+/=", c) != NULL);
}

static bool
is_access_key_id(struct mf_slice w)
{
	if (w.n < KEY_ID_MIN || w.n > KEY_ID_MAX)
		return false;
	for (size_t i = 0; i < w.n; i++)
		if (!((w.p[i] >= 'A' && w.p[i] <= 'Z') || (w.p[i] >= '0' && w.p[i] <= '9')))
			return false;
	return true;
}

/* "AWS_SESSION_TOKEN=x": the value. Padding of base64 stays. */
static struct mf_slice
value_of(struct mf_slice w)
{
	for (size_t i = 0; i + 1 < w.n; i++)
		if (w.p[i] == '=' && w.p[i + 1] != '=')
			return mf_slice_sub(w, i + 1, w.n);
	return w;
}

/* Every word that is long enough: what it is not costs a hash. */
static void
words(struct found *f, struct mf_slice in)
{
	for (size_t i = 0; i < in.n && f->n < FOUND_MAX;) {
		size_t start = i;
		while (i < in.n && is_word(in.p[i]))
			i++;
		struct mf_slice w = mf_slice_sub(in, start, i - start);
		struct mf_slice v = value_of(w);
		if (is_access_key_id(v)) {
			mf_buf_put_str(&f->out, "access-key-id ");
			mf_buf_put_slice(&f->out, v);
			mf_buf_put_u8(&f->out, '\n');
			f->n++;
		}
		if (w.n >= TOKEN_MIN)
			put_hash(f, w);
		if (v.n >= TOKEN_MIN && v.n < w.n)
			put_hash(f, v);
		i += i == start;
	}
}

int
mf_audit_fingerprint(const char *path)
{
	struct found f = { .n = 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf in; /* wiped */
	mf_buf_init(&in, FILE_MAX);
	mf_buf_init(&f.out, 8192);
	FILE *file = fopen(path, "re");
	size_t n = 0;
	if (file == NULL) {
		(void)fprintf(stderr, "mayfly audit: %s: %s\n", path, strerror(errno));
		return AUDIT_INCOMPLETE;
	}
	uint8_t chunk[4096];
	while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0)
		mf_buf_put(&in, chunk, n);
	bool bad = ferror(file) != 0;
	(void)fclose(file);
	if (bad || mf_buf_check(&in, NULL) != MF_OK) {
		(void)fprintf(stderr, "mayfly audit: %s: %s\n", path,
		    bad ? "it could not be read" : "longer than 256 KiB: cut out the credential");
		mf_buf_fini(&f.out);
		return AUDIT_INCOMPLETE;
	}
	certificates(&f, mf_buf_slice(&in));
	if (f.n == 0)
		words(&f, mf_buf_slice(&in));
	if (f.out.n > 0)
		(void)fwrite(f.out.p, 1, f.out.n, stdout);
	mf_buf_fini(&f.out);
	if (f.n > 0)
		return AUDIT_OK;
	(void)fprintf(stderr, "mayfly audit: %s holds no certificate, token or access key id\n", path);
	return AUDIT_BAD;
}
