#include "broker/backends/aws_sts/xml.h"

#include "base/text.h"

struct reader {
	struct mf_slice doc;
	size_t at;
	struct mf_slice open[MF_AWS_XML_DEPTH]; /* names, without prefix */
	struct mf_slice full[MF_AWS_XML_DEPTH]; /* as they stand, to be closed by the same */
	size_t depth;
	const struct mf_aws_want *wants;
	size_t wants_n;
	uint64_t seen; /* a bit for each want */
	bool ended;    /* the root was closed */
};

static enum mf_status
bad(struct mf_err *err, const char *why)
{
	return MF_FAIL(err, MF_E_INVALID, "xml: %s", why);
}

static bool
is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool
is_name(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
	       c == '-' || c == '.' || c == ':';
}

static struct mf_slice
local(struct mf_slice name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] == ':')
			return mf_slice_sub(name, i + 1, name.n);
	return name;
}

/* ${word} stands at ${at}. */
static bool
here(const struct reader *r, const char *word)
{
	return mf_slice_starts(mf_slice_sub(r->doc, r->at, r->doc.n), mf_slice_str(word));
}

/* Go behind the next ${word}. */
static bool
skip_to(struct reader *r, const char *word)
{
	size_t n = strlen(word);
	for (; r->at + n <= r->doc.n; r->at++) {
		if (here(r, word)) {
			r->at += n;
			return true;
		}
	}
	return false;
}

static void
put_utf8(struct mf_buf *to, uint32_t c)
{
	if (c < 0x80) {
		mf_buf_put_u8(to, (uint8_t)c);
	} else if (c < 0x800) {
		mf_buf_put_u8(to, (uint8_t)(0xc0 | (c >> 6)));
		mf_buf_put_u8(to, (uint8_t)(0x80 | (c & 63)));
	} else if (c < 0x10000) {
		mf_buf_put_u8(to, (uint8_t)(0xe0 | (c >> 12)));
		mf_buf_put_u8(to, (uint8_t)(0x80 | ((c >> 6) & 63)));
		mf_buf_put_u8(to, (uint8_t)(0x80 | (c & 63)));
	} else {
		mf_buf_put_u8(to, (uint8_t)(0xf0 | (c >> 18)));
		mf_buf_put_u8(to, (uint8_t)(0x80 | ((c >> 12) & 63)));
		mf_buf_put_u8(to, (uint8_t)(0x80 | ((c >> 6) & 63)));
		mf_buf_put_u8(to, (uint8_t)(0x80 | (c & 63)));
	}
}

/* What stands between "&#" and ";". */
static bool
put_number(struct mf_buf *to, struct mf_slice s)
{
	bool hex = s.n > 0 && s.p[0] == 'x';
	uint32_t c = 0;
	if (s.n < (hex ? 2u : 1u) || s.n > 8)
		return false;
	for (size_t i = hex; i < s.n; i++) {
		uint8_t d = s.p[i];
		if (d >= '0' && d <= '9')
			d = (uint8_t)(d - '0');
		else if (hex && (d | 32) >= 'a' && (d | 32) <= 'f')
			d = (uint8_t)((d | 32) - 'a' + 10);
		else
			return false;
		c = c * (hex ? 16 : 10) + d;
	}
	if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return false;
	put_utf8(to, c);
	return true;
}

static bool
put_entity(struct mf_buf *to, struct mf_slice name)
{
	static const struct {
		const char *name;
		char c;
	} all[] = { { "quot", '"' }, { "apos", '\'' }, { "amp", '&' }, { "lt", '<' }, { "gt", '>' } };
	if (name.n > 1 && name.p[0] == '#')
		return put_number(to, mf_slice_sub(name, 1, name.n));
	for (size_t i = 0; i < MF_COUNT(all); i++) {
		if (mf_slice_eq_str(name, all[i].name)) {
			mf_buf_put_u8(to, (uint8_t)all[i].c);
			return true;
		}
	}
	return false;
}

static bool
put_text(struct mf_buf *to, struct mf_slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		size_t end = i;
		if (s.p[i] == '\0')
			return false;
		if (s.p[i] != '&') {
			mf_buf_put_u8(to, s.p[i]);
			continue;
		}
		while (end < s.n && s.p[end] != ';' && end - i < 12)
			end++;
		if (end == s.n || s.p[end] != ';' || !put_entity(to, mf_slice_sub(s, i + 1, end - i - 1)))
			return false;
		i = end;
	}
	return true;
}

