/* notary_cloud: the notary's side of cloud tokens outside of the engine: its configuration, the courier, the assertions. */
#ifndef MF_NOTARY_CLOUD_H
#define MF_NOTARY_CLOUD_H
#include "broker/notary/assertions.h"
#include "broker/notary/courier_link.h"
#include "broker/notary/handles.h"

/* A packed CloudConf, from the supervisor; ${fd} -1: there is none. ${fd} stays the caller's. */
MF_NODISCARD enum mf_status mf_notary_cloud_load(struct mf_engine *e, int fd, struct mf_err *err);
/* Of the engine; their context is the struct mf_notary. */
struct mf_jws_key *mf_notary_assertion_key(void *ctx, const char *kid);
void mf_notary_sign_assertion(void *ctx, struct mf_assertion_request *req);
bool mf_notary_mint(void *ctx, const Mayfly__Roles__V1__MintRequest *q);
bool mf_notary_revoke(void *ctx, const Mayfly__Roles__V1__CloudRevokeRequest *q);
bool mf_notary_probe(void *ctx, const Mayfly__Roles__V1__CloudProbeRequest *q);
bool mf_notary_keep_handle(void *ctx, const char *cred, struct mf_slice secret, int64_t until);
bool mf_notary_open_handle(void *ctx, const char *cred);
void mf_notary_drop_handle(void *ctx, const char *cred);
bool mf_notary_has_handle(void *ctx, const char *cred);
const struct mf_token_backend *mf_notary_backend(void *ctx, const char *name);
/* Of the courier's link; likewise. */
extern const struct mf_courier_mints mf_notary_mints;
/* Of the handles; likewise. */
extern const struct mf_handles_ops mf_notary_handles;
#endif
