/*
 * problem: everything that is wrong with a configuration, told at once.
 *
 * Each problem has a place (line and column in the file, or the name of a flag or environment variable), what is
 * wrong and how to cure it. The first MF_LIM_PROBLEMS are kept, the rest counted. Texts may quote names and values of
 * the configuration, which holds no secrets, if they are printable. Not thread-safe.
 */
#ifndef MF_CONF_PROBLEM_H
#define MF_CONF_PROBLEM_H
#include "base/buf.h"

struct mf_problems; /* opaque */

/* ${file} is the name shown before line and column; copied. NULL when out of memory. */
struct mf_problems *mf_problems_new(const char *file);
void mf_problems_free(struct mf_problems *p); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_problems, mf_problems_free)

struct mf_place {
	const char *source; /* "--listen" or "MAYFLY_LISTEN"; NULL: the file. Copied. */
	uint32_t line, col; /* from 1; 0: the file as a whole */
};
void mf_problems_add(struct mf_problems *p, struct mf_place at, const char *fmt, ...) MF_PRINTF(3, 4);
/* All that were added, those not kept included. */
size_t mf_problems_count(const struct mf_problems *p);
/* "broker.yaml:3:1: text" lines by place, flags and variables first; then how many were left out. */
void mf_problems_put(struct mf_problems *p, struct mf_buf *to);
/* MF_OK when there are none; else MF_E_INVALID with the first and the count of the others. */
MF_NODISCARD enum mf_status mf_problems_check(struct mf_problems *p, struct mf_err *err);
#endif
