#include "log/note.h"

#include "base/text.h"
#include "crypto/hash.h"

#define ALG_ED25519 0x01
static const char dash[] = "\xe2\x80\x94 "; /* U+2014 and a blank begin a signature line */

static bool
name_ok(struct mf_slice name)
{
	if (name.n == 0 || name.n > MF_LIM_NOTE_NAME)
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] > '~' || name.p[i] == '+')
			return false;
	return true;
}

enum mf_status
mf_note_key_init(struct mf_slice name, const uint8_t public_key[MF_ED25519_KEY_SIZE],
    struct mf_note_key *ret_key, struct mf_err *err)
{
	if (!name_ok(name))
		return MF_FAIL(err, MF_E_INVALID,
		    "note key: the name must be 1 to %u printable ASCII letters without blank and +",
		    MF_LIM_NOTE_NAME);
	/* id = SHA-256(name || "\n" || algorithm || public key)[:4] */
	uint8_t tail[2 + MF_ED25519_KEY_SIZE] = { '\n', ALG_ED25519 }, h[MF_SHA256_SIZE];
	memcpy(tail + 2, public_key, MF_ED25519_KEY_SIZE);
	mf_sha256_join(name, mf_slice(tail, sizeof(tail)), h);
	memset(ret_key, 0, sizeof(*ret_key));
	memcpy(ret_key->name, name.p, name.n);
	memcpy(ret_key->public_key, public_key, MF_ED25519_KEY_SIZE);
	ret_key->id = (uint32_t)h[0] << 24 | (uint32_t)h[1] << 16 | (uint32_t)h[2] << 8 | h[3];
	return MF_OK;
}

void
mf_note_key_put(const struct mf_note_key *key, struct mf_buf *to)
{
	uint8_t raw[1 + MF_ED25519_KEY_SIZE] = { ALG_ED25519 };
	memcpy(raw + 1, key->public_key, MF_ED25519_KEY_SIZE);
	mf_buf_putf(to, "%s+%08x+", key->name, (unsigned)key->id);
	mf_base64_put(to, mf_slice(raw, sizeof(raw)));
}

/* The bytes before ${sep}; ${s} becomes what follows it. False when there is none. */
static bool
cut(struct mf_slice *s, uint8_t sep, struct mf_slice *ret_before)
{
	const uint8_t *at = s->n == 0 ? NULL : memchr(s->p, sep, s->n);
	if (at == NULL)
		return false;
	size_t n = (size_t)(at - s->p);
	*ret_before = mf_slice_sub(*s, 0, n);
	*s = mf_slice_sub(*s, n + 1, s->n);
	return true;
}

static enum mf_status
decode64(struct mf_slice text, uint8_t *to, size_t max, size_t *ret_n, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, max);
	MF_TRY(mf_base64_get(text, &b, err));
	if (b.n > 0)
		memcpy(to, b.p, b.n);
	*ret_n = b.n;
	return MF_OK;
}

enum mf_status
mf_note_key_parse(struct mf_slice vkey, struct mf_note_key *ret_key, struct mf_err *err)
{
	while (vkey.n > 0 && (vkey.p[vkey.n - 1] == '\n' || vkey.p[vkey.n - 1] == ' '))
		vkey.n--;
	struct mf_slice name, hex, rest = vkey;
	if (!cut(&rest, '+', &name) || !cut(&rest, '+', &hex))
		return MF_FAIL(err, MF_E_INVALID, "vkey: must look like <name>+<8 hex letters>+<base64>");
	uint8_t raw[64];
	size_t n = 0;
	if (hex.n != 8 || rest.n > 64 || decode64(rest, raw, sizeof(raw), &n, NULL) != MF_OK || n < 1)
		return MF_FAIL(err, MF_E_INVALID, "vkey: must look like <name>+<8 hex letters>+<base64>");
	if (raw[0] != ALG_ED25519)
		return MF_FAIL(err, MF_E_UNSUPPORTED, "vkey: key of type %u; only Ed25519 (1) is known",
		    (unsigned)raw[0]);
	struct mf_note_key k;
	if (n != 1 + MF_ED25519_KEY_SIZE)
		return MF_FAIL(err, MF_E_INVALID, "vkey: an Ed25519 key has 32 bytes");
	MF_TRY(mf_note_key_init(name, raw + 1, &k, err));
	MF_AUTO_IN(mf_buf_fini) struct mf_buf id;
	mf_buf_init(&id, 64);
	mf_buf_putf(&id, "%08x", (unsigned)k.id);
	if (!mf_slice_eq(mf_buf_slice(&id), hex))
		return MF_FAIL(err, MF_E_INVALID,
		    "vkey: the key id does not belong to this name and key: it was copied wrongly");
	*ret_key = k;
	return MF_OK;
}

