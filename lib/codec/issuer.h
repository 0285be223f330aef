/*
 * issuer: the URL that names an OIDC issuer. Whoever trusts it compares it byte by byte, and puts fixed paths behind it:
 * so it has one spelling. Pure.
 */
#ifndef MF_CODEC_ISSUER_H
#define MF_CODEC_ISSUER_H
#include "base/slice.h"

/*
 * A URL (codec/url.h) of at most MF_LIM_ISSUER bytes with a plain path or none: no query, no "/" at its end, segments of
 * letters, digits and - . _ ~ that do not begin with a dot. NULL: good; else what it must be.
 */
const char *mf_issuer_check(struct mf_slice url);
/* Its path: "" or "/td1". Points into ${url}, which passed the check. */
const char *mf_issuer_path(const char *url);
#endif
