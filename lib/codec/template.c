#include "codec/template.h"

#include "base/limits.h"
#include "base/suggest.h"

#define CN_MAX 64u    /* bytes, X.520 ub-common-name */
#define DNS_MAX 253u  /* bytes */
#define LABEL_MAX 63u /* bytes */

const char *const mf_template_variables[] = { "tenant", "job", "run", "env", "kind", "name", "profile",
	"purpose", "node", NULL };

static bool
is_known(struct mf_slice name)
{
	for (size_t i = 0; mf_template_variables[i] != NULL; i++)
		if (mf_slice_eq_str(name, mf_template_variables[i]))
			return true;
	return false;
}

/* A byte that may stand in a segment (path, cn) or label (dns). */
static bool
is_name_byte(uint8_t c, enum mf_template_kind kind)
{
	bool lower_or_digit = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
	if (kind == MF_TEMPLATE_DNS)
		return lower_or_digit;
	return lower_or_digit || (c >= 'A' && c <= 'Z') || c == '.' || c == '_';
}

/* The next piece of a template: a variable (without braces) or text up to the next brace. */
static enum mf_status
next_piece(struct mf_slice t, size_t *at, struct mf_slice *ret_piece, bool *ret_var, struct mf_err *err)
{
	size_t from = *at, to = *at;
	if (t.p[from] == '{') {
		for (to = from + 1; to < t.n && t.p[to] != '}'; to++)
			if (t.p[to] == '{')
				return MF_FAIL(err, MF_E_INVALID, "a { inside a {variable} at byte %zu", to);
		if (to == t.n)
			return MF_FAIL(err, MF_E_INVALID, "a { without } at byte %zu", from);
		*ret_piece = mf_slice_sub(t, from + 1, to - from - 1);
		*ret_var = true;
		*at = to + 1;
		return MF_OK;
	}
	while (to < t.n && t.p[to] != '{') {
		if (t.p[to] == '}')
			return MF_FAIL(err, MF_E_INVALID, "a } without { at byte %zu", to);
		to++;
	}
	*ret_piece = mf_slice_sub(t, from, to - from);
	*ret_var = false;
	*at = to;
	return MF_OK;
}

/* The parts between ${sep}: none empty, and the kind's rule for each. */
static enum mf_status
check_parts(struct mf_slice s, enum mf_template_kind kind, uint8_t sep, struct mf_err *err)
{
	size_t from = 0;
	for (size_t i = 0; i <= s.n; i++) {
		if (i < s.n && s.p[i] != sep)
			continue;
		struct mf_slice part = mf_slice_sub(s, from, i - from);
		from = i + 1;
		if (part.n == 0)
			return MF_FAIL(err, MF_E_INVALID,
			    "an empty part at byte %zu: remove the doubled or last '%c'", i, sep);
		if (mf_slice_eq_str(part, ".") || mf_slice_eq_str(part, ".."))
			return MF_FAIL(err, MF_E_INVALID, "a part is \".\" or \"..\"");
		if (kind != MF_TEMPLATE_DNS)
			continue;
		if (part.n > LABEL_MAX)
			return MF_FAIL(err, MF_E_INVALID, "a label is longer than %u bytes", LABEL_MAX);
		if (part.p[0] == '-' || part.p[part.n - 1] == '-')
			return MF_FAIL(err, MF_E_INVALID, "a label begins or ends with '-'");
	}
	return MF_OK;
}

/* The rules for the whole name, once every value is in. */
static enum mf_status
check_name(struct mf_slice s, enum mf_template_kind kind, struct mf_err *err)
{
	static const size_t max[] = { [MF_TEMPLATE_PATH] = MF_LIM_SPIFFE_ID - MF_LIM_TRUST_DOMAIN - 9,
		[MF_TEMPLATE_CN] = CN_MAX,
		[MF_TEMPLATE_DNS] = DNS_MAX };
	if (s.n > max[kind])
		return MF_FAIL(err, MF_E_INVALID, "%zu bytes, the most is %zu", s.n, max[kind]);
	if (kind == MF_TEMPLATE_CN)
		return s.n > 0 ? MF_OK : MF_FAIL(err, MF_E_INVALID, "empty");
	if (kind == MF_TEMPLATE_DNS)
		return check_parts(s, kind, '.', err);
	if (s.n == 0 || s.p[0] != '/')
		return MF_FAIL(err, MF_E_INVALID, "must begin with '/'");
	MF_TRY(check_parts(mf_slice_sub(s, 1, s.n), kind, '/', err));
	if (mf_slice_eq_str(s, "/mayfly") || mf_slice_starts(s, mf_slice_str("/mayfly/")))
		return MF_FAIL(err, MF_E_INVALID, "/mayfly is reserved: begin with another word");
	return MF_OK;
}

