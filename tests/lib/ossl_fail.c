#include "ossl_fail.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

static long countdown; /* 0: none fails */
static bool fired, spared;
static const char *const *spared_files;
static size_t n_spared_files;

static bool
fails_now(const char *file)
{
	if (countdown == 0 || spared)
		return false;
	for (size_t i = 0; i < n_spared_files; i++)
		if (file != NULL && strstr(file, spared_files[i]) != NULL)
			return false;
	if (--countdown > 0)
		return false;
	fired = true;
	return true;
}

static void *
hook_malloc(size_t n, const char *file, int line)
{
	MF_UNUSED(line);
	return fails_now(file) ? NULL : malloc(n);
}

static void *
hook_realloc(void *p, size_t n, const char *file, int line)
{
	MF_UNUSED(line);
	return fails_now(file) ? NULL : realloc(p, n);
}

static void
hook_free(void *p, const char *file, int line)
{
	MF_UNUSED(file);
	MF_UNUSED(line);
	free(p);
}

bool
mf_ossl_fail_init(void)
{
	return CRYPTO_set_mem_functions(hook_malloc, hook_realloc, hook_free) == 1;
}

void
mf_ossl_fail(long n)
{
	countdown = n;
	if (n > 0)
		fired = false;
}

bool
mf_ossl_failed(void)
{
	return fired;
}

bool
mf_ossl_spare(bool on)
{
	bool was = spared;
	spared = on;
	return was;
}

void
mf_ossl_spare_files(const char *const *parts, size_t n)
{
	spared_files = parts;
	n_spared_files = n;
}
