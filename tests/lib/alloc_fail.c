#include "alloc_fail.h"

#include <errno.h>
#include <stdlib.h>

#ifndef MF_INSTRUMENTED

static _Thread_local long countdown; /* 0: none fails */
static _Thread_local bool fired, spared;
static _Thread_local long live;

void
mf_alloc_fail(long n)
{
	countdown = n;
	if (n > 0)
		fired = false;
}

bool
mf_alloc_failed(void)
{
	return fired;
}

long
mf_alloc_live(void)
{
	return live;
}

bool
mf_alloc_spare(bool on)
{
	bool was = spared;
	spared = on;
	return was;
}

static bool
fails_now(void)
{
	if (countdown == 0 || spared || --countdown > 0)
		return false;
	fired = true;
	errno = ENOMEM;
	return true;
}

void *
malloc(size_t n)
{
	void *p = fails_now() ? NULL : __libc_malloc(n);
	live += p != NULL;
	return p;
}

void *
calloc(size_t n, size_t size)
{
	void *p = fails_now() ? NULL : __libc_calloc(n, size);
	live += p != NULL;
	return p;
}

void *
realloc(void *old, size_t n)
{
	void *p = fails_now() ? NULL : __libc_realloc(old, n);
	live += p != NULL && old == NULL;
	return p;
}

void *
reallocarray(void *old, size_t n, size_t size)
{
	return size != 0 && n > SIZE_MAX / size ? NULL : realloc(old, n * size);
}

void
free(void *p)
{
	live -= p != NULL;
	__libc_free(p);
}
#endif
