#include "log/idset.h"

#include <stdlib.h>

#include "crypto/hash.h"

static const uint8_t empty[16];

void
mf_idset_init(struct mf_idset *s)
{
	memset(s, 0, sizeof(*s));
}

void
mf_idset_fini(struct mf_idset *s)
{
	free(s->slot);
	mf_idset_init(s);
}

/* The slot that holds ${key} or is free for it; there is always a free one. */
static size_t
find(const struct mf_idset *s, const uint8_t key[16])
{
	uint64_t h;
	memcpy(&h, key, sizeof(h)); /* it is a hash already */
	size_t i = (size_t)h & (s->cap - 1);
	while (memcmp(s->slot[i], empty, 16) != 0 && memcmp(s->slot[i], key, 16) != 0)
		i = (i + 1) & (s->cap - 1);
	return i;
}

static void
digest(struct mf_slice id, uint8_t key[16])
{
	uint8_t h[MF_SHA256_SIZE];
	mf_sha256(id, h);
	memcpy(key, h, 16);
}

static enum mf_status
grow(struct mf_idset *s, struct mf_err *err)
{
	struct mf_idset bigger = *s;
	bigger.cap = s->cap == 0 ? 1024 : s->cap * 2;
	bigger.slot = calloc(bigger.cap, sizeof(*bigger.slot));
	if (bigger.slot == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory after %zu ids", s->n);
	for (size_t i = 0; i < s->cap; i++)
		if (memcmp(s->slot[i], empty, 16) != 0)
			memcpy(bigger.slot[find(&bigger, s->slot[i])], s->slot[i], 16);
	free(s->slot);
	*s = bigger;
	return MF_OK;
}

bool
mf_idset_has(const struct mf_idset *s, struct mf_slice id)
{
	uint8_t key[16];
	digest(id, key);
	if (memcmp(key, empty, 16) == 0)
		return s->zero;
	return s->cap > 0 && memcmp(s->slot[find(s, key)], key, 16) == 0;
}

enum mf_status
mf_idset_add(struct mf_idset *s, struct mf_slice id, bool *ret_new, struct mf_err *err)
{
	uint8_t key[16];
	digest(id, key);
	if (memcmp(key, empty, 16) == 0) {
		*ret_new = !s->zero;
		s->zero = true;
		return MF_OK;
	}
	if (s->n >= s->cap / 4 * 3)
		MF_TRY(grow(s, err));
	size_t i = find(s, key);
	*ret_new = memcmp(s->slot[i], empty, 16) == 0;
	if (*ret_new) {
		memcpy(s->slot[i], key, 16);
		s->n++;
	}
	return MF_OK;
}
