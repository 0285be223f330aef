/*
 * sigv4: AWS Signature Version 4 of one request with a body, as IAM's and STS' query APIs want it ("header" form; the signed
 * headers are content-type, host, x-amz-date and, with a session, x-amz-security-token). Pure.
 */
#ifndef MF_CODEC_SIGV4_H
#define MF_CODEC_SIGV4_H
#include "base/buf.h"

#define MF_SIGV4_DATE 17u /* "20261121T223100Z" and a NUL */

struct mf_sigv4 {
	const char *method;   /* "POST" */
	struct mf_slice host; /* the Host header */
	struct mf_slice
	    path; /* as sent; "": "/". Its segments are encoded once more for other services than S3 */
	struct mf_slice query;	  /* as sent: encoded, sorted by name */
	const char *content_type; /* NULL: none is signed */
	struct mf_slice body;
	const char *region, *service;
	const char *access_key;
	struct mf_slice secret_key;
	const char *session_token; /* "": none */
	int64_t now_s;
};

/* The header x-amz-date. */
void mf_sigv4_date(int64_t now_s, char ret[MF_SIGV4_DATE]);
/* Append the value of the header Authorization. MF_E_INVALID, MF_E_NOMEM. */
MF_NODISCARD enum mf_status
mf_sigv4_authorize(const struct mf_sigv4 *r, struct mf_buf *to, struct mf_err *err);
#endif
