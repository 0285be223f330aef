/* What an Attach may say at all: whatever passes here fits into its records, and is harmless to look at. */
#include <stdio.h>

#include "broker/notary/engine_internal.h"

#define KEY_MAX 512u
/* Of all selectors as they stand in lease.opened; the rest of that record is small. */
#define SELECTORS_MAX (MF_LIM_RECORD - 12288u)

/* The bytes of ${s} in a record's JSON, quotes and comma included. */
size_t
mf_engine_text_cost(struct mf_slice s)
{
	size_t n = 3;
	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] < 0x20 ? 6 : s.p[i] == '"' || s.p[i] == '\\' ? 2 : 1;
	return n;
}

/* Nothing that moves a cursor or ends a line where it is shown. */
bool
mf_engine_plain(const char *s)
{
	for (; *s != '\0'; s++)
		if ((uint8_t)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

bool
mf_engine_own_key(const struct session *s, const char *key)
{
	char prefix[MF_STATE_ID_MAX + 64];
	int n = snprintf(prefix, sizeof(prefix), "local/%s/%s/", s->node_id, s->boot);
	size_t len = strlen(key);
	if (n <= 0 || strncmp(key, prefix, (size_t)n) != 0 || len <= (size_t)n || len >= KEY_MAX)
		return false;
	for (const char *c = key + n; *c != '\0'; c++)
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *c) == NULL)
			return false;
	return true;
}

static const char *
selector_trouble(const Mayfly__Agent__V1__Attach *a)
{
	size_t all = 0;
	if (a->n_selectors > MF_LIM_SELECTORS)
		return "more than 256 selectors";
	for (size_t i = 0; i < a->n_selectors; i++) {
		const char *s = a->selectors[i], *colon = strchr(s, ':');
		if (colon == NULL || colon == s)
			return "a selector without a name and ':'";
		if (strlen(s) > MF_LIM_SELECTOR)
			return "a selector is longer than 1024 bytes";
		if (!mf_engine_plain(s))
			return "a selector holds a control character";
		if (strncmp(s, "grade:", 6) == 0)
			return "the grade is no selector: it has a field of its own";
		if (strncmp(s, "job.", 4) == 0)
			return "job.* are no selectors: a job is claimed by its key";
		all += mf_engine_text_cost(mf_slice_str(s));
	}
	return all > SELECTORS_MAX ? "the selectors are more than a record holds (20 KiB)" : NULL;
}

const char *
mf_engine_attach_trouble(const struct session *s, const Mayfly__Agent__V1__Attach *a, bool points)
{
	if (!mf_engine_own_key(s, a->instance_key))
		return "the instance key does not name this node and boot";
	if (points != (a->n_points > 0) || a->n_points > MF_LIM_IDENTITIES)
		return points ? "1 to 4 public keys are needed" : "a dry run brings no keys";
	for (size_t i = 0; i < a->n_points; i++)
		if (a->points[i].len != 65)
			return "a public key is 65 bytes";
	if (a->manifest.len > MF_LIM_MANIFEST || strlen(a->grade) > 64 || strlen(a->name) > 256 ||
	    strlen(a->unix_user) > 64 || strlen(a->profile) > 256)
		return "a field is over its limit";
	if (!mf_engine_plain(a->grade) || !mf_engine_plain(a->name) || !mf_engine_plain(a->unix_user) ||
	    !mf_engine_plain(a->profile))
		return "a field holds a control character";
	const char *why = selector_trouble(a);
	return why != NULL ? why : mf_engine_claim_trouble(a);
}
