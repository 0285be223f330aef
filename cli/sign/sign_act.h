/*
 * sign_act: signatures of persons for acts that add access (admin_signers), as `mayfly` and `mayfly policy` collect them:
 * by keys at hand (ssh-keygen signs), or over a file that goes from person to person. What is signed is the text of
 * rpc/admin_text.h.
 */
#ifndef MF_CLI_SIGN_SIGN_ACT_H
#define MF_CLI_SIGN_SIGN_ACT_H
#include "base/limits.h"
#include "rpc/admin_text.h"
#include "rpc/grpc_sync.h"

struct mf_sign_opts {
	const char *offline;			  /* --offline-request FILE; NULL */
	const char *signatures[MF_LIM_APPROVALS]; /* --signature FILE */
	size_t signatures_n;
	const char *keys[MF_LIM_APPROVALS]; /* --sign KEY */
	size_t keys_n;
};

/* What to say of a request that was written; the file's name three times. */
#define MF_SIGN_WRITTEN                                                                                    \
	"written, nothing was asked of the broker. Each person: ssh-keygen -Y sign -n " MF_ADMIN_NAMESPACE \
	" -f KEY %s\nthen within a day the same command with --offline-request %s --signature %s.sig ..."

/* One more of an option that may be repeated. False: too many. */
bool mf_sign_add(const char *list[MF_LIM_APPROVALS], size_t *n, const char *name);
static inline bool
mf_sign_asked(const struct mf_sign_opts *o)
{
	return o->offline != NULL || o->keys_n > 0;
}

/*
 * Before ${request} is sent on ${s}: attach what ${o} asks for, to every call that follows. *ret_written: the request was
 * written to the file instead, nothing is to be sent. Asks the broker for its log's name and policy.
 */
MF_NODISCARD enum mf_status mf_sign_act(const struct mf_sign_opts *o, struct mf_grpc_sync *s,
    const ProtobufCMessage *request, bool *ret_written, struct mf_err *err);
#endif
