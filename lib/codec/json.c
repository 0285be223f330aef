#include "codec/json.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/rand.h"
#include "base/suggest.h"

struct mf_json {
	json_t *root;
};

static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

/*
 * The library would seed its hash tables by opening /dev/urandom when the first object is made: by then a
 * confined role may open nothing. The seed is 32 bits there, and 0 means "not yet".
 */
static void
seed(void)
{
	uint32_t s;
	mf_rand_bytes(&s, sizeof(s));
	json_object_seed(s | 1);
}

/* The library's accessors take const pointers to its own type; those that do not are read-only all the same.
 */
static json_t *
lib_value(const struct mf_json_value *v)
{
	return (json_t *)(uintptr_t)v;
}

static const struct mf_json_value *
our_value(const json_t *j)
{
	return (const struct mf_json_value *)(const void *)j;
}

/*
 * Nesting, before the library (which recurses) sees the input. Brackets inside strings do not count; whether
 * they match is the library's business.
 */
static enum mf_status
check_depth(struct mf_slice in, struct mf_err *err)
{
	size_t depth = 0;
	bool in_string = false;
	for (size_t i = 0; i < in.n; i++) {
		uint8_t c = in.p[i];
		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > MF_LIM_JSON_DEPTH)
				return MF_FAIL(err, MF_E_TOOBIG,
				    "json: nested deeper than %u levels at byte %zu", MF_LIM_JSON_DEPTH, i);
		} else if ((c == '}' || c == ']') && depth > 0) {
			depth--;
		}
	}
	return MF_OK;
}

/* The library's own text quotes the input near the error, so only its code is used. */
static enum mf_status
parse_failed(const json_error_t *e, struct mf_err *err)
{
	const char *why = "not JSON";
	enum mf_status code = MF_E_INVALID;
	switch (json_error_code(e)) {
	case json_error_out_of_memory:
		why = "out of memory";
		code = MF_E_NOMEM;
		break;
	case json_error_stack_overflow:
		why = "nested too deep";
		code = MF_E_TOOBIG;
		break;
	case json_error_invalid_utf8:
		why = "not UTF-8";
		break;
	case json_error_premature_end_of_input:
		why = "ends too early";
		break;
	case json_error_end_of_input_expected:
		why = "something follows the document";
		break;
	case json_error_null_character:
	case json_error_null_byte_in_key:
		why = "U+0000 is not allowed in strings";
		break;
	case json_error_duplicate_key:
		why = "duplicate key in an object";
		break;
	case json_error_numeric_overflow:
		why = "number out of range";
		break;
	default:
		break;
	}
	return MF_FAIL(err, code, "json: line %d, column %d: %s", e->line, e->column, why);
}

enum mf_status
mf_json_parse(struct mf_slice in, size_t max, struct mf_json **ret_doc, struct mf_err *err)
{
	if (max == 0)
		max = MF_LIM_JSON;
	if (in.n > max)
		return MF_FAIL(err, MF_E_TOOBIG, "json: %zu bytes, the most here is %zu", in.n, max);
	if (in.n == 0)
		return MF_FAIL(err, MF_E_INVALID, "json: empty input");
	MF_TRY(check_depth(in, err));
	(void)pthread_once(&seed_once, seed);

	struct mf_json *doc = malloc(sizeof(*doc));
	if (doc == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "json: out of memory");
	json_error_t e;
	doc->root = json_loadb((const char *)in.p, in.n, JSON_REJECT_DUPLICATES, &e);
	if (doc->root == NULL) {
		free(doc);
		return parse_failed(&e, err);
	}
	*ret_doc = doc;
	return MF_OK;
}

void
mf_json_free(struct mf_json *doc)
{
	if (doc == NULL)
		return;
	json_decref(doc->root);
	free(doc);
}

const struct mf_json_value *
mf_json_root(const struct mf_json *doc)
{
	return doc == NULL ? NULL : our_value(doc->root);
}

enum mf_json_type
mf_json_type(const struct mf_json_value *v)
{
	if (v == NULL)
		return MF_JSON_ABSENT;
	switch (json_typeof(lib_value(v))) {
	case JSON_OBJECT:
		return MF_JSON_OBJECT;
	case JSON_ARRAY:
		return MF_JSON_ARRAY;
	case JSON_STRING:
		return MF_JSON_STRING;
	case JSON_INTEGER:
		return MF_JSON_INT;
	case JSON_REAL:
		return MF_JSON_REAL;
	case JSON_TRUE:
	case JSON_FALSE:
		return MF_JSON_BOOL;
	case JSON_NULL:
		return MF_JSON_NULL;
	}
	return MF_JSON_ABSENT;
}

const char *
mf_json_type_name(enum mf_json_type t)
{
	static const char *const names[] = { [MF_JSON_ABSENT] = "nothing",
		[MF_JSON_NULL] = "null",
		[MF_JSON_BOOL] = "true or false",
		[MF_JSON_INT] = "an integer",
		[MF_JSON_REAL] = "a fraction",
		[MF_JSON_STRING] = "a string",
		[MF_JSON_ARRAY] = "an array",
		[MF_JSON_OBJECT] = "an object" };
	return (size_t)t < MF_COUNT(names) ? names[t] : "unknown";
}

const struct mf_json_value *
mf_json_get(const struct mf_json_value *v, const char *key)
{
	return v == NULL ? NULL : our_value(json_object_get(lib_value(v), key));
}

