#include "rpc/role_links.h"

#include "base/limits.h"

#include "roles.pb-c.h"

#define HELLO (1u << MF_LINK_HELLO)
#define OPEN (1u << MF_LINK_OPEN)
#define FULL (MF_LIM_IPC_MESSAGE - 4u)
#define SMALL 512u
#define CHUNK (MF_LIM_INNER_CHUNK + 256u)

static const char *const states[] = { "hello", "open" };

static const struct mf_role_msg broker_msgs[] = {
	{ MF_MSG_FRONT_HELLO, 0, MF_ROLE_FD_NEVER, HELLO, SMALL, "FrontHello",
	    &mayfly__roles__v1__front_hello__descriptor },
	{ MF_MSG_SESSION_OPEN, 0, MF_ROLE_FD_NEVER, OPEN, SMALL, "SessionOpen",
	    &mayfly__roles__v1__session_open__descriptor },
	{ MF_MSG_SESSION_DATA, 0, MF_ROLE_FD_NEVER, OPEN, CHUNK, "SessionData",
	    &mayfly__roles__v1__session_data__descriptor },
	{ MF_MSG_SESSION_CREDIT, 0, MF_ROLE_FD_NEVER, OPEN, SMALL, "SessionCredit",
	    &mayfly__roles__v1__session_credit__descriptor },
	{ MF_MSG_SESSION_CLOSE, 0, MF_ROLE_FD_NEVER, OPEN, 1024, "SessionClose",
	    &mayfly__roles__v1__session_close__descriptor },
	{ MF_MSG_ADMIN_CALL, 0, MF_ROLE_FD_NEVER, OPEN, 32768, "AdminCall",
	    &mayfly__roles__v1__admin_call__descriptor },
	{ MF_MSG_CERTIFY_SERVER, 0, MF_ROLE_FD_NEVER, OPEN, SMALL, "CertifyServer",
	    &mayfly__roles__v1__certify_server__descriptor },
	{ MF_MSG_LOG_ACK, 0, MF_ROLE_FD_NEVER, OPEN, SMALL, "LogAck",
	    &mayfly__roles__v1__log_ack__descriptor },
	{ MF_MSG_NOTARY_HELLO, 1, MF_ROLE_FD_NEVER, HELLO, 1024, "NotaryHello",
	    &mayfly__roles__v1__notary_hello__descriptor },
	{ MF_MSG_ADMIN_REPLY, 1, MF_ROLE_FD_NEVER, OPEN, FULL, "AdminReply",
	    &mayfly__roles__v1__admin_reply__descriptor },
	{ MF_MSG_SESSION_DATA_OUT, 1, MF_ROLE_FD_NEVER, OPEN, CHUNK, "SessionData",
	    &mayfly__roles__v1__session_data__descriptor },
	{ MF_MSG_SESSION_CLOSE_OUT, 1, MF_ROLE_FD_NEVER, OPEN, 1024, "SessionClose",
	    &mayfly__roles__v1__session_close__descriptor },
	{ MF_MSG_SERVER_CERTIFICATE, 1, MF_ROLE_FD_NEVER, OPEN, FULL, "ServerCertificate",
	    &mayfly__roles__v1__server_certificate__descriptor },
	{ MF_MSG_LOG_RECORDS, 1, MF_ROLE_FD_NEVER, OPEN, FULL, "LogRecords",
	    &mayfly__roles__v1__log_records__descriptor },
	{ MF_MSG_SHARED_DOCUMENT, 1, MF_ROLE_FD_NEVER, OPEN, FULL, "SharedDocument",
	    &mayfly__roles__v1__shared_document__descriptor },
	{ MF_MSG_NOTARY_STATUS, 1, MF_ROLE_FD_NEVER, OPEN, 2048, "NotaryStatus",
	    &mayfly__roles__v1__notary_status__descriptor },
	{ MF_MSG_DISTRUSTED, 1, MF_ROLE_FD_NEVER, OPEN, 2048, "Distrusted",
	    &mayfly__roles__v1__distrusted__descriptor },
	{ MF_MSG_SESSION_NODE, 1, MF_ROLE_FD_NEVER, OPEN, SMALL, "SessionNode",
	    &mayfly__roles__v1__session_node__descriptor },
	{ MF_MSG_NODE_OUT, 1, MF_ROLE_FD_NEVER, OPEN, SMALL, "NodeOut",
	    &mayfly__roles__v1__node_out__descriptor },
};

const struct mf_role_table mf_link_broker = {
	.name = "broker-front/notary",
	.ends = { "broker-front", "notary" },
	.states = states,
	.state_count = MF_COUNT(states),
	.msgs = broker_msgs,
	.msg_count = MF_COUNT(broker_msgs),
};

