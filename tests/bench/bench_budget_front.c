/*
 * bench_budget_front WHAT N: the agent front's part of a fetch of what it holds, N times, to be counted by callgrind
 * (tests/integration/budgets.sh): the front runs in this process, only its turns are counted.
 *
 *   fetch       by a known process on a new connection
 *   fetch-warm  on one that is open
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_broker.h"
#include "front_rig.h"

#define FIRST 20 /* not counted: what is done once */
#define TURNS 6	 /* enough for one fetch; one with nothing to do is a few hundred instructions */

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static void
turns(struct mf_loop *l)
{
	for (int i = 0; i < TURNS; i++)
		must(mf_loop_turn(l, false, NULL) == MF_OK);
}

/* What is counted: callgrind --toggle-collect=measured*. */
static __attribute__((noinline)) void
measured(struct mf_loop *l)
{
	turns(l);
}

static void (*run)(struct mf_loop *l) = turns;

static void
arrives(struct rig_client *c)
{
	run(c->r->loop);
	must(mf_frig_poll(c) && !c->ended && c->msg != NULL);
}

static void
fetch_new(struct rig *r)
{
	struct rig_client c;
	mf_frig_open(r, &c, &mf_frig_fetch);
	arrives(&c);
	mf_frig_close(&c);
	run(r->loop); /* its end is part of it */
}

static void
fetch_warm(struct rig_client *like)
{
	struct rig_client c;
	mf_frig_open_on(like, &c, &mf_frig_fetch);
	arrives(&c);
	mf_frig_close(&c);
	run(c.r->loop);
}

static bool
in_session(void *ctx)
{
	return ((const struct fake_broker *)ctx)->sessions > 0;
}

int
main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	unsigned n = (unsigned)strtoul(argv[2], NULL, 10);
	bool warm = strcmp(argv[1], "fetch-warm") == 0;
	struct rig_client first;
	struct rig *r = mf_frig_new();
	r->looks = true;
	r->cfg.hold_ms =
	    RIG_HANG_MS; /* the first one waits for a key to be made, which valgrind does slowly */
	/* A broker that is there: without one the front would look for it again and again. */
	struct fake_broker *b = mf_fake_broker_new(r->loop, r->mint);
	r->cfg.broker.port = b->port;
	mf_frig_start(r);
	mf_frig_open(r, &first, &mf_frig_fetch); /* attested, and made */
	if (mf_frig_next(&first) == NULL) {
		(void)fprintf(stderr, "no identity: %s\n", first.text);
		return 1;
	}
	must(mf_frig_until(r, in_session, b));
	mf_frig_settle(r);
	if (!warm && !r->looked) {
		printf("this kernel, or valgrind, does not tell enough of a peer for it to be recognised\n");
		return 77;
	}
	unsigned asked = r->who_is;
	for (unsigned i = 0; i < FIRST + n; i++) {
		if (i == FIRST)
			run = measured;
		if (warm)
			fetch_warm(&first);
		else
			fetch_new(r);
	}
	must(r->who_is == asked); /* the attestor was not asked again */
	mf_frig_close(&first);
	mf_fake_broker_free(b);
	mf_frig_free(r);
	return 0;
}
