/*
 * courier_link: the notary's second socket. The courier, which speaks to clouds, has this link and no other; its
 * table is mf_link_courier. A result that nobody waits for is noted and dropped, never acted on.
 *
 * State thread only.
 */
#ifndef MF_NOTARY_COURIER_LINK_H
#define MF_NOTARY_COURIER_LINK_H
#include "base/err.h"

#include "roles.pb-c.h"

struct mf_courier_link; /* opaque */

/* ${build_id} outlives it. */
MF_NODISCARD enum mf_status
mf_courier_link_new(const char *build_id, struct mf_courier_link **ret_l, struct mf_err *err);
void mf_courier_link_free(struct mf_courier_link *l);
MF_DEFINE_CLEANUP(struct mf_courier_link, mf_courier_link_free)
/* A new end, from the supervisor. Takes ${fd}. */
MF_NODISCARD enum mf_status mf_courier_link_connect(struct mf_courier_link *l, int fd, struct mf_err *err);
int mf_courier_link_fd(const struct mf_courier_link *l); /* -1: not connected */
/* The courier said hello and is of our build. */
bool mf_courier_link_open(const struct mf_courier_link *l);
/* Results that nobody waited for. */
uint64_t mf_courier_link_unasked(const struct mf_courier_link *l);
void mf_courier_link_read(struct mf_courier_link *l);
/* Sends what still waits. */
void mf_courier_link_write(struct mf_courier_link *l);
/*
 * Have the documents of ${issuer} read as a provider would, also from this machine when ${loopback}; ${once}: for a person, whatever
 * became of earlier ones. False: there is no courier, or it is busy.
 */
bool mf_courier_link_fetch(
    struct mf_courier_link *l, uint64_t fetch_id, const char *issuer, bool loopback, bool once);
/* Who hears of what it read; NULL: nobody waits for it. */
void mf_courier_link_on_fetched(struct mf_courier_link *l,
    void (*fetched)(void *ctx, const Mayfly__Roles__V1__CloudFetchResult *r), void *ctx);
/* Ask for a token. False: there is no courier, or it has too much to read; nothing was sent. */
bool mf_courier_link_mint(struct mf_courier_link *l, const Mayfly__Roles__V1__MintRequest *q);
/* Likewise, to take tokens back. */
bool mf_courier_link_revoke(struct mf_courier_link *l, const Mayfly__Roles__V1__CloudRevokeRequest *q);
/* Likewise, to hear whether one is dead. */
bool mf_courier_link_probe(struct mf_courier_link *l, const Mayfly__Roles__V1__CloudProbeRequest *q);
/*
 * Who hears of tokens, that a courier is there, and that it is gone with what it was asked. Whether it was asked for is his to
 * know.
 */
struct mf_courier_mints {
	void (*here)(void *ctx);
	void (*minted)(void *ctx, const Mayfly__Roles__V1__MintResult *m);
	void (*revoked)(void *ctx, const Mayfly__Roles__V1__CloudRevokeResult *m);
	void (*probed)(void *ctx, const Mayfly__Roles__V1__CloudProbeResult *m);
	void (*gone)(void *ctx);
};
/* ${ops} outlives the link. */
void mf_courier_link_on_minted(struct mf_courier_link *l, const struct mf_courier_mints *ops, void *ctx);
bool mf_courier_link_wants_write(const struct mf_courier_link *l);
#endif
