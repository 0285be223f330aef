/*
 * bench_budget_mint WHAT N: the state thread's part of a token, N times, to be counted by callgrind (tests/integration/budgets.sh): question,
 * decision, records, answer. Signer, log, courier and network are the rig's. N: at most 150 of jwt, 60 of cloud, as one
 * lease may have at a time.
 *
 *   jwt       a JWT-SVID
 *   cloud     a cloud token, from the question by way of the intent to what the courier brings
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine_rig_cloud.h"

static unsigned count;

static void
must(bool ok)
{
	if (!ok)
		abort();
}

/* What is counted: callgrind --toggle-collect=measured. */
static __attribute__((noinline)) void
measured(void (*once)(void *ctx), void *ctx)
{
	for (unsigned i = 0; i < count; i++)
		once(ctx);
}

struct asking {
	struct rig *r;
	struct rig_job *j;
	char id[1024];
};

static void
jwt_once(void *ctx)
{
	struct asking *a = ctx;
	static const char *const audience[] = { "vault.example" };
	(void)mf_rig_mint(a->r, 1, 1, a->j->lease, a->j->epoch, a->id, audience, 1);
	must(a->r->jwts_n == 1);
	struct mf_jwt_request *q = a->r->jwts[--a->r->jwts_n];
	mf_engine_jwt_signed(a->r->e, a->r->now, q->ticket, MF_SLICE_LIT("header.claims.signature"));
	mf_jwt_request_free(q);
	mf_rig_commit(a->r);
}

static void
cloud_once(void *ctx)
{
	struct asking *a = ctx;
	(void)mf_rig_mint_cloud(a->r, a->j, "data");
	mf_rig_commit(a->r);
	mf_rig_assert_all(a->r, true);
	must(mf_rig_bring(a->r));
	mf_rig_commit(a->r);
}

static void
count_of(struct asking *a, void (*once)(void *ctx))
{
	for (size_t i = 0; i < a->r->log_n; i++)
		free(a->r->log[i].p);
	a->r->lean = true;
	once(a); /* what is done once */
	measured(once, a);
}

static void
jwt(void)
{
	struct rig_job j;
	must(mf_jws_key_generate(MF_JWS_ES256, &mf_rig_jwt_keys[0], NULL) == MF_OK);
	struct asking a = { .r = mf_rig_with_job(&j), .j = &j };
	const struct mf_lease *l = mf_rig_lease(a.r, j.lease);
	const struct mf_cred *c = MF_LIST_ITEM(l->creds.next, struct mf_cred, at);
	(void)snprintf(a.id, sizeof(a.id), "%s", c->spiffe_id);
	count_of(&a, jwt_once);
	mf_rig_free(a.r);
	mf_jws_key_free(mf_rig_jwt_keys[0]);
}

static void
cloud(void)
{
	static struct rig_cloud c;
	struct rig_job j;
	must(mf_rig_cloud_setup(NULL) == 0);
	struct asking a = { .r = mf_rig_with_cloud(&c, &j), .j = &j };
	count_of(&a, cloud_once);
	mf_rig_cloud_free(a.r);
	must(mf_rig_cloud_teardown(NULL) == 0);
}

int
main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	count = (unsigned)strtoul(argv[2], NULL, 10);
	if (strcmp(argv[1], "jwt") == 0)
		jwt();
	else if (strcmp(argv[1], "cloud") == 0)
		cloud();
	else
		return 2;
	return 0;
}
