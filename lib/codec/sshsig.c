#include "codec/sshsig.h"

#include "base/text.h"

#define MAGIC "SSHSIG"
#define BEGIN "-----BEGIN SSH SIGNATURE-----\n"
#define END "-----END SSH SIGNATURE-----"
#define RSA_BYTES_MIN 256u /* 2048 bits */
#define RSA_BYTES_MAX 1024u

static enum mf_status
bad(struct mf_err *err, const char *what)
{
	return MF_FAIL(err, MF_E_INVALID, "SSH signature: %s", what);
}

static bool
read_string(struct mf_reader *r, struct mf_slice *ret_s)
{
	uint32_t n;
	return mf_read_u32be(r, &n) && mf_read_bytes(r, n, ret_s);
}

/* A positive mpint, with no more zeros than its sign needs; *ret_v is without. */
static bool
read_mpint(struct mf_reader *r, struct mf_slice *ret_v)
{
	struct mf_slice v;
	if (!read_string(r, &v) || v.n == 0 || (v.p[0] & 0x80) != 0)
		return false;
	if (v.p[0] != 0) {
		*ret_v = v;
		return true;
	}
	if (v.n < 2 || (v.p[1] & 0x80) == 0)
		return false;
	*ret_v = mf_slice_sub(v, 1, v.n);
	return true;
}

static const struct {
	const char *name, *curve;
	enum mf_ssh_kind kind;
	size_t point; /* bytes */
} kinds[] = {
	{ "ssh-ed25519", NULL, MF_SSH_ED25519, 32 },
	{ "ecdsa-sha2-nistp256", "nistp256", MF_SSH_P256, 65 },
	{ "ecdsa-sha2-nistp384", "nistp384", MF_SSH_P384, 97 },
	{ "ecdsa-sha2-nistp521", "nistp521", MF_SSH_P521, 133 },
	{ "ssh-rsa", NULL, MF_SSH_RSA, 0 },
};

enum mf_status
mf_ssh_key_parse(struct mf_slice blob, struct mf_ssh_key *ret_key, struct mf_err *err)
{
	struct mf_reader r = mf_reader(blob);
	struct mf_slice name, curve;
	struct mf_ssh_key k = { .blob = blob };
	size_t i = 0;
	if (blob.n > MF_LIM_SSHSIG || !read_string(&r, &name))
		return bad(err, "its key is cut");
	while (i < MF_COUNT(kinds) && !mf_slice_eq_str(name, kinds[i].name))
		i++;
	if (i == MF_COUNT(kinds))
		return MF_FAIL(err, MF_E_UNSUPPORTED,
		    "SSH key: only Ed25519, ECDSA and RSA keys count (no DSA, no FIDO keys)");
	k.kind = kinds[i].kind;
	if (k.kind == MF_SSH_RSA) {
		if (!read_mpint(&r, &k.e) || !read_mpint(&r, &k.n) || !mf_reader_end(&r))
			return bad(err, "its RSA key is malformed");
		if (k.n.n < RSA_BYTES_MIN || k.n.n > RSA_BYTES_MAX || k.e.n > 8)
			return bad(err, "RSA keys have 2048 to 8192 bits");
	} else {
		if ((kinds[i].curve != NULL &&
			(!read_string(&r, &curve) || !mf_slice_eq_str(curve, kinds[i].curve))) ||
		    !read_string(&r, &k.point) || !mf_reader_end(&r) || k.point.n != kinds[i].point ||
		    (kinds[i].curve != NULL && k.point.p[0] != 4))
			return bad(err, "its key is malformed");
	}
	*ret_key = k;
	return MF_OK;
}

