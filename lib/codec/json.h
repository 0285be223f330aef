/*
 * json: strict reading of JSON documents (RFC 8259, and I-JSON's ban on duplicate names).
 *
 * The document is one object or one array, UTF-8, at most ${max} bytes and MF_LIM_JSON_DEPTH levels; no
 * duplicate keys, no U+0000 in keys or strings, integers within int64, nothing but white space after it.
 * Numbers with a fraction or exponent parse; nothing of ours uses floating point, so mf_json_real is only for handing
 * on what others said (google.protobuf.Struct).
 *
 * A `struct mf_json` owns the whole tree; every value and slice that an accessor returns points into it and
 * lives as long as it does. All accessors take NULL and values of any type and then answer "no": a chain of
 * mf_json_get needs one check at its end. A parsed document never changes, so threads may read it at the same
 * time. Error texts give line, column and rule, never values of the input. Memory is not wiped: no private
 * keys through here.
 *
 * Writing is json_write.h. The library underneath is included in json.c alone.
 */
#ifndef MF_CODEC_JSON_H
#define MF_CODEC_JSON_H
#include "base/slice.h"

struct mf_json;	      /* a document; opaque */
struct mf_json_value; /* a value inside one; opaque */

enum mf_json_type {
	MF_JSON_ABSENT, /* the type of NULL */
	MF_JSON_NULL,
	MF_JSON_BOOL,
	MF_JSON_INT,
	MF_JSON_REAL,
	MF_JSON_STRING,
	MF_JSON_ARRAY,
	MF_JSON_OBJECT
};

/*
 * Parse all of ${in}; ${max} is the size cap in bytes, 0 for MF_LIM_JSON. The document is the caller's to
 * free. Fails with MF_E_INVALID, MF_E_TOOBIG (size, depth) or MF_E_NOMEM.
 */
MF_NODISCARD enum mf_status
mf_json_parse(struct mf_slice in, size_t max, struct mf_json **ret_doc, struct mf_err *err);
void mf_json_free(struct mf_json *doc); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_json, mf_json_free)

const struct mf_json_value *mf_json_root(const struct mf_json *doc);
enum mf_json_type mf_json_type(const struct mf_json_value *v);
/* "a string", "an array", ... for error texts. */
const char *mf_json_type_name(enum mf_json_type t);

/* The member ${key} of an object; NULL when ${v} is no object or has none. A JSON null is a value, not NULL.
 */
const struct mf_json_value *mf_json_get(const struct mf_json_value *v, const char *key);
/* Elements of an array or members of an object; 0 for all else. */
size_t mf_json_size(const struct mf_json_value *v);
/* The element ${i} of an array, or NULL. */
const struct mf_json_value *mf_json_at(const struct mf_json_value *v, size_t i);
/* True, and the output written, when ${v} is of that very type. The string's bytes are followed by a NUL. */
MF_NODISCARD bool mf_json_string(const struct mf_json_value *v, struct mf_slice *ret_s);
MF_NODISCARD bool mf_json_int(const struct mf_json_value *v, int64_t *ret_i);
MF_NODISCARD bool mf_json_bool(const struct mf_json_value *v, bool *ret_b);
MF_NODISCARD bool mf_json_real(const struct mf_json_value *v, double *ret_d);

/* Members of an object in the order of the document: struct mf_json_iter it = mf_json_iter(v); while
 * (mf_json_next(..)) */
struct mf_json_iter {
	const struct mf_json_value *object;
	void *at;
};
struct mf_json_iter mf_json_iter(const struct mf_json_value *v);
MF_NODISCARD bool
mf_json_next(struct mf_json_iter *it, struct mf_slice *ret_key, const struct mf_json_value **ret_v);

/*
 * The same with an error text, for members that must be there: MF_E_INVALID names the key and what was found.
 * ${type} of mf_json_need may be any type but MF_JSON_ABSENT.
 */
MF_NODISCARD enum mf_status mf_json_need(const struct mf_json_value *object, const char *key,
    enum mf_json_type type, const struct mf_json_value **ret_v, struct mf_err *err);
MF_NODISCARD enum mf_status mf_json_need_string(
    const struct mf_json_value *object, const char *key, struct mf_slice *ret_s, struct mf_err *err);
MF_NODISCARD enum mf_status
mf_json_need_int(const struct mf_json_value *object, const char *key, int64_t *ret_i, struct mf_err *err);
MF_NODISCARD enum mf_status
mf_json_need_bool(const struct mf_json_value *object, const char *key, bool *ret_b, struct mf_err *err);
/* MF_E_INVALID, naming the key, when ${object} is no object or has a key that is not in ${keys}. */
MF_NODISCARD enum mf_status
mf_json_only_keys(const struct mf_json_value *object, const char *const *keys, size_t n, struct mf_err *err);
#endif
