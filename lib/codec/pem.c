#include "codec/pem.h"

#include "base/text.h"

#define LINE_LETTERS 64
#define LINE_BYTES 48

void
mf_pem_put(struct mf_buf *to, const char *label, struct mf_slice der)
{
	mf_buf_putf(to, "-----BEGIN %s-----\n", label);
	for (size_t at = 0; at < der.n; at += LINE_BYTES) {
		mf_base64_put(to, mf_slice_sub(der, at, LINE_BYTES));
		mf_buf_put_u8(to, '\n');
	}
	mf_buf_putf(to, "-----END %s-----\n", label);
}

/* The bytes up to the next LF, which must be there; moves behind it. */
static bool
take_line(struct mf_slice *in, struct mf_slice *ret_line)
{
	const uint8_t *lf = in->n == 0 ? NULL : memchr(in->p, '\n', in->n);
	if (lf == NULL)
		return false;
	size_t n = (size_t)(lf - in->p);
	*ret_line = mf_slice_sub(*in, 0, n);
	*in = mf_slice_sub(*in, n + 1, in->n);
	return true;
}

static bool
is_boundary(struct mf_slice line, const char *what, const char *label)
{
	static const char dashes[] = "-----";
	size_t d = sizeof(dashes) - 1, w = strlen(what), l = strlen(label);
	return line.n == d + w + l + d && mf_slice_eq_str(mf_slice_sub(line, 0, d), dashes) &&
	       mf_slice_eq_str(mf_slice_sub(line, d, w), what) &&
	       mf_slice_eq_str(mf_slice_sub(line, d + w, l), label) &&
	       mf_slice_eq_str(mf_slice_sub(line, d + w + l, d), dashes);
}

enum mf_status
mf_pem_get(struct mf_slice *in, const char *label, struct mf_buf *to, struct mf_err *err)
{
	struct mf_slice rest = *in, line;
	if (rest.n == 0)
		return MF_FAIL(err, MF_E_NOTFOUND, "pem: no block left");
	if (!take_line(&rest, &line) || !is_boundary(line, "BEGIN ", label))
		return MF_FAIL(err, MF_E_INVALID,
		    "pem: expected a line -----BEGIN %s----- (with LF, nothing before it)", label);
	bool last = false;
	for (size_t n = 1;; n++) {
		if (!take_line(&rest, &line))
			return MF_FAIL(err, MF_E_INVALID, "pem: cut off, or no line feed after line %zu", n);
		if (line.n > 0 && line.p[0] == '-' && n > 1)
			break;
		if (last || line.n == 0 || line.n > LINE_LETTERS)
			return MF_FAIL(err, MF_E_INVALID,
			    "pem: line %zu of a block is not %d letters of base64", n, LINE_LETTERS);
		last = line.n < LINE_LETTERS || line.p[line.n - 1] == '=';
		enum mf_status s = mf_base64_get(line, to, err);
		if (s != MF_OK)
			return mf_err_wrap(err, s, "pem: line %zu of a block", n);
	}
	if (!is_boundary(line, "END ", label))
		return MF_FAIL(err, MF_E_INVALID, "pem: expected a line -----END %s-----", label);
	*in = rest;
	return MF_OK;
}

enum mf_status
mf_pem_get_all(struct mf_slice in, const char *label, struct mf_buf *to, struct mf_err *err)
{
	if (in.n == 0)
		return MF_FAIL(err, MF_E_INVALID, "pem: empty; expected a line -----BEGIN %s-----", label);
	while (in.n > 0)
		MF_TRY(mf_pem_get(&in, label, to, err));
	return MF_OK;
}