/* UTF-8 without control characters but newlines, with a newline at its end. */
static bool
text_ok(struct mf_slice text)
{
	if (text.n == 0 || text.n > MF_LIM_NOTE || text.p[text.n - 1] != '\n' || !mf_utf8_ok(text))
		return false;
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] < ' ' && text.p[i] != '\n')
			return false;
	return true;
}

enum mf_status
mf_note_sign(struct mf_slice text, struct mf_slice name, const struct mf_ed25519 *key, struct mf_buf *to,
    struct mf_err *err)
{
	struct mf_note_key k;
	uint8_t pub[MF_ED25519_KEY_SIZE], blob[4 + MF_ED25519_SIG_SIZE];
	mf_ed25519_public(key, pub);
	MF_TRY(mf_note_key_init(name, pub, &k, err));
	if (!text_ok(text))
		return MF_FAIL(err, MF_E_INVALID, "note: the text must be lines of UTF-8");
	for (size_t i = 0; i < 4; i++)
		blob[i] = (uint8_t)(k.id >> (24 - 8 * i));
	MF_TRY(mf_ed25519_sign(key, text, blob + 4, err));
	mf_buf_put_slice(to, text);
	mf_buf_putf(to, "\n%s%s ", dash, k.name);
	mf_base64_put(to, mf_slice(blob, sizeof(blob)));
	mf_buf_put_str(to, "\n");
	return mf_buf_check(to, err);
}

/* One line "— name base64"; *ret_key is the known key that it claims to be by, or NULL. */
static enum mf_status
check_line(struct mf_slice text, struct mf_slice line, const struct mf_note_key *keys, size_t n,
    const struct mf_note_key **ret_key, struct mf_err *err)
{
	struct mf_slice name, rest = mf_slice_sub(line, sizeof(dash) - 1, line.n);
	uint8_t blob[4096];
	size_t len = 0;
	if (!mf_slice_starts(line, mf_slice_str(dash)) || !cut(&rest, ' ', &name) || name.n == 0 ||
	    rest.n > sizeof(blob) || memchr(name.p, '+', name.n) != NULL ||
	    decode64(rest, blob, sizeof(blob), &len, NULL) != MF_OK || len < 5)
		return MF_FAIL(err, MF_E_INVALID, "note: malformed signature line");
	uint32_t id = (uint32_t)blob[0] << 24 | (uint32_t)blob[1] << 16 | (uint32_t)blob[2] << 8 | blob[3];
	*ret_key = NULL;
	for (size_t i = 0; i < n; i++) {
		if (keys[i].id != id || !mf_slice_eq_str(name, keys[i].name))
			continue;
		if (mf_ed25519_verify(mf_slice(keys[i].public_key, MF_ED25519_KEY_SIZE), text,
			mf_slice(blob + 4, len - 4), NULL) != MF_OK)
			return MF_FAIL(
			    err, MF_E_UNAUTH, "note: the signature by %s does not verify", keys[i].name);
		*ret_key = &keys[i];
		return MF_OK;
	}
	return MF_OK;
}

enum mf_status
mf_note_open(struct mf_slice note, const struct mf_note_key *keys, size_t n, struct mf_slice *ret_text,
    const struct mf_note_key **ret_by, struct mf_err *err)
{
	if (!text_ok(note))
		return MF_FAIL(
		    err, MF_E_INVALID, "note: not lines of UTF-8 of at most %u bytes", MF_LIM_NOTE);
	size_t split = 0;
	for (size_t i = note.n - 1; i > 0 && split == 0; i--)
		if (note.p[i] == '\n' && note.p[i - 1] == '\n')
			split = i;
	struct mf_slice text = mf_slice_sub(note, 0, split), sigs = mf_slice_sub(note, split + 1, note.n),
			line;
	if (split == 0 || sigs.n == 0)
		return MF_FAIL(err, MF_E_INVALID, "note: no signatures after an empty line");
	const struct mf_note_key *by = NULL, *key = NULL;
	for (size_t lines = 0; cut(&sigs, '\n', &line); lines++) {
		if (lines == MF_LIM_NOTE_SIGS)
			return MF_FAIL(err, MF_E_TOOBIG, "note: more than %u signatures", MF_LIM_NOTE_SIGS);
		MF_TRY(check_line(text, line, keys, n, &key, err));
		by = by == NULL ? key : by;
	}
	if (by == NULL)
		return MF_FAIL(
		    err, MF_E_UNAUTH, "note: not signed by %s", n == 1 ? keys[0].name : "a known key");
	*ret_text = text;
	*ret_by = by;
	return MF_OK;
}
