/*
 * grpc_status: gRPC's codes, and the small texts of its wire: percent-encoded messages, timeouts.
 */
#ifndef MF_RPC_GRPC_STATUS_H
#define MF_RPC_GRPC_STATUS_H
#include "base/buf.h"

enum mf_grpc_code {
	MF_GRPC_OK = 0,
	MF_GRPC_CANCELLED,
	MF_GRPC_UNKNOWN,
	MF_GRPC_INVALID_ARGUMENT,
	MF_GRPC_DEADLINE_EXCEEDED,
	MF_GRPC_NOT_FOUND,
	MF_GRPC_ALREADY_EXISTS,
	MF_GRPC_PERMISSION_DENIED,
	MF_GRPC_RESOURCE_EXHAUSTED,
	MF_GRPC_FAILED_PRECONDITION,
	MF_GRPC_ABORTED,
	MF_GRPC_OUT_OF_RANGE,
	MF_GRPC_UNIMPLEMENTED,
	MF_GRPC_INTERNAL,
	MF_GRPC_UNAVAILABLE,
	MF_GRPC_DATA_LOSS,
	MF_GRPC_UNAUTHENTICATED,
	MF_GRPC_CODE_COUNT
};

const char *mf_grpc_code_name(enum mf_grpc_code c); /* "INVALID_ARGUMENT"; never NULL */
enum mf_grpc_code mf_grpc_code_of(enum mf_status s);
enum mf_status mf_grpc_code_to_status(enum mf_grpc_code c); /* lint: nodiscard: a translation */
/* For answers that carry no grpc-status: by HTTP status, by RST_STREAM code. */
enum mf_grpc_code mf_grpc_code_of_http(unsigned http);
enum mf_grpc_code mf_grpc_code_of_h2(uint32_t h2_code);

#define MF_GRPC_TEXT_MAX 1024u /* bytes of a status text, before encoding */
/* Percent-encode for grpc-message: 0x20..0x7e but '%' stay. Cut at MF_GRPC_TEXT_MAX, at a character. */
void mf_grpc_text_put(struct mf_buf *to, const char *text);
/* Decode; a bad escape stays as it is; what is then not UTF-8 or holds a NUL or control becomes '?'. */
void mf_grpc_text_get(struct mf_slice in, struct mf_buf *to);
/* "100m" to milliseconds, rounded up; strict: 1 to 8 digits and one of H M S m u n. */
MF_NODISCARD bool mf_grpc_timeout_get(struct mf_slice in, uint64_t *ret_ms);
void mf_grpc_timeout_put(struct mf_buf *to, uint64_t ms); /* rounded up to what 8 digits can say */
#endif
