#include "crypto/keyfile.h"

#include "base/text.h"
#include "crypto/aead.h"

static const char magic[] = "mayfly-key 1";

_Static_assert(MF_KEK_SIZE == MF_AEAD_KEY_SIZE, "the KEK is the AEAD's key");

static bool
purpose_ok(struct mf_slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '-'))
			return false;
	return s.n > 0 && s.n <= MF_KEYFILE_PURPOSE;
}

static bool
id_ok(struct mf_slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			c == '.' || c == '_' || c == '-'))
			return false;
	}
	return s.n > 0 && s.n <= MF_KEYFILE_ID;
}

/* The bytes up to ${end}, which is taken too. */
static bool
read_until(struct mf_reader *r, uint8_t end, struct mf_slice *ret_s)
{
	const uint8_t *at = r->n == 0 ? NULL : memchr(r->p, end, r->n);
	uint8_t skipped;
	return at != NULL && mf_read_bytes(r, (size_t)(at - r->p), ret_s) && mf_read_u8(r, &skipped);
}

/* A line "${name} <value>"; with ${name} NULL the whole line. */
static bool
read_line(struct mf_reader *r, const char *name, struct mf_slice *ret_value)
{
	struct mf_slice line, word;
	if (!read_until(r, '\n', &line))
		return false;
	if (name == NULL) {
		*ret_value = line;
		return true;
	}
	struct mf_reader l = mf_reader(line);
	if (!read_until(&l, ' ', &word) || !mf_slice_eq_str(word, name))
		return false;
	*ret_value = mf_slice(l.p, l.n);
	return true;
}

/* Exactly ${n} bytes as lowercase hex. */
static bool
hex_exact(struct mf_slice hex, uint8_t *ret_to, size_t n)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, n);
	if (mf_hex_get(hex, &b, NULL) != MF_OK || b.n != n)
		return false;
	memcpy(ret_to, b.p, n);
	return true;
}

static bool
parse_kdf(struct mf_slice s, struct mf_kek_params *ret_p)
{
	struct mf_kek_params p = { 0 };
	struct mf_reader r = mf_reader(s);
	struct mf_slice word, cost;
	uint64_t log2_n = 0;
	if (mf_slice_eq_str(s, "none")) {
		*ret_p = p;
		return true;
	}
	p.passphrase = true;
	if (!read_until(&r, ' ', &word) || !mf_slice_eq_str(word, "scrypt") || !read_until(&r, ' ', &cost) ||
	    !mf_parse_u64(cost, &log2_n) || log2_n < MF_KEK_LOG2_N_MIN || log2_n > MF_KEK_LOG2_N_MAX ||
	    !hex_exact(mf_slice(r.p, r.n), p.salt, sizeof(p.salt)))
		return false;
	p.log2_n = (unsigned)log2_n;
	*ret_p = p;
	return true;
}

enum mf_status
mf_keyfile_parse(struct mf_slice file, struct mf_keyfile_view *ret_view, struct mf_err *err)
{
	struct mf_keyfile_view v = { 0 };
	struct mf_slice line;
	if (file.n > MF_LIM_KEYFILE)
		return MF_FAIL(err, MF_E_TOOBIG, "key file: %zu bytes, more than %u", file.n, MF_LIM_KEYFILE);
	struct mf_reader r = mf_reader(file);
	if (!read_line(&r, NULL, &line) || !mf_slice_starts(line, MF_SLICE_LIT("mayfly-key ")))
		return MF_FAIL(err, MF_E_INVALID, "key file: the first line is not \"%s\"", magic);
	if (!mf_slice_eq_str(line, magic))
		return MF_FAIL(err, MF_E_UNSUPPORTED, "key file: another version than \"%s\"", magic);
	if (!read_line(&r, "purpose", &v.purpose) || !purpose_ok(v.purpose))
		return MF_FAIL(err, MF_E_INVALID, "key file: line 2 is not \"purpose NAME\"");
	if (!read_line(&r, "id", &v.id) || !id_ok(v.id))
		return MF_FAIL(err, MF_E_INVALID, "key file: line 3 is not \"id NAME\"");
	if (!read_line(&r, "kdf", &line) || !parse_kdf(line, &v.kek))
		return MF_FAIL(
		    err, MF_E_INVALID, "key file: line 4 is not \"kdf none\" or \"kdf scrypt COST SALT\"");
	if (!read_line(&r, "nonce", &line) || !hex_exact(line, v.nonce, sizeof(v.nonce)))
		return MF_FAIL(err, MF_E_INVALID, "key file: line 5 is not \"nonce HEX\"");
	v.authenticated = mf_slice(file.p, file.n - r.n);
	if (!read_line(&r, "sealed", &v.sealed) || v.sealed.n == 0)
		return MF_FAIL(err, MF_E_INVALID, "key file: line 6 is not \"sealed BASE64\"");
	if (!mf_reader_end(&r))
		return MF_FAIL(err, MF_E_INVALID, "key file: %zu bytes after line 6", r.n);
	*ret_view = v;
	return MF_OK;
}

