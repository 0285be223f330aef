/*
 * lines: what is to be printed once it is verified. With a limit the last ones are kept in memory; without,
 * all go to an unlinked temporary file, however many they are.
 */
#ifndef MF_CLI_AUDIT_LINES_H
#define MF_CLI_AUDIT_LINES_H
#include <stdio.h>

#include "base/slice.h"

struct mf_audit_lines; /* opaque */

/* ${limit}: only the last so many; 0: all. */
MF_NODISCARD enum mf_status
mf_audit_lines_new(uint64_t limit, struct mf_audit_lines **ret_l, struct mf_err *err);
void mf_audit_lines_free(struct mf_audit_lines *l);
MF_DEFINE_CLEANUP(struct mf_audit_lines, mf_audit_lines_free)
/* Indices ascend. */
MF_NODISCARD enum mf_status
mf_audit_lines_add(struct mf_audit_lines *l, uint64_t index, struct mf_slice line, struct mf_err *err);
/*
 * Write the lines below ${size} that were not written yet (the last ${limit} of them), ${between} between
 * them and from then on keep the others without limit. *ret_n: how many.
 */
MF_NODISCARD enum mf_status mf_audit_lines_flush(struct mf_audit_lines *l, uint64_t size, const char *between,
    FILE *to, uint64_t *ret_n, struct mf_err *err);
/* How many lines below ${size} wait. */
uint64_t mf_audit_lines_ready(const struct mf_audit_lines *l, uint64_t size);
#endif
