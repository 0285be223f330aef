/*
 * admin_roles: what each admin RPC asks of its caller: the least role, and whether it adds access (then the
 * signatures of admin_signers are asked for as well). Two const tables, one per RPC of mayfly.admin.v1.Admin for the
 * front, one per member of AdminCall for the notary; tests/unit/test_admin_roles.c compares both with the protobuf
 * descriptors, so that nothing can be called that has no row. Pure.
 */
#ifndef MF_BROKER_ADMIN_ROLES_H
#define MF_BROKER_ADMIN_ROLES_H
#include "base/slice.h"

/* Each may do what those before it may. */
enum mf_admin_role {
	MF_ADMIN_NOBODY,
	MF_ADMIN_VIEWER,   /* sees everything but secrets */
	MF_ADMIN_REVOKER,  /* takes access away */
	MF_ADMIN_OPERATOR, /* lets nodes and jobs in */
	MF_ADMIN_ADMIN,	   /* keys, policy, the log */
	MF_ADMIN_ROLES
};

struct mf_admin_rule {
	const char *name; /* of the RPC, or of the member of AdminCall */
	enum mf_admin_role least;
	bool adds; /* it adds access: admin_signers; a removal never does */
};

/* Sorted by name. */
extern const struct mf_admin_rule mf_admin_rpcs[], mf_admin_acts[];
extern const size_t mf_admin_rpc_count, mf_admin_act_count;

/* NULL: not in the table, which nobody may. */
const struct mf_admin_rule *mf_admin_rpc_rule(struct mf_slice name);
const struct mf_admin_rule *mf_admin_act_rule(struct mf_slice name);

const char *mf_admin_role_name(enum mf_admin_role r); /* "viewer"; "nobody" */
/* False for "nobody" and for what is no role. */
MF_NODISCARD bool mf_admin_role_parse(struct mf_slice word, enum mf_admin_role *ret_r);
#endif
