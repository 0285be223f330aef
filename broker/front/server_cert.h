/*
 * server_cert: the front's own outer TLS key and its certificate.
 *
 * The key is made here and never leaves; the notary certifies its point (recorded in the log, under /mayfly/). At half
 * of the certificate's life a new key replaces it. A certificate of the old key serves on while the notary is away.
 *
 * The chain that is shown ends with the CA certificate, although a verifier never needs it: a joining agent knows the
 * CA only by its SHA-256 from the token, and finds the certificate here.
 *
 * Loop's thread.
 */
#ifndef MF_FRONT_SERVER_CERT_H
#define MF_FRONT_SERVER_CERT_H
#include "net/loop.h"

struct mf_server_cert; /* opaque */

struct mf_server_cert_ops {
	void (*ask)(void *ctx, struct mf_slice point); /* CertifyServer */
	/* A new identity: chain leaf first, CA last; PKCS#8 key. Valid during the call. False: it did not fit. */
	bool (*made)(
	    void *ctx, const struct mf_slice *chain, size_t n, struct mf_slice key, int64_t not_after);
};

MF_NODISCARD enum mf_status mf_server_cert_new(struct mf_loop *l, const struct mf_server_cert_ops *ops,
    void *ctx, struct mf_server_cert **ret_c, struct mf_err *err);
void mf_server_cert_free(struct mf_server_cert *c);
MF_DEFINE_CLEANUP(struct mf_server_cert, mf_server_cert_free)

/* The link is open: ask, if a certificate is due. */
void mf_server_cert_begin(struct mf_server_cert *c);
/* ${bundle}: the CA certificates, DER, concatenated. MF_E_INVALID: not an answer to what was asked; it asks again. */
MF_NODISCARD enum mf_status mf_server_cert_answer(struct mf_server_cert *c, struct mf_slice chain,
    int64_t not_after, struct mf_slice bundle, struct mf_err *err);
/* Unix seconds; 0: none yet. */
/* ${id} (20 bytes) names a CA key that must sign for us no more: when it signed what is in use, another is asked for. */
void mf_server_cert_distrust(struct mf_server_cert *c, struct mf_slice id);
int64_t mf_server_cert_not_after(const struct mf_server_cert *c);
#endif