/* The text of a leaf, into the buffer of who wants it. */
static enum mf_status
leaf(struct reader *r, struct mf_slice text, struct mf_err *err)
{
	struct mf_slice parent = r->depth > 1 ? r->open[r->depth - 2] : mf_slice(NULL, 0);
	for (size_t i = 0; i < r->wants_n; i++) {
		const struct mf_aws_want *w = &r->wants[i];
		if (!mf_slice_eq_str(r->open[r->depth - 1], w->name) ||
		    (w->parent != NULL && !mf_slice_eq_str(parent, w->parent)))
			continue;
		if ((r->seen & (UINT64_C(1) << i)) != 0)
			return bad(err, "an element stands there twice");
		r->seen |= UINT64_C(1) << i;
		if (!put_text(w->to, text))
			return bad(err, "an entity that is none of XML's five");
		MF_TRY(mf_buf_check(w->to, err));
	}
	return MF_OK;
}

static enum mf_status
start_tag(struct reader *r, struct mf_err *err)
{
	size_t from = ++r->at;
	while (r->at < r->doc.n && is_name(r->doc.p[r->at]))
		r->at++;
	struct mf_slice name = mf_slice_sub(r->doc, from, r->at - from);
	if (name.n == 0 || r->ended)
		return bad(err, "no element where one must be");
	/* Attributes are namespaces only, and nothing to us; but "<" and a quoted ">" are to be seen. */
	uint8_t quote = 0;
	for (; r->at < r->doc.n && (quote != 0 || r->doc.p[r->at] != '>'); r->at++) {
		uint8_t c = r->doc.p[r->at];
		if (c == '<')
			return bad(err, "\"<\" in a tag");
		if (quote != 0)
			quote = c == quote ? 0 : quote;
		else if (c == '"' || c == '\'')
			quote = c;
	}
	if (r->at == r->doc.n)
		return bad(err, "it ends in a tag");
	bool empty = r->doc.p[r->at - 1] == '/';
	r->at++;
	if (empty) {
		r->ended = r->ended || r->depth == 0;
		return MF_OK;
	}
	if (r->depth == MF_AWS_XML_DEPTH)
		return MF_FAIL(err, MF_E_TOOBIG, "xml: more than %u levels", MF_AWS_XML_DEPTH);
	r->full[r->depth] = name;
	r->open[r->depth++] = local(name);
	/* A leaf: text up to its own end tag. */
	size_t text = r->at;
	while (r->at < r->doc.n && r->doc.p[r->at] != '<')
		r->at++;
	return here(r, "</") ? leaf(r, mf_slice_sub(r->doc, text, r->at - text), err) : MF_OK;
}

static enum mf_status
end_tag(struct reader *r, struct mf_err *err)
{
	size_t from = r->at += 2;
	while (r->at < r->doc.n && is_name(r->doc.p[r->at]))
		r->at++;
	struct mf_slice name = mf_slice_sub(r->doc, from, r->at - from);
	while (r->at < r->doc.n && is_space(r->doc.p[r->at]))
		r->at++;
	if (r->at == r->doc.n || r->doc.p[r->at] != '>' || r->depth == 0 ||
	    !mf_slice_eq(name, r->full[r->depth - 1]))
		return bad(err, "an end that does not fit its beginning");
	r->at++;
	r->ended = --r->depth == 0;
	return MF_OK;
}

static enum mf_status
step(struct reader *r, struct mf_err *err)
{
	uint8_t c = r->doc.p[r->at];
	if (c != '<') {
		/* Text that is no leaf's: white space around elements. */
		if (r->depth == 0 && !is_space(c))
			return bad(err, "text outside of the document");
		r->at++;
		return MF_OK;
	}
	if (here(r, "<!--"))
		return skip_to(r, "-->") ? MF_OK : bad(err, "it ends in a comment");
	if (here(r, "<?"))
		return skip_to(r, "?>") ? MF_OK : bad(err, "it ends in an instruction");
	if (here(r, "<!"))
		return bad(err, "a document type or CDATA");
	return here(r, "</") ? end_tag(r, err) : start_tag(r, err);
}

enum mf_status
mf_aws_xml_read(struct mf_slice doc, const struct mf_aws_want *wants, size_t n, struct mf_err *err)
{
	struct reader r = { .doc = doc, .wants = wants, .wants_n = n };
	if (doc.n > MF_AWS_XML_MAX || n > 64)
		return MF_FAIL(err, MF_E_TOOBIG, "xml: %zu bytes, at most %u", doc.n, MF_AWS_XML_MAX);
	if (mf_slice_starts(doc, MF_SLICE_LIT("\xef\xbb\xbf")))
		r.at = 3;
	for (size_t i = 0; i < n; i++)
		mf_buf_reset(wants[i].to);
	while (r.at < r.doc.n)
		MF_TRY(step(&r, err));
	return r.ended && r.depth == 0 ? MF_OK : bad(err, "it ends too early");
}
