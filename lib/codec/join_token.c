#include "codec/join_token.h"

#include <stdlib.h>

#include "base/text.h"
#include "codec/spiffe_id.h"
#include "crypto/hash.h"

#define PREFIX "mft1."
#define EXPIRY_MAX UINT64_C(253402300799) /* the last second of year 9999 */
#define PORT_MAX 65535u

static const char hash_domain[] = "mayfly-join-token-1"; /* goes in with its NUL */

struct mf_join_token {
	struct mf_join_public pub;
	struct mf_secret *secret;
};

/* A DNS name or IPv4 address, or an IPv6 address in brackets. Names are resolved later, not here. */
static bool
host_ok(struct mf_slice h)
{
	bool v6 = h.n > 2 && h.p[0] == '[' && h.p[h.n - 1] == ']';
	struct mf_slice s = v6 ? mf_slice_sub(h, 1, h.n - 2) : h;
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		bool digit = c >= '0' && c <= '9';
		if (v6 ? !(digit || (c >= 'a' && c <= 'f') || c == ':' || c == '.')
		       : !(digit || (c >= 'a' && c <= 'z') || (c == '.' && i > 0) || (c == '-' && i > 0)))
			return false;
	}
	return s.n > 0 && s.n <= 253;
}

static bool
address_ok(struct mf_slice a)
{
	size_t colon = a.n;
	while (colon > 0 && a.p[colon - 1] != ':')
		colon--;
	uint64_t port = 0;
	return colon > 0 && host_ok(mf_slice_sub(a, 0, colon - 1)) &&
	       mf_parse_u64(mf_slice_sub(a, colon, a.n), &port) && port >= 1 && port <= PORT_MAX;
}

static enum mf_status
check_public(const struct mf_join_public *p, struct mf_err *err)
{
	if (memchr(p->address, 0, sizeof(p->address)) == NULL ||
	    memchr(p->trust_domain, 0, sizeof(p->trust_domain)) == NULL ||
	    memchr(p->broker_id, 0, sizeof(p->broker_id)) == NULL ||
	    memchr(p->token_id, 0, sizeof(p->token_id)) == NULL)
		return MF_FAIL(err, MF_E_INVALID, "join token: a field without its end");
	if (!address_ok(mf_slice_str(p->address)))
		return MF_FAIL(err, MF_E_INVALID, "join token: broker address is not host:port");
	if (mf_trust_domain_check_strict(mf_slice_str(p->trust_domain), err) != MF_OK)
		return mf_err_wrap(err, MF_E_INVALID, "join token");
	if (!mf_spiffe_segment_ok(mf_slice_str(p->broker_id)))
		return MF_FAIL(err, MF_E_INVALID, "join token: bad broker id");
	if (!mf_spiffe_segment_ok(mf_slice_str(p->token_id)))
		return MF_FAIL(err, MF_E_INVALID, "join token: bad token id");
	if (p->expires_s == 0 || p->expires_s > EXPIRY_MAX)
		return MF_FAIL(err, MF_E_INVALID, "join token: expiry out of range");
	return MF_OK;
}

enum mf_status
mf_join_token_new(const struct mf_join_public *pub, struct mf_slice secret, struct mf_join_token **ret_token,
    struct mf_err *err)
{
	if (secret.n != MF_JOIN_SECRET)
		return MF_FAIL(err, MF_E_INVALID, "join token: a secret of %zu bytes, not %u", secret.n,
		    (unsigned)MF_JOIN_SECRET);
	MF_TRY(check_public(pub, err));
	MF_AUTO(mf_join_token_free) struct mf_join_token *t = calloc(1, sizeof(*t));
	if (t == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "join token: out of memory");
	t->pub = *pub;
	MF_TRY(mf_secret_new(secret.n, &t->secret, err));
	memcpy(mf_secret_bytes(t->secret), secret.p, secret.n);
	*ret_token = MF_TAKE(t);
	return MF_OK;
}

/* A length-prefixed string without NUL into a field of ${cap} bytes. */
static bool
read_str(struct mf_reader *r, char *to, size_t cap)
{
	uint16_t n = 0;
	if (!mf_read_u16be(r, &n) || n >= cap || !mf_read_copy(r, to, n))
		return false;
	to[n] = '\0';
	return strlen(to) == n;
}

