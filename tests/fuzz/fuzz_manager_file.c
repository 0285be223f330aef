/* What parses holds no control character, names a job, and its texts lie in its own copy. */
#include <stdlib.h>

#include "agent/core/manager_file.h"
#include "base/limits.h"

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static void
check_text(const char *s)
{
	for (; *s != '\0'; s++)
		check((uint8_t)*s >= 0x20 && *s != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	MF_AUTO(mf_manager_file_free) struct mf_manager_file *f = NULL;
	if (mf_manager_file_parse(mf_slice(data, size), &f, NULL) != MF_OK)
		return 0;
	check(f->job[0] != '\0' && f->list_n <= MF_LIM_SELECTORS && f->deadline >= 0);
	check_text(f->job);
	check_text(f->reason);
	for (size_t i = 0; i < f->list_n; i++)
		check_text(f->list[i]);
	return 0;
}
