#include "agent/core/manager_file.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/text.h"

static const char *const says[] = { [MF_SAY_STARTED] = "started",
	[MF_SAY_ANNOUNCED] = "announced",
	[MF_SAY_ENDED] = "ended",
	[MF_SAY_REQUEUED] = "requeued" };

static bool
number(const char *v, uint64_t most, uint64_t *ret_v)
{
	return mf_parse_u64(mf_slice_str(v), ret_v) && *ret_v <= most;
}

/* One line, cut at its blank. False: refused. */
static bool
take(struct mf_manager_file *f, const char *key, char *value, char list_key[9])
{
	uint64_t v;
	if (strcmp(key, "job") == 0 && f->job[0] == '\0') {
		f->job = value;
	} else if (strcmp(key, "reason") == 0 && f->reason[0] == '\0') {
		f->reason = value;
	} else if (strcmp(key, "owner") == 0 && !f->owner_known && number(value, UINT32_MAX, &v)) {
		f->owner = (uint32_t)v;
		f->owner_known = true;
	} else if (strcmp(key, "deadline") == 0 && f->deadline == 0 && number(value, INT32_MAX * 64ull, &v)) {
		f->deadline = (int64_t)v;
	} else if (strcmp(key, "say") == 0 && f->say == MF_SAY_NOTHING) {
		for (size_t i = MF_SAY_STARTED; i < MF_COUNT(says); i++)
			if (strcmp(value, says[i]) == 0)
				f->say = (enum mf_manager_say)i;
		return f->say != MF_SAY_NOTHING;
	} else if ((strcmp(key, "selector") == 0 || strcmp(key, "node") == 0) &&
		   (list_key[0] == '\0' || strcmp(list_key, key) == 0) && f->list_n < MF_LIM_SELECTORS) {
		memcpy(list_key, key, strlen(key) + 1);
		f->list[f->list_n++] = value;
	} else {
		return false;
	}
	return true;
}

static enum mf_status
lines(struct mf_manager_file *f, struct mf_err *err)
{
	char list_key[9] = "";
	unsigned n = 0;
	for (char *line = f->text, *next; *line != '\0'; line = next) {
		char *end = strchr(line, '\n');
		n++;
		if (end == NULL)
			return MF_FAIL(err, MF_E_INVALID, "manager file: line %u has no end: it was cut", n);
		next = end + 1;
		*end = '\0';
		char *blank = strchr(line, ' ');
		if (blank == NULL || blank[1] == '\0')
			return MF_FAIL(err, MF_E_INVALID, "manager file: line %u is not 'key value'", n);
		*blank = '\0';
		for (const char *p = blank + 1; *p != '\0'; p++)
			if ((uint8_t)*p < 0x20 || *p == 0x7f)
				return MF_FAIL(
				    err, MF_E_INVALID, "manager file: line %u holds a control character", n);
		if (!take(f, line, blank + 1, list_key))
			return MF_FAIL(err, MF_E_INVALID,
			    "manager file: line %u: an unknown key, one given twice, or a wrong value", n);
	}
	if (f->job[0] == '\0')
		return MF_FAIL(err, MF_E_INVALID, "manager file: no line 'job KEY'");
	if (f->list_n > 0 && (list_key[0] == 's') != (f->say == MF_SAY_NOTHING))
		return MF_FAIL(
		    err, MF_E_INVALID, "manager file: selectors are a claim's, nodes are a word's");
	return MF_OK;
}

enum mf_status
mf_manager_file_parse(struct mf_slice in, struct mf_manager_file **ret_f, struct mf_err *err)
{
	static char nothing[1];
	if (in.n > MF_LIM_MANAGER_FILE)
		return MF_FAIL(
		    err, MF_E_TOOBIG, "manager file: %zu bytes, the most is %u", in.n, MF_LIM_MANAGER_FILE);
	if (!mf_utf8_ok(in))
		return MF_FAIL(err, MF_E_INVALID, "manager file: not UTF-8, or it holds a NUL");
	MF_AUTO(mf_manager_file_free) struct mf_manager_file *f = calloc(1, sizeof(*f));
	if (f == NULL || (f->text = mf_slice_dup_str(in)) == NULL ||
	    (f->list = calloc(MF_LIM_SELECTORS, sizeof(*f->list))) == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "manager file: out of memory");
	f->job = f->reason = nothing;
	MF_TRY(lines(f, err));
	*ret_f = MF_TAKE(f);
	return MF_OK;
}

void
mf_manager_file_free(struct mf_manager_file *f)
{
	if (f == NULL)
		return;
	free(f->text);
	free(f->list);
	free(f);
}
