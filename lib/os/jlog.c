#include "os/jlog.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define LINE_MAX_BYTES 4096u
/* Kept free for the tail: "cut", "dropped", "suppressed", the brace and the newline. */
#define TAIL_ROOM 96u
#define EVENTS 128u

struct line {
	char p[LINE_MAX_BYTES];
	size_t n;
	size_t room; /* n may not pass it */
	bool cut;
};

struct event_budget {
	const char *event;
	uint64_t last_ms;
	uint64_t tokens_milli;
	uint64_t suppressed;
};

static struct {
	pthread_mutex_t lock;
	const char *role;
	enum mf_jlog_level least;
	int fd;
	uint64_t dropped;
	struct event_budget events[EVENTS];
} g = { .lock = PTHREAD_MUTEX_INITIALIZER, .role = "mayfly", .least = MF_LOG_INFO, .fd = STDERR_FILENO };

static const char *const level_names[] = {
	[MF_LOG_DEBUG] = "debug", [MF_LOG_INFO] = "info", [MF_LOG_WARN] = "warn", [MF_LOG_ERROR] = "error"
};

void
mf_jlog_init(const char *role, enum mf_jlog_level least)
{
	g.role = role;
	g.least = least;
}

void
mf_jlog_to(int fd)
{
	g.fd = fd;
}

static void
put(struct line *l, const char *p, size_t n)
{
	if (l->cut || n > l->room - l->n) {
		l->cut = true;
		return;
	}
	memcpy(l->p + l->n, p, n);
	l->n += n;
}

static void
put_str(struct line *l, const char *s)
{
	put(l, s, strlen(s));
}

static void
put_u64(struct line *l, uint64_t v, size_t width)
{
	char digits[20];
	size_t n = 0;
	do {
		digits[sizeof(digits) - 1 - n++] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	while (n < width)
		digits[sizeof(digits) - 1 - n++] = '0';
	put(l, digits + sizeof(digits) - n, n);
}

static void
put_i64(struct line *l, int64_t v)
{
	if (v < 0)
		put(l, "-", 1);
	put_u64(l, v < 0 ? (uint64_t)0 - (uint64_t)v : (uint64_t)v, 0);
}

static void
put_hex(struct line *l, struct mf_slice s)
{
	static const char hex[] = "0123456789abcdef";
	for (size_t i = 0; i < s.n && !l->cut; i++) {
		char two[2] = { hex[s.p[i] >> 4], hex[s.p[i] & 15] };
		put(l, two, 2);
	}
}

/* Bytes of the well-formed UTF-8 sequence at ${s}.p, 0 when there is none (RFC 3629, table 3-7 of Unicode).
 */
static size_t
utf8_len(struct mf_slice s)
{
	const uint8_t *p = s.p;
	uint8_t low = 0x80, high = 0xbf;
	size_t n = 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		n = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		n = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		n = 4;
	if (n == 0 || s.n < n)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return n;
}

/* The inside of a JSON string. Control characters, DEL included, are escaped: a log is read on terminals. */
static void
put_escaped(struct line *l, struct mf_slice s)
{
	for (size_t i = 0; i < s.n && !l->cut;) {
		uint8_t c = s.p[i];
		size_t n = utf8_len(mf_slice(s.p + i, s.n - i));
		if (n == 0) {
			put_str(l, "\\ufffd");
			n = 1;
		} else if (c == '"' || c == '\\') {
			char two[2] = { '\\', (char)c };
			put(l, two, 2);
		} else if (c < 0x20 || c == 0x7f) {
			put_str(l, "\\u00");
			put_hex(l, mf_slice(&c, 1));
		} else {
			put(l, (const char *)s.p + i, n);
		}
		i += n;
	}
}

static void
put_string(struct line *l, struct mf_slice s)
{
	put(l, "\"", 1);
	put_escaped(l, s);
	put(l, "\"", 1);
}

static void
put_time(struct line *l)
{
	struct timespec ts = { 0 };
	int y, mon, d, h, min, s;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	mf_civil(ts.tv_sec, &y, &mon, &d, &h, &min, &s);
	put_u64(l, (uint64_t)y, 4);
	put(l, "-", 1);
	put_u64(l, (uint64_t)mon, 2);
	put(l, "-", 1);
	put_u64(l, (uint64_t)d, 2);
	put(l, "T", 1);
	put_u64(l, (uint64_t)h, 2);
	put(l, ":", 1);
	put_u64(l, (uint64_t)min, 2);
	put(l, ":", 1);
	put_u64(l, (uint64_t)s, 2);
	put(l, ".", 1);
	put_u64(l, (uint64_t)ts.tv_nsec / 1000, 6);
	put(l, "Z", 1);
}

/* A field that does not fit goes as a whole: the line stays valid JSON. */
static void
put_field(struct line *l, const struct mf_jfield *f)
{
	if (f->kind == MF_JFIELD_NONE || l->cut)
		return;
	size_t before = l->n;
	put_str(l, ",\"");
	put_str(l, f->key);
	put_str(l, "\":");
	switch (f->kind) {
	case MF_JFIELD_STR:
		put_string(l, f->s);
		break;
	case MF_JFIELD_INT:
		put_i64(l, f->i);
		break;
	case MF_JFIELD_UINT:
		put_u64(l, f->u, 0);
		break;
	case MF_JFIELD_HEX:
		put(l, "\"", 1);
		put_hex(l, f->s);
		put(l, "\"", 1);
		break;
	case MF_JFIELD_BOOL:
		put_str(l, f->u != 0 ? "true" : "false");
		break;
	case MF_JFIELD_NONE:
		break;
	}
	if (l->cut)
		l->n = before;
}

static void
begin(struct line *l, enum mf_jlog_level level, const char *event, const char *msg)
{
	l->n = 0;
	l->room = sizeof(l->p) - TAIL_ROOM;
	l->cut = false;
	put_str(l, "{\"time\":\"");
	put_time(l);
	put_str(l, "\",\"level\":\"");
	put_str(l, level_names[level]);
	put_str(l, "\",\"role\":");
	put_string(l, mf_slice_str(g.role));
	put_str(l, ",\"event\":");
	put_string(l, mf_slice_str(event));
	struct mf_jfield f = mf_js("msg", msg);
	put_field(l, &f);
}

static void
put_count(struct line *l, const char *key, uint64_t n)
{
	if (n == 0)
		return;
	put_str(l, key);
	put_u64(l, n, 0);
}

/* True when stderr took the line. */
static bool
finish(struct line *l, uint64_t suppressed, uint64_t dropped)
{
	bool cut = l->cut;
	l->cut = false;
	l->room = sizeof(l->p);
	put_str(l, cut ? ",\"cut\":true" : "");
	put_count(l, ",\"suppressed\":", suppressed);
	put_count(l, ",\"dropped\":", dropped);
	put_str(l, "}\n");
	ssize_t n;
	do
		n = write(g.fd, l->p, l->n);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)l->n;
}

