/*
 * Handshake and transport messages: the first byte says which end and moment gets the rest. Keys are
 * fixed, so the corpus holds a message 1 and a message 2 that are right.
 */
#include <stdlib.h>

#include "crypto/noise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fill_fixed(void *ctx, void *to, size_t n)
{
	memset(to, *(const uint8_t *)ctx, n);
}

static struct mf_x25519 *
key(uint8_t byte)
{
	uint8_t raw[32];
	struct mf_x25519 *k = NULL;
	memset(raw, byte, sizeof(raw));
	if (mf_x25519_new(mf_slice(raw, sizeof(raw)), &k, NULL) != MF_OK)
		abort();
	return k;
}

/* A session end with its keys; ${i} of the handshake's messages done. */
static void
sessions(struct mf_noise **init, struct mf_noise **resp, unsigned done)
{
	static struct mf_x25519 *is, *rs;
	static uint8_t rpub[32], one = 1, two = 2;
	if (is == NULL) {
		is = key(3);
		rs = key(4);
		mf_x25519_public(rs, rpub);
	}
	const struct mf_rand ri = { fill_fixed, &one }, rr = { fill_fixed, &two };
	const struct mf_noise_conf ci = { MF_NOISE_INITIATOR, MF_SLICE_LIT("p"), is, rpub, &ri, 0 };
	const struct mf_noise_conf cr = { MF_NOISE_RESPONDER, MF_SLICE_LIT("p"), rs, NULL, &rr, 0 };
	struct mf_buf m;
	mf_buf_init(&m, MF_NOISE_MESSAGE_MAX);
	if (mf_noise_new(&ci, init, NULL) != MF_OK || mf_noise_new(&cr, resp, NULL) != MF_OK)
		abort();
	for (unsigned i = 0; i < done; i++) {
		mf_buf_reset(&m);
		if (mf_noise_write(i == 0 ? *init : *resp, mf_slice(NULL, 0), &m, NULL) != MF_OK)
			abort();
		/* With one message done the initiator waits for message 2, which is the input. */
		if (done == 1 ? false
			      : mf_noise_read(i == 0 ? *resp : *init, mf_buf_slice(&m), NULL, NULL) != MF_OK)
			abort();
	}
	mf_buf_fini(&m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_reader r = mf_reader(mf_slice(data, size));
	uint8_t which = 0;
	if (!mf_read_u8(&r, &which))
		return 0;
	struct mf_noise *init = NULL, *resp = NULL;
	struct mf_slice in = mf_slice(r.p, r.n);
	struct mf_buf out;
	mf_buf_init(&out, MF_NOISE_MESSAGE_MAX);
	unsigned done = which % 3;
	struct mf_buf *payload = (which & 0x80) != 0 ? &out : NULL;
	sessions(&init, &resp, done);
	struct mf_noise *to = done == 1 ? init : resp;
	enum mf_status st =
	    done == 2 ? mf_noise_open(to, in, &out, NULL) : mf_noise_read(to, in, payload, NULL);
	/* Whatever failed has ended the session. */
	struct mf_buf more;
	mf_buf_init(&more, MF_NOISE_MESSAGE_MAX);
	if (st != MF_OK && mf_noise_seal(to, MF_SLICE_LIT("x"), &more, NULL) != MF_E_CLOSED)
		abort();
	mf_buf_fini(&more);
	mf_buf_fini(&out);
	mf_noise_free(init);
	mf_noise_free(resp);
	return 0;
}
