/*
 * seqpacket: one end of a role link, an AF_UNIX SOCK_SEQPACKET socket.
 *
 * A message is one datagram: u16be type | u16be flags (0) | payload, in all at most
 * MF_LIM_IPC_MESSAGE bytes, with at most one descriptor beside it (SCM_RIGHTS). The kernel keeps the
 * borders, so there is no framing to get wrong; what is short, cut, flagged or followed by more than
 * one descriptor is an error, and every error but MF_E_AGAIN and MF_E_EXHAUSTED ends the link: later calls
 * answer the same. What types mean and which may come is rpc/role_table.h.
 *
 * Nothing here blocks and no loop is known: register mf_seqpacket_fd for reading, and for writing while
 * mf_seqpacket_wants_write. Thread rule: a channel belongs to one thread at a time.
 */
#ifndef MF_OS_SEQPACKET_H
#define MF_OS_SEQPACKET_H
#include "base/limits.h"
#include "base/slice.h"

#define MF_PACKET_HEADER 4u
#define MF_PACKET_PAYLOAD_MAX (MF_LIM_IPC_MESSAGE - MF_PACKET_HEADER)

struct mf_seqpacket; /* opaque */

struct mf_packet {
	uint16_t type;
	struct mf_slice payload; /* in the channel's buffer: valid until the next recv or free */
	int fd; /* -1, or a CLOEXEC descriptor the channel still owns: see mf_seqpacket_take_fd */
};

/*
 * A connected pair of non-blocking CLOEXEC sockets; the caller owns both.
 */
MF_NODISCARD enum mf_status mf_seqpacket_pair(int ret_fds[2], struct mf_err *err);

/*
 * Wrap ${fd}, a connected SOCK_SEQPACKET socket, which is made non-blocking and CLOEXEC and belongs to the
 * channel on MF_OK. At most ${queue_max} bytes (headers included) wait for the peer at any time.
 * Errors: MF_E_INVALID (another kind of descriptor), MF_E_NOMEM, MF_E_IO.
 */
MF_NODISCARD enum mf_status
mf_seqpacket_new(int fd, size_t queue_max, struct mf_seqpacket **ret_s, struct mf_err *err);
/* Closes the socket, a received descriptor that nobody took, and those still queued. Wipes payloads. */
void mf_seqpacket_free(struct mf_seqpacket *s);
MF_DEFINE_CLEANUP(struct mf_seqpacket, mf_seqpacket_free)

int mf_seqpacket_fd(const struct mf_seqpacket *s);
/* True while messages wait: poll for POLLOUT, then call mf_seqpacket_flush. */
bool mf_seqpacket_wants_write(const struct mf_seqpacket *s);
/* Bytes that wait in the queue. */
size_t mf_seqpacket_queued(const struct mf_seqpacket *s);

/*
 * Queue one message (copied); mf_seqpacket_flush sends. ${fd} is -1 or a descriptor that belongs to the
 * channel on MF_OK, and stays the caller's otherwise.
 * Errors: MF_E_TOOBIG (payload over MF_PACKET_PAYLOAD_MAX), MF_E_EXHAUSTED (queue full: the link lives),
 * MF_E_NOMEM, or the error that ended the link.
 */
MF_NODISCARD enum mf_status mf_seqpacket_queue(
    struct mf_seqpacket *s, uint16_t type, struct mf_slice payload, int fd, struct mf_err *err);
/*
 * Send what the socket takes, many messages per system call. MF_OK also when some stay queued.
 * Errors: MF_E_CLOSED (peer gone), MF_E_IO.
 */
MF_NODISCARD enum mf_status mf_seqpacket_flush(struct mf_seqpacket *s, struct mf_err *err);
/* queue + flush. */
MF_NODISCARD enum mf_status
mf_seqpacket_send(struct mf_seqpacket *s, uint16_t type, struct mf_slice payload, int fd, struct mf_err *err);

/*
 * Take one message. A descriptor of the message before that nobody took is closed first.
 * Errors: MF_E_AGAIN (none now), MF_E_CLOSED (peer gone and all read), MF_E_INVALID (malformed, cut, or
 * more than one descriptor; all of them are closed), MF_E_TOOBIG, MF_E_IO.
 */
MF_NODISCARD enum mf_status
mf_seqpacket_recv(struct mf_seqpacket *s, struct mf_packet *ret_p, struct mf_err *err);
/* The descriptor of the last message, now the caller's, or -1. */
int mf_seqpacket_take_fd(struct mf_seqpacket *s);

/* The pure part of recv: take ${datagram} apart; ret_p->fd = -1. MF_E_INVALID when short or flagged. */
MF_NODISCARD enum mf_status
mf_packet_parse(struct mf_slice datagram, struct mf_packet *ret_p, struct mf_err *err);
#endif
