#include "log/merkle.h"

#include <stdlib.h>

#include "crypto/hash.h"

void
mf_merkle_init(struct mf_merkle *t)
{
	memset(t, 0, sizeof(*t));
}

void
mf_merkle_leaf(struct mf_slice entry, uint8_t ret_leaf[MF_HASH_SIZE])
{
	static const uint8_t prefix = 0x00;
	mf_sha256_join(mf_slice(&prefix, 1), entry, ret_leaf);
}

void
mf_merkle_node(const uint8_t left[MF_HASH_SIZE], const uint8_t right[MF_HASH_SIZE], uint8_t ret[MF_HASH_SIZE])
{
	uint8_t in[1 + 2 * MF_HASH_SIZE];
	in[0] = 0x01;
	memcpy(in + 1, left, MF_HASH_SIZE);
	memcpy(in + 1 + MF_HASH_SIZE, right, MF_HASH_SIZE);
	mf_sha256(mf_slice(in, sizeof(in)), ret);
}

void
mf_merkle_append(struct mf_merkle *t, const uint8_t leaf[MF_HASH_SIZE])
{
	if (t->size >= UINT64_MAX / 2)
		abort(); /* a thousand years at a hundred million records a second */
	uint8_t h[MF_HASH_SIZE];
	memcpy(h, leaf, MF_HASH_SIZE);
	size_t k = 0;
	/* Like a carry in binary addition: two subtrees of one size become one of the next. */
	for (; (t->size >> k & 1) != 0; k++)
		mf_merkle_node(t->edge[k], h, h);
	memcpy(t->edge[k], h, MF_HASH_SIZE);
	t->size++;
}

void
mf_merkle_root(const struct mf_merkle *t, uint8_t ret_root[MF_HASH_SIZE])
{
	if (t->size == 0) {
		mf_sha256(mf_slice(NULL, 0), ret_root);
		return;
	}
	size_t k = 0;
	while ((t->size >> k & 1) == 0)
		k++;
	uint8_t h[MF_HASH_SIZE];
	memcpy(h, t->edge[k], MF_HASH_SIZE);
	for (k++; k < MF_MERKLE_LEVELS; k++)
		if ((t->size >> k & 1) != 0)
			mf_merkle_node(t->edge[k], h, h);
	memcpy(ret_root, h, MF_HASH_SIZE);
}

void
mf_merkle_put(const struct mf_merkle *t, struct mf_buf *to)
{
	mf_buf_put_u64be(to, t->size);
	for (size_t k = MF_MERKLE_LEVELS; k-- > 0;)
		if ((t->size >> k & 1) != 0)
			mf_buf_put(to, t->edge[k], MF_HASH_SIZE);
}

enum mf_status
mf_merkle_get(struct mf_slice from, struct mf_merkle *ret_t, struct mf_err *err)
{
	struct mf_merkle t;
	mf_merkle_init(&t);
	struct mf_reader r = mf_reader(from);
	if (!mf_read_u64be(&r, &t.size) || t.size >= UINT64_MAX / 2)
		return MF_FAIL(err, MF_E_INVALID, "tree edge: bad size");
	for (size_t k = MF_MERKLE_LEVELS; k-- > 0;)
		if ((t.size >> k & 1) != 0 && !mf_read_copy(&r, t.edge[k], MF_HASH_SIZE))
			return MF_FAIL(err, MF_E_INVALID, "tree edge: too short for its size");
	if (!mf_reader_end(&r))
		return MF_FAIL(err, MF_E_INVALID, "tree edge: bytes after its end");
	*ret_t = t;
	return MF_OK;
}
