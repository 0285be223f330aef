/* cloud_work: one cloud token on its way: what cloud_mint.c and cloud_result.c share. Nobody else includes this. */
#ifndef MF_NOTARY_CLOUD_WORK_H
#define MF_NOTARY_CLOUD_WORK_H
#include "broker/notary/cloud_plan.h"

enum cloud_phase {
	CLOUD_RECORDING, /* its intent waits for the disk */
	CLOUD_SIGNING,
	CLOUD_SENT,   /* with the courier */
	CLOUD_KEEPING /* it brought a token; what its revocation needs is on the way to the disk */
};

struct cloud_work {
	uint64_t id;		  /* mint_id and ticket */
	uint64_t sid, request_id; /* who waits; sid 0: nobody */
	enum cloud_phase phase;
	uint64_t
	    due_ms; /* CLOUD_SENT: nobody knows what became of it from then on; CLOUD_KEEPING: the disk hangs */
	char cred[37];
	char node_id[MF_STATE_ID_MAX], lease[MF_STATE_ID_MAX], job[MF_STATE_ID_MAX];
	char profile[MF_STATE_ID_MAX], rule[MF_STATE_ID_MAX];
	char grant[MF_STATE_ID_MAX], target[MF_STATE_ID_MAX];
	char kind[16];
	char policy[65], scope_hash[65];
	char kid[MF_KEY_ID_MAX]; /* of the key that signs */
	uint32_t epoch;
	bool may_outlive;
	int64_t ttl_s, not_after, exp;
	char *role, *session;
	struct mf_buf scope;
	Mayfly__Roles__V1__MintResult *res; /* CLOUD_KEEPING: secret */
	bool kept;			    /* its handle is on disk */
	bool map_oom;
	UT_hash_handle hh;
};
struct cloud_work *mf_cloud_work(struct mf_engine *e, uint64_t id);
void mf_cloud_drop(struct mf_engine *e, struct cloud_work *w);
/* Say no to whoever waits. */
void mf_cloud_refuse(
    struct mf_engine *e, const struct cloud_work *w, Mayfly__Agent__V1__RefusalCode code, const char *why);
/* Close the intent: there is none. And: there may be one, or is one that nobody gets. ${res} may be NULL. */
void mf_cloud_failed(struct mf_engine *e, struct mf_now now, const struct cloud_work *w, const char *error,
    const Mayfly__Roles__V1__MintResult *res);
/* ${handle}: one is on disk; else that of ${res} is kept in memory. */
void mf_cloud_reconcile(struct mf_engine *e, struct mf_now now, const struct mf_cloud_cred *c,
    const char *cause, const Mayfly__Roles__V1__MintResult *res, bool handle);
/* Wipes. NULL is a no-op. */
void mf_cloud_result_free(Mayfly__Roles__V1__MintResult *res);
/* cloud_single.c: in memory, for a token whose handle is on no disk. */
void mf_cloud_spare(struct mf_engine *e, const char *cred, struct mf_slice handle);
/* It was ended before it was there: whatever comes is nobody's. */
bool mf_cloud_was_ended(const struct mf_engine *e, const struct cloud_work *w);
/* The lease, if a token may still be given to it. */
const struct mf_lease *mf_cloud_lease(const struct mf_engine *e, const struct cloud_work *w);
#endif
