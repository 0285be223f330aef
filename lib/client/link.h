/*
 * link: one call of the Workload API on a connection of its own, without blocking.
 *
 * The owner waits for mf_link_fd (reading, and writing while mf_link_wants_write) and for mf_link_wakeup, and calls
 * mf_link_step. Each call carries `workload.spiffe.io: true` (WEP-3). One thread at a time.
 */
#ifndef MF_CLIENT_LINK_H
#define MF_CLIENT_LINK_H
#include "client/endpoint.h"
#include "rpc/grpc.h"

struct mf_link;

/*
 * Start to connect and queue the request. ${m} is static. MF_E_UNAVAILABLE: nobody listens there; MF_E_DENIED: this
 * process may not use the socket; MF_E_IO: no descriptors.
 */
MF_NODISCARD enum mf_status mf_link_open(const struct mf_endpoint *ep, const struct mf_grpc_method *m,
    const ProtobufCMessage *request, struct mf_link **ret_link, struct mf_err *err);
/* Closes; the agent sees that nobody listens any more. NULL is a no-op. */
void mf_link_free(struct mf_link *l);
MF_DEFINE_CLEANUP(struct mf_link, mf_link_free)

int mf_link_fd(const struct mf_link *l);
bool mf_link_wants_write(const struct mf_link *l);
uint64_t mf_link_wakeup(const struct mf_link *l); /* struct mf_now's mono_ms; UINT64_MAX: none */

/*
 * Send and take in what can be. MF_OK: *ret_msg is the next message (mf_pb_free); call again, there may be another.
 * MF_E_AGAIN: nothing more now. Anything else is the end, and the same from then on: MF_E_CLOSED after the status OK,
 * the agent's status otherwise (mf_link_code), or MF_E_UNAVAILABLE for a lost connection.
 */
MF_NODISCARD enum mf_status mf_link_step(struct mf_link *l, ProtobufCMessage **ret_msg, struct mf_err *err);
/* What the agent ended the call with; MF_GRPC_OK as long as it has not, and when the connection was lost. */
enum mf_grpc_code mf_link_code(const struct mf_link *l);
#endif
