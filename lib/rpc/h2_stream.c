/* One stream of an HTTP/2 connection: heads out, body out with caps, reset, reading. */
#include <stdlib.h>

#include "rpc/h2_internal.h"

#define FIELDS_MAX 64u /* fields of one head that we send */
#define COMPACT 65536u

struct mf_h2_stream *
mf_h2_stream_new(struct mf_h2 *h)
{
	struct mf_h2_stream *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->h = h;
	mf_h2_head_init(&s->head, h->cfg.limits.header_list);
	mf_h2_head_init(&s->trailers, h->cfg.limits.header_list);
	mf_buf_init(&s->out, (size_t)h->cfg.limits.stream_out + COMPACT);
	mf_list_add_tail(&h->streams, &s->link);
	h->n_streams++;
	return s;
}

static size_t
queued(const struct mf_h2_stream *s)
{
	return s->out.n - s->out_at;
}

static void
drop_queue(struct mf_h2_stream *s)
{
	s->h->conn_out -= queued(s);
	s->out_at = 0;
	mf_buf_fini(&s->out); /* wiped: bodies carry keys */
}

void
mf_h2_stream_close(struct mf_h2_stream *s, uint32_t code)
{
	struct mf_h2 *h = s->h;
	if (s->unread > 0 && !h->broken)
		(void)nghttp2_session_consume_connection(h->ng, s->unread);
	s->unread = 0;
	drop_queue(s);
	mf_list_del(&s->link);
	h->n_streams--;
	if (s->shown)
		h->cfg.ops->closed(h->cfg.ctx, s, code);
	mf_h2_head_fini(&s->head);
	mf_h2_head_fini(&s->trailers);
	free(s);
}

static enum mf_status
to_nv(const struct mf_h2_field *fields, size_t n, nghttp2_nv nv[FIELDS_MAX], struct mf_err *err)
{
	if (n > FIELDS_MAX)
		return MF_FAIL(err, MF_E_TOOBIG, "http/2: more than %u header fields", FIELDS_MAX);
	for (size_t i = 0; i < n; i++) {
		const struct mf_h2_field *f = &fields[i];
		if (nghttp2_check_header_value(f->value.p, f->value.n) == 0)
			return MF_FAIL(err, MF_E_INVALID, "http/2: a header value with a control byte");
		/* nghttp2 copies; its struct only lacks const. */
		union {
			const uint8_t *c;
			uint8_t *v;
		} name = { f->name.p }, value = { f->value.p };
		nv[i] = (nghttp2_nv) { name.v, value.v, f->name.n, f->value.n, NGHTTP2_NV_FLAG_NONE };
	}
	return MF_OK;
}

static enum mf_status
submitted(int rv, const char *what, struct mf_err *err)
{
	if (rv >= 0)
		return MF_OK;
	if (rv == NGHTTP2_ERR_NOMEM)
		return MF_FAIL(err, MF_E_NOMEM, "http/2 %s: out of memory", what);
	return MF_FAIL(err, MF_E_CLOSED, "http/2 %s: %s", what, nghttp2_strerror(rv));
}

/* nghttp2 asks for body bytes. */
static ssize_t
read_body(nghttp2_session *ng, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
    nghttp2_data_source *src, void *user)
{
	MF_UNUSED(user);
	struct mf_h2_stream *s = src->ptr;
	size_t n = queued(s) < room ? queued(s) : room;
	if (n > 0) {
		memcpy(to, s->out.p + s->out_at, n);
		s->out_at += n;
		s->h->conn_out -= n;
	}
	if (queued(s) > 0)
		return (ssize_t)n;
	drop_queue(s);
	if (!s->ending)
		return n > 0 ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (!s->has_trailers)
		return (ssize_t)n;
	*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
	struct mf_h2_field fields[FIELDS_MAX];
	nghttp2_nv nv[FIELDS_MAX];
	for (size_t i = 0; i < s->trailers.n; i++)
		fields[i] = mf_h2_head_field(&s->trailers, i);
	if (to_nv(fields, s->trailers.n, nv, NULL) != MF_OK ||
	    nghttp2_submit_trailer(ng, id, nv, s->trailers.n) != 0)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets the stream */
	return (ssize_t)n;
}

