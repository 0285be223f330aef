#include "crypto/inner.h"

#include <stdlib.h>

#include "base/list.h"

#define FLAG_LAST 0x01u
#define FLAG_REMOVAL 0x02u
#define LANES 2
#define CHUNK_ROOM (1u + MF_LIM_INNER_CHUNK) /* a full chunk's plaintext with its flag byte */
#define ITEM_COST 64u			     /* what a queued message costs beside its bytes */
#define NAME_MAX_LEN 255u

static const char prologue_tag[] = "mayfly-inner-1"; /* goes in with its NUL */

/* A queued message, laid out as its chunks: flag byte, up to 16 KiB, flag byte, ... */
struct item {
	struct mf_list at;
	uint64_t coalesce;
	size_t cost;
	size_t n;    /* bytes of ${p} */
	size_t sent; /* bytes of ${p} sealed so far, a multiple of CHUNK_ROOM */
	uint8_t p[];
};

struct lane {
	struct mf_list items;
	size_t cost, cap;
};

struct mf_inner {
	struct mf_noise *noise;
	struct lane lane[LANES];
	struct mf_inner_join join;
};

enum mf_status
mf_inner_prologue(
    struct mf_slice trust_domain, struct mf_slice broker_id, struct mf_buf *out, struct mf_err *err)
{
	const struct mf_slice names[] = { trust_domain, broker_id };
	for (size_t i = 0; i < MF_COUNT(names); i++)
		if (names[i].n == 0 || names[i].n > NAME_MAX_LEN)
			return MF_FAIL(err, MF_E_INVALID, "inner session: %s of %zu bytes, not 1 to %u",
			    i == 0 ? "trust domain" : "broker id", names[i].n, NAME_MAX_LEN);
	mf_buf_put(out, prologue_tag, sizeof(prologue_tag));
	for (size_t i = 0; i < MF_COUNT(names); i++) {
		mf_buf_put_u16be(out, (uint16_t)names[i].n);
		mf_buf_put_slice(out, names[i]);
	}
	return mf_buf_check(out, err);
}

enum mf_status
mf_inner_new(struct mf_noise *noise, struct mf_inner **ret_inner, struct mf_err *err)
{
	if (!mf_noise_ready(noise))
		return MF_FAIL(err, MF_E_STATE, "inner session: the handshake is not done");
	struct mf_inner *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "inner session: out of memory");
	s->noise = noise;
	for (size_t i = 0; i < LANES; i++)
		mf_list_init(&s->lane[i].items);
	s->lane[MF_INNER_BOUNDED].cap = MF_LIM_INNER_QUEUE;
	s->lane[MF_INNER_REMOVAL].cap = MF_LIM_INNER_REMOVALS;
	mf_inner_join_init(&s->join);
	*ret_inner = s;
	return MF_OK;
}

static void
item_free(struct item *it)
{
	mf_wipe(it->p, it->n);
	free(it);
}

static void
item_drop(struct lane *l, struct item *it)
{
	l->cost -= it->cost;
	mf_list_del(&it->at);
	item_free(it);
}

void
mf_inner_free(struct mf_inner *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < LANES; i++)
		MF_LIST_EACH(pos, &s->lane[i].items)
	item_drop(&s->lane[i], MF_LIST_ITEM(pos, struct item, at));
	mf_inner_join_fini(&s->join);
	mf_noise_free(s->noise);
	free(s);
}

const struct mf_noise *
mf_inner_noise(const struct mf_inner *s)
{
	return s->noise;
}

static struct item *
find_unsent(struct lane *l, uint64_t coalesce)
{
	if (coalesce == 0)
		return NULL;
	MF_LIST_EACH(pos, &l->items)
	{
		struct item *it = MF_LIST_ITEM(pos, struct item, at);
		if (it->coalesce == coalesce && it->sent == 0)
			return it;
	}
	return NULL;
}

/* ${msg} cut into its chunks; NULL without memory. */
static struct item *
item_new(enum mf_inner_lane lane, uint64_t coalesce, struct mf_slice msg)
{
	size_t chunks = (msg.n + MF_LIM_INNER_CHUNK - 1) / MF_LIM_INNER_CHUNK;
	struct item *it = malloc(sizeof(*it) + msg.n + chunks);
	if (it == NULL)
		return NULL;
	mf_list_init(&it->at);
	it->coalesce = coalesce;
	it->cost = msg.n + ITEM_COST;
	it->n = msg.n + chunks;
	it->sent = 0;
	for (size_t i = 0; i < chunks; i++) {
		struct mf_slice part = mf_slice_sub(msg, i * MF_LIM_INNER_CHUNK, MF_LIM_INNER_CHUNK);
		uint8_t *at = it->p + i * CHUNK_ROOM;
		at[0] = (uint8_t)((i + 1 == chunks ? FLAG_LAST : 0) |
				  (lane == MF_INNER_REMOVAL ? FLAG_REMOVAL : 0));
		memcpy(at + 1, part.p, part.n);
	}
	return it;
}