/* Letters of the template's own text: the kind's, and its separator. */
static enum mf_status
check_text(struct mf_slice text, enum mf_template_kind kind, struct mf_err *err)
{
	uint8_t sep = kind == MF_TEMPLATE_PATH ? '/' : '.';
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] != sep && !is_name_byte(text.p[i], kind))
			return MF_FAIL(err, MF_E_INVALID, "a byte that may not stand in a %s (allowed: %s)",
			    kind == MF_TEMPLATE_PATH ? "path"
			    : kind == MF_TEMPLATE_CN ? "cn"
						     : "DNS name",
			    kind == MF_TEMPLATE_PATH ? "letters, digits, . - _ / and {variables}"
			    : kind == MF_TEMPLATE_CN ? "letters, digits, . - _ and {variables}"
						     : "a-z, digits, - . and {variables}");
	return MF_OK;
}

/* Stands for any value when a template is checked. */
static bool
sample(void *ctx, struct mf_slice name, struct mf_slice *ret_value)
{
	MF_UNUSED(ctx);
	MF_UNUSED(name);
	*ret_value = mf_slice_str("x");
	return true;
}

enum mf_status
mf_template_check(struct mf_slice t, enum mf_template_kind kind, struct mf_err *err)
{
	struct mf_slice piece;
	bool var;
	for (size_t at = 0; at < t.n;) {
		MF_TRY(next_piece(t, &at, &piece, &var, err));
		if (!var || is_known(piece))
			continue;
		size_t n = 0;
		while (mf_template_variables[n] != NULL)
			n++;
		const char *near = mf_suggest(piece, mf_template_variables, n);
		if (near != NULL)
			return MF_FAIL(err, MF_E_INVALID, "unknown variable; did you mean {%s}?", near);
		return MF_FAIL(err, MF_E_INVALID,
		    "unknown variable; known: tenant, job, run, env, kind, name, profile, purpose, node");
	}
	MF_AUTO_IN(mf_buf_fini) struct mf_buf name;
	mf_buf_init(&name, MF_LIM_SPIFFE_ID);
	return mf_template_expand(t, kind, sample, NULL, &name, err);
}

bool
mf_template_uses(struct mf_slice t, const char *name)
{
	struct mf_slice piece;
	bool var;
	for (size_t at = 0; at < t.n;) {
		if (next_piece(t, &at, &piece, &var, NULL) != MF_OK)
			return false;
		if (var && mf_slice_eq_str(piece, name))
			return true;
	}
	return false;
}

static enum mf_status
put_value(struct mf_slice name, enum mf_template_kind kind, mf_template_get *get, void *ctx,
    struct mf_buf *to, struct mf_err *err)
{
	struct mf_slice v;
	if (!get(ctx, name, &v) || v.n == 0)
		return MF_FAIL(
		    err, MF_E_INVALID, "{%.*s} has no value for this job", (int)name.n, (const char *)name.p);
	for (size_t i = 0; i < v.n; i++)
		if (!is_name_byte(v.p[i], kind) || (v.p[i] == '.' && i + 1 < v.n && v.p[i + 1] == '.'))
			return MF_FAIL(err, MF_E_INVALID,
			    "the value of {%.*s} has a byte that may not stand in a name", (int)name.n,
			    (const char *)name.p);
	mf_buf_put_slice(to, v);
	return MF_OK;
}

enum mf_status
mf_template_expand(struct mf_slice t, enum mf_template_kind kind, mf_template_get *get, void *ctx,
    struct mf_buf *to, struct mf_err *err)
{
	size_t start = to->n;
	struct mf_slice piece;
	bool var;
	for (size_t at = 0; at < t.n;) {
		MF_TRY(next_piece(t, &at, &piece, &var, err));
		if (var) {
			MF_TRY(put_value(piece, kind, get, ctx, to, err));
		} else {
			MF_TRY(check_text(piece, kind, err));
			mf_buf_put_slice(to, piece);
		}
	}
	MF_TRY(mf_buf_check(to, err));
	return check_name(mf_slice_sub(mf_buf_slice(to), start, to->n), kind, err);
}
