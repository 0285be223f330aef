/*
 * grpc_sync: a blocking gRPC client over a Unix socket, for the CLI and small tools. Uses poll(2)
 * only: no event loop, no TLS. One connection, one thread, one call at a time per struct.
 *
 * Errors: a status of the server comes as mf_grpc_code_to_status of it, with the server's text in
 * ${err}; the code itself by mf_grpc_sync_code. A socket that cannot be reached is
 * MF_E_UNAVAILABLE (the CLI's exit code 4).
 */
#ifndef MF_RPC_GRPC_SYNC_H
#define MF_RPC_GRPC_SYNC_H
#include "rpc/grpc.h"

struct mf_grpc_sync;	    /* the connection */
struct mf_grpc_sync_stream; /* a streaming call */

enum mf_grpc_sync_flags {
	MF_GRPC_SYNC_SPIFFE = 1, /* add `workload.spiffe.io: true` to every call */
};

/* ${path}: a file system path (not a URI). ${timeout_ms}: for this and each later wait; 0: none. */
MF_NODISCARD enum mf_status mf_grpc_sync_connect(
    const char *path, unsigned flags, uint64_t timeout_ms, struct mf_grpc_sync **ret_s, struct mf_err *err);
/* The same on a connected stream socket; ${fd} is taken over, also on failure, and made non-blocking. */
MF_NODISCARD enum mf_status mf_grpc_sync_take(
    int fd, unsigned flags, uint64_t timeout_ms, struct mf_grpc_sync **ret_s, struct mf_err *err);
/* Metadata of every call from now on; copied, one name. Empty: none any more. */
MF_NODISCARD enum mf_status
mf_grpc_sync_meta(struct mf_grpc_sync *s, const char *name, struct mf_slice value, struct mf_err *err);
void mf_grpc_sync_free(struct mf_grpc_sync *s);
MF_DEFINE_CLEANUP(struct mf_grpc_sync, mf_grpc_sync_free)
int mf_grpc_sync_fd(const struct mf_grpc_sync *s); /* the socket: for SO_PEERCRED, or to poll */

/* One request, one response (free with mf_pb_free). */
MF_NODISCARD enum mf_status mf_grpc_sync_unary(struct mf_grpc_sync *s, const struct mf_grpc_method *m,
    const ProtobufCMessage *request, ProtobufCMessage **ret_response, struct mf_err *err);

/* Start any streaming call. A stream must be freed before its connection. */
MF_NODISCARD enum mf_status mf_grpc_sync_open(struct mf_grpc_sync *s, const struct mf_grpc_method *m,
    struct mf_grpc_sync_stream **ret_st, struct mf_err *err);
/* Cancels the call if it is still open. */
void mf_grpc_sync_stream_free(struct mf_grpc_sync_stream *st);
MF_DEFINE_CLEANUP(struct mf_grpc_sync_stream, mf_grpc_sync_stream_free)
/* Blocks until there is room; then the message is on its way. */
MF_NODISCARD enum mf_status
mf_grpc_sync_send(struct mf_grpc_sync_stream *st, const ProtobufCMessage *msg, struct mf_err *err);
MF_NODISCARD enum mf_status mf_grpc_sync_half_close(struct mf_grpc_sync_stream *st, struct mf_err *err);
/*
 * The next message (free with mf_pb_free), waiting up to ${timeout_ms} (0: not at all; UINT64_MAX: for
 * ever). MF_E_DEADLINE: none yet, ask again. MF_E_CLOSED: the server ended the stream with OK.
 * Otherwise the server's status or the failure of the connection. To wait for other descriptors as
 * well, poll mf_grpc_sync_fd for reading and call this with 0: but first with 0 until
 * MF_E_DEADLINE, since several messages may have come with one read.
 */
MF_NODISCARD enum mf_status mf_grpc_sync_recv(
    struct mf_grpc_sync_stream *st, uint64_t timeout_ms, ProtobufCMessage **ret_msg, struct mf_err *err);
/* Of the last call or stream that ended; MF_GRPC_UNKNOWN before. */
enum mf_grpc_code mf_grpc_sync_code(const struct mf_grpc_sync *s);
#endif
