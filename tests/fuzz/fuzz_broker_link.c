#include <stdlib.h>

#include "base/limits.h"
#include "rpc/role_links.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * The link between the broker's front and the notary, from both ends. Input: one byte (bit 0: which end receives, bit 1:
 * state, bit 2: a descriptor came), then a datagram's type and payload. What decodes can be said again by the other
 * end and means the same.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct mf_role_table *const tables[] = { &mf_link_broker, &mf_link_courier };
	struct mf_reader r = mf_reader(mf_slice(data, size));
	uint8_t how;
	uint16_t type;
	if (!mf_read_u8(&r, &how) || !mf_read_u16be(&r, &type))
		return 0;
	const struct mf_role_table *t = tables[how >> 3 & 1];
	unsigned self = how & 1, state = how >> 1 & 1;
	const struct mf_role_msg *row = NULL;
	ProtobufCMessage *msg = NULL, *again = NULL;
	struct mf_err err = { 0 };
	struct mf_buf b;
	bool fd = (how & 4) != 0;
	if (mf_role_decode(t, self, state, type, mf_slice(r.p, r.n), fd, &row, &msg, &err) != MF_OK) {
		if (err.msg[0] == '\0')
			abort();
		return 0;
	}
	if (row->from == self || row->type != type || r.n > row->max || (row->states & 1u << state) == 0)
		abort();
	mf_buf_init(&b, MF_LIM_IPC_MESSAGE);
	/* Unknown fields and long spellings may make it other bytes, never another message. */
	if (mf_role_encode(t, 1 - self, type, msg, fd, &b, &err) == MF_OK) {
		struct mf_buf c;
		mf_buf_init(&c, MF_LIM_IPC_MESSAGE);
		if (mf_role_decode(t, self, state, type, mf_buf_slice(&b), fd, &row, &again, &err) != MF_OK ||
		    mf_role_encode(t, 1 - self, type, again, fd, &c, &err) != MF_OK ||
		    !mf_slice_eq(mf_buf_slice(&b), mf_buf_slice(&c)))
			abort();
		mf_buf_fini(&c);
	}
	mf_pb_free(again);
	mf_pb_free(msg);
	mf_buf_fini(&b);
	return 0;
}