nghttp2_data_provider
mf_h2_provider(struct mf_h2_stream *s)
{
	return (nghttp2_data_provider) { .source.ptr = s, .read_callback = read_body };
}

enum mf_status
mf_h2_request(struct mf_h2 *h, const struct mf_h2_field *fields, size_t n, bool end, void *user,
    struct mf_h2_stream **ret_s, struct mf_err *err)
{
	nghttp2_nv nv[FIELDS_MAX];
	if (h->fate != MF_OK || h->peer_goaway)
		return MF_FAIL(
		    err, MF_E_CLOSED, "http/2: the connection takes no new requests: connect again");
	if (h->n_streams >= h->cfg.limits.streams)
		return MF_FAIL(err, MF_E_EXHAUSTED, "http/2: %zu requests are open", h->n_streams);
	MF_TRY(to_nv(fields, n, nv, err));
	struct mf_h2_stream *s = mf_h2_stream_new(h);
	if (s == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "http/2 request: out of memory");
	nghttp2_data_provider body = mf_h2_provider(s);
	int32_t id = nghttp2_submit_request(h->ng, NULL, nv, n, end ? NULL : &body, s);
	if (id < 0) {
		mf_h2_stream_close(s, MF_H2_INTERNAL_ERROR);
		return submitted(id, "request", err);
	}
	s->id = id;
	s->user = user;
	s->shown = true;
	s->responded = true; /* the head is out: body and end may follow */
	s->ending = end;
	h->cfg.counters->streams++;
	*ret_s = s;
	mf_h2_wake(h);
	return MF_OK;
}

enum mf_status
mf_h2_respond(
    struct mf_h2_stream *s, const struct mf_h2_field *fields, size_t n, bool end, struct mf_err *err)
{
	nghttp2_nv nv[FIELDS_MAX];
	if (s->dead || s->h->fate != MF_OK)
		return MF_FAIL(err, MF_E_CLOSED, "http/2: the stream is closed");
	if (s->responded)
		return MF_FAIL(err, MF_E_STATE, "http/2: a second response head");
	MF_TRY(to_nv(fields, n, nv, err));
	nghttp2_data_provider body = mf_h2_provider(s);
	MF_TRY(
	    submitted(nghttp2_submit_response(s->h->ng, s->id, nv, n, end ? NULL : &body), "response", err));
	s->responded = true;
	s->ending = end;
	mf_h2_wake(s->h);
	return MF_OK;
}

static void
resume(struct mf_h2_stream *s)
{
	/* Not deferred is not an error: nghttp2 will ask by itself. */
	(void)nghttp2_session_resume_data(s->h->ng, s->id);
	mf_h2_wake(s->h);
}

static enum mf_status
may_write(const struct mf_h2_stream *s, struct mf_err *err)
{
	if (s->dead || s->ending || s->h->fate != MF_OK)
		return MF_FAIL(err, MF_E_CLOSED, "http/2: the stream is closed");
	if (!s->responded)
		return MF_FAIL(err, MF_E_STATE, "http/2: body before the head");
	return MF_OK;
}

static bool
has_room(const struct mf_h2_stream *s, size_t n)
{
	const struct mf_h2_limits *lim = &s->h->cfg.limits;
	size_t own = queued(s), all = s->h->conn_out;
	return own + n <= lim->stream_out && (all == 0 || all + n <= lim->conn_out);
}

