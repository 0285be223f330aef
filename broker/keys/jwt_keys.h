/*
 * jwt_keys: the private keys that sign JWTs, in three sets that never mix (design: an SVID never carries the OIDC
 * issuer, and a provider never takes an SVID for an assertion):
 *
 *   svid       JWT-SVIDs; published in the trust domain's SPIFFE bundle and nowhere else
 *   assertion  what the courier shows to cloud providers; published in the OIDC documents and nowhere else
 *   selfserve  tokens whose audience a profile lists, for OIDC relying parties; published nowhere yet
 *
 * A set is a list of keys in the order in which they were made. A key's id (kid) is its RFC 7638 thumbprint: the same in
 * records, tokens and bundles. Which key signs, and which are published, is not in the files: the log says it
 * (broker/core/key.h).
 *
 * Files: keys/jwt-<set>.<number>.key, sealed, purpose "jwt-<set>"; <number> is the order, from 1 on. A file is whole and
 * synced before the record that names its key.
 *
 * The state thread owns the list. A `struct mf_jwt_key` is valid until it is removed; who needs the key itself for
 * longer, or in another thread, takes a reference of ->key.
 */
#ifndef MF_BROKER_JWT_KEYS_H
#define MF_BROKER_JWT_KEYS_H
#include "base/list.h"
#include "crypto/jws_key.h"
#include "crypto/kek.h"

enum mf_jwt_set { MF_JWT_SVID, MF_JWT_ASSERTION, MF_JWT_SELFSERVE, MF_JWT_SETS };

struct mf_jwt_keys; /* opaque */

struct mf_jwt_key {
	struct mf_list at; /* jwt_keys.c's */
	struct mf_jws_key *key;
	const char *kid;
	struct mf_buf jwk; /* its public half, as its record has it */
	enum mf_jws_alg alg;
	uint32_t number;
	bool stored; /* its file is there */
};

/* The set and algorithm of a key's use (broker/core/key_use.h); false: not of JWTs. ${needed}: by every broker. */
MF_NODISCARD bool
mf_jwt_use(const char *use, enum mf_jwt_set *ret_set, enum mf_jws_alg *ret_alg, bool *ret_needed);

/* Empty sets. */
MF_NODISCARD enum mf_status mf_jwt_keys_new(struct mf_jwt_keys **ret_keys, struct mf_err *err);
void mf_jwt_keys_free(struct mf_jwt_keys *keys); /* wipes; NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_jwt_keys, mf_jwt_keys_free)

/* For a new broker: what every one must have, in memory. */
MF_NODISCARD enum mf_status mf_jwt_keys_make_needed(struct mf_jwt_keys *keys, struct mf_err *err);
/* A new key at the end of the set; in memory until saved. */
MF_NODISCARD enum mf_status mf_jwt_keys_add(struct mf_jwt_keys *keys, enum mf_jwt_set set,
    enum mf_jws_alg alg, const struct mf_jwt_key **ret_key, struct mf_err *err);
/* Forget a key and remove its file. MF_OK when there is none. */
MF_NODISCARD enum mf_status mf_jwt_keys_remove(
    struct mf_jwt_keys *keys, enum mf_jwt_set set, const char *kid, int keys_dirfd, struct mf_err *err);

/* The same in two parts, for a key that is made in another thread. */
struct mf_jwt_order {
	enum mf_jwt_set set;
	enum mf_jws_alg alg;
	uint32_t number; /* mf_jwt_keys_number's */
};
MF_NODISCARD enum mf_status mf_jwt_keys_number(
    const struct mf_jwt_keys *keys, enum mf_jwt_set set, uint32_t *ret_number, struct mf_err *err);
/* Any thread: make one and write its file. */
MF_NODISCARD enum mf_status mf_jwt_key_make(const struct mf_jwt_order *o, const char *broker_id,
    struct mf_kek *kek, int keys_dirfd, struct mf_jws_key **ret_key, struct mf_err *err);
/* Into the list: a key whose file is there. Takes *key on MF_OK. */
MF_NODISCARD enum mf_status mf_jwt_keys_take(struct mf_jwt_keys *keys, enum mf_jwt_set set, uint32_t number,
    struct mf_jws_key **key, struct mf_err *err);

/* NULL when there is none. */
const struct mf_jwt_key *
mf_jwt_keys_find(const struct mf_jwt_keys *keys, enum mf_jwt_set set, struct mf_slice kid);
/* In order; start with NULL. */
const struct mf_jwt_key *
mf_jwt_keys_next(const struct mf_jwt_keys *keys, enum mf_jwt_set set, const struct mf_jwt_key *after);
#define MF_JWT_FILE_NAME 64
void mf_jwt_key_file(enum mf_jwt_set set, const struct mf_jwt_key *k, char to[MF_JWT_FILE_NAME]);

/* Write the files of the keys that have none yet. */
MF_NODISCARD enum mf_status mf_jwt_keys_save(
    struct mf_jwt_keys *keys, const char *broker_id, struct mf_kek *kek, int keys_dirfd, struct mf_err *err);
/* Every key file of the directory; a directory without any gives empty sets. */
MF_NODISCARD enum mf_status mf_jwt_keys_load(const char *broker_id, struct mf_kek *kek, int keys_dirfd,
    struct mf_jwt_keys **ret_keys, struct mf_err *err);
#endif
