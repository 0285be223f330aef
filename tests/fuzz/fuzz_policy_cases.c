/* Files of cases for `mayfly policy test`: whatever parses has sealed facts, and is decided by a policy. */
#include <stdlib.h>

#include "broker/policy/policy_load.h"
#include "cli/policy/tool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char policy_text[] = "mayfly_policy: 1\nprofiles: {a: {purpose: p, owner: o, identities: "
				  "[{path: \"/g/{job}\"}]}}\nrules:\n- {id: r, "
				  "effect: permit, profile: a, owner: o, review_by: 2099-02-01, nodes: any, "
				  "when: {every: [manifest.dataset, "
				  "{under: [uri, s3://x]}]}}\n";

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct mf_policy *policy;
	struct mf_problems *problems = mf_problems_new("c"), *none = mf_problems_new("p");
	struct mf_tool_requests cases = { 0 };
	struct mf_err err;
	if (problems == NULL || none == NULL ||
	    (policy == NULL && mf_policy_load(mf_slice_str(policy_text), none, &policy, &err) != MF_OK))
		abort();
	enum mf_status s = mf_tool_cases_parse(mf_slice(data, size), problems, &cases, &err);
	if ((s == MF_OK) != (mf_problems_count(problems) == 0))
		abort();
	for (size_t i = 0; s == MF_OK && i < cases.n; i++) {
		struct mf_decision d;
		const struct mf_policy_request q = { mf_slice_str(cases.v[i].profile), cases.v[i].facts,
			cases.v[i].wall_s };
		mf_policy_decide(policy, &q, &d);
		if (d.reason[0] == '\0')
			abort();
	}
	mf_tool_requests_fini(&cases);
	mf_problems_free(problems);
	mf_problems_free(none);
	return 0;
}
