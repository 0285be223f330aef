#include "base/secret.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECRET_MAX (64u * 1024u)

struct mf_secret {
	uint8_t *p;
	size_t n;
	size_t mapped;
};

enum mf_status
mf_secret_new(size_t n, struct mf_secret **ret_s, struct mf_err *err)
{
	if (n == 0 || n > SECRET_MAX)
		return MF_FAIL(err, MF_E_TOOBIG, "secret: %zu bytes", n);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t mapped = (n + page - 1) / page * page;
	struct mf_secret *s = malloc(sizeof(*s));
	if (s == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "secret: out of memory");
	void *p = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		free(s);
		return MF_FAIL(err, MF_E_NOMEM, "secret: no pages");
	}
	(void)mlock(p, mapped);
	(void)madvise(p, mapped, MADV_DONTDUMP);
	(void)madvise(p, mapped, MADV_WIPEONFORK);
	*s = (struct mf_secret) { p, n, mapped };
	*ret_s = s;
	return MF_OK;
}

void
mf_secret_free(struct mf_secret *s)
{
	if (s == NULL)
		return;
	mf_wipe(s->p, s->mapped);
	(void)munmap(s->p, s->mapped);
	free(s);
}

uint8_t *
mf_secret_bytes(struct mf_secret *s)
{
	return s->p;
}

size_t
mf_secret_size(const struct mf_secret *s)
{
	return s->n;
}

struct mf_slice
mf_secret_slice(const struct mf_secret *s)
{
	return mf_slice(s->p, s->n);
}

void
mf_wipe(void *p, size_t n)
{
	if (p != NULL && n > 0)
		explicit_bzero(p, n);
}

bool
mf_ct_equal(struct mf_slice a, struct mf_slice b)
{
	if (a.n != b.n)
		return false;
	volatile uint8_t d = 0;
	for (size_t i = 0; i < a.n; i++)
		d = (uint8_t)(d | (a.p[i] ^ b.p[i]));
	return d == 0;
}
