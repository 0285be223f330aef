/* The table of a record's members, and a decoded record. Only record*.c include it. */
#ifndef MF_RECORD_INTERNAL_H
#define MF_RECORD_INTERNAL_H
#include "broker/core/record.h"
#include "codec/json.h"

enum kind { K_STR, K_NUM, K_ATTRIBUTES, K_SELECTORS, K_AUD, K_CREDS, K_TS, K_TYPE, K_VERSION };

struct field {
	const char *key, *member; /* member: inside the object ${key} */
	enum kind kind;
	unsigned at;
};

/* Strings that were there: bit i is string i. */
struct record_strings {
	uint64_t set[2];
};
_Static_assert(MF_RS_COUNT <= 128, "two words of bits");

struct mf_record_doc {
	struct mf_json *json; /* NULL: strings point into ${bytes} */
	struct mf_slice *attributes, *selectors, *aud;
	struct mf_record_cred *creds;
	struct mf_record rec;
	struct record_strings strings; /* of mf_record_plain */
	uint8_t bytes[];
};

/*
 * Decode a record whose members come in the order of ${fields}, written as the encoder writes them, with strings of
 * nothing but printable ASCII without escapes: nearly all. *ret_doc stays NULL for any other. What a type must have is
 * not looked at. MF_E_NOMEM.
 */
MF_NODISCARD enum mf_status mf_record_plain(struct mf_slice bytes, const struct field *fields,
    size_t n_fields, struct mf_record_doc **ret_doc, struct mf_err *err);
#endif
