/*
 * policy_batch: decides requests by the tens of thousands, for scripts that compare with another engine.
 *
 * stdin, one JSON object a line: {"policy": TEXT OF A POLICY FILE, "requests": [{"profile": P, "facts": [F, ...]}, ...]} with
 * facts as "node pool=gpu-a", "attested unix.user=alice", "manifest dataset[0].class=public", "node x" (known, empty). stdout:
 * for each line as many letters, P or D, as it has requests. Exit code 1 when a line cannot be used.
 */
#include <stdio.h>
#include <stdlib.h>

#include "broker/core/request_facts.h"
#include "broker/policy/policy_load.h"
#include "codec/json.h"

#define LINE_MAX_BYTES (64u * 1024u * 1024u)
#define WALL_S INT64_C(1800000000)

static void
die(const char *what, const struct mf_err *err)
{
	(void)fprintf(stderr, "policy_batch: %s: %s\n", what, err->msg);
	exit(1);
}

static enum mf_status
add_fact(struct mf_facts *f, struct mf_slice text, struct mf_err *err)
{
	const uint8_t *gap = text.n == 0 ? NULL : memchr(text.p, ' ', text.n);
	enum mf_fact_ns ns = MF_FACT_ATTESTED;
	if (gap == NULL)
		return MF_FAIL(err, MF_E_INVALID, "a fact without a namespace");
	struct mf_slice space = mf_slice(text.p, (size_t)(gap - text.p)),
			rest = mf_slice_sub(text, space.n + 1, text.n);
	while (ns < MF_FACT_NS_COUNT && !mf_slice_eq_str(space, mf_fact_ns_name(ns)))
		ns = (enum mf_fact_ns)(ns + 1);
	if (ns == MF_FACT_MANIFEST)
		return mf_request_manifest(f, rest, err);
	const uint8_t *eq = memchr(rest.p, '=', rest.n);
	if (eq == NULL)
		return mf_facts_declare(f, ns, rest, err);
	size_t n = (size_t)(eq - rest.p);
	return mf_facts_add(f, ns, mf_slice_sub(rest, 0, n), mf_slice_sub(rest, n + 1, rest.n), err);
}

static char
decide(const struct mf_policy *p, const struct mf_json_value *request)
{
	MF_AUTO(mf_facts_free) struct mf_facts *f = NULL;
	struct mf_err err = { 0 };
	struct mf_slice profile = mf_slice(NULL, 0), text = profile;
	struct mf_decision d;
	const struct mf_json_value *facts = mf_json_get(request, "facts");
	if (mf_facts_new(&f, &err) != MF_OK ||
	    mf_json_need_string(request, "profile", &profile, &err) != MF_OK)
		die("request", &err);
	for (size_t i = 0; i < mf_json_size(facts); i++)
		if (!mf_json_string(mf_json_at(facts, i), &text) || add_fact(f, text, &err) != MF_OK)
			die("fact", &err);
	mf_facts_seal(f);
	const struct mf_policy_request q = { profile, f, WALL_S };
	mf_policy_decide(p, &q, &d);
	return d.permit ? 'P' : 'D';
}

static void
one_line(struct mf_slice line)
{
	MF_AUTO(mf_json_free) struct mf_json *doc = NULL;
	MF_AUTO(mf_policy_free) struct mf_policy *p = NULL;
	MF_AUTO(mf_problems_free) struct mf_problems *problems = mf_problems_new("policy");
	MF_AUTO_IN(mf_buf_fini) struct mf_buf said;
	struct mf_err err = { 0 };
	struct mf_slice text = mf_slice(NULL, 0);
	mf_buf_init(&said, 1 << 20);
	if (mf_json_parse(line, LINE_MAX_BYTES, &doc, &err) != MF_OK ||
	    mf_json_need_string(mf_json_root(doc), "policy", &text, &err) != MF_OK)
		die("line", &err);
	if (mf_policy_load(text, problems, &p, &err) != MF_OK) {
		mf_problems_put(problems, &said);
		(void)fwrite(said.p, 1, said.n, stderr);
		die("policy", &err);
	}
	const struct mf_json_value *requests = mf_json_get(mf_json_root(doc), "requests");
	for (size_t i = 0; i < mf_json_size(requests); i++)
		(void)putchar(decide(p, mf_json_at(requests, i)));
	(void)putchar('\n');
}

int
main(void)
{
	char *line = NULL;
	size_t room = 0;
	for (ssize_t n; (n = getline(&line, &room, stdin)) > 0;)
		one_line(mf_slice(line, (size_t)n));
	free(line);
	return fflush(stdout) == 0 ? 0 : 1;
}
