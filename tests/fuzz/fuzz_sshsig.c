/* SSH signatures, armored and bare: what parses has one spelling, and its parts lie inside the input. */
#include <stdlib.h>

#include "codec/sshsig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
inside(struct mf_slice part, struct mf_slice all)
{
	if (part.n > 0 && (part.p < all.p || part.p + part.n > all.p + all.n))
		abort();
}

static void
parse(struct mf_slice blob)
{
	struct mf_sshsig s;
	struct mf_ssh_key k;
	struct mf_err err;
	if (mf_sshsig_parse(blob, &s, &err) != MF_OK)
		return;
	inside(s.key.blob, blob);
	inside(s.key.point, blob);
	inside(s.key.n, blob);
	inside(s.name_space, blob);
	inside(s.sig, blob);
	inside(s.r, blob);
	inside(s.s, blob);
	if (mf_ssh_key_parse(s.key.blob, &k, &err) != MF_OK || k.kind != s.key.kind)
		abort();
	/* A byte more or less is another input. */
	if (mf_sshsig_parse(mf_slice_sub(blob, 0, blob.n - 1), &s, &err) == MF_OK)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_buf b;
	struct mf_err err;
	mf_buf_init(&b, MF_LIM_SSHSIG);
	parse(mf_slice(data, size));
	if (mf_sshsig_unarmor(mf_slice(data, size), &b, &err) == MF_OK)
		parse(mf_buf_slice(&b));
	mf_buf_fini(&b);
	return 0;
}
