/* What RFC 9113 forbids: windows, order, sizes, beginnings. */
#include <sys/socket.h>
#include <unistd.h>

#include "foe_h2.h"

/* --- windows --- */

static uint32_t
window_overflow(struct mf_foe_ctx *c)
{
	return mf_foe_flood(c, 2, WINDOW_UPDATE, 0, 0, MF_SLICE_LIT("\x7f\xff\xff\xff"));
}

static uint32_t
window_of_zero(struct mf_foe_ctx *c)
{
	return mf_foe_flood(c, 1, WINDOW_UPDATE, 0, 0, MF_SLICE_LIT("\0\0\0\0"));
}

static uint32_t
window_of_zero_on_stream(struct mf_foe_ctx *c)
{
	mf_foe_stream(c, 1, 0);
	return mf_foe_flood(c, 1, WINDOW_UPDATE, 0, 1, MF_SLICE_LIT("\0\0\0\0"));
}

static uint32_t
settings_window_too_large(struct mf_foe_ctx *c)
{
	return mf_foe_flood(c, 1, SETTINGS, 0, 0, MF_SLICE_LIT("\0\4\x80\0\0\0"));
}

/* 128 messages that never end: what is kept of them is bounded. */
static uint32_t
messages_unfinished(struct mf_foe_ctx *c)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 16384);
	memset(mf_buf_extend(&b, 16384), 0, 16384);
	for (uint32_t id = 1; id < 256; id += 2) {
		mf_foe_stream(c, id, 0);
		h2_frame_head(&c->f.to, 16384, DATA, 0, id);
		mf_buf_put_u8(&c->f.to, 0); /* a message that never ends */
		mf_buf_put_u32be(&c->f.to, 200000);
		mf_buf_put_slice(&c->f.to, mf_slice_sub(mf_buf_slice(&b), 0, 16379));
		for (unsigned k = 0; k < 4; k++)
			h2_frame(&c->f.to, DATA, 0, id, mf_buf_slice(&b));
	}
	return mf_foe_end_of(c, 255);
}

/* Answers nobody takes: windows of nothing, as many streams as are allowed and more. */
static uint32_t
window_stall(struct mf_foe_ctx *c)
{
	h2_frame(&c->f.to, SETTINGS, 0, 0, MF_SLICE_LIT("\0\4\0\0\0\0"));
	for (uint32_t id = 1; id < 400; id += 2) {
		mf_foe_stream(c, id, 0);
		mf_foe_message(&c->f, id, END_STREAM, 0, 0, NOTHING);
	}
	(void)mf_foe_say(&c->f);
	mf_foe_beside(c);
	mf_foe_linger(&c->f, 200);
	return 0;
}

/* --- order and sizes --- */

static uint32_t
oversized_frame(struct mf_foe_ctx *c)
{
	mf_foe_stream(c, 1, 0);
	h2_frame_head(&c->f.to, 16385, DATA, 0, 1);
	memset(mf_buf_extend(&c->f.to, 16385), 0, 16385);
	return mf_foe_end(c);
}

static uint32_t
frame_of_16_mib(struct mf_foe_ctx *c)
{
	h2_frame_head(&c->f.to, 0xffffff, 0xbb, 0, 0);
	return mf_foe_end(c);
}

static uint32_t
ping_of_seven(struct mf_foe_ctx *c)
{
	return mf_foe_flood(c, 1, PING, 0, 0, MF_SLICE_LIT("1234567"));
}

static uint32_t
settings_ack_with_body(struct mf_foe_ctx *c)
{
	return mf_foe_flood(c, 1, SETTINGS, 1, 0, MF_SLICE_LIT("\0\4\0\0\0\0"));
}

static uint32_t
data_on_idle(struct mf_foe_ctx *c)
{
	return mf_foe_flood(c, 1, DATA, 0, 7, MF_SLICE_LIT("x"));
}

static uint32_t
data_on_0(struct mf_foe_ctx *c)
{
	return mf_foe_flood(c, 1, DATA, 0, 0, MF_SLICE_LIT("x"));
}

static uint32_t
data_after_end(struct mf_foe_ctx *c)
{
	mf_foe_stream(c, 1, END_STREAM);
	return mf_foe_flood(c, 1, DATA, 0, 1, MF_SLICE_LIT("x"));
}

static uint32_t
head_after_end(struct mf_foe_ctx *c)
{
	mf_foe_stream(c, 1, END_STREAM);
	(void)mf_foe_say(&c->f);
	mf_foe_stream(c, 1, END_STREAM);
	return mf_foe_end(c);
}

static uint32_t
head_passed_over(struct mf_foe_ctx *c)
{
	mf_foe_stream(c, 9, END_STREAM);
	mf_foe_stream(c, 5, END_STREAM);
	return mf_foe_end(c);
}

static uint32_t
even_stream(struct mf_foe_ctx *c)
{
	mf_foe_stream(c, 2, END_STREAM);
	return mf_foe_end(c);
}

static uint32_t
push_promise(struct mf_foe_ctx *c)
{
	mf_foe_stream(c, 1, 0);
	return mf_foe_flood(c, 1, PUSH_PROMISE, END_HEADERS, 1, MF_SLICE_LIT("\0\0\0\2\x82"));
}

