#include "rpc/grpc_frame.h"

void
mf_grpc_frames_init(struct mf_grpc_frames *f, uint32_t max)
{
	*f = (struct mf_grpc_frames) { 0 };
	mf_buf_init(&f->body, max);
}

void
mf_grpc_frames_fini(struct mf_grpc_frames *f)
{
	mf_buf_fini(&f->body);
}

enum mf_grpc_frame
mf_grpc_frames_feed(struct mf_grpc_frames *f, struct mf_reader *in)
{
	while (f->prefix_n < sizeof(f->prefix)) {
		if (!mf_read_u8(in, &f->prefix[f->prefix_n]))
			return MF_GRPC_FRAME_MORE;
		if (++f->prefix_n == 1 && f->prefix[0] != 0)
			return f->prefix[0] == 1 ? MF_GRPC_FRAME_COMPRESSED : MF_GRPC_FRAME_BAD;
		if (f->prefix_n < sizeof(f->prefix))
			continue;
		f->length = (uint32_t)f->prefix[1] << 24 | (uint32_t)f->prefix[2] << 16 |
			    (uint32_t)f->prefix[3] << 8 | f->prefix[4];
		if (f->length > f->body.max)
			return MF_GRPC_FRAME_TOO_LONG;
	}
	size_t n = f->length - f->body.n;
	n = in->n < n ? in->n : n;
	struct mf_slice part;
	if (mf_read_bytes(in, n, &part)) /* the memory grows with what came, not with what was declared */
		mf_buf_put_slice(&f->body, part);
	if (f->body.failed != MF_OK)
		return MF_GRPC_FRAME_NOMEM;
	return f->body.n == f->length ? MF_GRPC_FRAME_MESSAGE : MF_GRPC_FRAME_MORE;
}

void
mf_grpc_frames_next(struct mf_grpc_frames *f)
{
	f->prefix_n = 0;
	f->length = 0;
	mf_buf_fini(&f->body);
}

bool
mf_grpc_frames_clean(const struct mf_grpc_frames *f)
{
	return f->prefix_n == 0;
}
