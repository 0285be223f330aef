#include "agent/attestor/users.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The user file. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_users *u = NULL;
	if (mf_users_parse(mf_slice(data, size), &u, NULL) == MF_OK) {
		const char *name = mf_users_name(u, 0);
		if (name != NULL && strlen(name) > MF_USER_NAME_MAX)
			__builtin_trap();
		mf_users_free(u);
	}
	return 0;
}
