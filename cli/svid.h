/*
 * svid: X.509-SVIDs as the Workload API answers them, looked at, shown and written to files.
 */
#ifndef MF_CLI_SVID_H
#define MF_CLI_SVID_H
#include "base/limits.h"
#include "cli/show.h"
#include "rpc/grpc_sync.h"

struct mf_svid {
	const char *spiffe_id, *hint; /* in the answer */
	char serial[2 * 32 + 1];
	int64_t not_before, not_after;	    /* seconds since 1970 */
	struct mf_slice chain, key, bundle; /* DER, in the answer */
};

struct mf_svids {
	ProtobufCMessage *msg; /* the answer that the rest points into */
	struct mf_svid v[MF_LIM_IDENTITIES];
	size_t n;
};
void mf_svids_fini(struct mf_svids *s);

/* Take ${msg} (an X509SVIDResponse) apart; owned by ${ret} on MF_OK. MF_E_INVALID: the agent's answer is broken. */
MF_NODISCARD enum mf_status mf_svids_take(ProtobufCMessage *msg, struct mf_svids *ret, struct mf_err *err);
/* Table or JSON (kind ${kind}), as ${c} wants it; the private key only ${with_key}, only in JSON. */
MF_NODISCARD enum mf_status mf_svids_show(const struct mf_cli *c, const char *kind, const struct mf_svids *s,
    bool with_key, struct mf_buf *to, struct mf_err *err);
/*
 * svid.pem, key.pem (0600), bundle.pem in ${dir} (made when missing, 0700), further identities in ${dir}/<hint>/ (or
 * a number where the hint is no file name). Each file is replaced as a whole, svid.pem last.
 */
MF_NODISCARD enum mf_status mf_svids_write(const struct mf_svids *s, const char *dir, struct mf_err *err);
#endif
