/*
 * role_links: the role links of Mayfly as tables (proto/roles.proto). End 0 is the exposed side.
 *
 * State MF_LINK_HELLO: nothing but the hellos; MF_LINK_OPEN: after the peer's hello. Each end keeps its own state and
 * moves on when it has received the other's hello.
 */
#ifndef MF_RPC_ROLE_LINKS_H
#define MF_RPC_ROLE_LINKS_H
#include "rpc/role_table.h"

enum mf_link_state { MF_LINK_HELLO, MF_LINK_OPEN };
enum mf_link_end { MF_LINK_FRONT = 0, MF_LINK_INNER = 1 };

/* broker: front (0) and notary (1) */
enum mf_broker_msg {
	MF_MSG_FRONT_HELLO = 1,
	MF_MSG_SESSION_OPEN = 2,
	MF_MSG_SESSION_DATA = 3,
	MF_MSG_SESSION_CREDIT = 4,
	MF_MSG_SESSION_CLOSE = 5,
	MF_MSG_ADMIN_CALL = 6,
	MF_MSG_CERTIFY_SERVER = 7,
	MF_MSG_LOG_ACK = 8,
	MF_MSG_NOTARY_HELLO = 64,
	MF_MSG_ADMIN_REPLY = 65,
	MF_MSG_SESSION_DATA_OUT = 66,
	MF_MSG_SESSION_CLOSE_OUT = 67,
	MF_MSG_SERVER_CERTIFICATE = 68,
	MF_MSG_LOG_RECORDS = 69,
	MF_MSG_SHARED_DOCUMENT = 70,
	MF_MSG_NOTARY_STATUS = 71,
	MF_MSG_DISTRUSTED = 74,
	MF_MSG_SESSION_NODE = 80,
	MF_MSG_NODE_OUT = 81
};
extern const struct mf_role_table mf_link_broker;

/* broker: courier (0) and notary (1) */
enum mf_courier_msg {
	MF_MSG_COURIER_HELLO = 64,
	MF_MSG_MINT_RESULT = 65,
	MF_MSG_CLOUD_REVOKE_RESULT = 66,
	MF_MSG_CLOUD_PROBE_RESULT = 67,
	MF_MSG_CLOUD_FETCH_RESULT = 68,
	MF_MSG_MINT_REQUEST = 1,
	MF_MSG_CLOUD_REVOKE_REQUEST = 2,
	MF_MSG_CLOUD_PROBE_REQUEST = 3,
	MF_MSG_CLOUD_FETCH_REQUEST = 4
};
extern const struct mf_role_table mf_link_courier;

/* broker: verifier (0) and notary (1) */
enum mf_verifier_msg {
	MF_MSG_VERIFY_ANCHORS = 1,
	MF_MSG_VERIFY_EVIDENCE = 2,
	MF_MSG_VERIFIER_HELLO = 64,
	MF_MSG_VERIFIED = 65
};
extern const struct mf_role_table mf_link_verifier;

/* agent: resolver (0) and front (1) */
enum mf_resolver_msg { MF_MSG_RESOLVE = 1, MF_MSG_RESOLVER_HELLO = 64, MF_MSG_RESOLVED = 65 };
extern const struct mf_role_table mf_link_resolver;

/* agent: front (0) and attestor (1) */
enum mf_agent_msg {
	MF_MSG_AGENT_FRONT_HELLO = 1,
	MF_MSG_WHO_IS = 2,
	MF_MSG_SENDER_IS = 3,
	MF_MSG_CONN_GONE = 4,
	MF_MSG_ATTACH_INSTANCE = 5,
	MF_MSG_RENEW_INSTANCE = 6,
	MF_MSG_START_JOB = 7,
	MF_MSG_PLACE_CHILD = 8,
	MF_MSG_RUNNER_GONE = 9,
	MF_MSG_OUTER_OPENED = 10,
	MF_MSG_OUTER_DATA = 11,
	MF_MSG_OUTER_CLOSED = 12,
	MF_MSG_OUTER_KEY = 13,
	MF_MSG_DOCUMENT_SEEN = 14,
	MF_MSG_OUTER_CREDIT = 15,
	MF_MSG_EXPLAIN_JOB = 25,
	MF_MSG_MINT_INSTANCE_JWT = 30,
	MF_MSG_MINT_INSTANCE_CLOUD = 40,
	MF_MSG_FIND_PEER = 41,
	MF_MSG_ATTESTOR_HELLO = 64,
	MF_MSG_CALLER = 65,
	MF_MSG_OUTER_DATA_OUT = 66,
	MF_MSG_OUTER_CLOSE_OUT = 67,
	MF_MSG_INSTANCE_GRANT = 68,
	MF_MSG_INSTANCE_REFUSED = 69,
	MF_MSG_INSTANCE_ENDED = 70,
	MF_MSG_JOB_CREATED = 71,
	MF_MSG_JOB_PLACED = 72,
	MF_MSG_OUTER_CERTIFICATE = 73,
	MF_MSG_TRUST = 74,
	MF_MSG_SESSION_STATE = 75,
	MF_MSG_INSTANCE_HURRY = 76,
	MF_MSG_INSTANCE_ENDING = 78,
	MF_MSG_INSTANCE_DEADLINE = 79,
	MF_MSG_JOB_EXPLAINED = 88,
	MF_MSG_INSTANCE_JWT = 90,
	MF_MSG_TRUST_DOCUMENT = 91,
	MF_MSG_INSTANCE_CLOUD = 100,
	MF_MSG_INSTANCE_CLOUD_ENDED = 101,
	MF_MSG_PEER_FOUND = 102,
	MF_MSG_INSTANCE_SVID_ENDED = 103,
};
extern const struct mf_role_table mf_link_agent;
#endif
