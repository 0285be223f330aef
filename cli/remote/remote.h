/*
 * remote: what the files of mayfly-remote share: the way of `mayfly --broker` to a broker elsewhere.
 *
 * `mayfly` itself loads no OpenSSL. It starts this program with one end of a socket pair (descriptor 3) and a pipe
 * (descriptor 4). This one makes the TLS connection, says "ok" on the pipe, and carries bytes between the two until one
 * side ends. What goes wrong is one line on the pipe: "error STATUS TEXT".
 *
 * Blocking, one thread, one connection.
 */
#ifndef MF_CLI_REMOTE_H
#define MF_CLI_REMOTE_H
#include "base/buf.h"
#include "base/clock.h"
#include "codec/x509_read.h"
#include "net/tls.h"

struct mf_remote_args {
	const char *broker; /* host:port */
	const char *cert, *key,
	    *ca;	   /* PEM files; cert and key both or neither; ca NULL: with an SVID its own bundle */
	const char *agent; /* path of the Workload API's socket; used without cert */
	uint64_t deadline_ms; /* mono_ms */
};

/* Our certificate and key, and the authorities that may vouch for the broker. */
struct mf_remote_identity {
	struct mf_buf chain; /* DER, concatenated, leaf first */
	struct mf_buf key;   /* PKCS#8 DER */
	struct mf_buf ca;    /* DER, concatenated */
	char name[2100];     /* for people */
	int64_t not_after_s;
};
void mf_remote_identity_init(struct mf_remote_identity *id);
void mf_remote_identity_fini(struct mf_remote_identity *id); /* wipes */

/* From the files, or from the agent. Errors name the file or the socket, the cause and the cure. */
MF_NODISCARD enum mf_status
mf_remote_identity_get(const struct mf_remote_args *a, struct mf_remote_identity *id, struct mf_err *err);

/* Connect and shake hands; *ret_fd is the socket. What came after the handshake waits in ${tls}. */
MF_NODISCARD enum mf_status mf_remote_connect(const struct mf_remote_args *a,
    const struct mf_remote_identity *id, struct mf_tls **ret_tls, int *ret_fd, struct mf_err *err);
/* Carry bytes until a side ends. MF_OK: in order. */
MF_NODISCARD enum mf_status mf_remote_relay(
    const struct mf_remote_identity *id, struct mf_tls *tls, int net, int local, struct mf_err *err);
#endif
