/*
 * Whatever the reader takes, the writer can write, and reading that gives the same bytes again. The walk
 * keeps its own stack: the depth is bounded by the reader.
 */
#include <stdlib.h>

#include "base/limits.h"
#include "codec/json.h"
#include "codec/json_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
write_scalar(struct mf_jw *w, const struct mf_json_value *v)
{
	struct mf_slice s;
	int64_t i;
	bool b;
	if (mf_json_string(v, &s))
		mf_jw_string(w, s);
	else if (mf_json_int(v, &i))
		mf_jw_int(w, i);
	else if (mf_json_bool(v, &b))
		mf_jw_bool(w, b);
	else if (mf_json_type(v) == MF_JSON_NULL || mf_json_type(v) == MF_JSON_REAL)
		mf_jw_null(w);
	else
		return false;
	return true;
}

static void
write_doc(struct mf_jw *w, const struct mf_json_value *root)
{
	struct {
		const struct mf_json_value *v;
		struct mf_json_iter it;
		size_t next;
	} stack[MF_LIM_JSON_DEPTH];
	size_t depth = 0;
	const struct mf_json_value *v = root;
	for (;;) {
		if (!write_scalar(w, v)) {
			if (depth == MF_LIM_JSON_DEPTH)
				abort();
			stack[depth].v = v;
			stack[depth].it = mf_json_iter(v);
			stack[depth].next = 0;
			depth++;
			if (mf_json_type(v) == MF_JSON_OBJECT)
				mf_jw_object_begin(w);
			else
				mf_jw_array_begin(w);
		}
		for (;;) {
			if (depth == 0)
				return;
			struct mf_slice key;
			if (mf_json_type(stack[depth - 1].v) == MF_JSON_OBJECT) {
				if (mf_json_next(&stack[depth - 1].it, &key, &v)) {
					mf_jw_key_slice(w, key);
					break;
				}
				mf_jw_object_end(w);
			} else {
				v = mf_json_at(stack[depth - 1].v, stack[depth - 1].next++);
				if (v != NULL)
					break;
				mf_jw_array_end(w);
			}
			depth--;
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_json *doc = NULL;
	struct mf_err err;
	if (mf_json_parse(mf_slice(data, size), 0, &doc, &err) != MF_OK)
		return 0;
	struct mf_buf once, twice;
	struct mf_jw w;
	mf_buf_init(&once, 8 * (size_t)MF_LIM_JSON);
	mf_buf_init(&twice, 8 * (size_t)MF_LIM_JSON);
	mf_jw_init(&w, &once, false);
	write_doc(&w, mf_json_root(doc));
	if (mf_jw_finish(&w, &err) != MF_OK)
		abort();
	mf_json_free(doc);
	if (mf_json_parse(mf_buf_slice(&once), 8 * (size_t)MF_LIM_JSON, &doc, &err) != MF_OK)
		abort();
	mf_jw_init(&w, &twice, false);
	write_doc(&w, mf_json_root(doc));
	if (mf_jw_finish(&w, &err) != MF_OK || !mf_slice_eq(mf_buf_slice(&once), mf_buf_slice(&twice)))
		abort();
	mf_json_free(doc);
	mf_buf_fini(&once);
	mf_buf_fini(&twice);
	return 0;
}
