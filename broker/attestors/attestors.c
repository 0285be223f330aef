/* The table of node attestors. A new one: a folder with its page, a row here, and the conformance test. */
#include "broker/attestors/node_attestor.h"

const struct mf_node_attestor *const mf_node_attestors[] = { &mf_attestor_join_token, &mf_attestor_x509pop,
	NULL };

const struct mf_node_attestor *
mf_node_attestor_find(const char *name)
{
	if (name[0] == '\0')
		return &mf_attestor_join_token;
	for (const struct mf_node_attestor *const *a = mf_node_attestors; *a != NULL; a++)
		if (strcmp((*a)->name, name) == 0)
			return *a;
	return NULL;
}
