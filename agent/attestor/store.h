/*
 * store: the attestor's files. In the state directory (kept for good): "inner.key", the node's X25519 key;
 * "session", the value that the broker gave last; "trust", what the inner session taught about the broker. In
 * the run directory (per boot): "instances" (core/instances.h).
 * All are written by replacement and synced. Thread rule: one thread.
 */
#ifndef MF_ATTESTOR_STORE_H
#define MF_ATTESTOR_STORE_H
#include "agent/core/inner_client.h"
#include "base/limits.h"
#include "codec/join_token.h"
#include "crypto/x25519.h"

/* What the attestor knows about its broker. Changes by the inner session only, or by a join token. */
struct mf_trust {
	char trust_domain[MF_LIM_TRUST_DOMAIN + 1];
	char broker_id[MF_JOIN_BROKER_ID + 1];
	uint8_t notary_key[MF_X25519_SIZE];
	char node_id[129];	/* "" before the first Welcome */
	uint64_t bundle_number; /* 0: no bundle yet */
	struct mf_buf bundle;	/* DER, concatenated */
};
void mf_trust_init(struct mf_trust *t);
void mf_trust_fini(struct mf_trust *t);
/* From a token: another trust domain, broker or key forgets node and bundle. */
void mf_trust_from_token(struct mf_trust *t, const struct mf_join_public *pub);
/* The file's bytes, and back: all of it or MF_E_CORRUPT (MF_E_UNSUPPORTED for another version). Pure. */
void mf_trust_put(struct mf_buf *to, const struct mf_trust *t);
MF_NODISCARD enum mf_status mf_trust_parse(struct mf_slice file, struct mf_trust *ret_t, struct mf_err *err);

/* The node's inner key: read, or made and written when there is none. */
MF_NODISCARD enum mf_status mf_store_key(int state_fd, struct mf_x25519 **ret_key, struct mf_err *err);
/* MF_E_NOTFOUND when there is none; ${ret_t} was initialised and is kept then. */
MF_NODISCARD enum mf_status mf_store_read_trust(int state_fd, struct mf_trust *ret_t, struct mf_err *err);
MF_NODISCARD enum mf_status mf_store_write_trust(int state_fd, const struct mf_trust *t, struct mf_err *err);
/* *ret_have false: none was stored yet. */
MF_NODISCARD enum mf_status mf_store_read_session(
    int state_fd, uint8_t ret_value[MF_IC_SESSION_VALUE], bool *ret_have, struct mf_err *err);
MF_NODISCARD enum mf_status mf_store_write_session(int state_fd, struct mf_slice value, struct mf_err *err);
/* A missing or unreadable file is an empty table: *ret_lost says that there was something that could not be read. */
MF_NODISCARD enum mf_status mf_store_read_instances(
    int run_fd, const char *boot_id, struct mf_instances **ret_t, bool *ret_lost, struct mf_err *err);
MF_NODISCARD enum mf_status
mf_store_write_instances(int run_fd, const struct mf_instances *t, struct mf_err *err);
#endif
