/* cloud_verdict: what a provider's answer to a test token means, and whose it is to mend. Part of the engine. */
#ifndef MF_NOTARY_CLOUD_VERDICT_H
#define MF_NOTARY_CLOUD_VERDICT_H
#include "broker/notary/cloud_check.h"
#include "broker/notary/cloud_work.h"

/* What was asked for, for texts. */
struct verdict_of {
	const char *profile, *role, *target, *backend, *issuer, *audience, *subject, *trust_domain;
	bool expires; /* its permissions end by themselves at the job's end */
};

void mf_verdict_not_tried(struct cloud_report *r, const char *why);
/* ${late}: it lives longer than was asked for. */
void mf_verdict_minted(struct cloud_report *r, const struct verdict_of *w, int64_t expires, bool late);
/* ${word}: MintResult.error. ${published}: our documents are as they should be. */
void mf_verdict_refused(
    struct cloud_report *r, const struct verdict_of *w, const char *word, const char *why, bool published);
/* The same without tags was granted: says so in place of the refusal. */
void mf_verdict_tags(struct cloud_report *r, const struct verdict_of *w);
void mf_verdict_taken(
    struct cloud_report *r, const struct verdict_of *w, uint32_t level, int64_t dead_at, int64_t now_s);
void mf_verdict_not_taken(struct cloud_report *r, const struct verdict_of *w, const char *why);
void mf_verdict_list_read(struct cloud_report *r, const struct verdict_of *w);
/* A refused token, after the revoker's own role was asked for: did that one take our assertion? Then it is not the issuer. */
void mf_verdict_both(struct cloud_report *r, const struct verdict_of *w, bool taken, const char *why);
#endif
