#include "broker/notary/assertions.h"

#include <stdlib.h>

#include "base/limits.h"
#include "codec/assertion.h"

struct errand {
	struct mf_list at;
	struct mf_assertion_request *req;
	struct mf_buf token, client;
	bool ok;
};

struct mf_assertions {
	struct mf_list under_way;
};

enum mf_status
mf_assertions_new(struct mf_assertions **ret_a, struct mf_err *err)
{
	struct mf_assertions *a = calloc(1, sizeof(*a));
	if (a == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "assertions: out of memory");
	mf_list_init(&a->under_way);
	*ret_a = a;
	return MF_OK;
}

static void
errand_free(struct errand *x)
{
	mf_list_del(&x->at);
	mf_assertion_request_free(x->req);
	mf_buf_fini(&x->token);
	mf_buf_fini(&x->client);
	free(x);
}

void
mf_assertions_free(struct mf_assertions *a)
{
	if (a == NULL)
		return;
	MF_LIST_EACH(p, &a->under_way)
	errand_free(MF_LIST_ITEM(p, struct errand, at));
	free(a);
}

static enum mf_status
sign_both(struct errand *x, struct mf_jwt_signer *signers)
{
	struct mf_jws_signer *signer = NULL;
	const struct mf_assertion_request *r = x->req;
	struct mf_assertion_tag tags[MF_ASSERTION_TAGS];
	for (size_t i = 0; i < r->tags_n && i < MF_COUNT(tags); i++)
		tags[i] = (struct mf_assertion_tag) { mf_slice_str(r->tag_names[i]),
			mf_slice_str(r->tag_values[i]) };
	const struct mf_assertion_fields f = { .iss = mf_slice_str(r->iss),
		.sub = mf_slice_str(r->sub),
		.aud = mf_slice_str(r->aud),
		.jti = mf_slice_str(r->jti),
		.iat_s = r->iat,
		.exp_s = r->exp,
		.tags = tags,
		.tags_n = r->tags_n,
		.source_identity = mf_slice_str(r->source_identity) };
	MF_TRY(mf_jwt_signer_of(signers, r->key, &signer, NULL));
	MF_TRY(mf_assertion_put(&f, r->key, signer, &x->token, NULL));
	if (r->client_id == NULL)
		return MF_OK;
	const struct mf_assertion_fields c = { .iss = mf_slice_str(r->client_id),
		.sub = mf_slice_str(r->client_id),
		.aud = mf_slice_str(r->client_aud),
		.jti = mf_slice_str(r->client_jti),
		.iat_s = r->iat,
		.exp_s = r->exp };
	return mf_assertion_put(&c, r->key, signer, &x->client, NULL);
}

/* In a thread of the crew. */
static void
run(void *arg, struct mf_jwt_signer *signers)
{
	struct errand *x = arg;
	x->ok = sign_both(x, signers) == MF_OK;
}

void
mf_assertions_sign(struct mf_assertions *a, struct mf_crew *c, struct mf_assertion_request *req)
{
	struct errand *x = calloc(1, sizeof(*x));
	if (x == NULL) {
		mf_assertion_request_free(req); /* the engine gives it up in time */
		return;
	}
	x->req = req;
	mf_buf_init(&x->token, MF_LIM_JWT);
	mf_buf_init(&x->client, MF_LIM_JWT);
	mf_list_add_tail(&a->under_way, &x->at);
	mf_crew_errand(c, run, x);
}

bool
mf_assertions_done(struct mf_assertions *a, struct mf_engine *e, struct mf_now now, void *arg)
{
	MF_LIST_EACH(p, &a->under_way)
	{
		struct errand *x = MF_LIST_ITEM(p, struct errand, at);
		if (x != arg)
			continue;
		struct mf_slice none = mf_slice(NULL, 0);
		mf_engine_assertion_signed(e, now, x->req->ticket, x->ok ? mf_buf_slice(&x->token) : none,
		    x->ok ? mf_buf_slice(&x->client) : none);
		errand_free(x);
		return true;
	}
	return false;
}
