/*
 * merkle: the tree of RFC 6962 as its right edge: append, root, size; nothing else is kept.
 *
 *   leaf = SHA-256(0x00 || entry)    node = SHA-256(0x01 || left || right)    empty tree = SHA-256("")
 *
 * A struct mf_merkle is a plain value: copying it takes a snapshot, which is how a writer computes the
 * root of a batch before the batch is durable. Pure: no I/O, no memory. Not thread-safe.
 */
#ifndef MF_LOG_MERKLE_H
#define MF_LOG_MERKLE_H
#include "base/buf.h"

#define MF_HASH_SIZE 32
#define MF_MERKLE_LEVELS 64
#define MF_MERKLE_CODED_MAX (8 + MF_MERKLE_LEVELS * MF_HASH_SIZE)

struct mf_merkle {
	uint64_t size; /* entries */
	uint8_t edge[MF_MERKLE_LEVELS]
		    [MF_HASH_SIZE]; /* [k]: the perfect subtree of 2^k, where bit k of size is set */
};

void mf_merkle_init(struct mf_merkle *t);
void mf_merkle_leaf(struct mf_slice entry, uint8_t ret_leaf[MF_HASH_SIZE]);
void mf_merkle_node(
    const uint8_t left[MF_HASH_SIZE], const uint8_t right[MF_HASH_SIZE], uint8_t ret[MF_HASH_SIZE]);
/* Append one leaf hash. The size never comes near 2^63; a tree that full aborts. */
void mf_merkle_append(struct mf_merkle *t, const uint8_t leaf[MF_HASH_SIZE]);
void mf_merkle_root(const struct mf_merkle *t, uint8_t ret_root[MF_HASH_SIZE]);

/* For snapshots: size (u64be), then the hashes of the set bits, largest subtree first. */
void mf_merkle_put(const struct mf_merkle *t, struct mf_buf *to);
/* The whole of ${from}, or MF_E_INVALID. */
MF_NODISCARD enum mf_status mf_merkle_get(struct mf_slice from, struct mf_merkle *ret_t, struct mf_err *err);
#endif
