/* What x509_pop.c and x509_pop_map.c share. Nobody else includes this. */
#ifndef MF_CODEC_X509_POP_INTERNAL_H
#define MF_CODEC_X509_POP_INTERNAL_H
#include <openssl/x509.h>

#include "base/buf.h"

/* Append "NAME=VALUE\n" when the source of ${rule} is there, once, with a good value. */
MF_NODISCARD enum mf_status
mf_pop_attribute(X509 *leaf, struct mf_slice rule, struct mf_buf *to, struct mf_err *err);
#endif
