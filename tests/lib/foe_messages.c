/* gRPC messages that lie. */
#include "foe_h2.h"

/* --- messages --- */

static uint32_t
message(struct mf_foe_ctx *c, unsigned flags, uint8_t compressed, uint32_t declared, struct mf_slice body)
{
	mf_foe_stream(c, 1, 0);
	mf_foe_message(&c->f, 1, flags, compressed, declared, body);
	return mf_foe_end_of(c, 1);
}

static uint32_t
message_longest_lie(struct mf_foe_ctx *c)
{
	return message(c, 0, 0, 0xffffffff, MF_SLICE_LIT("x"));
}

static uint32_t
message_shorter_than_said(struct mf_foe_ctx *c)
{
	return message(c, END_STREAM, 0, 100, MF_SLICE_LIT("x"));
}

static uint32_t
message_compressed(struct mf_foe_ctx *c)
{
	return message(c, END_STREAM, 1, 4, MF_SLICE_LIT("\x1f\x8b\x08\0"));
}

static uint32_t
message_flag_unknown(struct mf_foe_ctx *c)
{
	return message(c, END_STREAM, 0x80, 0, NOTHING);
}

static uint32_t
message_no_protobuf(struct mf_foe_ctx *c)
{
	return message(c, END_STREAM, 0, 4, MF_SLICE_LIT("\xff\xff\xff\xff"));
}

static uint32_t
message_nested(struct mf_foe_ctx *c)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 4096);
	for (unsigned i = 0; i < 1000; i++)
		mf_buf_put_slice(&b, MF_SLICE_LIT("\x0b")); /* groups in groups */
	return message(c, END_STREAM, 0, (uint32_t)b.n, mf_buf_slice(&b));
}

/* A message of many empty fields: a few bytes on the wire for much memory. */
static uint32_t
message_of_elements(struct mf_foe_ctx *c)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 16384);
	while (b.n < 16000)
		mf_buf_put_slice(&b, MF_SLICE_LIT("\x0a\0"));
	return message(c, END_STREAM, 0, (uint32_t)b.n, mf_buf_slice(&b));
}

static uint32_t
prefix_cut(struct mf_foe_ctx *c)
{
	mf_foe_stream(c, 1, 0);
	h2_frame(&c->f.to, DATA, END_STREAM, 1, MF_SLICE_LIT("\0\0\0"));
	return mf_foe_end_of(c, 1);
}

/* One byte a frame, as slowly as a peer may. */
static uint32_t
prefix_in_crumbs(struct mf_foe_ctx *c)
{
	mf_foe_stream(c, 1, 0);
	for (unsigned i = 0; i < 5; i++)
		h2_frame(&c->f.to, DATA, 0, 1, i == 1 ? MF_SLICE_LIT("\xff") : MF_SLICE_LIT("\0"));
	return mf_foe_end_of(c, 1);
}

static uint32_t
timeout_odd(struct mf_foe_ctx *c)
{
	static const char *const odd[] = { "grpc-timeout", "99999999999S", NULL };
	mf_foe_head(&c->f, 1, 0, c->path, odd);
	return mf_foe_end_of(c, 1);
}

static uint32_t
encoding_unknown(struct mf_foe_ctx *c)
{
	static const char *const odd[] = { "grpc-encoding", "gzip", NULL };
	mf_foe_head(&c->f, 1, 0, c->path, odd);
	return mf_foe_end_of(c, 1);
}

const struct mf_foe_case mf_foe_messages[] = {
	CASE("message-longest-lie", message_longest_lie, "grpc=8 open", "bad_messages"),
	CASE("message-shorter-than-said", message_shorter_than_said, "grpc=13 open", "bad_messages"),
	CASE("message-compressed", message_compressed, "grpc=13 open", "bad_messages"),
	CASE("message-flag-unknown", message_flag_unknown, "grpc=13 open", "bad_messages"),
	CASE("message-no-protobuf", message_no_protobuf, "grpc=3 open", "bad_messages"),
	CASE("message-nested", message_nested, "grpc=3 open", "bad_messages"),
	CASE("message-of-elements", message_of_elements, "grpc=3 open|grpc=8 open", "bad_messages"),
	CASE("prefix-cut", prefix_cut, "grpc=13 open", "bad_messages"),
	CASE("prefix-in-crumbs", prefix_in_crumbs, "grpc=8 open", "bad_messages"),
	CASE("timeout-odd", timeout_odd, "grpc=13 open", "-"),
	CASE("encoding-unknown", encoding_unknown, "grpc=12 open", "-"),
};
const size_t mf_foe_messages_n = MF_COUNT(mf_foe_messages);
