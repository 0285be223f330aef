/*
 * jwt_cache: the JWT-SVIDs that the agent's front holds for one instance: one for each identity and list of audiences
 * that was asked for. Pure: no I/O, no clock of its own. A token is served from here until half of its life is over;
 * then a new one is asked for, and the old one serves on where the broker cannot answer. One question is out at a time
 * for each (single flight). Tokens are wiped when they are replaced, dropped or the instance ends.
 *
 * Embedded; zeroed memory is a cache that needs mf_jwt_cache_init. One thread.
 */
#ifndef MF_AGENT_CORE_JWT_CACHE_H
#define MF_AGENT_CORE_JWT_CACHE_H
#include "agent/core/distrust.h"
#include "base/buf.h"
#include "base/list.h"

#define MF_JWT_CACHE_MAX 64u   /* of one instance */
#define MF_JWT_REASON_MAX 512u /* bytes */
#define MF_JWT_JTI_MAX 64u

struct mf_jwt_item {
	struct mf_list at; /* most recently used last */
	char *spiffe_id;
	struct mf_buf audiences; /* each with its length before it: compared whole (E-2) */
	struct mf_buf token;	 /* empty: none */
	char jti[MF_JWT_JTI_MAX + 1];
	int64_t renew_s, exp_s; /* unix seconds */
	uint64_t mint_id;	/* of the question that is out; 0: none */
	/* the last answer was a refusal */
	bool refused;
	uint32_t code; /* mayfly.agent.v1.RefusalCode */
	uint64_t refused_ms;
	char reason[MF_JWT_REASON_MAX + 1];
};

struct mf_jwt_cache {
	struct mf_list items;
	size_t n;
};

void mf_jwt_cache_init(struct mf_jwt_cache *c);
/* Everything is wiped and gone; the cache may be used again. */
void mf_jwt_cache_wipe(struct mf_jwt_cache *c);

/*
 * The item for exactly these audiences in this order, made when there is none; it becomes the most recently used. A full
 * cache drops the oldest that no question is out for; MF_E_EXHAUSTED when there is none such. MF_E_NOMEM.
 */
MF_NODISCARD enum mf_status mf_jwt_cache_get(struct mf_jwt_cache *c, const char *spiffe_id,
    const struct mf_slice *audiences, size_t n, struct mf_jwt_item **ret_i, struct mf_err *err);
/* The item that asked with this id; NULL when it is gone. */
struct mf_jwt_item *mf_jwt_cache_by_mint(struct mf_jwt_cache *c, uint64_t mint_id);
/* Tokens of distrusted keys are wiped: whoever wants one waits for a new one. How many went. */
size_t mf_jwt_cache_distrust(struct mf_jwt_cache *c, const struct mf_distrust *d);
/* The token with this id is over: wiped, and a new one is asked for by whoever wants one. False: it is not held. */
bool mf_jwt_cache_end(struct mf_jwt_cache *c, const char *jti);
/* No question is out any more: the link they went by is gone. */
void mf_jwt_cache_void(struct mf_jwt_cache *c);

enum mf_jwt_view {
	MF_JWT_NONE,  /* nothing to serve */
	MF_JWT_STALE, /* may be served; a new one is due */
	MF_JWT_FRESH
};
enum mf_jwt_view mf_jwt_item_view(const struct mf_jwt_item *i, int64_t now_s);
/* MF_E_INVALID: not a compact token, or one that has expired; what was held stays. The question is answered. */
MF_NODISCARD enum mf_status mf_jwt_item_grant(struct mf_jwt_item *i, struct mf_slice token,
    struct mf_slice jti, int64_t exp_s, int64_t now_s, struct mf_err *err);
/* The question is answered by no. ${final}: it is not for the moment only, so what is held goes. */
void
mf_jwt_item_refuse(struct mf_jwt_item *i, uint32_t code, struct mf_slice reason, bool final, uint64_t now_ms);
#endif
