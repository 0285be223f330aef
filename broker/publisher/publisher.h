/*
 * publisher: serves the documents that the notary wrote into STATE/public, as they are, and nothing else. It makes none,
 * signs none and holds no key but that of its TLS certificate: whoever owns it can serve other keys to those who ask it
 * directly, which is why clouds better read a copy ("mayfly oidc export").
 *
 * The loop's thread. Each request reads its file anew: the notary replaces files whole.
 */
#ifndef MF_PUBLISHER_PUBLISHER_H
#define MF_PUBLISHER_PUBLISHER_H
#include "net/loop.h"

struct mf_publisher; /* opaque */

struct mf_publisher_conf {
	const char *issuer_path, *x5c_path; /* of the two issuers' URLs: "" or "/td1" */
	int public_dirfd;		    /* stays the caller's */
	int listen_fd;			    /* taken on MF_OK */
	bool tls;			    /* else in clear, for a counterpart on this machine */
	struct mf_slice chain_pem, key_pem;
	unsigned conns;	  /* 0: 256 */
	uint64_t life_ms; /* of a connection; 0: 30 s */
};

MF_NODISCARD enum mf_status mf_publisher_new(
    struct mf_loop *l, const struct mf_publisher_conf *conf, struct mf_publisher **ret_p, struct mf_err *err);
/* Another certificate. On failure the one in force stays. */
MF_NODISCARD enum mf_status mf_publisher_renew(
    struct mf_publisher *p, struct mf_slice chain_pem, struct mf_slice key_pem, struct mf_err *err);
void mf_publisher_free(struct mf_publisher *p);
MF_DEFINE_CLEANUP(struct mf_publisher, mf_publisher_free)
#endif
