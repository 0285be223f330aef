/*
 * The loader of policies, and decisions by whatever it loads: every decision has a reason, and what one set of facts
 * gives does not change when it is asked again. Lint must survive it too.
 */
#include <stdlib.h>

#include "broker/core/request_facts.h"
#include "broker/policy/policy_load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mf_facts *
some_facts(void)
{
	static const struct {
		enum mf_fact_ns ns;
		const char *name, *value;
	} known[] = { { MF_FACT_NODE, "pool", "gpu-a" }, { MF_FACT_NODE, "id", "n1" },
		{ MF_FACT_ATTESTED, "unix.user", "alice" }, { MF_FACT_ATTESTED, "unix.user", "users" },
		{ MF_FACT_MANIFEST, "env", "dev" } };
	static const char *const manifest[] = { "image=registry.example/ft@sha256:ab",
		"deadline=2026-11-22T06:00:00Z", "dataset[0].uri=s3://research-data/a",
		"dataset[0].class=public", "dataset[1].uri=s3://research-data/../b",
		"dataset[2].class=secret", "egress=", "mounts=/a", "mounts=/b" };
	struct mf_facts *f = NULL;
	struct mf_err err;
	if (mf_facts_new(&f, &err) != MF_OK)
		abort();
	for (size_t i = 0; i < MF_COUNT(known); i++)
		if (mf_facts_add(f, known[i].ns, mf_slice_str(known[i].name), mf_slice_str(known[i].value),
			&err) != MF_OK)
			abort();
	for (size_t i = 0; i < MF_COUNT(manifest); i++)
		if (mf_request_manifest(f, mf_slice_str(manifest[i]), &err) != MF_OK)
			abort();
	mf_facts_seal(f);
	return f;
}

static void
decide_twice(const struct mf_policy *p, const struct mf_policy_request *req)
{
	struct mf_decision a, b;
	mf_policy_decide(p, req, &a);
	mf_policy_decide(p, req, &b);
	if (a.reason[0] == '\0' || a.told[0] == '\0' || strlen(a.told) > strlen(a.reason) + 512 ||
	    a.permit != b.permit || a.rule != b.rule || (a.profile == NULL) != (b.profile == NULL))
		abort();
	if (a.permit && (a.rule == NULL || a.profile == NULL))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_problems *problems = mf_problems_new("f");
	struct mf_policy *p = NULL;
	struct mf_err err;
	if (problems == NULL)
		abort();
	enum mf_status s = mf_policy_load(mf_slice(data, size), problems, &p, &err);
	if ((s == MF_OK) != (p != NULL) || (s == MF_OK) != (mf_problems_count(problems) == 0))
		abort();
	mf_problems_free(problems);
	if (p == NULL)
		return 0;
	struct mf_facts *f = some_facts();
	decide_twice(p, &(struct mf_policy_request) { .facts = f, .wall_s = 1800000000 });
	for (size_t i = 0; i < mf_policy_profile_count(p); i++)
		decide_twice(p, &(struct mf_policy_request) {
				    mf_slice_str(mf_policy_profile_at(p, i)->name), f, 1800000000 });
	(void)mf_policy_lint(p, 1800000000, NULL, NULL);
	mf_facts_free(f);
	mf_policy_free(p);
	return 0;
}
