/*
 * The role links from both sides: any datagram, any state, with or without a descriptor. What is accepted is encoded
 * again by the end that may send it, and accepted again.
 *
 *   byte 0: bits 0-1 table, bit 2 receiving end, bit 3 state, bit 4 a descriptor came; then the datagram
 */
#include <stdlib.h>

#include "base/buf.h"
#include "base/limits.h"
#include "os/seqpacket.h"
#include "rpc/role_links.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct mf_role_table *const tables[] = { &mf_link_broker, &mf_link_courier,
		&mf_link_agent, &mf_link_verifier, &mf_link_resolver };
	struct mf_packet p;
	const struct mf_role_msg *row;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	if (size < 1 || mf_packet_parse(mf_slice(data + 1, size - 1), &p, NULL) != MF_OK)
		return 0;
	const struct mf_role_table *t = tables[data[0] & 3];
	unsigned self = data[0] >> 2 & 1, state = data[0] >> 3 & 1;
	bool fd = (data[0] >> 4 & 1) != 0;
	if (mf_role_decode(t, self, state, p.type, p.payload, fd, &row, &msg, NULL) != MF_OK)
		return 0;
	if (row->from == self)
		abort(); /* nobody hears himself */
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	MF_AUTO(mf_pb_free) ProtobufCMessage *again = NULL;
	mf_buf_init(&b, MF_LIM_IPC_MESSAGE);
	if (mf_role_encode(t, row->from, p.type, msg, fd, &b, NULL) == MF_OK &&
	    mf_role_decode(t, self, state, p.type, mf_buf_slice(&b), fd, &row, &again, NULL) != MF_OK)
		abort();
	return 0;
}
