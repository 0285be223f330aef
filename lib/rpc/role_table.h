/*
 * role_table: which typed messages may cross one role link, in which direction and when. The table is the
 * whole access control of the boundary and should fit on a screen.
 *
 * A link has two ends, 0 and 1. A receiver accepts a message only when the table has its type, the sender's end
 * may send it, the link's state allows it, its size is under the row's cap, a descriptor comes exactly where the
 * row says, and mf_pb_unpack accepts the payload. Everything else is fatal for the link: close it, report it, let
 * the supervisor make a new one. There is no "ignore": both ends are of one build.
 *
 * Pure and without state: any thread.
 */
#ifndef MF_RPC_ROLE_TABLE_H
#define MF_RPC_ROLE_TABLE_H
#include "rpc/pb_check.h"

enum mf_role_fd { MF_ROLE_FD_NEVER, MF_ROLE_FD_ALWAYS, MF_ROLE_FD_MAYBE };

struct mf_role_msg {
	uint16_t type;				/* on the wire; never reused */
	uint8_t from;				/* end that may send it: 0 or 1 */
	uint8_t fd;				/* enum mf_role_fd */
	uint32_t states;			/* bits of the states in which it may come */
	uint32_t max;				/* bytes of payload; at most MF_LIM_IPC_MESSAGE - 4 */
	const char *name;			/* for logs and metrics */
	const ProtobufCMessageDescriptor *desc; /* NULL: the payload is empty */
};

struct mf_role_table {
	const char *name;    /* "broker-front/notary" */
	const char *ends[2]; /* names of end 0 and end 1 */
	const char *const *states;
	size_t state_count;		/* at most 32 */
	const struct mf_role_msg *msgs; /* ascending by type */
	size_t msg_count;
};

/* The row of ${type}, or NULL. */
const struct mf_role_msg *mf_role_find(const struct mf_role_table *t, uint16_t type);

/*
 * What end ${self} received in ${state}. *ret_msg is freed with mf_pb_free; NULL for a row without payload.
 * Errors (all fatal for the link): MF_E_UNSUPPORTED (no such type), MF_E_DENIED (wrong direction, or a descriptor
 * where none may be or none where one must), MF_E_STATE, MF_E_TOOBIG, MF_E_INVALID, MF_E_NOMEM.
 */
MF_NODISCARD enum mf_status mf_role_decode(const struct mf_role_table *t, unsigned self, unsigned state,
    uint16_t type, struct mf_slice payload, bool has_fd, const struct mf_role_msg **ret_row,
    ProtobufCMessage **ret_msg, struct mf_err *err);

/*
 * Append the payload of ${type} as end ${self} sends it. The same checks as the receiver makes, so a mistake shows
 * at its maker: MF_E_INTERNAL (not ours to send, other descriptor), MF_E_TOOBIG. ${msg} NULL for an empty payload.
 */
MF_NODISCARD enum mf_status mf_role_encode(const struct mf_role_table *t, unsigned self, uint16_t type,
    const ProtobufCMessage *msg, bool has_fd, struct mf_buf *to, struct mf_err *err);

/* The table itself is sane (order, ends, states, caps): one test per table calls it. */
MF_NODISCARD enum mf_status mf_role_table_check(const struct mf_role_table *t, struct mf_err *err);
#endif
