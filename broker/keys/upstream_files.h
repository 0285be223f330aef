/*
 * upstream_files: the three files of an upstream CA, through descriptors that somebody with the right to open them hands
 * over. They are read when a key is made and at no other time; the key is wiped with the object and never stored.
 */
#ifndef MF_BROKER_UPSTREAM_FILES_H
#define MF_BROKER_UPSTREAM_FILES_H
#include "base/buf.h"
#include "base/secret.h"
#include "codec/x509_upstream.h"

/* Names of the descriptors that the supervisor gives the notary. */
#define MF_UPSTREAM_CERT "upstream_cert"
#define MF_UPSTREAM_KEY "upstream_key"
#define MF_UPSTREAM_BUNDLE "upstream_bundle"

/* What is configured: a file may be named and missing. */
enum mf_upstream_ca_kind {
	MF_UPSTREAM_NONE,    /* our own certificate is the root */
	MF_UPSTREAM_IS_ROOT, /* no bundle file: the upstream certificate is itself the root */
	MF_UPSTREAM_HAS_BUNDLE
};

struct mf_upstream_ca_fds {
	enum mf_upstream_ca_kind kind;
	int cert, key, bundle; /* -1: that file was not there */
};

struct mf_upstream_ca_bytes; /* opaque */

/* MF_E_NOTFOUND: a file that is needed is not there. */
MF_NODISCARD enum mf_status mf_upstream_ca_read(
    const struct mf_upstream_ca_fds *fds, struct mf_upstream_ca_bytes **ret_b, struct mf_err *err);
void mf_upstream_ca_bytes_free(struct mf_upstream_ca_bytes *b); /* wipes; NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_upstream_ca_bytes, mf_upstream_ca_bytes_free)
/* As mf_upstream_ca_new. */
MF_NODISCARD enum mf_status mf_upstream_ca_judge(const struct mf_upstream_ca_bytes *b,
    const char *trust_domain, int64_t now_s, struct mf_upstream_ca **ret_u, struct mf_err *err);
#endif