static const struct mf_role_msg courier_msgs[] = {
	{ MF_MSG_MINT_REQUEST, 1, MF_ROLE_FD_NEVER, OPEN, FULL, "MintRequest",
	    &mayfly__roles__v1__mint_request__descriptor },
	{ MF_MSG_CLOUD_REVOKE_REQUEST, 1, MF_ROLE_FD_NEVER, OPEN, FULL, "CloudRevokeRequest",
	    &mayfly__roles__v1__cloud_revoke_request__descriptor },
	{ MF_MSG_CLOUD_PROBE_REQUEST, 1, MF_ROLE_FD_NEVER, OPEN, FULL, "CloudProbeRequest",
	    &mayfly__roles__v1__cloud_probe_request__descriptor },
	{ MF_MSG_CLOUD_FETCH_REQUEST, 1, MF_ROLE_FD_NEVER, OPEN, FULL, "CloudFetchRequest",
	    &mayfly__roles__v1__cloud_fetch_request__descriptor },
	{ MF_MSG_COURIER_HELLO, 0, MF_ROLE_FD_NEVER, HELLO, SMALL, "CourierHello",
	    &mayfly__roles__v1__courier_hello__descriptor },
	{ MF_MSG_MINT_RESULT, 0, MF_ROLE_FD_NEVER, OPEN, FULL, "MintResult",
	    &mayfly__roles__v1__mint_result__descriptor },
	{ MF_MSG_CLOUD_REVOKE_RESULT, 0, MF_ROLE_FD_NEVER, OPEN, FULL, "CloudRevokeResult",
	    &mayfly__roles__v1__cloud_revoke_result__descriptor },
	{ MF_MSG_CLOUD_PROBE_RESULT, 0, MF_ROLE_FD_NEVER, OPEN, 4096, "CloudProbeResult",
	    &mayfly__roles__v1__cloud_probe_result__descriptor },
	{ MF_MSG_CLOUD_FETCH_RESULT, 0, MF_ROLE_FD_NEVER, OPEN, FULL, "CloudFetchResult",
	    &mayfly__roles__v1__cloud_fetch_result__descriptor },
};

const struct mf_role_table mf_link_courier = {
	.name = "courier/notary",
	.ends = { "courier", "notary" },
	.states = states,
	.state_count = MF_COUNT(states),
	.msgs = courier_msgs,
	.msg_count = MF_COUNT(courier_msgs),
};

/* The notary says all at once and needs no hello for it; the verifier's hello shows that it is of the same build. */
static const struct mf_role_msg verifier_msgs[] = {
	{ MF_MSG_VERIFY_ANCHORS, 1, MF_ROLE_FD_NEVER, HELLO, FULL, "VerifyAnchors",
	    &mayfly__roles__v1__verify_anchors__descriptor },
	{ MF_MSG_VERIFY_EVIDENCE, 1, MF_ROLE_FD_NEVER, OPEN, FULL, "VerifyEvidence",
	    &mayfly__roles__v1__verify_evidence__descriptor },
	{ MF_MSG_VERIFIER_HELLO, 0, MF_ROLE_FD_NEVER, HELLO, SMALL, "VerifierHello",
	    &mayfly__roles__v1__verifier_hello__descriptor },
	{ MF_MSG_VERIFIED, 0, MF_ROLE_FD_NEVER, OPEN, 16384, "Verified",
	    &mayfly__roles__v1__verified__descriptor },
};

const struct mf_role_table mf_link_verifier = {
	.name = "verifier/notary",
	.ends = { "verifier", "notary" },
	.states = states,
	.state_count = MF_COUNT(states),
	.msgs = verifier_msgs,
	.msg_count = MF_COUNT(verifier_msgs),
};

/* As at the verifier: asked at once, and the hello comes with the answer. */
static const struct mf_role_msg resolver_msgs[] = {
	{ MF_MSG_RESOLVE, 1, MF_ROLE_FD_NEVER, HELLO, SMALL, "Resolve",
	    &mayfly__roles__v1__resolve__descriptor },
	{ MF_MSG_RESOLVER_HELLO, 0, MF_ROLE_FD_NEVER, HELLO, SMALL, "ResolverHello",
	    &mayfly__roles__v1__resolver_hello__descriptor },
	{ MF_MSG_RESOLVED, 0, MF_ROLE_FD_NEVER, OPEN, 2048, "Resolved",
	    &mayfly__roles__v1__resolved__descriptor },
};

