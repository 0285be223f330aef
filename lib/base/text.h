/*
 * text: bytes to letters and back. Decoders are strict: one spelling per value (RFC 4648, no
 * padding where none is due, zero trailing bits), everything consumed or MF_E_INVALID.
 */
#ifndef MF_BASE_TEXT_H
#define MF_BASE_TEXT_H
#include "base/buf.h"

void mf_hex_put(struct mf_buf *to, struct mf_slice from); /* lowercase, no separators */
MF_NODISCARD enum mf_status mf_hex_get(struct mf_slice from, struct mf_buf *to, struct mf_err *err);
void mf_base64_put(struct mf_buf *to, struct mf_slice from); /* standard alphabet, padded */
MF_NODISCARD enum mf_status mf_base64_get(struct mf_slice from, struct mf_buf *to, struct mf_err *err);
void mf_base64url_put(struct mf_buf *to, struct mf_slice from); /* no padding */
MF_NODISCARD enum mf_status mf_base64url_get(struct mf_slice from, struct mf_buf *to, struct mf_err *err);
/* a-z2-7; 5 bits a letter; the last letter carries the remaining high bits. Encode only: ids. */
void mf_base32_put(struct mf_buf *to, struct mf_slice from);
/* Well-formed UTF-8 (RFC 3629) without NUL. */
bool mf_utf8_ok(struct mf_slice s);
/* Length of the longest well-formed beginning of at most ${max} bytes: cutting there splits no letter. */
size_t mf_utf8_cut(struct mf_slice s, size_t max);
/* Decimal without sign, leading zeros or overflow. */
MF_NODISCARD bool mf_parse_u64(struct mf_slice s, uint64_t *ret_v);
/* "90s", "20m", "2h", "30d", plain seconds refused: milliseconds in *ret_ms. */
MF_NODISCARD enum mf_status mf_parse_duration(struct mf_slice s, uint64_t *ret_ms, struct mf_err *err);
#endif
