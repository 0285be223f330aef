/*
 * show: how answers look. One description of a message's fields (struct mf_col) makes the table for people, the block
 * of one object, and the JSON for programs, so that the three never tell different stories.
 *
 * Texts from outside lose their control characters in tables and blocks (a job's name must not move a cursor); JSON
 * escapes them. JSON is {"apiVersion":"mayfly/v1","kind":K,"items":[...]}, one line. Not thread-safe.
 */
#ifndef MF_CLI_SHOW_H
#define MF_CLI_SHOW_H
#include "base/clock.h"
#include "cli/cli.h"
#include "codec/json_write.h"

enum mf_col_type {
	MF_COL_STR,	/* char *; empty: "-", JSON null */
	MF_COL_U32,	/* uint32_t */
	MF_COL_U64,	/* uint64_t */
	MF_COL_BOOL,	/* protobuf_c_boolean (int): yes, no */
	MF_COL_TIME_S,	/* int64_t seconds since 1970; 0: unknown */
	MF_COL_TIME_US, /* int64_t microseconds */
	MF_COL_AGE_US,	/* the same, as an age in tables: "12m" */
	MF_COL_LEFT_S,	/* seconds since 1970, as time left in tables: "12m", "expired" */
	MF_COL_STRS,	/* size_t n at ${count}, char ** at ${at}: comma-separated, a JSON list */
	MF_COL_OWN,	/* ${put} and ${json} */
};

struct mf_col {
	const char *head; /* of the column; NULL: JSON only */
	const char *key;  /* in JSON; NULL: tables only */
	enum mf_col_type type;
	size_t at;    /* offsetof in the message */
	size_t count; /* MF_COL_STRS */
	void (*put)(struct mf_buf *to, const void *msg, struct mf_now now);
	void (*json)(struct mf_jw *w, const void *msg);
};

struct mf_cols {
	const struct mf_col *v;
	size_t n;
};
#define MF_COLS_OF(table)                \
	{                                \
		(table), MF_COUNT(table) \
	}
#define MF_COLS(table) ((struct mf_cols)MF_COLS_OF(table))

/* Aligned columns. Cells are copied and cleaned. */
struct mf_table;			      /* opaque */
struct mf_table *mf_table_new(size_t n_cols); /* NULL when out of memory */
void mf_table_free(struct mf_table *t);
MF_DEFINE_CLEANUP(struct mf_table, mf_table_free)
/* The next cell, left to right and row by row. Out of memory shows in mf_table_print. */
void mf_table_cell(struct mf_table *t, struct mf_slice text);
/* Columns two blanks apart, the last one not padded, every line after ${indent}. */
MF_NODISCARD enum mf_status
mf_table_print(const struct mf_table *t, const char *indent, struct mf_buf *to, struct mf_err *err);

/* "45s", "12m", "2h5m", "3d4h": two units at most, rounded down. */
void mf_show_duration(struct mf_buf *to, uint64_t seconds);
/* "12m left at T", as "T (12m left)" or "T (expired)". */
void mf_show_until(struct mf_buf *to, int64_t when_s, struct mf_now now);
/* ${s} without control characters; "-" when empty. */
void mf_show_clean(struct mf_buf *to, struct mf_slice s);
/* "-----BEGIN CERTIFICATE-----" of each certificate of a chain or bundle, as a JSON string. */
void mf_show_pem_json(struct mf_jw *w, const char *key, struct mf_slice chain_der);

/* "export NAME=VALUE", quoted for a shell where VALUE needs it. */
void mf_show_export(struct mf_buf *to, const char *name, const char *value);

/* The keys of ${cols} into an open JSON object. */
void mf_show_object(struct mf_jw *w, struct mf_cols cols, const void *msg);
/* Heads, then one row for each of ${items}. */
MF_NODISCARD enum mf_status mf_show_table(struct mf_buf *to, const char *indent, struct mf_cols cols,
    const void *const *items, size_t n, struct mf_now now, struct mf_err *err);
/* "Head  value" lines; what is unknown is left out. */
MF_NODISCARD enum mf_status
mf_show_block(struct mf_buf *to, struct mf_cols cols, const void *msg, struct mf_now now, struct mf_err *err);

/* The envelope around ${items}: begin, objects, end. */
void mf_show_json_begin(struct mf_jw *w, struct mf_buf *to, const char *kind);
MF_NODISCARD enum mf_status mf_show_json_end(struct mf_jw *w, struct mf_err *err); /* adds the newline */

#define MF_SHOW_MAX (64u * 1024u * 1024u) /* bytes of one output */
/* A whole list on stdout in the format asked for; ${nothing} is said on stderr when it is empty. An exit code. */
int mf_show_list(struct mf_cli *c, const char *kind, struct mf_cols cols, const void *const *items, size_t n,
    const char *nothing);
#endif
