#include "base/text.h"

static const char hexd[] = "0123456789abcdef";
static const char b64std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char b64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char b32low[] = "abcdefghijklmnopqrstuvwxyz234567";

void
mf_hex_put(struct mf_buf *to, struct mf_slice from)
{
	uint8_t *at = mf_buf_extend(to, from.n * 2);
	for (size_t i = 0; at != NULL && i < from.n; i++) {
		at[2 * i] = (uint8_t)hexd[from.p[i] >> 4];
		at[2 * i + 1] = (uint8_t)hexd[from.p[i] & 15];
	}
}

static int
hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

enum mf_status
mf_hex_get(struct mf_slice from, struct mf_buf *to, struct mf_err *err)
{
	if (from.n % 2 != 0)
		return MF_FAIL(err, MF_E_INVALID, "hex: odd number of digits");
	for (size_t i = 0; i < from.n; i += 2) {
		int hi = hex_value(from.p[i]), lo = hex_value(from.p[i + 1]);
		if (hi < 0 || lo < 0)
			return MF_FAIL(err, MF_E_INVALID, "hex: bad digit at %zu (lowercase only)", i);
		mf_buf_put_u8(to, (uint8_t)(hi << 4 | lo));
	}
	return mf_buf_check(to, err);
}

/* The common engine: ${bits} per letter, 6 or 5. */
static void
put_bits(struct mf_buf *to, struct mf_slice from, const char *abc, unsigned bits)
{
	uint32_t acc = 0;
	unsigned have = 0;
	uint8_t *at = mf_buf_extend(to, (from.n * 8 + bits - 1) / bits);
	if (at == NULL)
		return;
	for (size_t i = 0; i < from.n; i++) {
		acc = (acc << 8 | from.p[i]) & 0xffff;
		have += 8;
		while (have >= bits) {
			have -= bits;
			*at++ = (uint8_t)abc[acc >> have & ((1u << bits) - 1)];
		}
	}
	if (have > 0)
		*at = (uint8_t)abc[acc << (bits - have) & ((1u << bits) - 1)];
}

void
mf_base64_put(struct mf_buf *to, struct mf_slice from)
{
	put_bits(to, from, b64std, 6);
	for (size_t pad = (3 - from.n % 3) % 3; pad > 0; pad--)
		mf_buf_put_u8(to, '=');
}

void
mf_base64url_put(struct mf_buf *to, struct mf_slice from)
{
	put_bits(to, from, b64url, 6);
}

void
mf_base32_put(struct mf_buf *to, struct mf_slice from)
{
	put_bits(to, from, b32low, 5);
}

static int
letter_value(uint8_t c, const char *abc)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == (uint8_t)abc[62])
		return 62;
	if (c == (uint8_t)abc[63])
		return 63;
	return -1;
}

static enum mf_status
get64(struct mf_slice from, struct mf_buf *to, const char *abc, struct mf_err *err)
{
	uint32_t acc = 0;
	unsigned have = 0;
	for (size_t i = 0; i < from.n; i++) {
		int v = letter_value(from.p[i], abc);
		if (v < 0)
			return MF_FAIL(err, MF_E_INVALID, "base64: bad letter at %zu", i);
		acc = (acc << 6 | (uint32_t)v) & 0xffff;
		have += 6;
		if (have >= 8) {
			have -= 8;
			mf_buf_put_u8(to, (uint8_t)(acc >> have));
		}
	}
	if (have == 6 || (acc & ((1u << have) - 1)) != 0)
		return MF_FAIL(err, MF_E_INVALID, "base64: not the canonical end");
	return mf_buf_check(to, err);
}

enum mf_status
mf_base64url_get(struct mf_slice from, struct mf_buf *to, struct mf_err *err)
{
	return get64(from, to, b64url, err);
}

enum mf_status
mf_base64_get(struct mf_slice from, struct mf_buf *to, struct mf_err *err)
{
	if (from.n % 4 != 0)
		return MF_FAIL(err, MF_E_INVALID, "base64: length is not a multiple of 4");
	size_t n = from.n;
	for (int pad = 0; pad < 2 && n > 0 && from.p[n - 1] == '='; pad++)
		n--;
	return get64(mf_slice(from.p, n), to, b64std, err);
}

/* Bytes from the beginning that are whole, well-formed sequences. */
static size_t
utf8_prefix(struct mf_slice s)
{
	size_t i = 0;
	while (i < s.n) {
		uint8_t c = s.p[i];
		size_t more;
		uint32_t v, least;
		if (c == 0)
			return i;
		if (c < 0x80) {
			i++;
			continue;
		}
		if (c >= 0xc2 && c <= 0xdf) {
			more = 1, v = c & 0x1fu, least = 0x80;
		} else if (c >= 0xe0 && c <= 0xef) {
			more = 2, v = c & 0x0fu, least = 0x800;
		} else if (c >= 0xf0 && c <= 0xf4) {
			more = 3, v = c & 0x07u, least = 0x10000;
		} else {
			return i;
		}
		if (s.n - i <= more)
			return i;
		for (size_t k = 1; k <= more; k++) {
			if ((s.p[i + k] & 0xc0) != 0x80)
				return i;
			v = v << 6 | (s.p[i + k] & 0x3fu);
		}
		if (v < least || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
			return i;
		i += more + 1;
	}
	return i;
}

bool
mf_utf8_ok(struct mf_slice s)
{
	return utf8_prefix(s) == s.n;
}

size_t
mf_utf8_cut(struct mf_slice s, size_t max)
{
	return utf8_prefix(mf_slice_sub(s, 0, max));
}

bool
mf_parse_u64(struct mf_slice s, uint64_t *ret_v)
{
	if (s.n == 0 || s.n > 20 || (s.n > 1 && s.p[0] == '0'))
		return false;
	uint64_t v = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		uint64_t d = (uint64_t)(s.p[i] - '0');
		if (v > (UINT64_MAX - d) / 10)
			return false;
		v = v * 10 + d;
	}
	*ret_v = v;
	return true;
}

enum mf_status
mf_parse_duration(struct mf_slice s, uint64_t *ret_ms, struct mf_err *err)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 } };
	size_t digits = 0;
	while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
		digits++;
	uint64_t v;
	if (digits == 0 || !mf_parse_u64(mf_slice(s.p, digits), &v))
		return MF_FAIL(err, MF_E_INVALID, "duration: write a number and a unit, like 20m or 90s");
	struct mf_slice unit = mf_slice_sub(s, digits, s.n);
	for (size_t i = 0; i < MF_COUNT(units); i++) {
		if (!mf_slice_eq_str(unit, units[i].unit))
			continue;
		if (v > UINT64_MAX / units[i].ms || v * units[i].ms > UINT64_C(3660) * 86400000)
			return MF_FAIL(err, MF_E_TOOBIG, "duration: more than ten years");
		*ret_ms = v * units[i].ms;
		return MF_OK;
	}
	return MF_FAIL(err, MF_E_INVALID, "duration: unit must be ms, s, m, h or d");
}
