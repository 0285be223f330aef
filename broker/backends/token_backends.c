/* token_backends: the list of all. */
#include "broker/backends/token_backend.h"

const struct mf_token_backend *const mf_token_backends[] = { &mf_backend_aws_sts, &mf_backend_oauth, NULL };

const struct mf_token_backend *
mf_token_backend_find(const char *name)
{
	for (size_t i = 0; mf_token_backends[i] != NULL; i++)
		if (strcmp(mf_token_backends[i]->name, name) == 0)
			return mf_token_backends[i];
	return NULL;
}
