#include "codec/der.h"

#include "base/clock.h"

#define TIME_MAX_S INT64_C(253402300799) /* 9999-12-31T23:59:59Z */
#define LONG_FORM 0x80

bool
mf_der_read(struct mf_reader *r, struct mf_der *ret_el)
{
	struct mf_reader at = *r;
	uint8_t tag, b;
	if (!mf_read_u8(&at, &tag) || !mf_read_u8(&at, &b))
		return false;
	/* 0x1f opens a multi-byte tag, 0 is the end-of-contents mark: certificates have neither */
	if ((tag & 0x1f) == 0x1f || tag == 0)
		return false;
	size_t len = b;
	if (b >= LONG_FORM) {
		unsigned n = b & 0x7fu;
		if (n == 0 || n > 4) /* X.690 10.1: definite form; 4 bytes are more than any cap of ours */
			return false;
		len = 0;
		for (unsigned i = 0; i < n; i++) {
			if (!mf_read_u8(&at, &b))
				return false;
			if (i == 0 && b == 0)
				return false;
			len = len << 8 | b;
		}
		if (len < LONG_FORM) /* 10.1: "the minimum number of octets" */
			return false;
	}
	struct mf_slice body;
	if (!mf_read_bytes(&at, len, &body))
		return false;
	*ret_el = (struct mf_der) { tag, body, mf_slice(r->p, r->n - at.n) };
	*r = at;
	return true;
}

bool
mf_der_expect(struct mf_reader *r, uint8_t tag, struct mf_slice *ret_body)
{
	struct mf_reader at = *r;
	struct mf_der el;
	if (!mf_der_read(&at, &el) || el.tag != tag)
		return false;
	*r = at;
	*ret_body = el.body;
	return true;
}

bool
mf_der_only(struct mf_slice in, uint8_t tag, struct mf_slice *ret_body)
{
	struct mf_reader r = mf_reader(in);
	struct mf_slice body;
	if (!mf_der_expect(&r, tag, &body) || !mf_reader_end(&r))
		return false;
	*ret_body = body;
	return true;
}

bool
mf_der_get_positive(struct mf_slice body, struct mf_slice *ret_magnitude)
{
	if (body.n == 0 || (body.p[0] & 0x80) != 0)
		return false;
	if (body.p[0] == 0) {
		if (body.n == 1 || (body.p[1] & 0x80) == 0) /* zero, or a zero byte without need */
			return false;
		body = mf_slice_sub(body, 1, body.n);
	}
	*ret_magnitude = body;
	return true;
}

bool
mf_der_get_bool(struct mf_slice body, bool *ret_v)
{
	if (body.n != 1 || (body.p[0] != 0 && body.p[0] != 0xff))
		return false;
	*ret_v = body.p[0] != 0;
	return true;
}

bool
mf_der_get_time(uint8_t tag, struct mf_slice body, int64_t *ret_s)
{
	uint8_t t[14];
	bool utc = tag == MF_DER_UTC_TIME;
	if (!(utc && body.n == 13) && !(tag == MF_DER_GENERALIZED_TIME && body.n == 15))
		return false;
	if (body.p[body.n - 1] != 'Z')
		return false;
	if (utc) { /* YYMMDDHHMMSSZ: 50..99 are 19YY, 00..49 are 20YY */
		memcpy(t, body.p[0] >= '5' ? "19" : "20", 2);
		memcpy(t + 2, body.p, 12);
	} else {
		memcpy(t, body.p, 14);
	}
	/* to the spelling that base/clock.h reads */
	static const char shape[] = "0123-45-67T89:ab:cdZ";
	uint8_t text[sizeof(shape) - 1];
	for (size_t i = 0, from = 0; i < sizeof(text); i++) {
		bool digit = (shape[i] >= '0' && shape[i] <= '9') || (shape[i] >= 'a' && shape[i] <= 'd');
		text[i] = digit ? t[from++] : (uint8_t)shape[i];
	}
	int64_t us;
	if (mf_time_get(mf_slice(text, sizeof(text)), &us, NULL) != MF_OK)
		return false;
	bool late = memcmp(t, "2050", 4) >= 0;
	if (late == utc) /* RFC 5280: one spelling per year */
		return false;
	*ret_s = us / 1000000;
	return true;
}

