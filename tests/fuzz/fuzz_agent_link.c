/*
 * Both ends of the agent's role link: u8 which end and state, u8 whether a descriptor came, u16 type, payload. What is
 * accepted must be accepted again by the other way round: encoded by its sender, decoded by its receiver.
 */
#include <stdlib.h>

#include "base/limits.h"
#include "rpc/role_links.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 4)
		return 0;
	unsigned self = data[0] & 1u, state = (data[0] >> 1) & 1u;
	bool fd = (data[1] & 1u) != 0;
	uint16_t type = (uint16_t)(data[2] << 8 | data[3]);
	struct mf_err err = { 0 };
	const struct mf_role_msg *row = NULL;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	if (mf_role_decode(&mf_link_agent, self, state, type, mf_slice(data + 4, size - 4), fd, &row, &msg,
		&err) != MF_OK) {
		if (msg != NULL || err.code == MF_OK)
			abort();
		return 0;
	}
	if (row->from == self || row->type != type)
		abort();
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out;
	mf_buf_init(&out, 4u * MF_LIM_IPC_MESSAGE);
	/* Unknown fields are kept, and a longer spelling becomes the short one: never too big then. */
	if (mf_role_encode(&mf_link_agent, row->from, type, msg, fd, &out, &err) != MF_OK)
		abort();
	const struct mf_role_msg *again = NULL;
	MF_AUTO(mf_pb_free) ProtobufCMessage *copy = NULL;
	if (mf_role_decode(&mf_link_agent, self, state, type, mf_buf_slice(&out), fd, &again, &copy, &err) !=
	    MF_OK)
		abort();
	return 0;
}
