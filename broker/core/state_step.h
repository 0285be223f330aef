/* One record on its way into the tables: what state_apply.c, state_creds.c and state_nodes.c share. Nobody else includes this. */
#ifndef MF_BROKER_STATE_STEP_H
#define MF_BROKER_STATE_STEP_H
#include "broker/core/state_internal.h"

struct step {
	struct mf_state *st;
	const struct mf_record *r;
	uint64_t index;
	struct mf_err *err;
};

static inline struct mf_slice
str(const struct step *a, enum mf_record_str f)
{
	return a->r->s[f];
}

static inline enum mf_status
broken(const struct step *a, const char *why)
{
	return MF_FAIL(a->err, MF_E_CORRUPT, "log record %llu (%s): %s", (unsigned long long)a->index,
	    mf_record_type_name(a->r->type), why);
}

static inline enum mf_status
no_memory(const struct step *a)
{
	return MF_FAIL(a->err, MF_E_NOMEM, "log record %llu: out of memory", (unsigned long long)a->index);
}

/* The tables hand out const views; the one place that may write looks through them. */
static inline struct mf_node *
find_node(const struct step *a)
{
	struct mf_node *n = NULL;
	HASH_FIND(hh, a->st->nodes, str(a, MF_RS_NODE_ID).p, str(a, MF_RS_NODE_ID).n, n);
	return n;
}

static inline struct mf_lease *
find_lease(const struct step *a)
{
	struct mf_lease *l = NULL;
	HASH_FIND(hh, a->st->leases, str(a, MF_RS_LEASE).p, str(a, MF_RS_LEASE).n, l);
	return l;
}

/* state_creds.c */
MF_NODISCARD enum mf_status mf_state_svid_issued(const struct step *a);
MF_NODISCARD enum mf_status mf_state_svid_renewed(const struct step *a);
MF_NODISCARD enum mf_status mf_state_jwt_issued(const struct step *a);

/* state_cloud.c */
MF_NODISCARD enum mf_status mf_state_apply_cloud(const struct step *a);

/* state_ended.c */
MF_NODISCARD enum mf_status mf_state_credential_ended(const struct step *a);
MF_NODISCARD enum mf_status mf_state_grant_ended(const struct step *a);

/* state_sessions.c */
MF_NODISCARD enum mf_status mf_state_sessions_ended(const struct step *a);
/* What a provider said of a role: its sessions are over, or nothing of theirs stands there any more. */
void mf_state_sessions_heard(const struct step *a);

/* state_nodes.c */
MF_NODISCARD enum mf_status mf_state_node_reattested(const struct step *a);
MF_NODISCARD enum mf_status mf_state_node_readmitted(const struct step *a);
#endif
