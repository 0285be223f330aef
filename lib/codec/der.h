/*
 * der: reading and writing of ASN.1 DER (X.690), the part that certificates need.
 *
 * The reader is strict: single-byte tags, definite lengths in their shortest form, contents inside
 * what is there. It keeps no stack and never recurses; callers open a nested element by making a
 * reader of its body. The writer goes forward into a sticky mf_buf. Pure; no library beneath.
 */
#ifndef MF_CODEC_DER_H
#define MF_CODEC_DER_H
#include "base/buf.h"

#define MF_DER_BOOLEAN 0x01
#define MF_DER_INTEGER 0x02
#define MF_DER_BIT_STRING 0x03
#define MF_DER_OCTET_STRING 0x04
#define MF_DER_NULL 0x05
#define MF_DER_OID 0x06
#define MF_DER_UTF8_STRING 0x0c
#define MF_DER_PRINTABLE_STRING 0x13
#define MF_DER_UTC_TIME 0x17
#define MF_DER_GENERALIZED_TIME 0x18
#define MF_DER_SEQUENCE 0x30
#define MF_DER_SET 0x31
#define MF_DER_CONTEXT(n) ((uint8_t)(0x80 | (n)))  /* implicit, primitive */
#define MF_DER_EXPLICIT(n) ((uint8_t)(0xa0 | (n))) /* constructed */

struct mf_der {
	uint8_t tag;
	struct mf_slice body;  /* contents */
	struct mf_slice whole; /* tag, length and contents */
};

/* Any element. False (and nothing taken) when the next bytes are not strict DER. */
MF_NODISCARD bool mf_der_read(struct mf_reader *r, struct mf_der *ret_el);
/* The next element if it has this tag. */
MF_NODISCARD bool mf_der_expect(struct mf_reader *r, uint8_t tag, struct mf_slice *ret_body);
/* Exactly one element of this tag and nothing behind it. */
MF_NODISCARD bool mf_der_only(struct mf_slice in, uint8_t tag, struct mf_slice *ret_body);
/* An INTEGER > 0: its bytes without the leading zero. */
MF_NODISCARD bool mf_der_get_positive(struct mf_slice body, struct mf_slice *ret_magnitude);
/* A BOOLEAN: 00 or ff. */
MF_NODISCARD bool mf_der_get_bool(struct mf_slice body, bool *ret_v);
/* UTCTime (1970 to 2049) or GeneralizedTime (2050 to 9999) as RFC 5280, 4.1.2.5 spells them: seconds since 1970. */
MF_NODISCARD bool mf_der_get_time(uint8_t tag, struct mf_slice body, int64_t *ret_s);

/* An element with these contents. */
void mf_der_put(struct mf_buf *b, uint8_t tag, struct mf_slice body);
/* Open a constructed (or wrapping) element, put its contents, close it with the mark. */
size_t mf_der_open(struct mf_buf *b, uint8_t tag);
void mf_der_close(struct mf_buf *b, size_t mark);
/* INTEGER >= 0 of big-endian bytes, in its shortest form. */
void mf_der_put_uint(struct mf_buf *b, struct mf_slice magnitude);
void mf_der_put_true(struct mf_buf *b); /* FALSE is always a default in certificates, so never written */
/* BIT STRING of whole bytes. */
void mf_der_put_bits(struct mf_buf *b, struct mf_slice bytes);
/*
 * Time by RFC 5280, 4.1.2.5: "MUST always encode certificate validity dates through the year 2049 as
 * UTCTime; ... in 2050 or later MUST be encoded as GeneralizedTime". Outside 1970..9999 the buffer fails.
 */
void mf_der_put_time(struct mf_buf *b, int64_t unix_s);
#endif