/* The budget of ${event}; events are few and literal, a full table shares its last slot. */
static struct event_budget *
budget_of(const char *event, uint64_t now_ms)
{
	for (size_t i = 0; i < EVENTS; i++) {
		struct event_budget *b = &g.events[i];
		if (b->event == NULL)
			*b = (struct event_budget) { event, now_ms, (uint64_t)MF_JLOG_BURST * 1000, 0 };
		if (b->event == event || strcmp(b->event, event) == 0)
			return b;
	}
	return &g.events[EVENTS - 1];
}

static bool
allowed(struct event_budget *b, uint64_t now_ms)
{
	uint64_t most = (uint64_t)MF_JLOG_BURST * 1000;
	uint64_t gain = now_ms > b->last_ms ? now_ms - b->last_ms : 0;
	gain = gain > most ? most : gain * MF_JLOG_PER_SECOND;
	b->last_ms = now_ms;
	b->tokens_milli = b->tokens_milli + gain > most ? most : b->tokens_milli + gain;
	if (b->tokens_milli < 1000) {
		b->suppressed++;
		return false;
	}
	b->tokens_milli -= 1000;
	return true;
}

void
mf_jlog(enum mf_jlog_level level, const char *event, const char *msg, const struct mf_jfield *fields,
    size_t count)
{
	if (level < g.least)
		return;
	int saved = errno;
	struct timespec ts = { 0 };
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	uint64_t now_ms = (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
	(void)pthread_mutex_lock(&g.lock);
	struct event_budget *b = budget_of(event, now_ms);
	if (allowed(b, now_ms)) {
		struct line l;
		begin(&l, level, event, msg);
		for (size_t i = 0; i < count; i++)
			put_field(&l, &fields[i]);
		if (finish(&l, b->suppressed, g.dropped)) {
			b->suppressed = 0;
			g.dropped = 0;
		} else {
			g.dropped++;
		}
	}
	(void)pthread_mutex_unlock(&g.lock);
	errno = saved;
}

void
mf_jlog_err(enum mf_jlog_level level, const char *event, const char *msg, const struct mf_err *err)
{
	/* The file is enough to find the place; the folders before it are the build machine's business. */
	const char *slash = err->file == NULL ? NULL : strrchr(err->file, '/');
	MF_LOG(level, event, msg, mf_js("code", mf_status_name(err->code)), mf_js("error", err->msg),
	    mf_js("file", slash == NULL ? err->file : slash + 1), mf_ji("line", err->line));
}

void
mf_jlog_from_handler(const char *event, const char *msg, const char *key, const char *value)
{
	struct line l;
	begin(&l, MF_LOG_ERROR, event, msg);
	struct mf_jfield f = mf_js(key, value);
	put_field(&l, &f);
	(void)finish(&l, 0, 0);
}
