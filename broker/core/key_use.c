#include "broker/core/key_use.h"

/* What is signed with a key that no document makes known is told to nobody: no schedule waits for anybody to learn it. */
static const struct mf_key_use uses[] = {
	{ MF_KEY_USE_X509, MF_KEY_IN_X509, true, NULL },
	{ MF_KEY_USE_JWT_ES256, MF_KEY_IN_JWT, true, "ES256" },
	{ MF_KEY_USE_JWT_RS256, MF_KEY_IN_JWT, true, "RS256" },
	{ MF_KEY_USE_ASSERTION_ES256, MF_KEY_IN_OIDC, true, "ES256" },
	{ MF_KEY_USE_ASSERTION_RS256, MF_KEY_IN_OIDC, true, "RS256" },
	{ "jwt-selfserve-es256", MF_KEY_IN_NONE, false, "ES256" },
	{ "jwt-selfserve-rs256", MF_KEY_IN_NONE, false, "RS256" },
};
_Static_assert(MF_COUNT(uses) == MF_KEY_USES, "the header says how many");

const struct mf_key_use *
mf_key_use_find(struct mf_slice name)
{
	for (size_t i = 0; i < MF_COUNT(uses); i++)
		if (mf_slice_eq_str(name, uses[i].name))
			return &uses[i];
	return NULL;
}

const struct mf_key_use *
mf_key_use_at(size_t i)
{
	return &uses[i];
}
