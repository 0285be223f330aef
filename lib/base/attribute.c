#include "base/attribute.h"

static bool
all_of(struct mf_slice s, size_t max, const char *more, bool upper)
{
	if (s.n == 0 || s.n > max)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		bool ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
			  (upper && c >= 'A' && c <= 'Z') || (c != '\0' && strchr(more, c) != NULL);
		if (!ok)
			return false;
	}
	return true;
}

bool
mf_attribute_name_ok(struct mf_slice name)
{
	return all_of(name, MF_ATTRIBUTE_NAME, "_.-", false) && !mf_slice_eq_str(name, "id") &&
	       !mf_slice_eq_str(name, "attestor");
}

bool
mf_attribute_value_ok(struct mf_slice value)
{
	return all_of(value, MF_ATTRIBUTE_VALUE, "._:/@+-", true);
}

bool
mf_attribute_ok(struct mf_slice pair)
{
	const uint8_t *eq = pair.n == 0 ? NULL : memchr(pair.p, '=', pair.n);
	if (eq == NULL)
		return false;
	size_t n = (size_t)(eq - pair.p);
	return mf_attribute_name_ok(mf_slice_sub(pair, 0, n)) &&
	       mf_attribute_value_ok(mf_slice_sub(pair, n + 1, pair.n));
}