static enum mf_status
decode_fields(struct mf_slice fields, struct mf_join_token **ret_token, struct mf_err *err)
{
	struct mf_join_public p = { 0 };
	struct mf_reader r = mf_reader(fields);
	struct mf_slice secret;
	if (!read_str(&r, p.address, sizeof(p.address)) ||
	    !read_str(&r, p.trust_domain, sizeof(p.trust_domain)) ||
	    !read_str(&r, p.broker_id, sizeof(p.broker_id)) ||
	    !mf_read_copy(&r, p.ca_sha256, sizeof(p.ca_sha256)) ||
	    !mf_read_copy(&r, p.notary_key, sizeof(p.notary_key)) ||
	    !read_str(&r, p.token_id, sizeof(p.token_id)) || !mf_read_bytes(&r, MF_JOIN_SECRET, &secret) ||
	    !mf_read_u64be(&r, &p.expires_s) || !mf_reader_end(&r))
		return MF_FAIL(err, MF_E_INVALID, "join token: its fields do not add up; copy it again");
	return mf_join_token_new(&p, secret, ret_token, err);
}

enum mf_status
mf_join_token_decode(struct mf_slice text, struct mf_join_token **ret_token, struct mf_err *err)
{
	if (text.n > MF_LIM_JOIN_TOKEN)
		return MF_FAIL(
		    err, MF_E_TOOBIG, "join token: %zu bytes, more than %u", text.n, MF_LIM_JOIN_TOKEN);
	if (!mf_slice_starts(text, MF_SLICE_LIT(PREFIX)))
		return MF_FAIL(err, MF_E_INVALID, "join token: does not start with " PREFIX);
	if (text.n == sizeof(PREFIX) - 1 || text.p[text.n - 1] != '.')
		return MF_FAIL(err, MF_E_INVALID, "join token: no dot at its end; it was cut, copy it again");
	MF_AUTO_IN(mf_buf_fini) struct mf_buf fields;
	mf_buf_init(&fields, MF_LIM_JOIN_TOKEN);
	if (mf_base64url_get(
		mf_slice_sub(text, sizeof(PREFIX) - 1, text.n - sizeof(PREFIX)), &fields, NULL) != MF_OK)
		return MF_FAIL(err, MF_E_INVALID, "join token: not base64url; copy it again");
	return decode_fields(mf_buf_slice(&fields), ret_token, err);
}

static void
put_str(struct mf_buf *to, const char *s)
{
	mf_buf_put_u16be(to, (uint16_t)strlen(s)); /* bounded by its field */
	mf_buf_put_str(to, s);
}

enum mf_status
mf_join_token_encode(const struct mf_join_token *t, struct mf_buf *out, struct mf_err *err)
{
	const struct mf_join_public *p = &t->pub;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf fields;
	mf_buf_init(&fields, MF_LIM_JOIN_TOKEN);
	put_str(&fields, p->address);
	put_str(&fields, p->trust_domain);
	put_str(&fields, p->broker_id);
	mf_buf_put(&fields, p->ca_sha256, sizeof(p->ca_sha256));
	mf_buf_put(&fields, p->notary_key, sizeof(p->notary_key));
	put_str(&fields, p->token_id);
	mf_buf_put_slice(&fields, mf_secret_slice(t->secret));
	mf_buf_put_u64be(&fields, p->expires_s);
	MF_TRY(mf_buf_check(&fields, err));
	mf_buf_put_str(out, PREFIX);
	mf_base64url_put(out, mf_buf_slice(&fields));
	mf_buf_put_str(out, ".");
	return mf_buf_check(out, err);
}

void
mf_join_token_free(struct mf_join_token *t)
{
	if (t == NULL)
		return;
	mf_secret_free(t->secret);
	free(t);
}

const struct mf_join_public *
mf_join_token_public(const struct mf_join_token *t)
{
	return &t->pub;
}

struct mf_slice
mf_join_token_secret(const struct mf_join_token *t)
{
	return mf_secret_slice(t->secret);
}

void
mf_join_token_hash(const uint8_t secret[MF_JOIN_SECRET], uint8_t ret_hash[32])
{
	uint8_t in[sizeof(hash_domain) + MF_JOIN_SECRET];
	memcpy(in, hash_domain, sizeof(hash_domain));
	memcpy(in + sizeof(hash_domain), secret, MF_JOIN_SECRET);
	mf_sha256(mf_slice(in, sizeof(in)), ret_hash);
	mf_wipe(in, sizeof(in));
}

bool
mf_join_token_is_public(const struct mf_join_token *t)
{
	static const uint8_t none[MF_JOIN_SECRET];
	return mf_ct_equal(mf_join_token_secret(t), mf_slice(none, sizeof(none)));
}
