/* Memory for nghttp2: it copies what it sends, keys and tokens among it, and frees its copies as they are. Here they are wiped. */
#include <malloc.h>
#include <stdlib.h>

#include "base/secret.h"
#include "rpc/h2_internal.h"

static void *
get(size_t n, void *ctx)
{
	(void)ctx;
	return malloc(n);
}

static void
put(void *p, void *ctx)
{
	(void)ctx;
	if (p != NULL)
		mf_wipe(p, malloc_usable_size(p));
	free(p);
}

static void *
get_zeroed(size_t n, size_t size, void *ctx)
{
	(void)ctx;
	return calloc(n, size);
}

static void *
resize(void *p, size_t n, void *ctx)
{
	if (p == NULL)
		return get(n, ctx);
	size_t had = malloc_usable_size(p);
	void *fresh = malloc(n);
	if (fresh == NULL)
		return NULL;
	memcpy(fresh, p, had < n ? had : n);
	put(p, ctx);
	return fresh;
}

nghttp2_mem
mf_h2_mem(void)
{
	return (nghttp2_mem) { .malloc = get, .free = put, .calloc = get_zeroed, .realloc = resize };
}