static uint32_t
priority_on_itself(struct mf_foe_ctx *c)
{
	return mf_foe_flood(c, 1, PRIORITY, 0, 1, MF_SLICE_LIT("\0\0\0\1\1"));
}

static uint32_t
padding_longer_than_frame(struct mf_foe_ctx *c)
{
	mf_foe_stream(c, 1, 0);
	return mf_foe_flood(c, 1, DATA, 8, 1,
	    MF_SLICE_LIT("\xff"
			 "abc"));
}

/* One that never acknowledges our SETTINGS is held to them all the same. */
static uint32_t
settings_unacknowledged(struct mf_foe_ctx *c)
{
	c->f.no_ack = true;
	for (uint32_t id = 1; id < 800; id += 2)
		mf_foe_stream(c, id, 0);
	return mf_foe_end_of(c, 799);
}

static uint32_t
too_many_streams(struct mf_foe_ctx *c)
{
	for (uint32_t id = 1; id < 800; id += 2)
		mf_foe_stream(c, id, 0);
	return mf_foe_end_of(c, 799);
}

/* --- beginnings --- */

static uint32_t
http1(struct mf_foe_ctx *c)
{
	mf_buf_reset(&c->f.to);
	mf_buf_put_str(&c->f.to, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	return mf_foe_end(c);
}

static uint32_t
bad_preface(struct mf_foe_ctx *c)
{
	mf_buf_reset(&c->f.to);
	mf_buf_put_str(&c->f.to, "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
	return mf_foe_end(c);
}

static uint32_t
no_settings(struct mf_foe_ctx *c)
{
	mf_buf_reset(&c->f.to);
	mf_buf_put_str(&c->f.to, H2_PREFACE);
	return mf_foe_flood(c, 1, PING, 0, 0, MF_SLICE_LIT("12345678"));
}

/* Connections that stop half way through their beginning; one that comes after them is served. */
static uint32_t
half_open(struct mf_foe_ctx *c)
{
	int fds[130]; /* twice as many as may shake hands at one time */
	for (size_t i = 0; i < MF_COUNT(fds); i++) {
		fds[i] = mf_foe_dial(c->t);
		if (fds[i] >= 0)
			(void)send(
			    fds[i], c->t->at[0] == '/' ? "PRI * HT" : "\x16\3\1\2\0\1", 6, MSG_NOSIGNAL);
	}
	mf_foe_beside(c);
	struct foe late;
	bool open = mf_foe_open(&late, c->t);
	mf_foe_greet(&late, NOTHING);
	if (!open || !mf_foe_ask(&late, 1, c->path))
		c->probe_bad = true;
	mf_foe_shut(&late);
	for (size_t i = 0; i < MF_COUNT(fds); i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
	return 0;
}

const struct mf_foe_case mf_foe_frames[] = {
	CASE("window-overflow", window_overflow, "goaway=3 closed", "protocol_errors"),
	CASE("window-of-zero", window_of_zero, BAD, "protocol_errors"),
	CASE("window-of-zero-on-stream", window_of_zero_on_stream, BAD, "protocol_errors"),
	CASE("settings-window-too-large", settings_window_too_large, "goaway=3 closed", "protocol_errors"),
	HOLDS("messages-unfinished", messages_unfinished, "grpc=8 open|rst=7 open", "bad_messages"),
	HOLDS("window-stall", window_stall, "open", "-"),
	CASE("oversized-frame", oversized_frame, "goaway=6 closed", "protocol_errors"),
	CASE("frame-of-16-mib", frame_of_16_mib, "goaway=6 closed", "protocol_errors"),
	CASE("ping-of-seven", ping_of_seven, "goaway=6 closed", "protocol_errors"),
	CASE("settings-ack-with-body", settings_ack_with_body, "goaway=6 closed", "protocol_errors"),
	CASE("data-on-idle", data_on_idle, BAD, "protocol_errors"),
	CASE("data-on-0", data_on_0, BAD, "protocol_errors"),
	CASE("data-after-end", data_after_end, "goaway=5 closed", "protocol_errors"),
	CASE("head-after-end", head_after_end, "goaway=5 closed", "protocol_errors"),
	CASE("head-passed-over", head_passed_over, BAD, "protocol_errors"),
	CASE("even-stream", even_stream, BAD, "protocol_errors"),
	CASE("push-promise", push_promise, BAD, "protocol_errors"),
	CASE("priority-on-itself", priority_on_itself, BAD, "protocol_errors"),
	CASE("padding-longer-than-frame", padding_longer_than_frame, BAD, "protocol_errors"),
	HOLDS("settings-unacknowledged", settings_unacknowledged, "rst=7 open", "resets_out"),
	HOLDS("too-many-streams", too_many_streams, "rst=7 open", "resets_out"),
	CASE("http1", http1, "http=505 closed", "protocol_errors"),
	CASE("bad-preface", bad_preface, BAD, "protocol_errors"),
	CASE("no-settings", no_settings, BAD, "protocol_errors"),
	HOLDS("half-open", half_open, "open", "-"),
};
const size_t mf_foe_frames_n = MF_COUNT(mf_foe_frames);
