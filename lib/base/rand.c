#include "base/rand.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/secret.h"

void
mf_rand_bytes(void *to, size_t n)
{
	uint8_t *p = to;
	while (n > 0) {
		ssize_t got = getrandom(p, n, 0);
		if (got < 0) {
			if (errno == EINTR)
				continue;
			abort(); /* no entropy: nothing that follows would be safe */
		}
		p += got;
		n -= (size_t)got;
	}
}

static void
fill_system(void *ctx, void *to, size_t n)
{
	MF_UNUSED(ctx);
	mf_rand_bytes(to, n);
}

struct mf_rand
mf_rand_system(void)
{
	return (struct mf_rand) { fill_system, NULL };
}

static void
fill_pooled(void *ctx, void *to, size_t n)
{
	struct mf_rand_pool *p = ctx;
	if (n > sizeof(p->bytes) / 4) {
		mf_rand_bytes(to, n);
		return;
	}
	if (n > p->left) {
		mf_rand_bytes(p->bytes, sizeof(p->bytes));
		p->left = sizeof(p->bytes);
	}
	p->left -= n;
	memcpy(to, p->bytes + p->left, n);
	mf_wipe(p->bytes + p->left, n);
}

struct mf_rand
mf_rand_pooled(struct mf_rand_pool *p)
{
	return (struct mf_rand) { fill_pooled, p };
}
