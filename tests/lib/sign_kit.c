#include "sign_kit.h"

#include <stdlib.h>

#include "base/text.h"
#include "codec/sshsig.h"
#include "crypto/hash.h"

static void
put_string(struct mf_buf *to, struct mf_slice s)
{
	mf_buf_put_u32be(to, (uint32_t)s.n);
	mf_buf_put_slice(to, s);
}

void
mf_sign_key_init(struct sign_key *k)
{
	uint8_t public[MF_ED25519_KEY_SIZE];
	if (mf_ed25519_generate(NULL, &k->key, NULL) != MF_OK)
		abort();
	mf_ed25519_public(k->key, public);
	mf_buf_init(&k->blob, 256);
	put_string(&k->blob, MF_SLICE_LIT("ssh-ed25519"));
	put_string(&k->blob, mf_slice(public, sizeof(public)));
}

void
mf_sign_key_fini(struct sign_key *k)
{
	mf_ed25519_free(k->key);
	mf_buf_fini(&k->blob);
}

void
mf_sign_key_line(const struct sign_key *k, const char *person, struct mf_buf *to)
{
	mf_buf_putf(to, "%s ssh-ed25519 ", person);
	mf_base64_put(to, mf_buf_slice(&k->blob));
	mf_buf_put_str(to, "\n");
}

void
mf_sign_text(const struct sign_key *k, const char *name_space, struct mf_slice text, struct mf_buf *to)
{
	uint8_t hash[64], sig[MF_ED25519_SIG_SIZE];
	struct mf_buf b;
	const struct mf_sshsig s = { .name_space = mf_slice_str(name_space) };
	mf_buf_init(&b, 4096);
	mf_sha256(text, hash);
	mf_sshsig_signed(&s, mf_slice(hash, 32), &b);
	if (mf_ed25519_sign(k->key, mf_buf_slice(&b), sig, NULL) != MF_OK)
		abort();
	mf_buf_reset(&b);
	put_string(&b, MF_SLICE_LIT("ssh-ed25519"));
	put_string(&b, mf_slice(sig, sizeof(sig)));
	mf_buf_put_str(to, "SSHSIG");
	mf_buf_put_u32be(to, 1);
	put_string(to, mf_buf_slice(&k->blob));
	put_string(to, mf_slice_str(name_space));
	put_string(to, mf_slice(NULL, 0));
	put_string(to, MF_SLICE_LIT("sha256"));
	put_string(to, mf_buf_slice(&b));
	mf_buf_fini(&b);
}
