/*
 * A template, a value and a data set, each in a line: what the check takes renders without a brace left, begins as the template
 * does, and has the template's wildcards (none after a data set that is one object) and no ".." that the template did not have.
 */
#include <stdlib.h>
#include <string.h>

#include "broker/core/scope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t
stars(struct mf_slice s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == '*' || s.p[i] == '?';
	return n;
}

static void
look(const struct mf_scope *s, const char *template)
{
	struct mf_slice t = mf_slice_str(template);
	const char *brace = strchr(template, '{'), *set = strstr(template, "{dataset}");
	struct mf_slice before = mf_slice(template, brace == NULL ? t.n : (size_t)(brace - template));
	for (size_t i = 0; i < s->statements[0].resources_n; i++) {
		struct mf_slice r = s->statements[0].resources[i];
		bool object = set != NULL && stars(r) == stars(mf_slice(template, (size_t)(set - template)));
		if (!mf_slice_starts(r, before) || (stars(r) != stars(t) && !object) ||
		    memchr(r.p, '{', r.n) != NULL)
			abort();
		for (size_t k = 0; k + 3 < r.n && brace != NULL; k++)
			if (memcmp(r.p + k, "/../", 4) == 0)
				abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *value, *set;
	if (text == NULL)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	value = strchr(text, '\n');
	set = value == NULL ? NULL : strchr(value + 1, '\n');
	if (set != NULL) {
		*value++ = '\0';
		*set++ = '\0';
		const char *action = "s3:GetObject", *resource = text;
		struct mf_scope_statement st = { &action, 1, &resource, 1 };
		struct mf_slice dataset = mf_slice_str(set);
		struct mf_scope_facts f = { value, value, value, value, value, value, &dataset, 1 };
		struct mf_scope s;
		struct mf_err err = { 0 };
		if (mf_scope_check(&st, 1, NULL, 0, &err) == MF_OK) {
			if (mf_scope_render(&st, 1, &f, &s, &err) == MF_OK)
				look(&s, text);
			mf_scope_fini(&s);
		}
	}
	free(text);
	return 0;
}
