#include "log/published.h"

#include "base/text.h"

#define FIRST_LINE "mayfly published documents v1\n"
#define TEXT_MAX 8192u

static const struct {
	const char *name, *path;
} files[MF_PUBLISHED_FILES] = {
	[MF_PUBLISHED_DISCOVERY] = { "openid-configuration", "/.well-known/openid-configuration" },
	[MF_PUBLISHED_KEYS] = { "keys", "/keys" },
	[MF_PUBLISHED_X5C_DISCOVERY] = { "x5c-openid-configuration", "/.well-known/openid-configuration" },
	[MF_PUBLISHED_X5C_KEYS] = { "x5c-keys", "/keys" },
};

const char *
mf_published_name(enum mf_published_file f)
{
	return files[f].name;
}

const char *
mf_published_path(enum mf_published_file f)
{
	return files[f].path;
}

/* ---- the manifest ---- */

void
mf_published_add(struct mf_published *p, enum mf_published_file f, struct mf_slice content)
{
	p->files[f].size = content.n;
	mf_sha256(content, p->files[f].sha256);
}

bool
mf_published_is(const struct mf_published *p, enum mf_published_file f, struct mf_slice content)
{
	uint8_t sha[MF_SHA256_SIZE];
	mf_sha256(content, sha);
	return p->files[f].size == content.n && memcmp(sha, p->files[f].sha256, sizeof(sha)) == 0;
}

static void
put_text(const struct mf_published *p, struct mf_buf *to)
{
	mf_buf_putf(to, FIRST_LINE "revision %llu\nissuer %s\nx5c_issuer %s\n",
	    (unsigned long long)p->revision, p->issuer, p->x5c_issuer);
	for (size_t i = 0; i < MF_PUBLISHED_FILES; i++) {
		mf_buf_putf(to, "file %s %llu ", files[i].name, (unsigned long long)p->files[i].size);
		mf_hex_put(to, mf_slice(p->files[i].sha256, MF_SHA256_SIZE));
		mf_buf_put_u8(to, '\n');
	}
}

enum mf_status
mf_published_sign(const struct mf_published *p, struct mf_slice origin, const struct mf_ed25519 *key,
    struct mf_buf *to, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	mf_buf_init(&text, TEXT_MAX);
	put_text(p, &text);
	MF_TRY(mf_buf_check(&text, err));
	return mf_note_sign(mf_buf_slice(&text), origin, key, to, err);
}

/* "${word} REST\n" at the front of ${in}, which moves on. */
static bool
line(struct mf_slice *in, const char *word, struct mf_slice *ret_rest)
{
	size_t n = strlen(word), end = 0;
	while (end < in->n && in->p[end] != '\n')
		end++;
	if (end == in->n || end <= n || in->p[n] != ' ' || memcmp(in->p, word, n) != 0)
		return false;
	*ret_rest = mf_slice_sub(*in, n + 1, end - n - 1);
	*in = mf_slice_sub(*in, end + 1, in->n);
	return true;
}

static bool
take_issuer(struct mf_slice s, char to[MF_LIM_ISSUER + 1])
{
	if (mf_issuer_check(s) != NULL)
		return false;
	memcpy(to, s.p, s.n);
	to[s.n] = '\0';
	return true;
}

/* "NAME SIZE HEX" */
static bool
take_file(struct mf_slice s, enum mf_published_file f, struct mf_published *p)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf sha;
	struct mf_slice name = mf_slice_str(files[f].name);
	mf_buf_init(&sha, MF_SHA256_SIZE);
	if (!mf_slice_starts(s, name) || s.n < name.n + 3 + 2 * MF_SHA256_SIZE || s.p[name.n] != ' ' ||
	    s.p[s.n - 2 * MF_SHA256_SIZE - 1] != ' ')
		return false;
	if (!mf_parse_u64(
		mf_slice_sub(s, name.n + 1, s.n - name.n - 2 - 2 * MF_SHA256_SIZE), &p->files[f].size) ||
	    mf_hex_get(mf_slice_sub(s, s.n - 2 * MF_SHA256_SIZE, s.n), &sha, NULL) != MF_OK)
		return false;
	memcpy(p->files[f].sha256, sha.p, MF_SHA256_SIZE);
	return true;
}

bool
mf_published_parse(struct mf_slice text, struct mf_published *ret_p)
{
	struct mf_published p = { 0 };
	struct mf_slice rest;
	bool ok = mf_slice_starts(text, MF_SLICE_LIT(FIRST_LINE));
	text = mf_slice_sub(text, sizeof(FIRST_LINE) - 1, text.n);
	ok = ok && line(&text, "revision", &rest) && mf_parse_u64(rest, &p.revision);
	ok = ok && line(&text, "issuer", &rest) && take_issuer(rest, p.issuer);
	ok = ok && line(&text, "x5c_issuer", &rest) && take_issuer(rest, p.x5c_issuer);
	for (unsigned i = 0; ok && i < MF_PUBLISHED_FILES; i++)
		ok = line(&text, "file", &rest) && take_file(rest, (enum mf_published_file)i, &p);
	if (!ok || text.n > 0)
		return false;
	*ret_p = p;
	return true;
}

enum mf_status
mf_published_open(
    struct mf_slice note, const struct mf_note_key *key, struct mf_published *ret_p, struct mf_err *err)
{
	struct mf_slice text;
	const struct mf_note_key *by;
	MF_TRY(mf_note_open(note, key, 1, &text, &by, err));
	if (!mf_published_parse(text, ret_p))
		return MF_FAIL(err, MF_E_INVALID,
		    "the manifest is not one of published documents, or another release's: use the 'mayfly' "
		    "of "
		    "the broker's release");
	return MF_OK;
}
