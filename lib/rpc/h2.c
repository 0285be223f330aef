/* One HTTP/2 connection: nghttp2's callbacks, the way in and the way out. */
#include "rpc/h2.h"

#include <stdlib.h>

#include "base/limits.h"
#include "rpc/h2_internal.h"

#define CHUNK 16384u /* of input between two looks at the guard's findings */

static const char http1_refusal[] =
    "HTTP/1.1 505 HTTP Version Not Supported\r\n"
    "Content-Type: text/plain\r\nConnection: close\r\nContent-Length: 37\r\n\r\n"
    "this port speaks gRPC (HTTP/2) only\r\n";

void
mf_h2_wake(struct mf_h2 *h)
{
	if (h->busy == 0 && h->cfg.ops->wake != NULL)
		h->cfg.ops->wake(h->cfg.ctx);
}

static struct mf_h2_stream *
stream_of(struct mf_h2 *h, int32_t id)
{
	return id <= 0 ? NULL : nghttp2_session_get_stream_user_data(h->ng, id);
}

static enum mf_h2_head_kind
request_kind(const struct mf_h2 *h)
{
	return h->cfg.any_authority ? MF_H2_REQUEST_LOCAL : MF_H2_REQUEST;
}

static int
on_begin_headers(nghttp2_session *ng, const nghttp2_frame *f, void *user)
{
	struct mf_h2 *h = user;
	if (f->hd.type != NGHTTP2_HEADERS)
		return 0;
	if (h->cfg.server && f->headers.cat == NGHTTP2_HCAT_REQUEST) {
		struct mf_h2_stream *s = mf_h2_stream_new(h);
		if (s == NULL)
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
		s->id = f->hd.stream_id;
		return nghttp2_session_set_stream_user_data(ng, s->id, s);
	}
	if (h->cfg.server) {
		mf_h2_head_reset(&h->scratch);
		return 0;
	}
	struct mf_h2_stream *s = stream_of(h, f->hd.stream_id);
	if (s != NULL)
		mf_h2_head_reset(&s->head);
	return 0;
}

static int
on_header(nghttp2_session *ng, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
    const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
	struct mf_h2 *h = user;
	MF_UNUSED(ng);
	MF_UNUSED(flags);
	struct mf_h2_stream *s = stream_of(h, f->hd.stream_id);
	if (s == NULL || f->hd.type != NGHTTP2_HEADERS)
		return 0;
	struct mf_h2_head *to = &s->head;
	enum mf_h2_head_kind kind = MF_H2_UNCHECKED;
	if (h->cfg.server && f->headers.cat == NGHTTP2_HCAT_REQUEST) {
		kind = request_kind(h);
	} else if (h->cfg.server) {
		to = &h->scratch;
		kind = MF_H2_TRAILERS;
	}
	/* One byte of HPACK can stand for a long field: who sends many times the cap means harm. */
	if (to->listed > to->max * 8)
		h->calm_pending = true;
	if (h->calm_pending)
		return 0;
	if (mf_h2_head_add(to, kind, mf_slice(name, name_n), mf_slice(value, value_n)) != MF_OK)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	return 0;
}

static void
malformed(struct mf_h2_stream *s)
{
	s->h->cfg.counters->bad_heads++;
	mf_h2_reset(s, MF_H2_PROTOCOL_ERROR);
}

static void
peer_end(struct mf_h2_stream *s, bool tell)
{
	if (s->head.has_length && s->body_in != s->head.length && s->h->cfg.server)
		malformed(s);
	else if (tell && !s->dead)
		s->h->cfg.ops->end(s->h->cfg.ctx, s);
}

static void
server_head(struct mf_h2_stream *s, const nghttp2_frame *f, bool end)
{
	struct mf_h2 *h = s->h;
	if (f->headers.cat == NGHTTP2_HCAT_REQUEST) {
		if (!mf_h2_head_whole(&s->head, request_kind(h)) ||
		    (end && s->head.has_length && s->head.length != 0)) {
			malformed(s);
			return;
		}
		s->shown = true;
		h->cfg.counters->streams++;
		h->cfg.ops->head(h->cfg.ctx, s, false, end);
		return;
	}
	if (s->dead)
		return;
	/* RFC 9113 8.1: trailers end the stream. */
	if (!end || !mf_h2_head_whole(&h->scratch, MF_H2_TRAILERS))
		malformed(s);
	else
		peer_end(s, true);
}

