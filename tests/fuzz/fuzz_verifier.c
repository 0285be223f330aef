/*
 * The verifier on any datagrams: input is a row of u8 (bit 0: a descriptor came), u16 type, u16 length, payload. Whatever
 * comes it refuses, or answers once in a way that the notary's table takes.
 */
#include <stdlib.h>

#include "base/limits.h"
#include "broker/verifier/judge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_reader r = mf_reader(mf_slice(data, size));
	MF_AUTO(mf_judge_free) struct mf_judge *v = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf answer;
	uint8_t how;
	uint16_t type, n;
	struct mf_slice payload;
	bool done = false;
	mf_buf_init(&answer, MF_LIM_IPC_MESSAGE);
	if (mf_judge_new(&v, NULL) != MF_OK)
		return 0;
	while (!done && mf_read_u8(&r, &how) && mf_read_u16be(&r, &type) && mf_read_u16be(&r, &n) &&
	       mf_read_bytes(&r, n, &payload)) {
		struct mf_err err = { 0 };
		if (mf_judge_take(v, type, payload, (how & 1) != 0, &done, &answer, &err) != MF_OK) {
			if (err.msg[0] == '\0')
				abort();
			return 0;
		}
	}
	if (done) {
		const struct mf_role_msg *row;
		MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
		if (mf_role_decode(&mf_link_verifier, MF_LINK_INNER, MF_LINK_OPEN, MF_MSG_VERIFIED,
			mf_buf_slice(&answer), false, &row, &msg, NULL) != MF_OK)
			abort();
	}
	return 0;
}
