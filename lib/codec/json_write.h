/*
 * json_write: encode-only writer of compact JSON (no white space) into a mf_buf.
 *
 * In `sorted` mode the bytes are those of a dump with sorted keys: the caller writes the keys of each object
 * in ascending byte order and the writer checks it. That is the canonical form of log records, so that equal
 * values have equal bytes. Escapes: \" \\ \b \f \n \r \t, other control characters as \u00XX (capital hex);
 * everything else is written as it is, as UTF-8.
 *
 * Calls come in the order of the text: mf_jw_object_begin, then mf_jw_key and a value in turn,
 * mf_jw_object_end. Any mistake (value without key, key out of order or twice, unbalanced end, nesting over
 * MF_LIM_JSON_DEPTH) makes the buffer fail with MF_E_INTERNAL, bad UTF-8 or a NUL in a string with
 * MF_E_INVALID; failures are sticky as in buf.h. mf_jw_finish says whether one whole value was written. The
 * writer itself holds no memory. Not thread-safe.
 */
#ifndef MF_CODEC_JSON_WRITE_H
#define MF_CODEC_JSON_WRITE_H
#include "base/buf.h"
#include "base/limits.h"

struct mf_jw {
	struct mf_buf *to;
	size_t start; /* where the document begins in ${to} */
	size_t depth;
	bool sorted, done, have_key;
	struct {
		size_t key_at, key_n; /* the last key, as it stands in ${to} */
		bool object, any;
		bool plain; /* the last key stands there as it is, without escapes */
	} level[MF_LIM_JSON_DEPTH];
};

/* Appends to ${to}, which must outlive the writer; only the writer may touch it until mf_jw_finish. */
void mf_jw_init(struct mf_jw *w, struct mf_buf *to, bool sorted);
void mf_jw_object_begin(struct mf_jw *w);
void mf_jw_object_end(struct mf_jw *w);
void mf_jw_array_begin(struct mf_jw *w);
void mf_jw_array_end(struct mf_jw *w);
void mf_jw_key(struct mf_jw *w, const char *key);
void mf_jw_key_slice(struct mf_jw *w, struct mf_slice key);
/* One of a fixed table: plain ASCII, and the table's order is the right one (its test compares). Neither is looked at. */
void mf_jw_key_known(struct mf_jw *w, struct mf_slice key);
void mf_jw_string(struct mf_jw *w, struct mf_slice s);
void mf_jw_str(struct mf_jw *w, const char *s);
void mf_jw_int(struct mf_jw *w, int64_t v);
void mf_jw_uint(struct mf_jw *w, uint64_t v);
void mf_jw_bool(struct mf_jw *w, bool v);
void mf_jw_null(struct mf_jw *w);
/* Bytes that are one whole JSON value already, such as a record of the log; the caller has parsed them. */
void mf_jw_raw(struct mf_jw *w, struct mf_slice value);
/* Lowercase hex, base64url without padding and RFC 3339 UTC time, each as a string. */
void mf_jw_hex(struct mf_jw *w, struct mf_slice bytes);
void mf_jw_base64url(struct mf_jw *w, struct mf_slice bytes);
void mf_jw_time_us(struct mf_jw *w, int64_t wall_us);
/* Key and value in one call. */
void mf_jw_kstring(struct mf_jw *w, const char *key, struct mf_slice s);
void mf_jw_kstr(struct mf_jw *w, const char *key, const char *s);
void mf_jw_kint(struct mf_jw *w, const char *key, int64_t v);
void mf_jw_kuint(struct mf_jw *w, const char *key, uint64_t v);
void mf_jw_kbool(struct mf_jw *w, const char *key, bool v);
void mf_jw_khex(struct mf_jw *w, const char *key, struct mf_slice bytes);
void mf_jw_kbase64url(struct mf_jw *w, const char *key, struct mf_slice bytes);
void mf_jw_ktime_us(struct mf_jw *w, const char *key, int64_t wall_us);
/* MF_OK when exactly one whole value was written and the buffer did not fail. */
MF_NODISCARD enum mf_status mf_jw_finish(const struct mf_jw *w, struct mf_err *err);
#endif
