/*
 * admin_text: the text of an admin act that persons sign (docs/internals/protocols.md, "Signatures of acts"). It is made
 * from the request's descriptor, alike by `mayfly` and by the notary, so that every act has one, and no parameter of an act
 * can be left out of it. One request has one text: fields in the order of their numbers, those at their default left out,
 * maps sorted, strings as JSON strings.
 *
 *   mayfly-admin 1
 *   act: mayfly.admin.v1.CreateJoinTokenRequest
 *   log: b1.example.org/log
 *   policy: <64 hex>
 *   nonce: <32 hex>
 *   not-after: 1796000000
 *
 *   ttl_s: 3600
 *   attributes["pool"]: "gpu-a"
 */
#ifndef MF_RPC_ADMIN_TEXT_H
#define MF_RPC_ADMIN_TEXT_H
#include <protobuf-c/protobuf-c.h>

#include "base/buf.h"

#define MF_ADMIN_NONCE 32u /* letters of hex */
#define MF_ADMIN_NAMESPACE "mayfly-admin"
#define MF_ADMIN_APPROVAL "mayfly-approval" /* metadata: AdminApproval, base64 */

struct mf_admin_head {
	const char *log;    /* the log's origin */
	const char *policy; /* SHA-256 of the policy in force, hex; "" none */
	const char *nonce;
	int64_t not_after_s; /* unix */
};

/* Append the text. MF_E_INVALID: a part of the head cannot be one line. */
MF_NODISCARD enum mf_status mf_admin_text(
    const struct mf_admin_head *head, const ProtobufCMessage *request, struct mf_buf *to, struct mf_err *err);
/* Read the head of such a text back; the strings point into ${text}, which is changed. */
MF_NODISCARD enum mf_status
mf_admin_text_head(char *text, struct mf_admin_head *ret_head, struct mf_err *err);
/* Lines of ${msg} alone, each after ${prefix}. */
void mf_pb_text(const ProtobufCMessage *msg, const char *prefix, struct mf_buf *to);
#endif
