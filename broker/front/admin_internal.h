/* What admin_api.c (the server, who may, acting) and admin_reads.c (answers from the read model) share. */
#ifndef MF_FRONT_ADMIN_INTERNAL_H
#define MF_FRONT_ADMIN_INTERNAL_H
#include "broker/front/admin_access.h"
#include "broker/front/admin_api.h"

#include "admin.pb-c.h"
#include "roles.pb-c.h"

struct mf_admin_peer { /* one connection */
	uint32_t uid, pid;
	bool allowed;
	bool remote;   /* by TLS: uid, pid and allowed mean nothing, ${id} is who it is */
	bool stranger; /* it had no role when it connected */
	struct mf_admin_id id;
	/* Local ones: */
	uint32_t loginuid; /* MF_NO_LOGIN_UID: nobody's, or not known */
	struct mf_net_conn *conn;
	struct mf_list asking; /* in the api's, while the answer is not there */
	uint32_t number;       /* of the question */
	struct mf_loop_timer *patience;
};
struct mf_admin_remote;

struct mf_admin_api {
	struct mf_loop *loop;
	struct mf_admin_conf conf;
	struct mf_grpc_health *health;
	struct mf_grpc_reflect *reflect;
	struct mf_grpc_service service, keys;
	const struct mf_grpc_service *services[4];
	struct mf_grpc_server server;
	struct mf_net_listener *listener;
	struct mf_admin_remote *remote; /* NULL: only the socket */
	struct mf_list acts;		/* of admin_api.c */
	struct mf_list asking;		/* peers whose login is being asked for */
	uint32_t asked;			/* questions so far */
	bool draining;
};

/* admin_local.c */
extern const struct mf_net_conn_ops mf_admin_local_ops;

/* admin_caller.c */
/* May this call begin? */
enum mf_grpc_code mf_admin_admit(const struct mf_admin_api *a, struct mf_grpc_call *c, struct mf_err *why);
/* Who asks, for the notary's records. The strings are the peer's. */
void mf_admin_fill(
    const struct mf_admin_api *a, const struct mf_admin_peer *p, Mayfly__Roles__V1__AdminCall *call);
/* Signatures that came with the call, into ${call}; *ret_msg keeps them (mf_pb_free), NULL when none came. */
MF_NODISCARD enum mf_status mf_admin_approval(const struct mf_grpc_call *c,
    Mayfly__Roles__V1__AdminCall *call, ProtobufCMessage **ret_msg, struct mf_err *err);
/* A line when a connection was closed for what came on it. */
void mf_admin_log_abuse(const struct mf_net_conn *conn, enum mf_net_why why, const struct mf_err *err);
struct mf_admin_peer *mf_admin_peer_of(const struct mf_grpc_call *c);
void mf_admin_on_cancel(struct mf_grpc_call *c, enum mf_grpc_code why);
/* admin_keys.c */
extern const struct mf_grpc_method mf_admin_key_methods[];
extern const size_t mf_admin_key_methods_n;

/*
 * An act: one question for the notary, about what ${match} names where there is a match function. ${fill} makes the
 * question from ${ctx}, the caller's request; the answer ${want} is given when the tables have the record that ${pick}
 * names (UINT64_MAX: at once). Finishes the call, with an error as well.
 */
struct mf_admin_act {
	const char *what; /* for the daemon's log */
	enum mf_status (*match)(
	    struct mf_read_model *rm, const char *typed, char ret_id[MF_RM_ID_MAX], struct mf_err *err);
	void (*fill)(Mayfly__Roles__V1__AdminCall *call, char *id, void *ctx);
	Mayfly__Roles__V1__AdminReply__WhatCase want;
	const ProtobufCMessage *(*pick)(const Mayfly__Roles__V1__AdminReply *r, uint64_t *ret_index);
};
void mf_admin_act(struct mf_grpc_call *c, const struct mf_admin_act *how, const char *match, void *ctx);
/* The same about nothing that is matched; ${finish} finishes the call with the answer, instead of what ${pick} names. */
typedef void
mf_admin_finish(struct mf_admin_api *a, struct mf_grpc_call *c, const Mayfly__Roles__V1__AdminReply *r);
void mf_admin_ask(struct mf_grpc_call *c, const struct mf_admin_act *how, void *ctx, mf_admin_finish *finish);
/* The same, when the notary has so long for its answer. */
void mf_admin_act_for(struct mf_grpc_call *c, const struct mf_admin_act *how, const char *match, void *ctx,
    uint32_t patience_ms);

/* admin_clock.c */
void mf_admin_confirm_clock(struct mf_grpc_call *c, const ProtobufCMessage *msg);
/* admin_cloud.c */
void mf_admin_probe_cloud(struct mf_grpc_call *c, const ProtobufCMessage *msg);
void mf_admin_get_oidc_documents(struct mf_grpc_call *c, const ProtobufCMessage *msg);
/* admin_jobs.c */
void mf_admin_extend_job(struct mf_grpc_call *c, const ProtobufCMessage *msg);

/* admin_nodes.c */
void mf_admin_create_join_token(struct mf_grpc_call *c, const ProtobufCMessage *msg);
void mf_admin_readmit_node(struct mf_grpc_call *c, const ProtobufCMessage *msg);
/* admin_freeze.c */
/* Whatever is neither a job nor a node. */
void mf_admin_freeze(struct mf_grpc_call *c, const Mayfly__Admin__V1__RevokeRequest *q);
void mf_admin_unfreeze(struct mf_grpc_call *c, const ProtobufCMessage *msg);
void mf_admin_list_freezes(struct mf_grpc_call *c, const ProtobufCMessage *msg);
/* admin_credentials.c */
void mf_admin_end_credential(struct mf_grpc_call *c, const Mayfly__Admin__V1__RevokeRequest *q);
void mf_admin_get_credential(struct mf_grpc_call *c, const ProtobufCMessage *msg);
/* admin_api.c */
const ProtobufCMessage *mf_admin_pick_removal(const Mayfly__Roles__V1__AdminReply *r, uint64_t *ret_index);
/* admin_policy.c */
void mf_admin_get_policy(struct mf_grpc_call *c, const ProtobufCMessage *msg);
void mf_admin_reload_policy(struct mf_grpc_call *c, const ProtobufCMessage *msg);
void mf_admin_explain_job(struct mf_grpc_call *c, const ProtobufCMessage *msg);

void
mf_admin_get_node(struct mf_admin_api *a, struct mf_grpc_call *c, const Mayfly__Admin__V1__GetNodeRequest *q);

/* Each finishes the call, with an error as well. ${creds} NULL: ${missing} says why there are none. */
void mf_admin_list_jobs(
    struct mf_admin_api *a, struct mf_grpc_call *c, const Mayfly__Admin__V1__ListJobsRequest *q);
void mf_admin_list_nodes(
    struct mf_admin_api *a, struct mf_grpc_call *c, const Mayfly__Admin__V1__ListNodesRequest *q);
void mf_admin_get_bundle(struct mf_admin_api *a, struct mf_grpc_call *c);
void mf_admin_get_job(struct mf_admin_api *a, struct mf_grpc_call *c, const char *id, const char *page,
    const Mayfly__Admin__V1__ListCredentialsResponse *creds, const char *missing);
/* ${of}: the notary's; NULL: it is away, ${missing} says why. */
void mf_admin_get_status(
    struct mf_admin_api *a, struct mf_grpc_call *c, const Mayfly__Admin__V1__Status *of, const char *missing);
#endif
