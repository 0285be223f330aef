/*
 * bench_budget_broker WHAT N: the broker's part of one path, N times, to be counted by callgrind (tests/integration/budgets.sh): the
 * difference of two Ns is the path alone.
 *
 *   mint      fields to certificate and sealed message in a worker of the notary
 *   attach    a new instance in the state thread: facts, decision, records, answer; signer, log and network are the rig's
 *   renew     its renewal there
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "broker/keys/broker_keys.h"
#include "broker/notary/crew.h"
#include "crypto/p256.h"
#include "engine_jobs.h"

#define TD "example.org"

static unsigned count;

static void
must(bool ok)
{
	if (!ok)
		abort();
}

/* What is counted: callgrind --toggle-collect=measured. */
static __attribute__((noinline)) void
measured(void (*once)(void *ctx, unsigned i), void *ctx)
{
	for (unsigned i = 0; i < count; i++)
		once(ctx, i);
}

static struct mf_sign_request *
request(const char *key, const uint8_t *point)
{
	struct mf_sign_request *r = calloc(1, sizeof(*r));
	must(r != NULL);
	memcpy(r->point, point, sizeof(r->point));
	memset(r->serial, 0x41, sizeof(r->serial));
	(void)snprintf(r->key, sizeof(r->key), "%s", key);
	r->ticket = 1;
	r->nbf = mf_now().wall_us / 1000000 - 30;
	r->exp = r->nbf + 1200;
	r->spiffe_id = strdup("spiffe://" TD "/default/train/dev/job/j-abcdefghijklmnopqrst");
	r->cn = strdup("j-abcdefghijklmnopqrst");
	return r;
}

struct minting {
	struct mf_crew *crew;
	struct mf_mailbox *box;
	const char *key;
	uint8_t point[MF_P256_POINT_SIZE];
};

static void
mint_once(void *ctx, unsigned i)
{
	struct minting *m = ctx;
	struct mf_list got;
	MF_UNUSED(i);
	mf_list_init(&got);
	mf_crew_sign(m->crew, request(m->key, m->point));
	mf_crew_turn(m->crew, 0);
	must(mf_mailbox_take(m->box, &got));
	struct mf_crew_event *ev = MF_LIST_ITEM(got.next, struct mf_crew_event, at);
	must(ev->ok);
	mf_list_del(&ev->at);
	mf_crew_event_free(ev);
}

static void
mint(void)
{
	struct mf_broker_keys *keys = NULL;
	struct mf_ca_key *ca = NULL;
	struct mf_p256_key *key = NULL;
	struct mf_mailbox *box = NULL;
	struct mf_crew *c = NULL;
	uint8_t point[MF_P256_POINT_SIZE];
	int64_t now_s = mf_now().wall_us / 1000000;
	struct mf_broker_keys_conf kc = { TD, "b1", now_s, 86400, 60, NULL };
	must(mf_broker_keys_make(&kc, &keys, NULL) == MF_OK);
	must(mf_ca_key_make(TD, now_s - 60, now_s + 86400, &ca, NULL) == MF_OK);
	must(mf_p256_generate(&key, NULL) == MF_OK && mf_mailbox_new(false, &box, NULL) == MF_OK);
	mf_p256_public(key, point);
	struct mf_crew_conf conf = { .threads = 1,
		.inner = keys->inner,
		.prologue = MF_SLICE_LIT("bench"),
		.max_sessions = 10,
		.inbox = box,
		.by_hand = true };
	must(mf_crew_new(&conf, &c, NULL) == MF_OK && mf_crew_add_key(c, TD, ca, NULL) == MF_OK);
	struct minting m = { .crew = c, .box = box, .key = ca->id };
	memcpy(m.point, point, sizeof(point));
	mint_once(&m, 0);
	measured(mint_once, &m);
	mf_crew_free(c);
	mf_mailbox_free(box);
	mf_p256_key_free(key);
	mf_ca_key_free(ca);
	mf_broker_keys_free(keys);
}

struct engine {
	struct rig *r;
	bool renew;
	char node[MF_STATE_ID_MAX], lease[MF_STATE_ID_MAX];
	uint32_t epoch;
};

static void
engine_once(void *ctx, unsigned i)
{
	struct engine *e = ctx;
	char key[256];
	mf_rig_instance_key(key, e->node, RIG_BOOT, 2 + i);
	if (e->renew)
		(void)mf_rig_renew(e->r, 1, 1, e->lease, e->epoch);
	else
		(void)mf_rig_attach(e->r, 1, 1, key, "train", "alice");
	mf_rig_settle(e->r);
}

static void
engine(bool renew)
{
	struct engine e = { .r = mf_rig_new(), .renew = renew };
	char key[256];
	uint8_t value[16];
	mf_rig_join(e.r, 1, 1, e.node, value);
	mf_rig_instance_key(key, e.node, RIG_BOOT, 1);
	uint64_t req = mf_rig_attach(e.r, 1, 1, key, "train", "alice");
	mf_rig_settle(e.r);
	const Mayfly__Agent__V1__Grant *g = mf_rig_grant(e.r, 1, req);
	must(g != NULL);
	(void)snprintf(e.lease, sizeof(e.lease), "%s", g->lease_id);
	e.epoch = g->epoch;
	for (size_t i = 0; i < e.r->log_n; i++)
		free(e.r->log[i].p);
	e.r->lean = true;
	engine_once(&e, 1u << 30); /* what is done once */
	measured(engine_once, &e);
	mf_rig_free(e.r);
}

int
main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	count = (unsigned)strtoul(argv[2], NULL, 10);
	if (strcmp(argv[1], "mint") == 0)
		mint();
	else if (strcmp(argv[1], "attach") == 0 || strcmp(argv[1], "renew") == 0)
		engine(argv[1][0] == 'r');
	else
		return 2;
	return 0;
}