static void
put_length(struct mf_buf *b, size_t n)
{
	if (n < LONG_FORM) {
		mf_buf_put_u8(b, (uint8_t)n);
	} else if (n <= 0xff) {
		mf_buf_put_u8(b, 0x81);
		mf_buf_put_u8(b, (uint8_t)n);
	} else if (n <= 0xffff) {
		mf_buf_put_u8(b, 0x82);
		mf_buf_put_u16be(b, (uint16_t)n);
	} else if (n <= UINT32_MAX) {
		uint8_t extra = n > 0xffffff ? 4 : 3;
		mf_buf_put_u8(b, LONG_FORM | extra);
		for (unsigned i = extra; i-- > 0;)
			mf_buf_put_u8(b, (uint8_t)(n >> (8 * i)));
	} else if (b->failed == MF_OK) {
		b->failed = MF_E_TOOBIG;
	}
}

void
mf_der_put(struct mf_buf *b, uint8_t tag, struct mf_slice body)
{
	mf_buf_put_u8(b, tag);
	put_length(b, body.n);
	mf_buf_put_slice(b, body);
}

size_t
mf_der_open(struct mf_buf *b, uint8_t tag)
{
	mf_buf_put_u8(b, tag);
	return b->n;
}

void
mf_der_close(struct mf_buf *b, size_t mark)
{
	if (b->failed != MF_OK)
		return;
	/* The length goes before contents that are there already: write it behind, then rotate. */
	size_t n = b->n - mark, end = b->n;
	put_length(b, n);
	if (b->failed != MF_OK)
		return;
	uint8_t len[8];
	size_t len_n = b->n - end;
	memcpy(len, b->p + end, len_n);
	memmove(b->p + mark + len_n, b->p + mark, n);
	memcpy(b->p + mark, len, len_n);
}

void
mf_der_put_uint(struct mf_buf *b, struct mf_slice magnitude)
{
	while (magnitude.n > 1 && magnitude.p[0] == 0)
		magnitude = mf_slice_sub(magnitude, 1, magnitude.n);
	bool pad = magnitude.n == 0 || (magnitude.p[0] & 0x80) != 0;
	mf_buf_put_u8(b, MF_DER_INTEGER);
	put_length(b, magnitude.n + pad);
	if (pad)
		mf_buf_put_u8(b, 0);
	mf_buf_put_slice(b, magnitude);
}

void
mf_der_put_true(struct mf_buf *b)
{
	static const uint8_t t[] = { MF_DER_BOOLEAN, 1, 0xff };
	mf_buf_put(b, t, sizeof(t));
}

void
mf_der_put_bits(struct mf_buf *b, struct mf_slice bytes)
{
	mf_buf_put_u8(b, MF_DER_BIT_STRING);
	put_length(b, bytes.n + 1);
	mf_buf_put_u8(b, 0);
	mf_buf_put_slice(b, bytes);
}

void
mf_der_put_time(struct mf_buf *b, int64_t unix_s)
{
	if (unix_s < 0 || unix_s > TIME_MAX_S) {
		if (b->failed == MF_OK)
			b->failed = MF_E_INVALID;
		return;
	}
	int y, mon, d, h, min, s;
	mf_civil(unix_s, &y, &mon, &d, &h, &min, &s);
	bool utc = y < 2050;
	mf_buf_put_u8(b, utc ? MF_DER_UTC_TIME : MF_DER_GENERALIZED_TIME);
	mf_buf_put_u8(b, utc ? 13 : 15);
	if (utc)
		mf_buf_putf(b, "%02d", y % 100);
	else
		mf_buf_putf(b, "%04d", y);
	mf_buf_putf(b, "%02d%02d%02d%02d%02dZ", mon, d, h, min, s);
}