static void
client_head(struct mf_h2_stream *s, bool end)
{
	struct mf_slice status;
	if (s->dead)
		return;
	bool trailers = s->final_head;
	if (!trailers && mf_h2_head_find(&s->head, ":status", &status) == 1 && status.n == 3 &&
	    status.p[0] == '1')
		return;
	s->final_head = true;
	s->h->cfg.ops->head(s->h->cfg.ctx, s, trailers, end);
}

static int
on_frame_recv(nghttp2_session *ng, const nghttp2_frame *f, void *user)
{
	struct mf_h2 *h = user;
	MF_UNUSED(ng);
	struct mf_h2_stream *s = stream_of(h, f->hd.stream_id);
	bool end = (f->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
	switch (f->hd.type) {
	case NGHTTP2_HEADERS:
		if (s != NULL && !h->calm_pending && h->cfg.server)
			server_head(s, f, end);
		else if (s != NULL && !h->calm_pending)
			client_head(s, end);
		break;
	case NGHTTP2_DATA:
		if (s != NULL && end && s->shown)
			peer_end(s, true);
		break;
	case NGHTTP2_RST_STREAM:
		if (s != NULL && h->cfg.server && !s->answered &&
		    !mf_h2_guard_take(&h->guard.reset, MF_H2_WHOLE, h->now_ms))
			h->calm_pending = true;
		break;
	case NGHTTP2_PING:
		if ((f->hd.flags & NGHTTP2_FLAG_ACK) != 0 && h->cfg.ops->ping_ack != NULL)
			h->cfg.ops->ping_ack(h->cfg.ctx, f->ping.opaque_data);
		break;
	case NGHTTP2_GOAWAY:
		h->peer_goaway = true;
		if (h->cfg.ops->goaway != NULL)
			h->cfg.ops->goaway(h->cfg.ctx, f->goaway.error_code);
		break;
	default:
		break;
	}
	return 0;
}

static int
on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *user)
{
	struct mf_h2 *h = user;
	MF_UNUSED(flags);
	struct mf_h2_stream *s = stream_of(h, id);
	if (s == NULL || !s->shown || s->dead) {
		(void)nghttp2_session_consume(ng, id, n);
		return 0;
	}
	s->body_in += n;
	s->unread += n;
	if (h->cfg.server && s->head.has_length && s->body_in > s->head.length)
		malformed(s);
	else
		h->cfg.ops->data(h->cfg.ctx, s, mf_slice(p, n));
	return 0;
}

static int
on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user)
{
	MF_UNUSED(ng);
	struct mf_h2_stream *s = stream_of(user, id);
	if (s != NULL)
		mf_h2_stream_close(s, code);
	return 0;
}

static void
end_stream_sent(struct mf_h2 *h, int32_t id)
{
	struct mf_h2_stream *s = stream_of(h, id);
	if (s == NULL)
		return;
	s->answered = true;
	/* A client that goes on sending would hold the stream: RFC 9113 8.1 allows this. */
	if (h->cfg.server && nghttp2_session_get_stream_remote_close(h->ng, id) == 0)
		(void)nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, id, MF_H2_NO_ERROR);
}

static void
rst_sent(struct mf_h2 *h, uint32_t code)
{
	h->cfg.counters->rst_out++;
	if (!h->cfg.server || code == MF_H2_NO_ERROR)
		return;
	/* Refused streams cost little, and a client may not have seen our limit yet. */
	uint32_t cost = code == MF_H2_REFUSED_STREAM ? MF_H2_QUARTER : MF_H2_WHOLE;
	if (!mf_h2_guard_take(&h->guard.reset, cost, h->now_ms))
		h->calm_pending = true;
}