enum mf_status
mf_inner_send(
    struct mf_inner *s, enum mf_inner_lane lane, uint64_t coalesce, struct mf_slice msg, struct mf_err *err)
{
	if (!mf_noise_ready(s->noise))
		return MF_FAIL(err, MF_E_CLOSED, "inner session: it has ended; make a new one");
	if (msg.n == 0 || msg.n > MF_LIM_INNER_MESSAGE)
		return MF_FAIL(err, msg.n == 0 ? MF_E_INVALID : MF_E_TOOBIG,
		    "inner message: %zu bytes, not 1 to %u", msg.n, MF_LIM_INNER_MESSAGE);
	struct lane *l = &s->lane[lane == MF_INNER_REMOVAL ? MF_INNER_REMOVAL : MF_INNER_BOUNDED];
	struct item *old = find_unsent(l, coalesce);
	size_t kept = l->cost - (old == NULL ? 0 : old->cost);
	if (msg.n + ITEM_COST > l->cap - kept)
		return MF_FAIL(err, MF_E_EXHAUSTED,
		    "inner session: %zu bytes wait already; the peer takes nothing", l->cost);
	struct item *it = item_new(lane, coalesce, msg);
	if (it == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "inner message: out of memory");
	if (old == NULL) {
		mf_list_add_tail(&l->items, &it->at);
	} else { /* in its place: a state that keeps changing must not keep moving back */
		mf_list_add_tail(&old->at, &it->at);
		item_drop(l, old);
	}
	l->cost += it->cost;
	return MF_OK;
}

static struct lane *
next_lane(struct mf_inner *s)
{
	if (!mf_list_empty(&s->lane[MF_INNER_REMOVAL].items))
		return &s->lane[MF_INNER_REMOVAL];
	if (!mf_list_empty(&s->lane[MF_INNER_BOUNDED].items))
		return &s->lane[MF_INNER_BOUNDED];
	return NULL;
}

enum mf_status
mf_inner_next(struct mf_inner *s, struct mf_buf *out, struct mf_err *err)
{
	if (!mf_noise_ready(s->noise))
		return MF_FAIL(err, MF_E_CLOSED, "inner session: it has ended; make a new one");
	struct lane *l = next_lane(s);
	if (l == NULL)
		return MF_E_AGAIN;
	struct item *it = MF_LIST_ITEM(l->items.next, struct item, at);
	struct mf_slice chunk = mf_slice_sub(mf_slice(it->p, it->n), it->sent, CHUNK_ROOM);
	MF_TRY(mf_noise_seal(s->noise, chunk, out, err)); /* a failure has ended the session */
	it->sent += chunk.n;
	if (it->sent == it->n)
		item_drop(l, it);
	return MF_OK;
}

bool
mf_inner_pending(const struct mf_inner *s)
{
	return !mf_list_empty(&s->lane[MF_INNER_REMOVAL].items) ||
	       !mf_list_empty(&s->lane[MF_INNER_BOUNDED].items);
}

size_t
mf_inner_queued(const struct mf_inner *s)
{
	return s->lane[MF_INNER_REMOVAL].cost + s->lane[MF_INNER_BOUNDED].cost;
}

enum mf_status
mf_inner_feed(struct mf_inner *s, struct mf_slice sealed, enum mf_inner_lane *ret_lane,
    struct mf_slice *ret_message, struct mf_err *err)
{
	if (!mf_noise_ready(s->noise))
		return MF_FAIL(err, MF_E_CLOSED, "inner session: it has ended; make a new one");
	enum mf_status st;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf chunk; /* wipes the plaintext */
	mf_buf_init(&chunk, CHUNK_ROOM);
	if (sealed.n > MF_INNER_SEALED_MAX)
		st = MF_FAIL(err, MF_E_TOOBIG, "inner chunk: %zu sealed bytes", sealed.n);
	else
		st = mf_noise_open(s->noise, sealed, &chunk, err);
	if (st == MF_OK)
		st = mf_inner_join_feed(&s->join, mf_buf_slice(&chunk), ret_lane, ret_message, err);
	if (st != MF_OK && st != MF_E_AGAIN) {
		mf_noise_end(s->noise);
		mf_inner_join_fini(&s->join);
	}
	return st;
}

void
mf_inner_limit_message(struct mf_inner *s, size_t max)
{
	s->join.max = max < MF_LIM_INNER_MESSAGE ? max : MF_LIM_INNER_MESSAGE;
}
