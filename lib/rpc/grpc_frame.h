/*
 * grpc_frame: gRPC's 5-byte framing (compressed flag, 32-bit length), taken apart as bytes come.
 * Internal to lib/rpc.
 */
#ifndef MF_RPC_GRPC_FRAME_H
#define MF_RPC_GRPC_FRAME_H
#include "base/buf.h"

enum mf_grpc_frame {
	MF_GRPC_FRAME_MORE,	  /* all input was taken, no message is whole */
	MF_GRPC_FRAME_MESSAGE,	  /* ${f}->body is a message; mf_grpc_frames_next before the next feed */
	MF_GRPC_FRAME_TOO_LONG,	  /* declared longer than the cap; nothing of it is kept */
	MF_GRPC_FRAME_COMPRESSED, /* flag 1: no compression was agreed */
	MF_GRPC_FRAME_BAD,	  /* flag neither 0 nor 1 */
	MF_GRPC_FRAME_NOMEM,
};

struct mf_grpc_frames {
	uint8_t prefix[5];
	size_t prefix_n;
	uint32_t length; /* declared, once prefix_n is 5 */
	struct mf_buf body;
};

void mf_grpc_frames_init(struct mf_grpc_frames *f, uint32_t max);
void mf_grpc_frames_fini(struct mf_grpc_frames *f);
/* Takes bytes from ${in} up to the end of one message. After a failure: nothing more. */
enum mf_grpc_frame mf_grpc_frames_feed(struct mf_grpc_frames *f, struct mf_reader *in);
void mf_grpc_frames_next(struct mf_grpc_frames *f); /* wipes the body */
/* True between messages: an end here cuts nothing. */
bool mf_grpc_frames_clean(const struct mf_grpc_frames *f);
#endif