static int
on_frame_send(nghttp2_session *ng, const nghttp2_frame *f, void *user)
{
	struct mf_h2 *h = user;
	MF_UNUSED(ng);
	switch (f->hd.type) {
	case NGHTTP2_HEADERS:
	case NGHTTP2_DATA:
		mf_h2_guard_earn(&h->guard);
		if ((f->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
			end_stream_sent(h, f->hd.stream_id);
		break;
	case NGHTTP2_RST_STREAM:
		rst_sent(h, f->rst_stream.error_code);
		break;
	case NGHTTP2_GOAWAY:
		if (f->goaway.error_code == MF_H2_NO_ERROR || h->fate != MF_OK)
			break;
		if (f->goaway.error_code == MF_H2_ENHANCE_YOUR_CALM) { /* nghttp2 has limits of its own */
			h->fate = MF_E_EXHAUSTED;
			h->cfg.counters->calm++;
			break;
		}
		h->fate = MF_E_INVALID;
		h->cfg.counters->protocol_errors++;
		break;
	default:
		break;
	}
	return 0;
}

static void
fill_limits(struct mf_h2_limits *l)
{
	const struct mf_h2_limits standard = {
		.streams = MF_LIM_H2_STREAMS,
		.header_list = MF_LIM_H2_HEADER_LIST,
		.stream_window = MF_LIM_H2_STREAM_WINDOW,
		.conn_window = MF_LIM_H2_CONN_WINDOW,
		.stream_out = MF_LIM_H2_STREAM_OUT,
		.conn_out = MF_LIM_H2_CONN_OUT,
		.calm_burst = MF_LIM_H2_CALM_BURST,
		.calm_rate = MF_LIM_H2_CALM_RATE,
		.reset_burst = MF_LIM_H2_RESET_BURST,
		.reset_rate = MF_LIM_H2_RESET_RATE,
	};
#define FILL(member) l->member = l->member == 0 ? standard.member : l->member
	FILL(streams);
	FILL(header_list);
	FILL(stream_window);
	FILL(conn_window);
	FILL(stream_out);
	FILL(conn_out);
	FILL(calm_burst);
	FILL(calm_rate);
	FILL(reset_burst);
	FILL(reset_rate);
#undef FILL
}

static int
make_session(struct mf_h2 *h)
{
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *opt = NULL;
	int rv = nghttp2_session_callbacks_new(&cb);
	if (rv == 0)
		rv = nghttp2_option_new(&opt);
	if (rv == 0) {
		nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
		nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
		nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
		nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
		nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
		nghttp2_option_set_no_auto_window_update(opt, 1);
		nghttp2_option_set_peer_max_concurrent_streams(opt, h->cfg.limits.streams);
		nghttp2_option_set_max_reserved_remote_streams(opt, 0);
		/* Ours, which knows unanswered from answered, is to speak first. */
		nghttp2_option_set_stream_reset_rate_limit(
		    opt, UINT64_C(4) * h->cfg.limits.reset_burst, h->cfg.limits.reset_rate);
		nghttp2_option_set_no_http_messaging(opt, h->cfg.server ? 1 : 0);
		nghttp2_mem mem = mf_h2_mem();
		rv = h->cfg.server ? nghttp2_session_server_new3(&h->ng, cb, h, opt, &mem)
				   : nghttp2_session_client_new3(&h->ng, cb, h, opt, &mem);
	}
	nghttp2_option_del(opt);
	nghttp2_session_callbacks_del(cb);
	return rv;
}

static int
submit_settings(struct mf_h2 *h)
{
	const struct mf_h2_limits *l = &h->cfg.limits;
	const nghttp2_settings_entry server[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, l->streams },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, l->stream_window },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, l->header_list },
	};
	const nghttp2_settings_entry client[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, l->stream_window },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, l->header_list },
	};
	int rv = nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, h->cfg.server ? server : client, 3);
	if (rv == 0)
		rv = nghttp2_session_set_local_window_size(
		    h->ng, NGHTTP2_FLAG_NONE, 0, (int32_t)l->conn_window);
	return rv;
}

