/* internal: the parts of the aws-sts backend. Private to this directory. Pure. */
#ifndef MF_AWS_INTERNAL_H
#define MF_AWS_INTERNAL_H
#include "broker/backends/common/outcome.h"
#include "codec/json.h"

#define MF_AWS_POLICY_MAX 2048u	  /* characters of a session policy */
#define MF_AWS_DENY_BYTES 10240u  /* characters of all inline policies of a role */
#define MF_AWS_DENY_LATENCY_S 300 /* of IAM; AWS says "a few minutes" and no more */
#define MF_AWS_SESSION_MAX_S 43200
#define MF_AWS_DENY_POLICY "mayfly-revoked"
#define MF_AWS_DENIES 2048u /* entries of one list */

/* policy.c: the session policy of a scope. */
MF_NODISCARD enum mf_status
mf_aws_session_policy(const struct mf_scope *s, int64_t not_after, struct mf_buf *to, struct mf_err *err);

/* deny.c: the document of MF_AWS_DENY_POLICY. */
struct mf_aws_deny {
	unsigned tag; /* index of mf_aws_tags */
	struct mf_slice value;
};
extern const char *const mf_aws_tags[]; /* NULL-terminated: "mayfly-job", ... */
struct mf_aws_denies {
	struct mf_aws_deny *v;
	size_t n, cap;
	int64_t older_than; /* sessions issued before this: 0: no such statement */
};
void mf_aws_denies_fini(struct mf_aws_denies *d);
/* False: full, no memory, or no tag of ours. A second one of the same is not added. */
bool mf_aws_denies_add(struct mf_aws_denies *d, struct mf_slice tag, struct mf_slice value);
bool mf_aws_denies_has(const struct mf_aws_denies *d, struct mf_slice tag, struct mf_slice value);
/*
 * What a document that stands there denies. Its values point into ${keep}, which the caller frees after them. Statements that
 * are not of our making are not seen: the policy of this name is ours.
 */
MF_NODISCARD enum mf_status mf_aws_deny_read(
    struct mf_slice document, struct mf_json **ret_keep, struct mf_aws_denies *to, struct mf_err *err);
/* Append the document of the first ${n} of ${d}. Nothing to deny: nothing. */
MF_NODISCARD enum mf_status
mf_aws_deny_write(const struct mf_aws_denies *d, size_t n, struct mf_buf *to, struct mf_err *err);
/* How many of ${d}, from the first, fit into ${room} bytes. */
size_t mf_aws_deny_fit(const struct mf_aws_denies *d, size_t room);

/* reply.c: AssumeRoleWithWebIdentity and its kin. */
struct mf_aws_session {
	struct mf_buf access_key, secret_key, token, expiration, arn;
	int64_t expires;
};
void mf_aws_session_init(struct mf_aws_session *s);
void mf_aws_session_fini(struct mf_aws_session *s);
/* False: ${o} says why. */
bool mf_aws_session_read(
    const struct mf_http_reply *reply, bool minting, struct mf_aws_session *to, struct mf_cloud_outcome *o);
/*
 * After false: a whole refusal, which made nothing, that may be of this moment only. IDPCommunicationError: the provider could not read our
 * keys just now. Who is not AWS says AccessDenied for that too.
 */
bool mf_aws_session_again(const struct mf_http_reply *reply, bool amazon);
enum mf_aws_found { MF_AWS_FOUND, MF_AWS_ABSENT, MF_AWS_FAILED };
/* The policy document of GetRolePolicy, decoded. */
enum mf_aws_found
mf_aws_policy_read(const struct mf_http_reply *reply, struct mf_buf *document, struct mf_cloud_outcome *o);
/* Whether the request ${what} was carried out. *ret_full: there is no room for the policy. */
bool mf_aws_done_read(
    const char *what, const struct mf_http_reply *reply, bool *ret_full, struct mf_cloud_outcome *o);
#endif
