#include "agent/front/refusal.h"

#include "agent.pb-c.h"

bool
mf_refusal_may_pass(uint32_t code)
{
	switch (code) {
	case MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE:
	case MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_NODE_UNKNOWN:
	case MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_CLONE:
	case MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_VERSION:
	case MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_TOKEN:
	case MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNSPECIFIED:
		return true;
	default:
		return false;
	}
}

bool
mf_refusal_wants_keys(uint32_t code, size_t n)
{
	return code == MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID && n < MF_LIM_IDENTITIES;
}