enum mf_status
mf_h2_new(const struct mf_h2_config *cfg, uint64_t now_ms, struct mf_h2 **ret_h, struct mf_err *err)
{
	MF_AUTO(mf_h2_free) struct mf_h2 *h = calloc(1, sizeof(*h));
	if (h == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "http/2: out of memory");
	h->cfg = *cfg;
	h->now_ms = now_ms;
	fill_limits(&h->cfg.limits);
	mf_list_init(&h->streams);
	mf_buf_init(&h->raw, 1024);
	mf_h2_head_init(&h->scratch, h->cfg.limits.header_list);
	mf_h2_guard_init(&h->guard, cfg->server, &h->cfg.limits, cfg->counters, now_ms);
	if (make_session(h) != 0 || submit_settings(h) != 0)
		return MF_FAIL(err, MF_E_NOMEM, "http/2: out of memory");
	*ret_h = MF_TAKE(h);
	return MF_OK;
}

void
mf_h2_free(struct mf_h2 *h)
{
	if (h == NULL)
		return;
	h->busy++;
	if (h->fate == MF_OK)
		h->fate = MF_E_CLOSED;
	h->broken = true; /* streams end without asking nghttp2 */
	while (!mf_list_empty(&h->streams))
		mf_h2_stream_close(MF_LIST_ITEM(h->streams.next, struct mf_h2_stream, link), MF_H2_CANCEL);
	nghttp2_session_del(h->ng);
	mf_h2_head_fini(&h->scratch);
	mf_buf_fini(&h->raw);
	free(h);
}

void
mf_h2_terminate(struct mf_h2 *h, uint32_t code)
{
	if (h->fate != MF_OK)
		return;
	h->fate = MF_E_CLOSED;
	if (!h->broken)
		(void)nghttp2_session_terminate_session(h->ng, code);
	mf_h2_wake(h);
}

void
mf_h2_calm(struct mf_h2 *h)
{
	h->calm_pending = false;
	if (h->fate != MF_OK)
		return;
	h->cfg.counters->calm++;
	mf_h2_terminate(h, MF_H2_ENHANCE_YOUR_CALM);
	h->fate = MF_E_EXHAUSTED;
}

static enum mf_status
no_preface(struct mf_h2 *h, bool http1, struct mf_err *err)
{
	h->cfg.counters->protocol_errors++;
	if (http1) {
		h->broken = true; /* nothing of HTTP/2 is to follow */
		mf_buf_put(&h->raw, http1_refusal, sizeof(http1_refusal) - 1);
	} else {
		mf_h2_terminate(h, MF_H2_PROTOCOL_ERROR);
	}
	h->fate = MF_E_INVALID;
	return MF_FAIL(err, MF_E_INVALID, "the peer does not speak HTTP/2%s", http1 ? " but HTTP/1" : "");
}

static enum mf_status
recv_chunk(struct mf_h2 *h, struct mf_slice in, struct mf_err *err)
{
	h->cfg.counters->bytes_in += in.n;
	switch (mf_h2_guard_feed(&h->guard, in, h->now_ms)) {
	case MF_H2_GOOD:
		break;
	case MF_H2_MORE:
		return MF_OK;
	case MF_H2_HTTP1:
		return no_preface(h, true, err);
	case MF_H2_BAD_PREFACE:
		return no_preface(h, false, err);
	case MF_H2_BAD_STREAM:
		h->cfg.counters->protocol_errors++;
		mf_h2_terminate(h, MF_H2_PROTOCOL_ERROR);
		h->fate = MF_E_INVALID;
		return MF_FAIL(err, MF_E_INVALID, "http/2: a request on a stream that was passed over");
	case MF_H2_FLOOD:
		h->calm_pending = true;
		break;
	}
	if (!h->calm_pending) {
		ssize_t rv = nghttp2_session_mem_recv(h->ng, in.p, in.n);
		if (rv < 0) {
			h->broken = true;
			h->fate = rv == NGHTTP2_ERR_NOMEM     ? MF_E_NOMEM
				  : rv == NGHTTP2_ERR_FLOODED ? MF_E_EXHAUSTED
							      : MF_E_INVALID;
			return MF_FAIL(err, h->fate, "http/2: %s", nghttp2_strerror((int)rv));
		}
		if (nghttp2_session_get_outbound_queue_size(h->ng) > MF_LIM_H2_FRAMES_OUT)
			h->calm_pending = true;
	}
	if (h->calm_pending) {
		mf_h2_calm(h);
		return MF_FAIL(
		    err, MF_E_EXHAUSTED, "http/2: the peer floods us with control frames or resets");
	}
	return MF_OK;
}

