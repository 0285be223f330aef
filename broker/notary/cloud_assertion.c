/* Assertions that are not about a job: the revoker's, and those of test tokens. */
#include <stdio.h>

#include "broker/notary/cloud_plan.h"
#include "codec/assertion.h"

static bool
fill_client(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__CloudTarget *t,
    struct mf_assertion_request *a)
{
	uint8_t random[10];
	if (strcmp(t->client_auth, "private_key_jwt") != 0)
		return true;
	e->conf.rand.fill(e->conf.rand.ctx, random, sizeof(random));
	mf_uuid7(now.wall_us, random, a->client_jti);
	a->client_id = strdup(t->client_id);
	a->client_aud = strdup(t->endpoint);
	return a->client_id != NULL && a->client_aud != NULL;
}

struct mf_assertion_request *
mf_cloud_assertion(struct mf_engine *e, struct mf_now now, uint64_t ticket,
    const Mayfly__Roles__V1__CloudTarget *t, const struct mf_token_backend *b, const char *sub)
{
	struct mf_assertion_request *a = calloc(1, sizeof(*a));
	uint8_t random[10];
	if (a == NULL)
		return NULL;
	a->ticket = ticket;
	a->iat = now.wall_us / 1000000 - MF_ASSERTION_MAX_S / 2;
	a->exp = a->iat + MF_ASSERTION_MAX_S;
	e->conf.rand.fill(e->conf.rand.ctx, random, sizeof(random));
	mf_uuid7(now.wall_us, random, a->jti);
	a->iss = strdup(t->issuer[0] != '\0' ? t->issuer : e->cloud.conf->issuer);
	a->aud = strdup(t->audience[0] != '\0'	   ? t->audience
			: b->caps.audience == NULL ? ""
						   : b->caps.audience);
	a->sub = strdup(sub);
	a->source_identity = strdup(""); /* the role need not let it be set */
	if (a->iss != NULL && a->aud != NULL && a->sub != NULL && a->source_identity != NULL &&
	    fill_client(e, now, t, a))
		return a;
	mf_assertion_request_free(a);
	return NULL;
}
