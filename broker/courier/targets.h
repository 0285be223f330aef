/*
 * targets: what the operator configured, as the courier has it: a packed CloudConf, and a lane for each target. What a task uses
 * stays until the task is over, also when the operator reloads meanwhile.
 */
#ifndef MF_COURIER_TARGETS_H
#define MF_COURIER_TARGETS_H
#include "broker/backends/token_backend.h"
#include "broker/courier/lane.h"

struct mf_targets; /* opaque; counted references */

/* ${packed}: as broker/cloud.h makes it. Refuses what a backend would (MF_E_INVALID, with the cure). */
MF_NODISCARD enum mf_status
mf_targets_new(struct mf_slice packed, struct mf_targets **ret_t, struct mf_err *err);
struct mf_targets *mf_targets_ref(struct mf_targets *t);
void mf_targets_unref(struct mf_targets *t); /* the last one wipes and frees; NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_targets, mf_targets_unref)

size_t mf_targets_count(const struct mf_targets *t);
/* NULL: there is none of that name. */
const Mayfly__Roles__V1__CloudTarget *mf_targets_find(const struct mf_targets *t, const char *name);
const Mayfly__Roles__V1__CloudTarget *mf_targets_at(const struct mf_targets *t, size_t i);

/* Ports of all endpoints and issuers, each once, at most ${max}: what the role may connect to. */
size_t mf_targets_ports(const struct mf_targets *t, uint16_t *ret, size_t max);
#endif
