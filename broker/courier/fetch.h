/*
 * fetch: the discovery document and the keys of an OIDC issuer, as a provider would read them. Sans-I/O, as a backend's op. Pure.
 */
#ifndef MF_COURIER_FETCH_H
#define MF_COURIER_FETCH_H
#include "broker/backends/token_backend.h"

#define MF_FETCH_DOCUMENT 30000u /* bytes of each: both fit into one message of the link */

struct mf_fetch; /* opaque */

/* ${req} outlives it. */
MF_NODISCARD enum mf_status
mf_fetch_new(const Mayfly__Roles__V1__CloudFetchRequest *req, struct mf_fetch **ret_f, struct mf_err *err);
void mf_fetch_free(struct mf_fetch *f);
/* As token_backend.h's next. */
enum mf_cloud_step
mf_fetch_next(struct mf_fetch *f, const struct mf_http_reply *reply, struct mf_http_request *ret_req);
void mf_fetch_result(const struct mf_fetch *f, Mayfly__Roles__V1__CloudFetchResult *to);
#endif
