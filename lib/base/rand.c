#include "base/rand.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

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