enum mf_status
mf_h2_write(struct mf_h2_stream *s, struct mf_slice bytes, struct mf_err *err)
{
	MF_TRY(may_write(s, err));
	if (bytes.n > s->h->cfg.limits.stream_out)
		return MF_FAIL(err, MF_E_TOOBIG, "http/2: %zu bytes at once", bytes.n);
	if (!has_room(s, bytes.n)) {
		s->blocked = true;
		return MF_FAIL(err, MF_E_AGAIN, "http/2: the peer reads too slowly");
	}
	if (s->out_at >= COMPACT) {
		mf_buf_consume(&s->out, s->out_at);
		s->out_at = 0;
	}
	size_t before = s->out.n;
	mf_buf_put_slice(&s->out, bytes);
	if (s->out.failed != MF_OK) {
		s->out.failed = MF_OK;
		s->out.n = before;
		return MF_FAIL(err, MF_E_NOMEM, "http/2: out of memory");
	}
	s->h->conn_out += bytes.n;
	resume(s);
	return MF_OK;
}

enum mf_status
mf_h2_end(struct mf_h2_stream *s, struct mf_err *err)
{
	MF_TRY(may_write(s, err));
	s->ending = true;
	resume(s);
	return MF_OK;
}

enum mf_status
mf_h2_trailers(struct mf_h2_stream *s, const struct mf_h2_field *fields, size_t n, struct mf_err *err)
{
	nghttp2_nv nv[FIELDS_MAX];
	MF_TRY(may_write(s, err));
	MF_TRY(to_nv(fields, n, nv, err));
	for (size_t i = 0; i < n; i++)
		if (mf_h2_head_add(&s->trailers, MF_H2_UNCHECKED, fields[i].name, fields[i].value) != MF_OK)
			return MF_FAIL(err, MF_E_NOMEM, "http/2 trailers: out of memory");
	if (mf_h2_head_over(&s->trailers))
		return MF_FAIL(err, MF_E_TOOBIG, "http/2: trailers over %zu bytes", s->trailers.max);
	s->has_trailers = true;
	s->ending = true;
	resume(s);
	return MF_OK;
}

void
mf_h2_reset(struct mf_h2_stream *s, uint32_t code)
{
	if (s->dead)
		return;
	s->dead = true;
	drop_queue(s);
	if (!s->h->broken)
		(void)nghttp2_submit_rst_stream(s->h->ng, NGHTTP2_FLAG_NONE, s->id, code);
	mf_h2_wake(s->h);
}

void
mf_h2_consume(struct mf_h2_stream *s, size_t n)
{
	if (n > s->unread)
		n = s->unread;
	s->unread -= n;
	if (n == 0 || s->h->broken)
		return;
	(void)nghttp2_session_consume(s->h->ng, s->id, n);
	mf_h2_wake(s->h);
}

void
mf_h2_notify_writable(struct mf_h2 *h)
{
	MF_LIST_EACH(at, &h->streams)
	{
		struct mf_h2_stream *s = MF_LIST_ITEM(at, struct mf_h2_stream, link);
		if (!s->blocked || s->dead || queued(s) > h->cfg.limits.stream_out / 2 ||
		    h->conn_out > h->cfg.limits.conn_out / 2)
			continue;
		s->blocked = false;
		h->cfg.ops->writable(h->cfg.ctx, s);
	}
}

void *
mf_h2_user(const struct mf_h2_stream *s)
{
	return s->user;
}

void
mf_h2_set_user(struct mf_h2_stream *s, void *user)
{
	s->user = user;
}

size_t
mf_h2_stream_queued(const struct mf_h2_stream *s)
{
	return queued(s);
}

size_t
mf_h2_head_count(const struct mf_h2_stream *s)
{
	return s->head.n;
}

struct mf_h2_field
mf_h2_head_at(const struct mf_h2_stream *s, size_t i)
{
	return mf_h2_head_field(&s->head, i);
}

size_t
mf_h2_head_get(const struct mf_h2_stream *s, const char *name, struct mf_slice *ret_v)
{
	return mf_h2_head_find(&s->head, name, ret_v);
}

bool
mf_h2_head_too_big(const struct mf_h2_stream *s)
{
	return mf_h2_head_over(&s->head);
}
