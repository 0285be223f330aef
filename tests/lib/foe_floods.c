/* Too much of what is allowed: frames that carry nothing, and heads that never end. */
#include "foe_h2.h"

/* --- floods --- */

static uint32_t
rapid_reset(struct mf_foe_ctx *c)
{
	for (uint32_t id = 1; id < 2 * MANY; id += 2) {
		mf_foe_stream(c, id, 0);
		h2_frame(&c->f.to, RST_STREAM, 0, id, MF_SLICE_LIT("\0\0\0\10"));
	}
	return mf_foe_end(c);
}

/* CVE-2025-8671: the server is made to reset what the client opened. */
static uint32_t
made_you_reset_window(struct mf_foe_ctx *c)
{
	for (uint32_t id = 1; id < 2 * MANY; id += 2) {
		mf_foe_stream(c, id, 0);
		h2_frame(&c->f.to, WINDOW_UPDATE, 0, id, MF_SLICE_LIT("\x7f\xff\xff\xff"));
	}
	return mf_foe_end(c);
}

static uint32_t
made_you_reset_length(struct mf_foe_ctx *c)
{
	static const char *const lies[] = { "content-length", "0", NULL };
	for (uint32_t id = 1; id < 2 * MANY; id += 2) {
		mf_foe_head(&c->f, id, 0, c->path, lies);
		mf_foe_message(&c->f, id, END_STREAM, 0, 0, NOTHING);
	}
	return mf_foe_end(c);
}

static uint32_t
made_you_reset_head(struct mf_foe_ctx *c)
{
	static const char *const odd[] = { "Upper-Case", "x", NULL };
	for (uint32_t id = 1; id < 2 * MANY; id += 2)
		mf_foe_head(&c->f, id, END_STREAM, c->path, odd);
	return mf_foe_end(c);
}

static uint32_t
ping_flood(struct mf_foe_ctx *c)
{
	return mf_foe_flood(c, MANY, PING, 0, 0, MF_SLICE_LIT("12345678"));
}

/* The same from one who reads no answer: what is owed to it must stay bounded. */
static uint32_t
ping_unread(struct mf_foe_ctx *c)
{
	c->f.mute = true;
	for (unsigned i = 0; i < 200000; i++)
		h2_frame(&c->f.to, PING, 0, 0, MF_SLICE_LIT("12345678"));
	(void)mf_foe_say(&c->f);
	c->f.mute = false;
	return mf_foe_end(c);
}

static uint32_t
settings_flood(struct mf_foe_ctx *c)
{
	return mf_foe_flood(c, MANY, SETTINGS, 0, 0, NOTHING);
}

static uint32_t
settings_large(struct mf_foe_ctx *c)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 16384);
	for (unsigned i = 0; i < 2000; i++)
		mf_buf_put_slice(&b, MF_SLICE_LIT("\0\4\0\0\xff\xff"));
	return mf_foe_flood(c, 1, SETTINGS, 0, 0, mf_buf_slice(&b));
}

static uint32_t
empty_data(struct mf_foe_ctx *c)
{
	mf_foe_stream(c, 1, 0);
	return mf_foe_flood(c, MANY, DATA, 0, 1, NOTHING);
}

static uint32_t
priority_flood(struct mf_foe_ctx *c)
{
	return mf_foe_flood(c, MANY, PRIORITY, 0, 1, MF_SLICE_LIT("\0\0\0\0\1"));
}

static uint32_t
unknown_flood(struct mf_foe_ctx *c)
{
	return mf_foe_flood(c, MANY, 0xbb, 0, 0, MF_SLICE_LIT("x"));
}

static uint32_t
window_flood(struct mf_foe_ctx *c)
{
	return mf_foe_flood(c, MANY, WINDOW_UPDATE, 0, 0, MF_SLICE_LIT("\0\0\0\1"));
}

static uint32_t
reset_closed_flood(struct mf_foe_ctx *c)
{
	mf_foe_stream(c, 3, END_STREAM);
	return mf_foe_flood(c, MANY, RST_STREAM, 0, 1, MF_SLICE_LIT("\0\0\0\10"));
}

/* --- heads --- */

static void
begin_head(struct mf_foe_ctx *c)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 16384);
	mf_foe_head_block(&b, c->path, NULL);
	h2_frame(&c->f.to, HEADERS, END_STREAM, 1, mf_buf_slice(&b)); /* no END_HEADERS */
}

static uint32_t
continuation_flood(struct mf_foe_ctx *c)
{
	begin_head(c);
	return mf_foe_flood(c, MANY, CONTINUATION, 0, 1, NOTHING);
}

static uint32_t
continuation_fields(struct mf_foe_ctx *c)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 16384);
	h2_field(&b, "a", "b");
	begin_head(c);
	return mf_foe_flood(c, MANY, CONTINUATION, 0, 1, mf_buf_slice(&b));
}

/* A head of many megabytes, which must not be kept. */
static uint32_t
endless_head(struct mf_foe_ctx *c)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	char value[1000];
	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	mf_buf_init(&b, 16384);
	for (unsigned i = 0; i < 16; i++)
		h2_field(&b, "a", value);
	begin_head(c);
	return mf_foe_flood(c, 1000, CONTINUATION, 0, 1, mf_buf_slice(&b));
}