const struct mf_role_table mf_link_resolver = {
	.name = "resolver/agent-front",
	.ends = { "resolver", "agent-front" },
	.states = states,
	.state_count = MF_COUNT(states),
	.msgs = resolver_msgs,
	.msg_count = MF_COUNT(resolver_msgs),
};

static const struct mf_role_msg agent_msgs[] = {
	{ MF_MSG_AGENT_FRONT_HELLO, 0, MF_ROLE_FD_NEVER, HELLO, SMALL, "AgentFrontHello",
	    &mayfly__roles__v1__agent_front_hello__descriptor },
	{ MF_MSG_WHO_IS, 0, MF_ROLE_FD_ALWAYS, OPEN, SMALL, "WhoIs", &mayfly__roles__v1__who_is__descriptor },
	{ MF_MSG_SENDER_IS, 0, MF_ROLE_FD_MAYBE, OPEN, SMALL, "SenderIs",
	    &mayfly__roles__v1__sender_is__descriptor },
	{ MF_MSG_CONN_GONE, 0, MF_ROLE_FD_NEVER, OPEN, SMALL, "ConnGone",
	    &mayfly__roles__v1__conn_gone__descriptor },
	{ MF_MSG_ATTACH_INSTANCE, 0, MF_ROLE_FD_NEVER, OPEN, 1024, "AttachInstance",
	    &mayfly__roles__v1__attach_instance__descriptor },
	{ MF_MSG_RENEW_INSTANCE, 0, MF_ROLE_FD_NEVER, OPEN, 1024, "RenewInstance",
	    &mayfly__roles__v1__renew_instance__descriptor },
	{ MF_MSG_START_JOB, 0, MF_ROLE_FD_NEVER, OPEN, 40960, "StartJob",
	    &mayfly__roles__v1__start_job__descriptor },
	{ MF_MSG_PLACE_CHILD, 0, MF_ROLE_FD_NEVER, OPEN, SMALL, "PlaceChild",
	    &mayfly__roles__v1__place_child__descriptor },
	{ MF_MSG_RUNNER_GONE, 0, MF_ROLE_FD_NEVER, OPEN, SMALL, "RunnerGone",
	    &mayfly__roles__v1__runner_gone__descriptor },
	{ MF_MSG_OUTER_OPENED, 0, MF_ROLE_FD_NEVER, OPEN, SMALL, "OuterOpened",
	    &mayfly__roles__v1__outer_opened__descriptor },
	{ MF_MSG_OUTER_DATA, 0, MF_ROLE_FD_NEVER, OPEN, CHUNK, "OuterData",
	    &mayfly__roles__v1__outer_data__descriptor },
	{ MF_MSG_OUTER_CLOSED, 0, MF_ROLE_FD_NEVER, OPEN, 1024, "OuterClosed",
	    &mayfly__roles__v1__outer_closed__descriptor },
	{ MF_MSG_OUTER_KEY, 0, MF_ROLE_FD_NEVER, OPEN, SMALL, "OuterKey",
	    &mayfly__roles__v1__outer_key__descriptor },
	{ MF_MSG_DOCUMENT_SEEN, 0, MF_ROLE_FD_NEVER, OPEN, FULL, "DocumentSeen",
	    &mayfly__roles__v1__document_seen__descriptor },
	{ MF_MSG_OUTER_CREDIT, 0, MF_ROLE_FD_NEVER, OPEN, SMALL, "OuterCredit",
	    &mayfly__roles__v1__outer_credit__descriptor },
	{ MF_MSG_EXPLAIN_JOB, 0, MF_ROLE_FD_NEVER, OPEN, 40960, "ExplainJob",
	    &mayfly__roles__v1__explain_job__descriptor },
	{ MF_MSG_MINT_INSTANCE_JWT, 0, MF_ROLE_FD_NEVER, OPEN, 32768, "MintInstanceJwt",
	    &mayfly__roles__v1__mint_instance_jwt__descriptor },
	{ MF_MSG_MINT_INSTANCE_CLOUD, 0, MF_ROLE_FD_NEVER, OPEN, SMALL, "MintInstanceCloud",
	    &mayfly__roles__v1__mint_instance_cloud__descriptor },
	{ MF_MSG_FIND_PEER, 0, MF_ROLE_FD_NEVER, OPEN, SMALL, "FindPeer",
	    &mayfly__roles__v1__find_peer__descriptor },
	{ MF_MSG_ATTESTOR_HELLO, 1, MF_ROLE_FD_NEVER, HELLO, 1024, "AttestorHello",
	    &mayfly__roles__v1__attestor_hello__descriptor },
	{ MF_MSG_CALLER, 1, MF_ROLE_FD_NEVER, OPEN, FULL, "Caller", &mayfly__roles__v1__caller__descriptor },
	{ MF_MSG_OUTER_DATA_OUT, 1, MF_ROLE_FD_NEVER, OPEN, CHUNK, "OuterData",
	    &mayfly__roles__v1__outer_data__descriptor },
	{ MF_MSG_OUTER_CLOSE_OUT, 1, MF_ROLE_FD_NEVER, OPEN, 1024, "OuterClosed",
	    &mayfly__roles__v1__outer_closed__descriptor },
	{ MF_MSG_INSTANCE_GRANT, 1, MF_ROLE_FD_NEVER, OPEN, FULL, "InstanceGrant",
	    &mayfly__roles__v1__instance_grant__descriptor },
	{ MF_MSG_INSTANCE_REFUSED, 1, MF_ROLE_FD_NEVER, OPEN, 8192, "InstanceRefused",
	    &mayfly__roles__v1__instance_refused__descriptor },
	{ MF_MSG_INSTANCE_ENDED, 1, MF_ROLE_FD_NEVER, OPEN, 2048, "InstanceEnded",
	    &mayfly__roles__v1__instance_ended__descriptor },
	{ MF_MSG_JOB_CREATED, 1, MF_ROLE_FD_NEVER, OPEN, 16384, "JobCreated",
	    &mayfly__roles__v1__job_created__descriptor },
	{ MF_MSG_JOB_PLACED, 1, MF_ROLE_FD_NEVER, OPEN, 2048, "JobPlaced",
	    &mayfly__roles__v1__job_placed__descriptor },
	{ MF_MSG_OUTER_CERTIFICATE, 1, MF_ROLE_FD_NEVER, OPEN, FULL, "OuterCertificate",
	    &mayfly__roles__v1__outer_certificate__descriptor },
	{ MF_MSG_TRUST, 1, MF_ROLE_FD_NEVER, OPEN, FULL, "Trust", &mayfly__roles__v1__trust__descriptor },
	{ MF_MSG_SESSION_STATE, 1, MF_ROLE_FD_NEVER, OPEN, 2048, "SessionState",
	    &mayfly__roles__v1__session_state__descriptor },
	{ MF_MSG_INSTANCE_HURRY, 1, MF_ROLE_FD_NEVER, OPEN, SMALL, "InstanceHurry",
	    &mayfly__roles__v1__instance_hurry__descriptor },
	{ MF_MSG_INSTANCE_ENDING, 1, MF_ROLE_FD_NEVER, OPEN, 1024, "InstanceEnding",
	    &mayfly__roles__v1__instance_ending__descriptor },
	{ MF_MSG_INSTANCE_DEADLINE, 1, MF_ROLE_FD_NEVER, OPEN, 1024, "InstanceDeadline",
	    &mayfly__roles__v1__instance_deadline__descriptor },
	{ MF_MSG_JOB_EXPLAINED, 1, MF_ROLE_FD_NEVER, OPEN, 8192, "JobExplained",
	    &mayfly__roles__v1__job_explained__descriptor },
	{ MF_MSG_INSTANCE_JWT, 1, MF_ROLE_FD_NEVER, OPEN, FULL, "InstanceJwt",
	    &mayfly__roles__v1__instance_jwt__descriptor },
	{ MF_MSG_TRUST_DOCUMENT, 1, MF_ROLE_FD_NEVER, OPEN, FULL, "TrustDocument",
	    &mayfly__roles__v1__trust_document__descriptor },
	{ MF_MSG_INSTANCE_CLOUD, 1, MF_ROLE_FD_NEVER, OPEN, FULL, "InstanceCloud",
	    &mayfly__roles__v1__instance_cloud__descriptor },
	{ MF_MSG_INSTANCE_CLOUD_ENDED, 1, MF_ROLE_FD_NEVER, OPEN, 4096, "InstanceCloudEnded",
	    &mayfly__roles__v1__instance_cloud_ended__descriptor },
	{ MF_MSG_PEER_FOUND, 1, MF_ROLE_FD_NEVER, OPEN, 4096, "PeerFound",
	    &mayfly__roles__v1__peer_found__descriptor },
	{ MF_MSG_INSTANCE_SVID_ENDED, 1, MF_ROLE_FD_NEVER, OPEN, SMALL, "InstanceSvidEnded",
	    &mayfly__roles__v1__instance_svid_ended__descriptor },
};

const struct mf_role_table mf_link_agent = {
	.name = "agent-front/attestor",
	.ends = { "agent-front", "attestor" },
	.states = states,
	.state_count = MF_COUNT(states),
	.msgs = agent_msgs,
	.msg_count = MF_COUNT(agent_msgs),
};
