#include "broker/core/request_facts.h"

#include "broker/core/job_key.h"

#include "base/text.h"

/* Takes what stands before ${sep} off ${s}. */
static bool
cut(struct mf_slice *s, char sep, struct mf_slice *ret_before)
{
	const uint8_t *at = s->n == 0 ? NULL : memchr(s->p, sep, s->n);
	if (at == NULL)
		return false;
	size_t n = (size_t)(at - s->p);
	*ret_before = mf_slice_sub(*s, 0, n);
	*s = mf_slice_sub(*s, n + 1, s->n);
	return true;
}

enum mf_status
mf_request_manifest(struct mf_facts *f, struct mf_slice text, struct mf_err *err)
{
	struct mf_slice name, list, number, value = text;
	uint64_t i;
	if (!cut(&value, '=', &name))
		return MF_FAIL(err, MF_E_INVALID, "an attribute without '='");
	struct mf_slice key = name;
	if (cut(&key, '[', &list)) {
		if (!cut(&key, ']', &number) || !mf_parse_u64(number, &i) || i >= MF_LIM_FACTS || key.n < 2 ||
		    key.p[0] != '.')
			return MF_FAIL(
			    err, MF_E_INVALID, "an attribute of a list without its number and key");
		return mf_facts_add_item(
		    f, MF_FACT_MANIFEST, list, (size_t)i, mf_slice_sub(key, 1, key.n), value, err);
	}
	/* An empty value stands for a list that was declared and has no element. */
	return value.n == 0 ? mf_facts_declare(f, MF_FACT_MANIFEST, name, err)
			    : mf_facts_add(f, MF_FACT_MANIFEST, name, value, err);
}

enum mf_status
mf_request_selector(struct mf_facts *f, struct mf_slice text, struct mf_err *err)
{
	struct mf_slice name;
	if (!cut(&text, ':', &name))
		return MF_FAIL(err, MF_E_INVALID, "a selector without ':'");
	return mf_facts_add(f, MF_FACT_ATTESTED, name, text, err);
}

enum mf_status
mf_request_grade(struct mf_facts *f, struct mf_slice grade, struct mf_err *err)
{
	return mf_facts_add(f, MF_FACT_ATTESTED, MF_SLICE_LIT("grade"), grade, err);
}

enum mf_status
mf_request_node(struct mf_facts *f, const struct mf_node *n, struct mf_err *err)
{
	struct mf_slice name;
	MF_TRY(mf_facts_add(f, MF_FACT_NODE, MF_SLICE_LIT("id"), mf_slice_str(n->id), err));
	MF_TRY(mf_facts_add(f, MF_FACT_NODE, MF_SLICE_LIT("attestor"), mf_slice_str(n->attestor), err));
	for (size_t i = 0; i < n->attributes_n; i++) {
		struct mf_slice value = mf_slice_str(n->attributes[i]);
		if (!cut(&value, '=', &name))
			return MF_FAIL(err, MF_E_INVALID, "an attribute of a node without '='");
		MF_TRY(mf_facts_add(f, MF_FACT_NODE, name, value, err));
	}
	return MF_OK;
}

enum mf_status
mf_request_job(struct mf_facts *f, const char *job_key, struct mf_err *err)
{
	struct mf_job_key k;
	if (mf_job_key_parse(mf_slice_str(job_key), &k, NULL) != MF_OK)
		return MF_OK;
	MF_TRY(mf_facts_add(f, MF_FACT_ATTESTED, MF_SLICE_LIT("job.key"), mf_slice_str(job_key), err));
	return mf_facts_add(f, MF_FACT_ATTESTED, MF_SLICE_LIT("job.manager"), k.speaker, err);
}

enum mf_status
mf_request_lease(const struct mf_lease *l, struct mf_facts **ret_f, struct mf_err *err)
{
	MF_AUTO(mf_facts_free) struct mf_facts *f = NULL;
	MF_TRY(mf_facts_new(&f, err));
	MF_TRY(mf_request_node(f, l->node, err));
	for (size_t i = 0; i < l->selectors_n; i++)
		MF_TRY(mf_request_selector(f, mf_slice_str(l->selectors[i]), err));
	MF_TRY(mf_request_grade(f, mf_slice_str(l->grade), err));
	MF_TRY(mf_request_job(f, l->job->key, err));
	for (size_t i = 0; i < l->job->attributes_n; i++)
		MF_TRY(mf_request_manifest(f, mf_slice_str(l->job->attributes[i]), err));
	mf_facts_seal(f);
	*ret_f = MF_TAKE(f);
	return MF_OK;
}
