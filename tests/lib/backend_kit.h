/* backend_kit: what tests know of each backend of cloud tokens: a target, a request, and replies of its provider. */
#ifndef MF_TESTS_BACKEND_KIT_H
#define MF_TESTS_BACKEND_KIT_H
#include "broker/backends/token_backend.h"

#define BACKEND_NOW INT64_C(1795300000) /* 2026-11-21T22:26:40Z */

struct backend_code {
	unsigned status;
	const char *body, *want;
};
struct backend_kit {
	const char *name;
	const char *good;   /* a reply that mints */
	size_t whole;	    /* cut before this byte, it mints nothing */
	const char *secret; /* of it */
	const struct backend_code *codes;
};
extern const struct backend_kit mf_backend_kits[]; /* in the order of mf_token_backends; name NULL ends */

void mf_backend_target(const struct backend_kit *k, Mayfly__Roles__V1__CloudTarget *to);

struct backend_run {
	const struct mf_token_backend *b;
	struct mf_cloud_op *op;
	Mayfly__Roles__V1__MintResult result;
};
/* A mint whose one request is answered so. */
struct backend_run mf_backend_mint(const struct backend_kit *k, unsigned status, struct mf_slice body);
struct backend_run mf_backend_mint_reply(const struct backend_kit *k, const struct mf_http_reply *reply);
void mf_backend_done(struct backend_run *r);
void mf_backend_mint_request(Mayfly__Roles__V1__MintRequest *to);
#endif
