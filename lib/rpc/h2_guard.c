#include "rpc/h2_guard.h"

#include "base/limits.h"

static const char magic[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
#define MAGIC_LEN (sizeof(magic) - 1)

enum frame_type {
	DATA = 0,
	HEADERS = 1,
	PRIORITY = 2,
	RST_STREAM = 3,
	SETTINGS = 4,
	PUSH_PROMISE = 5,
	PING = 6,
	GOAWAY = 7,
	WINDOW_UPDATE = 8,
	CONTINUATION = 9,
};

static void
bucket_init(struct mf_h2_bucket *b, uint32_t burst, uint32_t rate, uint64_t now_ms)
{
	b->burst = (uint64_t)burst * MF_H2_WHOLE;
	b->tokens = b->burst;
	b->rate = rate;
	b->at_ms = now_ms;
}

void
mf_h2_guard_init(struct mf_h2_guard *g, bool server, const struct mf_h2_limits *lim,
    struct mf_h2_counters *counters, uint64_t now_ms)
{
	*g = (struct mf_h2_guard) {
		.server = server, .counters = counters, .top = -1, .gap_from = 0, .gap_to = -1
	};
	bucket_init(&g->calm, lim->calm_burst, lim->calm_rate, now_ms);
	bucket_init(&g->reset, lim->reset_burst, lim->reset_rate, now_ms);
}

bool
mf_h2_guard_take(struct mf_h2_bucket *b, uint32_t thousandths, uint64_t now_ms)
{
	if (now_ms > b->at_ms) {
		uint64_t ms = now_ms - b->at_ms;
		uint64_t room = b->burst - b->tokens;
		b->tokens += b->rate == 0 || ms <= room / b->rate ? ms * b->rate : room;
		b->at_ms = now_ms;
	}
	if (b->tokens < thousandths)
		return false;
	b->tokens -= thousandths;
	return true;
}

void
mf_h2_guard_earn(struct mf_h2_guard *g)
{
	g->calm.tokens += MF_H2_WHOLE;
	if (g->calm.tokens > g->calm.burst)
		g->calm.tokens = g->calm.burst;
}

/* What the frame whose header is in g->head costs. */
static uint32_t
cost_of(struct mf_h2_guard *g)
{
	struct mf_h2_counters *c = g->counters;
	bool end_stream = (g->head[4] & 1) != 0;
	c->frames_in++;
	if (g->head[3] != CONTINUATION)
		g->continuations = 0;
	switch (g->head[3]) {
	case DATA:
		if (g->skip > 0 || end_stream)
			return 0;
		c->empty_data_in++;
		return MF_H2_WHOLE;
	case HEADERS:
	case PUSH_PROMISE:
	case GOAWAY:
		return 0;
	case PRIORITY:
		c->priority_in++;
		return MF_H2_WHOLE;
	case RST_STREAM:
		c->rst_in++;
		return MF_H2_QUARTER; /* the reset bucket counts those that hurt */
	case SETTINGS:
		c->settings_in++;
		return MF_H2_WHOLE;
	case PING:
		c->ping_in++;
		return MF_H2_WHOLE;
	case WINDOW_UPDATE:
		c->window_update_in++;
		return MF_H2_QUARTER;
	case CONTINUATION:
		c->continuation_in++;
		g->continuations++;
		return MF_H2_WHOLE;
	default:
		c->unknown_in++;
		return MF_H2_WHOLE;
	}
}

/* nghttp2 ignores a HEADERS frame with a lower id, because it may be the trailers of a reset stream. */
static bool
stream_ok(struct mf_h2_guard *g)
{
	if (!g->server || g->head[3] != HEADERS)
		return true;
	int64_t id = (int64_t)(g->head[5] & 0x7f) << 24 | (int64_t)g->head[6] << 16 |
		     (int64_t)g->head[7] << 8 | g->head[8];
	if (id <= g->top)
		return id < g->gap_from || id > g->gap_to;
	if (id > g->top + 2) {
		g->gap_from = g->top + 2;
		g->gap_to = id - 2;
	}
	g->top = id;
	return true;
}

/* Not a preface. A request line of HTTP/1 deserves an answer that a person can read. */
static enum mf_h2_verdict
odd_line(struct mf_h2_guard *g)
{
	static const char mark[] = " HTTP/1.";
	if (g->line[0] < 'A' || g->line[0] > 'Z')
		return MF_H2_BAD_PREFACE;
	const uint8_t *nl = memchr(g->line, '\n', g->line_n);
	for (size_t i = 0; i + sizeof(mark) - 1 <= g->line_n; i++)
		if (memcmp(g->line + i, mark, sizeof(mark) - 1) == 0)
			return MF_H2_HTTP1;
	return nl != NULL || g->line_n == sizeof(g->line) ? MF_H2_BAD_PREFACE : MF_H2_MORE;
}

static enum mf_h2_verdict
feed_preface(struct mf_h2_guard *g, struct mf_reader *r)
{
	while (!g->odd && g->preface < MAGIC_LEN && r->n > 0) {
		if (r->p[0] != (uint8_t)magic[g->preface]) {
			g->odd = true;
			memcpy(g->line, magic, g->preface);
			g->line_n = g->preface;
			break;
		}
		g->preface++;
		r->p++;
		r->n--;
	}
	if (!g->odd)
		return MF_H2_GOOD;
	size_t n = sizeof(g->line) - g->line_n;
	n = r->n < n ? r->n : n;
	memcpy(g->line + g->line_n, r->p, n);
	g->line_n += n;
	return odd_line(g);
}

bool
mf_h2_guard_greeted(const struct mf_h2_guard *g)
{
	return g->preface == MAGIC_LEN;
}

enum mf_h2_verdict
mf_h2_guard_feed(struct mf_h2_guard *g, struct mf_slice in, uint64_t now_ms)
{
	struct mf_reader r = mf_reader(in);
	if (g->server && g->preface < MAGIC_LEN) {
		enum mf_h2_verdict v = feed_preface(g, &r);
		if (v != MF_H2_GOOD)
			return v;
	}
	while (r.n > 0) {
		if (g->skip > 0) {
			size_t n = r.n < g->skip ? r.n : g->skip;
			r.p += n;
			r.n -= n;
			g->skip -= (uint32_t)n;
			continue;
		}
		g->head[g->head_n++] = *r.p++;
		r.n--;
		if (g->head_n < sizeof(g->head))
			continue;
		g->head_n = 0;
		g->skip = (uint32_t)g->head[0] << 16 | (uint32_t)g->head[1] << 8 | g->head[2];
		if (!mf_h2_guard_take(&g->calm, cost_of(g), now_ms) ||
		    g->continuations > MF_LIM_H2_CONTINUATIONS)
			return MF_H2_FLOOD;
		if (!stream_ok(g))
			return MF_H2_BAD_STREAM;
	}
	return MF_H2_GOOD;
}
