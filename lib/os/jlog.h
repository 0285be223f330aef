/*
 * jlog: one JSON object per line on stderr.
 *
 *   {"time":"2026-11-22T19:37:00.123456Z","level":"info","role":"notary","event":"wal.opened",
 *    "msg":"log opened","segment":3}
 *
 * Only the daemon layer logs (lib/ and the cores return errors). Fields are named one by one at the call:
 * there is no way to dump a struct. Values that came from outside must be passed as slices; they are escaped,
 * and bytes that are no UTF-8 become U+FFFD. Never pass secret bytes.
 *
 * No allocation; one write(2) per line of at most 4096 bytes (PIPE_BUF, so lines of several roles on one pipe
 * never mix); what does not fit is left out and the line says "cut":true. A line that stderr does not take is
 * dropped and counted in the next ("dropped":n). Per event at most MF_JLOG_BURST lines at once and
 * MF_JLOG_PER_SECOND lasting; the next line that passes says "suppressed":n. Safe from any thread.
 */
#ifndef MF_OS_JLOG_H
#define MF_OS_JLOG_H
#include "base/slice.h"

#define MF_JLOG_BURST 40u
#define MF_JLOG_PER_SECOND 10u

enum mf_jlog_level { MF_LOG_DEBUG, MF_LOG_INFO, MF_LOG_WARN, MF_LOG_ERROR };

enum mf_jfield_kind {
	MF_JFIELD_NONE,
	MF_JFIELD_STR,
	MF_JFIELD_INT,
	MF_JFIELD_UINT,
	MF_JFIELD_HEX,
	MF_JFIELD_BOOL
};

struct mf_jfield {
	const char *key; /* a literal: lower case, digits, '_' */
	enum mf_jfield_kind kind;
	struct mf_slice s;
	int64_t i;
	uint64_t u;
};

static inline struct mf_jfield
mf_js(const char *key, const char *v) /* NULL is left out */
{
	return (struct mf_jfield) {
		.key = key, .kind = v == NULL ? MF_JFIELD_NONE : MF_JFIELD_STR, .s = mf_slice_str(v)
	};
}
static inline struct mf_jfield
mf_jss(const char *key, struct mf_slice v)
{
	return (struct mf_jfield) { .key = key, .kind = MF_JFIELD_STR, .s = v };
}
static inline struct mf_jfield
mf_ji(const char *key, int64_t v)
{
	return (struct mf_jfield) { .key = key, .kind = MF_JFIELD_INT, .i = v };
}
static inline struct mf_jfield
mf_ju(const char *key, uint64_t v)
{
	return (struct mf_jfield) { .key = key, .kind = MF_JFIELD_UINT, .u = v };
}
static inline struct mf_jfield
mf_jx(const char *key, struct mf_slice v)
{
	return (struct mf_jfield) { .key = key, .kind = MF_JFIELD_HEX, .s = v };
}
static inline struct mf_jfield
mf_jb(const char *key, bool v)
{
	return (struct mf_jfield) { .key = key, .kind = MF_JFIELD_BOOL, .u = v };
}

/* Once, before threads. ${role} is a literal. Lines below ${least} are not written. */
void mf_jlog_init(const char *role, enum mf_jlog_level least);
/* Write elsewhere than descriptor 2 (tests). */
void mf_jlog_to(int fd);

void mf_jlog(enum mf_jlog_level level, const char *event, const char *msg, const struct mf_jfield *fields,
    size_t count);
/* MF_LOG(MF_LOG_INFO, "wal.opened", "log opened", mf_ju("segment", 3)); */
#define MF_LOG(level, event, msg, ...)                                                            \
	mf_jlog((level), (event), (msg), (const struct mf_jfield[]) { { 0 }, ##__VA_ARGS__ } + 1, \
	    sizeof((const struct mf_jfield[]) { { 0 }, ##__VA_ARGS__ }) / sizeof(struct mf_jfield) - 1)
/* An error value with its place: fields "code", "error", "at". */
void mf_jlog_err(enum mf_jlog_level level, const char *event, const char *msg, const struct mf_err *err);

/* From a signal handler: no lock, no rate limit; ${key} and ${value} are plain words. */
void mf_jlog_from_handler(const char *event, const char *msg, const char *key, const char *value);
#endif