static uint32_t
continuation_interrupted(struct mf_foe_ctx *c)
{
	begin_head(c);
	return mf_foe_flood(c, 1, PING, 0, 0, MF_SLICE_LIT("12345678"));
}

static uint32_t
continuation_alone(struct mf_foe_ctx *c)
{
	return mf_foe_flood(c, 1, CONTINUATION, END_HEADERS, 1, MF_SLICE_LIT("\x82"));
}

/* One byte stands for 3,000: 45 MB of fields in 15 KB. */
static uint32_t
hpack_bomb(struct mf_foe_ctx *c)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	char value[3001];
	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	mf_buf_init(&b, 16384);
	mf_foe_head_block(&b, c->path, NULL);
	mf_buf_put_u8(&b, 0x40);
	h2_hpack_int(&b, 0, 7, 1);
	mf_buf_put_str(&b, "x");
	h2_hpack_int(&b, 0, 7, sizeof(value) - 1);
	mf_buf_put_str(&b, value);
	while (b.n < 16000)
		mf_buf_put_u8(&b, 0x80 | 62);
	h2_frame(&c->f.to, HEADERS, END_STREAM | END_HEADERS, 1, mf_buf_slice(&b));
	return mf_foe_end(c);
}

static uint32_t
hpack_block(struct mf_foe_ctx *c, struct mf_slice block)
{
	h2_frame(&c->f.to, HEADERS, END_STREAM | END_HEADERS, 1, block);
	return mf_foe_end(c);
}

static uint32_t
hpack_table_size(struct mf_foe_ctx *c)
{
	return hpack_block(c, MF_SLICE_LIT("\x3f\xff\xff\xff\xff\7"));
}

static uint32_t
hpack_no_entry(struct mf_foe_ctx *c)
{
	return hpack_block(c, MF_SLICE_LIT("\xff\xff\xff\x7f"));
}

static uint32_t
hpack_long_integer(struct mf_foe_ctx *c)
{
	return hpack_block(c, MF_SLICE_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"));
}

static uint32_t
hpack_bad_huffman(struct mf_foe_ctx *c)
{
	return hpack_block(c, MF_SLICE_LIT("\0\x84\xff\xff\xff\xff\1x")); /* a whole EOS */
}

static uint32_t
head_too_large(struct mf_foe_ctx *c)
{
	char value[8000];
	const char *const extra[] = { "a", value, "b", value, NULL };
	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 65536);
	mf_foe_head_block(&b, c->path, extra);
	h2_frame(&c->f.to, HEADERS, END_STREAM, 1, mf_slice_sub(mf_buf_slice(&b), 0, 16000));
	h2_frame(&c->f.to, CONTINUATION, END_HEADERS, 1, mf_slice_sub(mf_buf_slice(&b), 16000, b.n));
	return mf_foe_end_of(c, 1);
}

const struct mf_foe_case mf_foe_floods[] = {
	HOLDS("rapid-reset", rapid_reset, CALM, "floods"),
	CASE("made-you-reset-window", made_you_reset_window, CALM, "floods"),
	CASE("made-you-reset-length", made_you_reset_length, CALM, "floods"),
	CASE("made-you-reset-head", made_you_reset_head, CALM, "floods"),
	CASE("ping-flood", ping_flood, CALM, "floods"),
	HOLDS("ping-unread", ping_unread, CALM "|closed", "floods"),
	CASE("settings-flood", settings_flood, CALM, "floods"),
	CASE("settings-large", settings_large, CALM, "floods"),
	CASE("empty-data", empty_data, CALM, "floods"),
	CASE("priority-flood", priority_flood, CALM, "floods"),
	CASE("unknown-flood", unknown_flood, CALM, "floods"),
	CASE("window-flood", window_flood, CALM, "floods"),
	CASE("reset-closed-flood", reset_closed_flood, CALM, "floods"),
	CASE("continuation-flood", continuation_flood, CALM, "floods"),
	CASE("continuation-fields", continuation_fields, CALM, "floods"),
	HOLDS("endless-head", endless_head, CALM, "floods"),
	HOLDS("hpack-bomb", hpack_bomb, CALM, "floods"),
	CASE("continuation-interrupted", continuation_interrupted, BAD, "protocol_errors"),
	CASE("continuation-alone", continuation_alone, BAD, "protocol_errors"),
	CASE("hpack-table-size", hpack_table_size, "goaway=9 closed", "protocol_errors"),
	CASE("hpack-no-entry", hpack_no_entry, "goaway=9 closed", "protocol_errors"),
	CASE("hpack-long-integer", hpack_long_integer, "goaway=9 closed", "protocol_errors"),
	CASE("hpack-bad-huffman", hpack_bad_huffman, "goaway=9 closed", "protocol_errors"),
	CASE("head-too-large", head_too_large, "grpc=8 open", "-"),
};
const size_t mf_foe_floods_n = MF_COUNT(mf_foe_floods);
