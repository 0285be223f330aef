#include "codec/sigv4.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/text.h"
#include "codec/url.h"
#include "crypto/hash.h"

#define CANONICAL_MAX (256u * 1024u)
#define DATE_ONLY 8

void
mf_sigv4_date(int64_t now_s, char ret[MF_SIGV4_DATE])
{
	int y, mon, d, h, min, s;
	char text[64];
	mf_civil(now_s, &y, &mon, &d, &h, &min, &s);
	(void)snprintf(text, sizeof(text), "%04d%02d%02dT%02d%02d%02dZ", y, mon, d, h, min, s);
	memcpy(ret, text, MF_SIGV4_DATE - 1);
	ret[MF_SIGV4_DATE - 1] = '\0';
}

/* The path's segments, each percent-encoded, the slashes between them kept. */
static void
put_path(struct mf_buf *to, struct mf_slice path)
{
	if (path.n == 0)
		mf_buf_put_u8(to, '/');
	for (size_t i = 0; i < path.n; i++) {
		if (path.p[i] == '/')
			mf_buf_put_u8(to, '/');
		else
			mf_url_encode(to, mf_slice_sub(path, i, 1));
	}
}

static void
put_sha(struct mf_buf *to, struct mf_slice of)
{
	uint8_t sha[MF_SHA256_SIZE];
	mf_sha256(of, sha);
	mf_hex_put(to, mf_slice(sha, sizeof(sha)));
}

static void
put_signed(struct mf_buf *to, const struct mf_sigv4 *r)
{
	mf_buf_putf(to, "%shost;x-amz-date%s", r->content_type == NULL ? "" : "content-type;",
	    r->session_token[0] == '\0' ? "" : ";x-amz-security-token");
}

static void
put_canonical(struct mf_buf *to, const struct mf_sigv4 *r, const char *date)
{
	mf_buf_putf(to, "%s\n", r->method);
	put_path(to, r->path);
	mf_buf_put_u8(to, '\n');
	mf_buf_put_slice(to, r->query);
	mf_buf_put_u8(to, '\n');
	if (r->content_type != NULL)
		mf_buf_putf(to, "content-type:%s\n", r->content_type);
	mf_buf_put_str(to, "host:");
	mf_buf_put_slice(to, r->host);
	mf_buf_putf(to, "\nx-amz-date:%s\n", date);
	if (r->session_token[0] != '\0')
		mf_buf_putf(to, "x-amz-security-token:%s\n", r->session_token);
	mf_buf_put_u8(to, '\n');
	put_signed(to, r);
	mf_buf_put_u8(to, '\n');
	put_sha(to, r->body);
}

/* HMAC chain over date, region, service and the terminator. */
static enum mf_status
signing_key(const struct mf_sigv4 *r, const char *date, uint8_t ret[MF_SHA256_SIZE], struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf k;
	mf_buf_init(&k, 4096);
	mf_buf_put_str(&k, "AWS4");
	mf_buf_put_slice(&k, r->secret_key);
	MF_TRY(mf_buf_check(&k, err));
	mf_hmac_sha256(mf_buf_slice(&k), mf_slice(date, DATE_ONLY), ret);
	const char *const steps[] = { r->region, r->service, "aws4_request" };
	for (size_t i = 0; i < MF_COUNT(steps); i++) {
		uint8_t next[MF_SHA256_SIZE];
		mf_hmac_sha256(mf_slice(ret, MF_SHA256_SIZE), mf_slice_str(steps[i]), next);
		memcpy(ret, next, sizeof(next));
		mf_wipe(next, sizeof(next));
	}
	return MF_OK;
}

enum mf_status
mf_sigv4_authorize(const struct mf_sigv4 *r, struct mf_buf *to, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text, what;
	char date[MF_SIGV4_DATE];
	uint8_t key[MF_SHA256_SIZE], mac[MF_SHA256_SIZE];
	mf_buf_init(&text, CANONICAL_MAX);
	mf_buf_init(&what, 4096);
	mf_sigv4_date(r->now_s, date);
	put_canonical(&text, r, date);
	mf_buf_putf(
	    &what, "AWS4-HMAC-SHA256\n%s\n%.8s/%s/%s/aws4_request\n", date, date, r->region, r->service);
	put_sha(&what, mf_buf_slice(&text));
	MF_TRY(mf_buf_check(&text, err));
	MF_TRY(mf_buf_check(&what, err));
	MF_TRY(signing_key(r, date, key, err));
	mf_hmac_sha256(mf_slice(key, sizeof(key)), mf_buf_slice(&what), mac);
	mf_wipe(key, sizeof(key));
	mf_buf_putf(to,
	    "AWS4-HMAC-SHA256 Credential=%s/%.8s/%s/%s/aws4_request, SignedHeaders=", r->access_key, date,
	    r->region, r->service);
	put_signed(to, r);
	mf_buf_put_str(to, ", Signature=");
	mf_hex_put(to, mf_slice(mac, sizeof(mac)));
	return mf_buf_check(to, err);
}