size_t
mf_json_size(const struct mf_json_value *v)
{
	switch (mf_json_type(v)) {
	case MF_JSON_ARRAY:
		return json_array_size(lib_value(v));
	case MF_JSON_OBJECT:
		return json_object_size(lib_value(v));
	default:
		return 0;
	}
}

const struct mf_json_value *
mf_json_at(const struct mf_json_value *v, size_t i)
{
	return v == NULL ? NULL : our_value(json_array_get(lib_value(v), i));
}

bool
mf_json_string(const struct mf_json_value *v, struct mf_slice *ret_s)
{
	if (mf_json_type(v) != MF_JSON_STRING)
		return false;
	*ret_s = mf_slice(json_string_value(lib_value(v)), json_string_length(lib_value(v)));
	return true;
}

bool
mf_json_int(const struct mf_json_value *v, int64_t *ret_i)
{
	if (mf_json_type(v) != MF_JSON_INT)
		return false;
	*ret_i = json_integer_value(lib_value(v));
	return true;
}

bool
mf_json_bool(const struct mf_json_value *v, bool *ret_b)
{
	if (mf_json_type(v) != MF_JSON_BOOL)
		return false;
	*ret_b = json_is_true(lib_value(v));
	return true;
}

bool
mf_json_real(const struct mf_json_value *v, double *ret_d)
{
	if (mf_json_type(v) != MF_JSON_REAL)
		return false;
	*ret_d = json_real_value(lib_value(v));
	return true;
}

struct mf_json_iter
mf_json_iter(const struct mf_json_value *v)
{
	return (struct mf_json_iter) { v, v == NULL ? NULL : json_object_iter(lib_value(v)) };
}

bool
mf_json_next(struct mf_json_iter *it, struct mf_slice *ret_key, const struct mf_json_value **ret_v)
{
	if (it->at == NULL)
		return false;
	/* Keys hold no NUL: the reader refused it. */
	*ret_key = mf_slice_str(json_object_iter_key(it->at));
	*ret_v = our_value(json_object_iter_value(it->at));
	it->at = json_object_iter_next(lib_value(it->object), it->at);
	return true;
}

enum mf_status
mf_json_need(const struct mf_json_value *object, const char *key, enum mf_json_type type,
    const struct mf_json_value **ret_v, struct mf_err *err)
{
	const struct mf_json_value *v = mf_json_get(object, key);
	enum mf_json_type found = mf_json_type(v);
	if (v == NULL || found != type)
		return MF_FAIL(err, MF_E_INVALID, "json: \"%s\" must be %s, found %s", key,
		    mf_json_type_name(type), mf_json_type_name(found));
	*ret_v = v;
	return MF_OK;
}

enum mf_status
mf_json_need_string(
    const struct mf_json_value *object, const char *key, struct mf_slice *ret_s, struct mf_err *err)
{
	const struct mf_json_value *v = NULL;
	MF_TRY(mf_json_need(object, key, MF_JSON_STRING, &v, err));
	return mf_json_string(v, ret_s) ? MF_OK : MF_FAIL(err, MF_E_INTERNAL, "json: type changed");
}

enum mf_status
mf_json_need_int(const struct mf_json_value *object, const char *key, int64_t *ret_i, struct mf_err *err)
{
	const struct mf_json_value *v = NULL;
	MF_TRY(mf_json_need(object, key, MF_JSON_INT, &v, err));
	return mf_json_int(v, ret_i) ? MF_OK : MF_FAIL(err, MF_E_INTERNAL, "json: type changed");
}

enum mf_status
mf_json_need_bool(const struct mf_json_value *object, const char *key, bool *ret_b, struct mf_err *err)
{
	const struct mf_json_value *v = NULL;
	MF_TRY(mf_json_need(object, key, MF_JSON_BOOL, &v, err));
	return mf_json_bool(v, ret_b) ? MF_OK : MF_FAIL(err, MF_E_INTERNAL, "json: type changed");
}

enum mf_status
mf_json_only_keys(const struct mf_json_value *object, const char *const *keys, size_t n, struct mf_err *err)
{
	if (mf_json_type(object) != MF_JSON_OBJECT)
		return MF_FAIL(err, MF_E_INVALID, "json: must be an object, found %s",
		    mf_json_type_name(mf_json_type(object)));
	struct mf_json_iter it = mf_json_iter(object);
	struct mf_slice key;
	const struct mf_json_value *v;
	while (mf_json_next(&it, &key, &v)) {
		bool known = false;
		for (size_t i = 0; i < n && !known; i++)
			known = mf_slice_eq_str(key, keys[i]);
		if (known)
			continue;
		const char *near = mf_suggest_printable(key) ? mf_suggest(key, keys, n) : NULL;
		if (near != NULL)
			return MF_FAIL(err, MF_E_INVALID, "json: unknown key \"%.*s\"; did you mean \"%s\"?",
			    (int)key.n, (const char *)key.p, near);
		if (mf_suggest_printable(key))
			return MF_FAIL(err, MF_E_INVALID, "json: unknown key \"%.*s\"; remove it", (int)key.n,
			    (const char *)key.p);
		return MF_FAIL(err, MF_E_INVALID, "json: an unknown key of %zu bytes; remove it", key.n);
	}
	return MF_OK;
}
