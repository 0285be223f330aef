/* Frames and header fields of HTTP/2 written by hand, for clients that break its rules. */
#ifndef MF_TESTS_H2_FRAMES_H
#define MF_TESTS_H2_FRAMES_H
#include "base/buf.h"

enum h2_type {
	DATA,
	HEADERS,
	PRIORITY,
	RST_STREAM,
	SETTINGS,
	PUSH_PROMISE,
	PING,
	GOAWAY,
	WINDOW_UPDATE,
	CONTINUATION
};
#define END_STREAM 1
#define END_HEADERS 4
#define H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

/* The 9 bytes in front of a payload of ${n} bytes, which need not be what follows. */
static inline void
h2_frame_head(struct mf_buf *b, size_t n, unsigned type, unsigned flags, uint32_t id)
{
	mf_buf_put_u8(b, (uint8_t)(n >> 16));
	mf_buf_put_u16be(b, (uint16_t)n);
	mf_buf_put_u8(b, (uint8_t)type);
	mf_buf_put_u8(b, (uint8_t)flags);
	mf_buf_put_u32be(b, id);
}

static inline void
h2_frame(struct mf_buf *b, unsigned type, unsigned flags, uint32_t id, struct mf_slice payload)
{
	h2_frame_head(b, payload.n, type, flags, id);
	mf_buf_put_slice(b, payload);
}

/* An HPACK integer behind ${bits} bits of prefix, whose other bits are ${high}. */
static inline void
h2_hpack_int(struct mf_buf *b, uint8_t high, unsigned bits, size_t n)
{
	size_t most = ((size_t)1 << bits) - 1;
	if (n < most) {
		mf_buf_put_u8(b, (uint8_t)(high | n));
		return;
	}
	mf_buf_put_u8(b, (uint8_t)(high | most));
	for (n -= most; n >= 128; n >>= 7)
		mf_buf_put_u8(b, (uint8_t)(n & 0x7f) | 0x80);
	mf_buf_put_u8(b, (uint8_t)n);
}

/* A literal field, not indexed, no Huffman code. */
static inline void
h2_field(struct mf_buf *b, const char *name, const char *value)
{
	mf_buf_put_u8(b, 0);
	h2_hpack_int(b, 0, 7, strlen(name));
	mf_buf_put_str(b, name);
	h2_hpack_int(b, 0, 7, strlen(value));
	mf_buf_put_str(b, value);
}
#endif
