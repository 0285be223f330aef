/*
 * pem: the textual encoding of RFC 7468, in its strict form: lines of 64 letters, LF at each end, no
 * headers, no text outside, no empty block. One spelling per value, which is also what openssl writes. Pure.
 */
#ifndef MF_CODEC_PEM_H
#define MF_CODEC_PEM_H
#include "base/buf.h"

#define MF_PEM_CERTIFICATE "CERTIFICATE"
#define MF_PEM_PRIVATE_KEY "PRIVATE KEY"
#define MF_PEM_PUBLIC_KEY "PUBLIC KEY"

/* Append one block. ${to} wipes its memory, so a private key may go through it. */
void mf_pem_put(struct mf_buf *to, const char *label, struct mf_slice der);
/*
 * Take the next block, which must have this label, from the front of *${in} and append its bytes to
 * ${to}. At the end of the input: MF_E_NOTFOUND. MF_E_INVALID names what is wrong, never the bytes.
 * ${in} moves on MF_OK only; ${to} may then hold a part of a bad block.
 */
MF_NODISCARD enum mf_status
mf_pem_get(struct mf_slice *in, const char *label, struct mf_buf *to, struct mf_err *err);
/* Every block of the input, all of this label, joined: a chain or a bundle. MF_E_INVALID when there is none. */
MF_NODISCARD enum mf_status
mf_pem_get_all(struct mf_slice in, const char *label, struct mf_buf *to, struct mf_err *err);
#endif
