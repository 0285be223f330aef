/*
 * cloud_back: taking cloud tokens back: what cloud_revoke.c (denials, many at a time) and cloud_single.c (one token at a time) share.
 * Nobody else includes this.
 */
#ifndef MF_NOTARY_CLOUD_BACK_H
#define MF_NOTARY_CLOUD_BACK_H
#include "broker/notary/cloud_plan.h"

#define CLOUD_BACK_TIMEOUT_MS 20000u /* of the provider's part */
#define CLOUD_BACK_SILENCE_MS 60000u /* nothing was heard of it: once more */
#define CLOUD_BACK_RETRY_MIN_MS 1000u
#define CLOUD_BACK_RETRY_MAX_MS 60000u
#define CLOUD_BACK_HEARD_MS \
	5000u /* and no longer after a failure, when that provider is seen to answer others */
/* Of assertions and requests: apart from those of cloud_mint.c, and from one another. */
#define CLOUD_DENY_TICKETS (UINT64_C(1) << 62)
#define CLOUD_SINGLE_TICKETS (UINT64_C(3) << 61)

/* How a token ended. Texts may be NULL. */
struct cloud_end {
	uint32_t level;
	int64_t dead_at;
	const char *probe, *request_id;
};
/* revoke.completed; its handle goes when that is durable. Never later than its own end. */
void mf_cloud_complete(
    struct mf_engine *e, struct mf_now now, const struct mf_cloud_cred *c, const struct cloud_end *end);
const struct mf_token_backend *mf_cloud_backend(const struct mf_engine *e, const char *name);
/* A result that nobody waits for: said once, dropped. */
void mf_cloud_unasked(struct mf_engine *e);
/* A text of the courier's, for a record or an event: plain, or "". */
const char *mf_cloud_plain(const char *s);

/* cloud_revoke.c. The target has just given a token: what waits for its next turn there need not wait a minute. */
void mf_cloud_revoke_sooner(struct mf_engine *e, struct mf_now now, const char *target);

/* cloud_single.c. Have this one ended; a second time changes nothing. */
void mf_cloud_single_want(struct mf_engine *e, struct mf_now now, const struct mf_cloud_cred *c);
void mf_cloud_single_run(struct mf_engine *e, struct mf_now now);
void mf_cloud_single_asserted(struct mf_engine *e, struct mf_now now, uint64_t ticket, struct mf_slice token);
/* False: nobody waits for it. */
bool mf_cloud_single_revoked(
    struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__CloudRevokeResult *res);
void mf_cloud_single_courier_gone(struct mf_engine *e, struct mf_now now);
/* A new one may do what the one before it could not. */
void mf_cloud_single_courier_here(struct mf_engine *e, struct mf_now now);
void mf_cloud_single_fini(struct mf_engine *e);
/* Handles that could not be kept on disk: for as long as this process lives. */
bool mf_cloud_spare_has(const struct mf_engine *e, const char *cred);
void mf_cloud_spare_forget(struct mf_engine *e, const char *cred);
#endif
