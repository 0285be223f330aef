/*
 * handle: what the opaque types of the public headers are, for the files of lib/client alone.
 *
 * Snapshots are immutable once published and counted by atomic references; a slot is the one place that changes: the
 * latest snapshot of a watch, shared with the TLS contexts that were made from it.
 */
#ifndef MF_CLIENT_HANDLE_H
#define MF_CLIENT_HANDLE_H
#include <mayfly/jwt.h>
#include <mayfly/verify.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "client/backoff.h"
#include "client/endpoint.h"
#include "codec/svid_key.h"
#include "codec/x509_read.h"

struct mf_bundle {
	char *td;	   /* the name, folded */
	struct mf_buf der; /* concatenated; may be empty */
};

struct mayfly_bundles {
	atomic_uint refs;
	bool frozen; /* came from the agent, or was shared: no more add */
	size_t n;
	struct mf_bundle *v;
	struct mf_anchors **anchors; /* anchors[i] of v[i], in one row as mf_svid_verify wants them */
	struct mf_crls *crls;	     /* NULL: none */
};

struct mayfly_svid {
	atomic_uint refs;
	int pid; /* whose locked memory the key is in */
	char *hint;
	struct mf_svid leaf;
	struct mf_buf chain;
	struct mf_slice certs[MF_LIM_CHAIN]; /* in chain */
	size_t n;
	struct mf_svid_key *key;
};

struct mayfly_x509 {
	atomic_uint refs;
	mayfly_bundles *bundles;
	size_t n;
	struct mayfly_svid *v[];
};

struct mayfly_client {
	char *address;
	struct mf_endpoint endpoint;
	mayfly_on_denied on_denied;
	uint32_t first_ms, most_ms;
};

/* svid.c */
void mf_svid_ref(struct mayfly_svid *s);
void mf_svid_unref(struct mayfly_svid *s); /* the last one wipes */
/* The same snapshot without what has expired at ${now_s}. MF_E_NOTFOUND: nothing is left. */
MF_NODISCARD enum mf_status
mf_x509_prune(const mayfly_x509 *x, int64_t now_s, mayfly_x509 **ret_x, struct mf_err *err);
int64_t mf_x509_first_expiry(const mayfly_x509 *x); /* seconds; INT64_MAX for NULL */
static inline void
mf_x509_drop(mayfly_x509 *x)
{
	mayfly_x509_unref(x);
}
MF_DEFINE_CLEANUP(mayfly_x509, mf_x509_drop)

/* bundles.c */
MF_NODISCARD enum mf_status mf_bundles_make(mayfly_bundles **ret_b, struct mf_err *err);
/* ${td}: name or SPIFFE ID of a trust domain. MF_E_EXISTS: it has a bundle. */
MF_NODISCARD enum mf_status
mf_bundles_put(mayfly_bundles *b, struct mf_slice td, struct mf_slice der, struct mf_err *err);
MF_NODISCARD enum mf_status mf_bundles_put_crl(mayfly_bundles *b, struct mf_slice der, struct mf_err *err);
static inline void
mf_bundles_drop(mayfly_bundles *b)
{
	mayfly_bundles_unref(b);
}
MF_DEFINE_CLEANUP(mayfly_bundles, mf_bundles_drop)
/* "example.org" or "spiffe://example.org", folded. MF_E_INVALID: neither. */
MF_NODISCARD enum mf_status
mf_trust_domain_id(struct mf_slice s, struct mf_spiffe_id **ret_id, struct mf_err *err);

/* pem_string.c: blocks one after the other; mayfly_string_free. */
MF_NODISCARD enum mf_status
mf_pem_string(const char *label, const struct mf_slice *der, size_t n, char **ret_pem, struct mf_err *err);

/* verify.c */
void mf_authorizer_ref(mayfly_authorizer *a);
MF_NODISCARD enum mf_status mf_verify_peer(const mayfly_bundles *bundles, const struct mf_slice *chain,
    size_t n, const mayfly_authorizer *authorizer, unsigned flags, int64_t now_s, struct mf_svid *ret_svid,
    struct mf_err *err);

/* slot.c: the latest snapshot; any thread. */
struct mf_slot;
MF_NODISCARD enum mf_status mf_slot_new(struct mf_slot **ret_slot, struct mf_err *err);
void mf_slot_ref(struct mf_slot *s);
void mf_slot_unref(struct mf_slot *s); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_slot, mf_slot_unref)
struct mf_snapshot { /* NULL: none of this kind */
	mayfly_x509 *x509;
	mayfly_bundles *bundles;
	mayfly_jwt_bundles *jwt_bundles;
};
void mf_slot_set(struct mf_slot *s, struct mf_snapshot now); /* takes the references */
bool mf_slot_is_empty(struct mf_slot *s);
/* A new reference, or NULL: also when every identity in it has expired at ${now_s}. */
mayfly_x509 *mf_slot_x509(struct mf_slot *s, int64_t now_s);
mayfly_bundles *mf_slot_bundles(struct mf_slot *s);
mayfly_jwt_bundles *mf_slot_jwt_bundles(struct mf_slot *s);

/* watch.c */
struct mf_slot *mf_watch_slot(mayfly_watch *w);
mayfly_watch_kind mf_watch_kind_of(const mayfly_watch *w);
#endif