static enum mf_status
aead_for(struct mf_kek *kek, const struct mf_kek_params *p, struct mf_aead **ret_aead, struct mf_err *err)
{
	struct mf_slice key;
	MF_TRY(mf_kek_key(kek, p, &key, err));
	return mf_aead_new(key.p, ret_aead, err);
}

static void
put_header(struct mf_buf *to, const char *purpose, const char *id, const struct mf_kek_params *p,
    const uint8_t nonce[MF_AEAD_NONCE_SIZE])
{
	mf_buf_putf(to, "%s\npurpose %s\nid %s\nkdf ", magic, purpose, id);
	if (p->passphrase) {
		mf_buf_putf(to, "scrypt %u ", p->log2_n);
		mf_hex_put(to, mf_slice(p->salt, sizeof(p->salt)));
	} else {
		mf_buf_put_str(to, "none");
	}
	mf_buf_put_str(to, "\nnonce ");
	mf_hex_put(to, mf_slice(nonce, MF_AEAD_NONCE_SIZE));
	mf_buf_put_str(to, "\n");
}

enum mf_status
mf_keyfile_seal(struct mf_kek *kek, const char *purpose, const char *id, struct mf_slice secret,
    const struct mf_rand *rand, struct mf_buf *out, struct mf_err *err)
{
	if (!purpose_ok(mf_slice_str(purpose)) || !id_ok(mf_slice_str(id)))
		return MF_FAIL(err, MF_E_INVALID, "key file: bad purpose or id (see keyfile.h)");
	if (secret.n == 0 || secret.n > MF_LIM_KEYFILE_SECRET)
		return MF_FAIL(err, MF_E_TOOBIG, "key file: a secret of %zu bytes, not 1 to %u", secret.n,
		    MF_LIM_KEYFILE_SECRET);
	const struct mf_rand from = rand == NULL ? mf_rand_system() : *rand;
	const struct mf_kek_params *p = mf_kek_own_params(kek);
	MF_AUTO(mf_aead_free) struct mf_aead *aead = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf sealed;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	mf_buf_init(&sealed, MF_LIM_KEYFILE_SECRET + MF_AEAD_TAG_SIZE);
	mf_buf_init(&text, MF_LIM_KEYFILE);
	uint8_t nonce[MF_AEAD_NONCE_SIZE];
	from.fill(from.ctx, nonce, sizeof(nonce));
	MF_TRY(aead_for(kek, p, &aead, err));
	put_header(&text, purpose, id, p, nonce);
	MF_TRY(mf_buf_check(&text, err));
	MF_TRY(mf_aead_seal(aead, nonce, mf_buf_slice(&text), secret, &sealed, err));
	mf_buf_put_str(&text, "sealed ");
	mf_base64_put(&text, mf_buf_slice(&sealed));
	mf_buf_put_str(&text, "\n");
	MF_TRY(mf_buf_check(&text, err));
	mf_buf_put_slice(out, mf_buf_slice(&text));
	return mf_buf_check(out, err);
}

enum mf_status
mf_keyfile_open(struct mf_kek *kek, const char *purpose, const char *id, struct mf_slice file,
    struct mf_secret **ret_secret, struct mf_err *err)
{
	struct mf_keyfile_view v;
	MF_TRY(mf_keyfile_parse(file, &v, err));
	if (!mf_slice_eq_str(v.purpose, purpose) || !mf_slice_eq_str(v.id, id))
		return MF_FAIL(err, MF_E_INVALID, "key file: it is %.*s %.*s, not %s %s", (int)v.purpose.n,
		    (const char *)v.purpose.p, (int)v.id.n, (const char *)v.id.p, purpose, id);
	MF_AUTO(mf_aead_free) struct mf_aead *aead = NULL;
	MF_AUTO(mf_secret_free) struct mf_secret *secret = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf sealed;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf plain;
	mf_buf_init(&sealed, MF_LIM_KEYFILE_SECRET + MF_AEAD_TAG_SIZE);
	mf_buf_init(&plain, MF_LIM_KEYFILE_SECRET);
	if (mf_base64_get(v.sealed, &sealed, NULL) != MF_OK || sealed.n <= MF_AEAD_TAG_SIZE)
		return MF_FAIL(err, MF_E_INVALID, "key file: line 6 is not base64 of a sealed secret");
	MF_TRY(aead_for(kek, &v.kek, &aead, err));
	enum mf_status st = mf_aead_open(aead, v.nonce, v.authenticated, mf_buf_slice(&sealed), &plain, err);
	if (st == MF_E_UNAUTH)
		return MF_FAIL(err, MF_E_CORRUPT,
		    "key file %s %s: does not open: another key-encryption key, or the file was altered",
		    purpose, id);
	MF_TRY(st);
	MF_TRY(mf_secret_new(plain.n, &secret, err));
	memcpy(mf_secret_bytes(secret), plain.p, plain.n);
	*ret_secret = MF_TAKE(secret);
	return MF_OK;
}
