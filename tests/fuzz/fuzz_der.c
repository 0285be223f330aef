/* Strict DER has one spelling: what the reader takes, the writer gives back byte for byte. */
#include <stdlib.h>

#include "codec/der.h"

#define DEPTH 24

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static void
check_element(const struct mf_der *el)
{
	struct mf_buf b;
	mf_buf_init(&b, el->whole.n + 16);
	mf_der_put(&b, el->tag, el->body);
	check(mf_slice_eq(mf_buf_slice(&b), el->whole));
	mf_buf_reset(&b);
	int64_t t;
	struct mf_slice v;
	if (mf_der_get_time(el->tag, el->body, &t)) {
		mf_der_put_time(&b, t);
		check(mf_slice_eq(mf_buf_slice(&b), el->whole));
	} else if (el->tag == MF_DER_INTEGER && mf_der_get_positive(el->body, &v)) {
		mf_der_put_uint(&b, v);
		check(mf_slice_eq(mf_buf_slice(&b), el->whole));
	}
	mf_buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_reader at[DEPTH] = { mf_reader(mf_slice(data, size)) };
	size_t depth = 0;
	for (;;) {
		struct mf_der el;
		if (mf_der_read(&at[depth], &el)) {
			check_element(&el);
			if ((el.tag & 0x20) != 0 && depth + 1 < DEPTH)
				at[++depth] = mf_reader(el.body);
		} else if (depth == 0) {
			return 0;
		} else {
			depth--;
		}
	}
}
