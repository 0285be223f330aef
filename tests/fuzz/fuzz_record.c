#include <stdlib.h>

#include "base/limits.h"
#include "broker/core/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What decodes has one spelling: encoding it gives the same bytes. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_record_doc *doc = NULL;
	struct mf_err err = { 0 };
	struct mf_buf again;
	enum mf_record_type t;
	if (mf_record_decode(mf_slice(data, size), &doc, &err) != MF_OK) {
		if (err.msg[0] == '\0')
			abort();
		return 0;
	}
	const struct mf_record *r = mf_record_doc_get(doc);
	if (!mf_record_type_parse(mf_slice_str(mf_record_type_name(r->type)), &t) || t != r->type)
		abort();
	mf_buf_init(&again, MF_LIM_RECORD);
	if (mf_record_encode(r, &again, &err) != MF_OK ||
	    !mf_slice_eq(mf_buf_slice(&again), mf_slice(data, size)))
		abort();
	mf_buf_fini(&again);
	mf_record_doc_free(doc);
	return 0;
}
