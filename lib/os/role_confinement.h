/*
 * role_confinement: the confinement of each role. docs/internals/confinement.md is printed from these tables, and
 * a test compares the two.
 *
 * To let a role do more: put the call into the group whose reason it shares (or a new group with its reason),
 * never into a general one; run unit_test_confinement --print to renew the page; and add to tests/integration what
 * the role must still not be able to do.
 */
#ifndef MF_OS_ROLE_CONFINEMENT_H
#define MF_OS_ROLE_CONFINEMENT_H
#include "os/sandbox.h"

extern const struct mf_confinement mf_confinement_notary;
extern const struct mf_confinement mf_confinement_broker_front;
extern const struct mf_confinement mf_confinement_agent_front;
extern const struct mf_confinement mf_confinement_attestor;
extern const struct mf_confinement mf_confinement_courier;
extern const struct mf_confinement mf_confinement_publisher;
extern const struct mf_confinement mf_confinement_verifier; /* a helper */
extern const struct mf_confinement mf_confinement_resolver; /* likewise */

/* All of them, NULL-terminated, and all groups in the order of the page. */
extern const struct mf_confinement *const mf_confinements[];
extern const struct mf_syscall_group *const mf_confinement_groups[];

/* The generated part of docs/internals/confinement.md. */
void mf_confinement_print_all(struct mf_buf *to);
#endif
