/* cloud_report: what `mayfly doctor --profile` is told: findings in the order in which they were made. Part of the engine. */
#ifndef MF_NOTARY_CLOUD_REPORT_H
#define MF_NOTARY_CLOUD_REPORT_H
#include "broker/notary/engine_internal.h"

#define MF_REPORT_FINDINGS 24u
#define MF_REPORT_TEXT 512u

/* Whose it is to mend. */
enum report_side {
	SIDE_NONE,	  /* all is well */
	SIDE_PROFILE,	  /* the policy file */
	SIDE_BROKER,	  /* broker.yaml, its keys, its courier */
	SIDE_PUBLICATION, /* what is read at the issuer's URL */
	SIDE_PROVIDER,	  /* the trust policy, the roles there */
	SIDE_NETWORK,
	SIDE_CLOCK
};
enum report_level { REPORT_OK, REPORT_WARN, REPORT_FAIL };

struct report_finding {
	const char *code; /* static */
	enum report_level level;
	enum report_side side;
	char cause[MF_REPORT_TEXT], cure[MF_REPORT_TEXT];
};
struct cloud_report {
	struct report_finding v[MF_REPORT_FINDINGS];
	size_t n;
};

/* The finding, for its cure; never NULL: what has no room goes over the last one. */
struct report_finding *mf_report_add(struct cloud_report *r, const char *code, enum report_level level,
    enum report_side side, const char *fmt, ...) MF_PRINTF(5, 6);
void mf_report_cure(struct report_finding *f, const char *fmt, ...) MF_PRINTF(2, 3);
/* NULL: nothing was found by that name. */
struct report_finding *mf_report_find(struct cloud_report *r, const char *code);
bool mf_report_failed(const struct cloud_report *r);
/* The answer, when everything that was recorded is durable. ${profile} NULL: without the names of its grants. */
void mf_report_send(struct mf_engine *e, struct mf_now now, uint64_t call_id, const struct cloud_report *r,
    const struct mf_policy_profile *profile, const char *cred);
#endif
