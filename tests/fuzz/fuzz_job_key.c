/* What parses is spelled from its parts again, names its speaker and its line, and fits the selector it needs. */
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "broker/core/job_key.h"

static void
check(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_slice in = mf_slice(data, size);
	struct mf_job_key k, again;
	char text[MF_LIM_JOB_KEY + 64], selector[MF_LIM_SELECTOR];
	if (mf_job_key_parse(in, &k, NULL) != MF_OK)
		return 0;
	check(size <= MF_LIM_JOB_KEY && mf_slice_starts(in, k.speaker) && mf_slice_starts(in, k.line));
	check(data[k.speaker.n] == '/' && k.line.n > k.speaker.n);
	check(mf_job_key_selector(&k, selector, sizeof(selector)));
	for (size_t i = 0; i < size; i++)
		check(data[i] > 0x20 && data[i] < 0x7f);
	if (k.manager == MF_MANAGER_SLURM) {
		/* One spelling: built again from its numbers it is itself. */
		int n = snprintf(text, sizeof(text), "%.*s/%.*s.%llu", (int)k.speaker.n,
		    (const char *)k.speaker.p, (int)k.id.n, (const char *)k.id.p,
		    (unsigned long long)k.restart);
		check(n > 0 && mf_slice_eq(in, mf_slice(text, (size_t)n)));
		/* The next restart is of the same line. */
		n = snprintf(text, sizeof(text), "%.*s.%llu", (int)k.line.n, (const char *)k.line.p,
		    (unsigned long long)k.restart + 1);
		if (mf_job_key_parse(mf_slice(text, (size_t)n), &again, NULL) == MF_OK)
			check(mf_slice_eq(again.line, k.line));
	} else {
		check(mf_slice_eq(k.line, in) && k.ns.n > 0 && k.restart == 0);
	}
	return 0;
}
