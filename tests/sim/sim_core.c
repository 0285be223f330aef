/* Time, chance and events; and the seams by which the product reads clocks and randomness. */
#include "sim.h"

#include <stdarg.h>
#include <stdlib.h>

#include <openssl/rand.h>

#include "base/rand.h"

struct sim *sim;

void
sim_abort(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)fprintf(stderr, "sim: seed %llu: ", sim == NULL ? 0ull : (unsigned long long)sim->seed);
	(void)vfprintf(stderr, fmt, ap);
	(void)fputc('\n', stderr);
	va_end(ap);
	abort();
}

void *
sim_alloc(size_t n)
{
	void *p = calloc(1, n);
	if (p == NULL)
		sim_abort("out of memory");
	return p;
}

/* ---- chance ---- */

/* SplitMix64. */
static uint64_t
draw(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t
sim_below(uint64_t n)
{
	return n == 0 ? 0 : draw(&sim->chance) % n;
}

bool
sim_one_in(uint64_t n)
{
	return sim_below(n) == 0;
}

uint64_t
sim_between(uint64_t from, uint64_t to)
{
	return from + sim_below(to - from + 1);
}

static void
fill(void *to, size_t n)
{
	uint8_t *p = to;
	while (n > 0) {
		uint64_t r = sim == NULL ? 1 : draw(&sim->random);
		size_t k = n < sizeof(r) ? n : sizeof(r);
		memcpy(p, &r, k);
		p += k;
		n -= k;
	}
}

/* The linker puts these in the place of lib/base's (--wrap). */
void __wrap_mf_rand_bytes(void *to, size_t n);
void
__wrap_mf_rand_bytes(void *to, size_t n)
{
	fill(to, n);
}

static void
fill_ctx(void *ctx, void *to, size_t n)
{
	MF_UNUSED(ctx);
	fill(to, n);
}

struct mf_rand __wrap_mf_rand_system(void);
struct mf_rand
__wrap_mf_rand_system(void)
{
	return (struct mf_rand) { fill_ctx, NULL };
}

struct mf_now __wrap_mf_now(void);
struct mf_now
__wrap_mf_now(void)
{
	return sim_now_of(sim == NULL ? NULL : sim->host);
}

static int
ssl_bytes(unsigned char *to, int n)
{
	fill(to, (size_t)n);
	return 1;
}

static int
ssl_status(void)
{
	return 1;
}

/* libcrypto draws keys and nonces from the seed, too: a history is the same to the last byte. */
static void
own_randomness(void)
{
	static const RAND_METHOD method = {
		.bytes = ssl_bytes, .pseudorand = ssl_bytes, .status = ssl_status
	};
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
	if (RAND_set_rand_method(&method) != 1)
		sim_abort("libcrypto does not take our randomness");
#pragma GCC diagnostic pop
}
__attribute__((constructor)) static void
at_start(void)
{
	own_randomness();
}

/* ---- time ---- */

struct mf_now
sim_now_of(const struct sim_host *h)
{
	if (h == NULL)
		return (struct mf_now) { SIM_EPOCH_US, 1000 };
	int64_t t = (int64_t)sim->t_us;
	t += t / 1000000 * h->drift_ppm;
	return (struct mf_now) { SIM_EPOCH_US + t + h->wall_us, h->base_ms + (uint64_t)t / 1000 };
}

/* ---- events ---- */

struct event {
	struct mf_heap_node node;
	uint64_t at_us, x, born;
	const uint64_t *life;
	sim_fn *fn;
	void *arg;
};

void
sim_after(uint64_t us, sim_fn *fn, void *arg, uint64_t x, const uint64_t *life)
{
	struct event *e = sim_alloc(sizeof(*e));
	e->at_us = sim->t_us + us;
	e->fn = fn;
	e->arg = arg;
	e->x = x;
	e->life = life;
	e->born = life == NULL ? 0 : *life;
	/* Of two at one moment the one that was made first comes first: the low bits keep the order. */
	int64_t key = (int64_t)(e->at_us << 22 | (sim->seq++ & 0x3fffff));
	if (!mf_heap_set(&sim->events, &e->node, key))
		sim_abort("out of memory");
}

void
sim_run(uint64_t until_us)
{
	while (!sim->failed) {
		struct mf_heap_node *n = mf_heap_first(&sim->events);
		if (n == NULL)
			return;
		struct event *e = MF_HEAP_ITEM(n, struct event, node);
		if (e->at_us > until_us)
			break;
		mf_heap_del(&sim->events, n);
		sim->t_us = e->at_us;
		if (e->life == NULL || *e->life == e->born) {
			sim->host = NULL;
			sim->agent = NULL;
			sim->steps++;
			e->fn(e->arg, e->x);
		}
		free(e);
	}
	if (!sim->failed)
		sim->t_us = until_us;
}

void
sim_drop_events(void)
{
	struct mf_heap_node *n;
	while ((n = mf_heap_first(&sim->events)) != NULL) {
		mf_heap_del(&sim->events, n);
		free(MF_HEAP_ITEM(n, struct event, node));
	}
	mf_heap_fini(&sim->events);
}

/* ---- telling ---- */

void
sim_trace(const char *fmt, ...)
{
	va_list ap;
	if (!sim->trace)
		return;
	(void)printf("%10.3f %-8s ", (double)sim->t_us / 1e6, sim->host == NULL ? "-" : sim->host->name);
	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	(void)putchar('\n');
}

void
sim_violated(unsigned invariant, const char *fmt, ...)
{
	va_list ap;
	if (sim->failed)
		return; /* the first one is the story */
	sim->failed = true;
	sim->broken = invariant;
	(void)printf("seed %llu: invariant %u is broken at %.3f s: ", (unsigned long long)sim->seed,
	    invariant, (double)sim->t_us / 1e6);
	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	(void)putchar('\n');
}
