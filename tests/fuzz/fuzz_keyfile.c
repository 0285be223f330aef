/* Sealed key files: any bytes; what parses must be spelled the one way, what opens must be ours. */
#include <stdlib.h>

#include "base/text.h"
#include "crypto/keyfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Write the header again from the view: the format has one spelling. */
static void
check_spelling(const struct mf_keyfile_view *v, struct mf_slice file)
{
	struct mf_buf b;
	mf_buf_init(&b, MF_LIM_KEYFILE + 1024);
	mf_buf_putf(&b, "mayfly-key 1\npurpose %.*s\nid %.*s\nkdf ", (int)v->purpose.n,
	    (const char *)v->purpose.p, (int)v->id.n, (const char *)v->id.p);
	if (v->kek.passphrase) {
		mf_buf_putf(&b, "scrypt %u ", v->kek.log2_n);
		mf_hex_put(&b, mf_slice(v->kek.salt, sizeof(v->kek.salt)));
	} else {
		mf_buf_put_str(&b, "none");
	}
	mf_buf_put_str(&b, "\nnonce ");
	mf_hex_put(&b, mf_slice(v->nonce, sizeof(v->nonce)));
	mf_buf_put_str(&b, "\n");
	if (!mf_slice_eq(mf_buf_slice(&b), v->authenticated))
		abort();
	mf_buf_put_str(&b, "sealed ");
	mf_buf_put_slice(&b, v->sealed);
	mf_buf_put_str(&b, "\n");
	if (!mf_slice_eq(mf_buf_slice(&b), file))
		abort();
	mf_buf_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct mf_kek *kek;
	if (kek == NULL && mf_kek_raw(MF_SLICE_LIT("0123456789abcdef0123456789abcdef"), &kek, NULL) != MF_OK)
		abort();
	struct mf_slice file = mf_slice(data, size);
	struct mf_keyfile_view v;
	struct mf_err err = { 0 };
	if (mf_keyfile_parse(file, &v, &err) != MF_OK) {
		if (err.msg[0] == '\0')
			abort();
		return 0;
	}
	check_spelling(&v, file);
	struct mf_secret *s = NULL;
	enum mf_status st = mf_keyfile_open(kek, "ca", "c-1", file, &s, &err);
	/* Nobody but the holder of the key makes a file that opens: only the one of the corpus does. */
	if (st == MF_OK && !mf_slice_eq_str(mf_secret_slice(s), "the secret"))
		abort();
	mf_secret_free(s);
	return 0;
}
