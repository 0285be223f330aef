#include "codec/url.h"

#include "base/text.h"

static bool
is_alnum(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool
is_unreserved(uint8_t c)
{
	return is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

static int
hex_of(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* RFC 3986 pchar, "/" and, in a query, "?". */
static bool
chars_ok(struct mf_slice s, bool query)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		if (c == '%') {
			if (i + 2 >= s.n || hex_of(s.p[i + 1]) < 0 || hex_of(s.p[i + 2]) < 0)
				return false;
			i += 2;
		} else if (!is_unreserved(c) && strchr("/:@!$&'()*+,;=", c) == NULL && !(query && c == '?')) {
			return false;
		}
	}
	return true;
}

static bool
dots_ok(struct mf_slice path)
{
	for (size_t from = 0, i = 0; i <= path.n; i++) {
		if (i < path.n && path.p[i] != '/')
			continue;
		struct mf_slice part = mf_slice_sub(path, from, i - from);
		if (mf_slice_eq_str(part, ".") || mf_slice_eq_str(part, ".."))
			return false;
		from = i + 1;
	}
	return true;
}

static bool
host_ok(struct mf_slice h)
{
	if (h.n == 0 || h.n > 253 || h.p[0] == '.' || h.p[0] == '-' || h.p[h.n - 1] == '.')
		return false;
	for (size_t i = 0; i < h.n; i++) {
		uint8_t c = h.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'))
			return false;
		if (c == '.' && h.p[i + 1] == '.')
			return false;
	}
	return true;
}

static bool
v6_ok(struct mf_slice h)
{
	if (h.n < 2 || h.n > 45)
		return false;
	for (size_t i = 0; i < h.n; i++)
		if (hex_of(h.p[i]) < 0 && h.p[i] != ':' && h.p[i] != '.')
			return false;
	return true;
}

/* "host", "host:port", "[v6]", "[v6]:port" */
static enum mf_status
take_authority(struct mf_slice a, struct mf_url *u, struct mf_err *err)
{
	size_t end = 0;
	u->authority = a;
	if (a.n > 0 && a.p[0] == '[') {
		while (end < a.n && a.p[end] != ']')
			end++;
		u->host = mf_slice_sub(a, 1, end - 1);
		if (end == a.n || !v6_ok(u->host))
			return MF_FAIL(err, MF_E_INVALID, "url: bad IPv6 address");
		end++;
	} else {
		while (end < a.n && a.p[end] != ':')
			end++;
		u->host = mf_slice_sub(a, 0, end);
		if (!host_ok(u->host))
			return MF_FAIL(
			    err, MF_E_INVALID, "url: the host must be a name in lowercase or an address");
	}
	u->port = u->https ? 443 : 80;
	if (end == a.n)
		return MF_OK;
	uint64_t port;
	if (a.p[end] != ':' || !mf_parse_u64(mf_slice_sub(a, end + 1, a.n), &port) || port == 0 ||
	    port > 65535)
		return MF_FAIL(err, MF_E_INVALID, "url: bad port");
	u->port = (uint16_t)port;
	return MF_OK;
}

enum mf_status
mf_url_parse(struct mf_slice text, struct mf_url *ret_u, struct mf_err *err)
{
	struct mf_url u = { .https = mf_slice_starts(text, MF_SLICE_LIT("https://")) };
	size_t at = u.https ? 8 : 7, end, q;
	if (text.n > MF_URL_MAX)
		return MF_FAIL(err, MF_E_TOOBIG, "url: %zu bytes, at most %u", text.n, MF_URL_MAX);
	if (!u.https && !mf_slice_starts(text, MF_SLICE_LIT("http://")))
		return MF_FAIL(err, MF_E_INVALID, "url: must begin with https://");
	for (end = at; end < text.n && text.p[end] != '/' && text.p[end] != '?';)
		end++;
	MF_TRY(take_authority(mf_slice_sub(text, at, end - at), &u, err));
	for (q = end; q < text.n && text.p[q] != '?';)
		q++;
	u.path = mf_slice_sub(text, end, q - end);
	u.query = mf_slice_sub(text, q + 1, text.n);
	if (!chars_ok(u.path, false) || !chars_ok(u.query, true))
		return MF_FAIL(err, MF_E_INVALID, "url: a byte that may not be in a path or query");
	if (!dots_ok(u.path))
		return MF_FAIL(err, MF_E_INVALID, "url: \".\" or \"..\" in the path");
	*ret_u = u;
	return MF_OK;
}

void
mf_url_encode(struct mf_buf *to, struct mf_slice s)
{
	static const char digits[] = "0123456789ABCDEF";
	for (size_t i = 0; i < s.n; i++) {
		if (is_unreserved(s.p[i])) {
			mf_buf_put_u8(to, s.p[i]);
			continue;
		}
		mf_buf_put_u8(to, '%');
		mf_buf_put_u8(to, (uint8_t)digits[s.p[i] >> 4]);
		mf_buf_put_u8(to, (uint8_t)digits[s.p[i] & 15]);
	}
}

enum mf_status
mf_url_decode(struct mf_slice s, struct mf_buf *to, struct mf_err *err)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '%') {
			mf_buf_put_u8(to, s.p[i]);
			continue;
		}
		int hi = i + 2 < s.n ? hex_of(s.p[i + 1]) : -1, lo = i + 2 < s.n ? hex_of(s.p[i + 2]) : -1;
		if (hi < 0 || lo < 0)
			return MF_FAIL(err, MF_E_INVALID, "a percent sign without two digits at byte %zu", i);
		mf_buf_put_u8(to, (uint8_t)(hi * 16 + lo));
		i += 2;
	}
	return mf_buf_check(to, err);
}