enum mf_status
mf_h2_recv(struct mf_h2 *h, struct mf_slice in, uint64_t now_ms, struct mf_err *err)
{
	if (h->fate != MF_OK)
		return MF_FAIL(err, MF_E_CLOSED, "http/2: the connection is over");
	h->now_ms = now_ms;
	enum mf_status s = MF_OK;
	h->busy++;
	for (size_t at = 0; at < in.n && s == MF_OK && h->fate == MF_OK; at += CHUNK)
		s = recv_chunk(h, mf_slice_sub(in, at, CHUNK), err);
	h->busy--;
	return s;
}

/* A server is silent until it knows that the client speaks HTTP/2: HTTP/1 gets an answer of its own. */
static bool
may_speak(const struct mf_h2 *h)
{
	return !h->broken && (!h->cfg.server || h->fate != MF_OK || mf_h2_guard_greeted(&h->guard));
}

static enum mf_status
pull_frames(struct mf_h2 *h, struct mf_buf *to, size_t enough, struct mf_err *err)
{
	while (may_speak(h) && to->n < enough) {
		const uint8_t *p;
		ssize_t n = nghttp2_session_mem_send(h->ng, &p);
		if (n < 0) {
			h->broken = true;
			h->fate = h->fate == MF_OK ? MF_E_NOMEM : h->fate;
			return MF_FAIL(err, MF_E_NOMEM, "http/2: %s", nghttp2_strerror((int)n));
		}
		if (n == 0)
			break;
		h->cfg.counters->bytes_out += (uint64_t)n;
		mf_buf_put(to, p, (size_t)n);
		if (h->calm_pending)
			mf_h2_calm(h);
	}
	return MF_OK;
}

enum mf_status
mf_h2_pull(struct mf_h2 *h, struct mf_buf *to, size_t enough, struct mf_err *err)
{
	mf_buf_put_slice(to, mf_buf_slice(&h->raw));
	mf_buf_fini(&h->raw);
	h->busy++;
	enum mf_status s = pull_frames(h, to, enough, err);
	if (s == MF_OK && h->fate == MF_OK)
		mf_h2_notify_writable(h);
	h->busy--;
	MF_TRY(s);
	s = mf_buf_check(to, err);
	if (s != MF_OK) { /* frames are lost: the connection cannot go on */
		h->broken = true;
		h->fate = s;
	}
	return s;
}

bool
mf_h2_wants_write(const struct mf_h2 *h)
{
	return h->raw.n > 0 || (may_speak(h) && nghttp2_session_want_write(h->ng) != 0);
}

bool
mf_h2_done(const struct mf_h2 *h)
{
	if (mf_h2_wants_write(h))
		return false;
	return h->fate != MF_OK || h->broken || nghttp2_session_want_read(h->ng) == 0;
}

enum mf_status
mf_h2_fate(const struct mf_h2 *h)
{
	return h->fate;
}

void
mf_h2_drain_announce(struct mf_h2 *h)
{
	if (h->fate == MF_OK && h->cfg.server)
		(void)nghttp2_submit_shutdown_notice(h->ng);
	mf_h2_wake(h);
}

void
mf_h2_drain_close(struct mf_h2 *h)
{
	if (h->fate == MF_OK)
		(void)nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE,
		    nghttp2_session_get_last_proc_stream_id(h->ng), MF_H2_NO_ERROR, NULL, 0);
	mf_h2_wake(h);
}

void
mf_h2_ping(struct mf_h2 *h)
{
	static const uint8_t none[8];
	mf_h2_ping_with(h, none);
}

void
mf_h2_ping_with(struct mf_h2 *h, const uint8_t data[8])
{
	if (h->fate == MF_OK)
		(void)nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, data);
	mf_h2_wake(h);
}

size_t
mf_h2_streams(const struct mf_h2 *h)
{
	return h->n_streams;
}

bool
mf_h2_peer_draining(const struct mf_h2 *h)
{
	return h->peer_goaway;
}

size_t
mf_h2_queued(const struct mf_h2 *h)
{
	return h->conn_out;
}
