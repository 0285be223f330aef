/* What the files of the JWT API share: jwt_api.c (calls), jwt_mint.c (tokens), jwt_validate.c. Nobody else includes this. */
#ifndef MF_AGENT_FRONT_JWT_INTERNAL_H
#define MF_AGENT_FRONT_JWT_INTERNAL_H
#include "agent/front/jwt_api.h"
#include "base/limits.h"

#include "workload.pb-c.h"

enum jwt_kind { JWT_FETCH, JWT_BUNDLES, JWT_VALIDATE };

/* One open call. */
struct jwt_call {
	struct mf_job_call job;
	struct mf_jwt_api *api;
	enum jwt_kind kind;
	struct mf_list node;
	/* fetch: what was asked; validate: audiences[0] and the token */
	struct mf_buf text; /* all strings, one after the other */
	struct mf_slice audiences[MF_LIM_JWT_AUDIENCES];
	size_t audiences_n;
	struct mf_slice spiffe_id, token;
	/* bundles */
	bool sent, blocked;
	uint64_t marker;
};

struct mf_jwt_api {
	struct mf_jwt_api_config cfg;
	struct mf_grpc_service service;
	struct mf_list calls;
	struct pending *pending;
	uint64_t next_mint;
	struct mf_distrust distrust;
	bool down;
	struct mf_jwt_api_stats stats;
};

/* Ends the call. */
void mf_jwt_finish(struct jwt_call *c, enum mf_grpc_code code, const char *text);
void mf_jwt_reply(struct jwt_call *c, const ProtobufCMessage *msg);

/* jwt_mint.c: look at what is there for ${e} and answer, ask, or wait. */
void mf_jwt_fetch(struct jwt_call *c, struct mf_svid_entry *e);
void mf_jwt_mint_fini(struct mf_jwt_api *j);
/* jwt_validate.c: answers. */
void mf_jwt_validate(struct jwt_call *c);
/* jwt_bundles.c: push unless it is what was sent last. */
void mf_jwt_push_bundles(struct jwt_call *c, struct mf_svid_entry *e);
#endif