/* The inner signature: algorithm, and a blob of its own shape. */
static enum mf_status
read_signature(struct mf_slice blob, struct mf_sshsig *sig, struct mf_err *err)
{
	struct mf_reader r = mf_reader(blob), in;
	struct mf_slice name, body;
	if (!read_string(&r, &name) || !read_string(&r, &body) || !mf_reader_end(&r))
		return bad(err, "it is cut");
	if (sig->key.kind == MF_SSH_RSA) {
		sig->rsa_sha512 = mf_slice_eq_str(name, "rsa-sha2-512");
		if (!sig->rsa_sha512 && !mf_slice_eq_str(name, "rsa-sha2-256"))
			return bad(err, "RSA keys sign with rsa-sha2-256 or rsa-sha2-512");
		if (body.n != sig->key.n.n)
			return bad(err, "it is not as long as its RSA key");
		sig->sig = body;
		return MF_OK;
	}
	for (size_t i = 0; i < MF_COUNT(kinds); i++)
		if (kinds[i].kind == sig->key.kind && !mf_slice_eq_str(name, kinds[i].name))
			return bad(err, "its algorithm is not its key's");
	if (sig->key.kind == MF_SSH_ED25519) {
		sig->sig = body;
		return body.n == 64 ? MF_OK : bad(err, "an Ed25519 signature has 64 bytes");
	}
	in = mf_reader(body);
	if (!read_mpint(&in, &sig->r) || !read_mpint(&in, &sig->s) || !mf_reader_end(&in) || sig->r.n > 66 ||
	    sig->s.n > 66)
		return bad(err, "its ECDSA numbers are malformed");
	return MF_OK;
}

enum mf_status
mf_sshsig_parse(struct mf_slice blob, struct mf_sshsig *ret_sig, struct mf_err *err)
{
	struct mf_reader r = mf_reader(blob);
	struct mf_sshsig s = { .message_sha512 = false };
	struct mf_slice magic, key, reserved, hash, inner;
	uint32_t version;
	if (blob.n > MF_LIM_SSHSIG)
		return MF_FAIL(
		    err, MF_E_TOOBIG, "SSH signature: %zu bytes, at most %u", blob.n, MF_LIM_SSHSIG);
	if (!mf_read_bytes(&r, sizeof(MAGIC) - 1, &magic) || !mf_slice_eq_str(magic, MAGIC) ||
	    !mf_read_u32be(&r, &version))
		return bad(err, "it is none");
	if (version != 1)
		return MF_FAIL(err, MF_E_UNSUPPORTED, "SSH signature: version %u, known is 1", version);
	if (!read_string(&r, &key) || !read_string(&r, &s.name_space) || !read_string(&r, &reserved) ||
	    !read_string(&r, &hash) || !read_string(&r, &inner) || !mf_reader_end(&r))
		return bad(err, "it is cut, or goes on behind its end");
	if (s.name_space.n == 0 || reserved.n != 0)
		return bad(err, "its namespace is empty, or its reserved field is not");
	s.message_sha512 = mf_slice_eq_str(hash, "sha512");
	if (!s.message_sha512 && !mf_slice_eq_str(hash, "sha256"))
		return bad(err, "its hash is neither sha256 nor sha512");
	MF_TRY(mf_ssh_key_parse(key, &s.key, err));
	MF_TRY(read_signature(inner, &s, err));
	*ret_sig = s;
	return MF_OK;
}

enum mf_status
mf_sshsig_unarmor(struct mf_slice text, struct mf_buf *to, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf letters;
	mf_buf_init(&letters, 2 * (size_t)MF_LIM_SSHSIG);
	if (text.n > 2 * (size_t)MF_LIM_SSHSIG)
		return MF_FAIL(err, MF_E_TOOBIG, "SSH signature: a file of %zu bytes", text.n);
	while (text.n > 0 && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r'))
		text.n--;
	size_t head = sizeof(BEGIN) - 1, foot = sizeof(END) - 1;
	if (!mf_slice_starts(text, MF_SLICE_LIT(BEGIN)) || text.n < head + foot ||
	    !mf_slice_eq_str(mf_slice_sub(text, text.n - foot, foot), END))
		return bad(err, "not what `ssh-keygen -Y sign` writes: -----BEGIN SSH SIGNATURE-----");
	for (size_t i = head; i < text.n - foot; i++)
		if (text.p[i] != '\n')
			mf_buf_put_u8(&letters, text.p[i]);
	MF_TRY(mf_buf_check(&letters, err));
	return mf_base64_get(mf_buf_slice(&letters), to, err) == MF_OK ? MF_OK
								       : bad(err, "its base64 is broken");
}

static void
put_string(struct mf_buf *to, struct mf_slice s)
{
	mf_buf_put_u32be(to, (uint32_t)s.n);
	mf_buf_put_slice(to, s);
}

void
mf_sshsig_signed(const struct mf_sshsig *sig, struct mf_slice message_hash, struct mf_buf *to)
{
	mf_buf_put_str(to, MAGIC);
	put_string(to, sig->name_space);
	put_string(to, mf_slice(NULL, 0));
	put_string(to, mf_slice_str(sig->message_sha512 ? "sha512" : "sha256"));
	put_string(to, message_hash);
}
