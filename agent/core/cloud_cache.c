#include "agent/core/cloud_cache.h"

#include <stdlib.h>

#include "base/text.h"

static const char *const kinds[] = { [MF_CLOUD_AWS] = "aws", [MF_CLOUD_BEARER] = "bearer" };

const char *
mf_cloud_kind_name(enum mf_cloud_kind k)
{
	return (size_t)k < MF_COUNT(kinds) && kinds[k] != NULL ? kinds[k] : "?";
}

static enum mf_cloud_kind
kind_of(struct mf_slice name)
{
	for (size_t k = 1; k < MF_COUNT(kinds); k++)
		if (mf_slice_eq_str(name, kinds[k]))
			return (enum mf_cloud_kind)k;
	return 0;
}

static void
set_text(char to[MF_CLOUD_TEXT_MAX + 1], struct mf_slice s)
{
	size_t n = mf_utf8_cut(s, MF_CLOUD_TEXT_MAX);
	if (n > 0)
		memcpy(to, s.p, n);
	to[n] = '\0';
}

void
mf_cloud_cache_init(struct mf_cloud_cache *c)
{
	mf_list_init(&c->items);
	c->n = 0;
	c->offered = false;
}

static void
wipe_token(struct mf_cloud_item *i)
{
	mf_buf_fini(&i->token); /* wiped */
	mf_buf_fini(&i->answer);
	i->credential_id[0] = '\0';
	i->version++;
}

static void
drop(struct mf_cloud_cache *c, struct mf_cloud_item *i)
{
	mf_list_del(&i->at);
	c->n--;
	mf_buf_fini(&i->token);
	mf_buf_fini(&i->answer);
	free(i);
}

void
mf_cloud_cache_wipe(struct mf_cloud_cache *c)
{
	MF_LIST_EACH(p, &c->items)
	drop(c, MF_LIST_ITEM(p, struct mf_cloud_item, at));
	c->offered = false;
}

struct mf_cloud_item *
mf_cloud_cache_find(struct mf_cloud_cache *c, struct mf_slice grant)
{
	MF_LIST_EACH(p, &c->items)
	{
		struct mf_cloud_item *i = MF_LIST_ITEM(p, struct mf_cloud_item, at);
		if (mf_slice_eq_str(grant, i->grant))
			return i;
	}
	return NULL;
}

/* A name stands in paths, in variables of environments and in file names. */
static bool
name_ok(struct mf_slice s)
{
	if (s.n == 0 || s.n > MF_CLOUD_NAME_MAX)
		return false;
	for (size_t k = 0; k < s.n; k++) {
		uint8_t b = s.p[k];
		bool word = (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9');
		if (!word && (k == 0 || (b != '-' && b != '_' && b != '.')))
			return false;
	}
	return true;
}

/* 0: of no use here, for its kind or for its name. */
static enum mf_cloud_kind
usable(const struct mf_cloud_offer *o)
{
	return name_ok(o->grant) ? kind_of(o->kind) : 0;
}

static enum mf_status
check_offers(const struct mf_cloud_offer *o, size_t n, struct mf_err *err)
{
	if (n > MF_CLOUD_GRANTS)
		return MF_FAIL(err, MF_E_INVALID, "%zu cloud grants, at most %u", n, MF_CLOUD_GRANTS);
	for (size_t k = 0; k < n; k++) {
		for (size_t j = 0; j < k; j++)
			if (mf_slice_eq(o[j].grant, o[k].grant))
				return MF_FAIL(err, MF_E_INVALID, "a cloud grant is offered twice");
	}
	return MF_OK;
}

static struct mf_cloud_item *
make(const struct mf_cloud_offer *o, enum mf_cloud_kind kind)
{
	struct mf_cloud_item *i = calloc(1, sizeof(*i));
	if (i == NULL)
		return NULL;
	mf_list_init(&i->at);
	mf_buf_init(&i->token, MF_CLOUD_TOKEN_MAX);
	mf_buf_init(&i->answer, 2 * MF_CLOUD_TOKEN_MAX);
	memcpy(i->grant, o->grant.p, o->grant.n);
	i->kind = kind;
	return i;
}

enum mf_status
mf_cloud_cache_offer(
    struct mf_cloud_cache *c, const struct mf_cloud_offer *offers, size_t n, struct mf_err *err)
{
	struct mf_cloud_item *fresh[MF_CLOUD_GRANTS] = { 0 };
	enum mf_status s = check_offers(offers, n, err);
	MF_TRY(s);
	for (size_t k = 0; k < n && s == MF_OK; k++) {
		enum mf_cloud_kind kind = usable(&offers[k]);
		const struct mf_cloud_item *old = mf_cloud_cache_find(c, offers[k].grant);
		if (kind == 0 || (old != NULL && old->kind == kind))
			continue;
		fresh[k] = make(&offers[k], kind);
		if (fresh[k] == NULL)
			s = MF_FAIL(err, MF_E_NOMEM, "cloud grants: out of memory");
	}
	for (size_t k = 0; k < n && s != MF_OK; k++)
		free(fresh[k]);
	MF_TRY(s);
	struct mf_list old;
	mf_list_init(&old);
	MF_LIST_EACH(p, &c->items)
	{
		mf_list_del(p);
		mf_list_add_tail(&old, p);
	}
	for (size_t k = 0; k < n; k++) {
		struct mf_cloud_item *i = fresh[k];
		MF_LIST_EACH(p, &old)
		{
			struct mf_cloud_item *was = MF_LIST_ITEM(p, struct mf_cloud_item, at);
			if (i == NULL && mf_slice_eq_str(offers[k].grant, was->grant) &&
			    was->kind == usable(&offers[k])) {
				mf_list_del(p);
				i = was;
			}
		}
		if (i == NULL)
			continue; /* of no use */
		c->n += i == fresh[k];
		set_text(i->target, offers[k].target);
		set_text(i->region, offers[k].region);
		set_text(i->service_endpoint, offers[k].service_endpoint);
		mf_list_add_tail(&c->items, &i->at);
	}
	MF_LIST_EACH(p, &old)
	drop(c, MF_LIST_ITEM(p, struct mf_cloud_item, at));
	c->offered = true;
	return MF_OK;
}

struct mf_cloud_item *
mf_cloud_cache_by_mint(struct mf_cloud_cache *c, uint64_t mint_id)
{
	MF_LIST_EACH(p, &c->items)
	{
		struct mf_cloud_item *i = MF_LIST_ITEM(p, struct mf_cloud_item, at);
		if (i->mint_id == mint_id && mint_id != 0)
			return i;
	}
	return NULL;
}

void
mf_cloud_cache_void(struct mf_cloud_cache *c)
{
	MF_LIST_EACH(p, &c->items)
	MF_LIST_ITEM(p, struct mf_cloud_item, at)->mint_id = 0;
}

enum mf_cloud_view
mf_cloud_item_view(const struct mf_cloud_item *i, struct mf_now now)
{
	int64_t now_s = now.wall_us / 1000000;
	if (i->token.n == 0 || i->effective_s - MF_CLOUD_LAST_S <= now_s)
		return MF_CLOUD_NONE;
	return now_s >= i->renew_s ? MF_CLOUD_STALE : MF_CLOUD_FRESH;
}

static void
wait_longer(struct mf_cloud_item *i, struct mf_now now, uint64_t random)
{
	uint64_t ms = MF_CLOUD_RETRY_MS;
	for (unsigned k = 0; k < i->failures && ms < MF_CLOUD_RETRY_MAX_MS; k++)
		ms *= 2;
	if (ms > MF_CLOUD_RETRY_MAX_MS)
		ms = MF_CLOUD_RETRY_MAX_MS;
	i->failures++;
	i->not_before_ms = now.mono_ms + ms / 2 + random % (ms / 2 + 1);
}

bool
mf_cloud_item_may_ask(struct mf_cloud_item *i, struct mf_now now)
{
	if (i->mint_id != 0 && now.mono_ms - i->asked_ms >= MF_CLOUD_ANSWER_MS)
		i->mint_id = 0;
	return i->mint_id == 0 && !i->over && now.mono_ms >= i->not_before_ms;
}

void
mf_cloud_item_asked(struct mf_cloud_item *i, uint64_t mint_id, struct mf_now now)
{
	i->mint_id = mint_id;
	i->asked_ms = now.mono_ms;
}

/* Half of what is left, moved by a tenth of the whole either way. */
static int64_t
renew_at(int64_t now_s, int64_t end_s, uint64_t random)
{
	int64_t life = end_s - now_s, tenth = life / 10;
	int64_t moved = (int64_t)(random % (uint64_t)(2 * tenth + 1)) - tenth;
	return now_s + life / 2 + moved;
}

static enum mf_status
check_grant(
    const struct mf_cloud_item *i, const struct mf_cloud_granted *g, int64_t now_s, struct mf_err *err)
{
	if (!mf_slice_eq_str(g->grant, i->grant) || kind_of(g->kind) != i->kind)
		return MF_FAIL(err, MF_E_INVALID, "cloud token: for another grant, or of another kind");
	if (g->token.n == 0 || g->token.n > MF_CLOUD_TOKEN_MAX)
		return MF_FAIL(err, MF_E_INVALID, "cloud token: %zu bytes", g->token.n);
	if (g->effective_s <= now_s + MF_CLOUD_LAST_S || g->expires_s < g->effective_s)
		return MF_FAIL(err, MF_E_INVALID, "cloud token: it is over already: do the clocks agree?");
	return MF_OK;
}

enum mf_status
mf_cloud_item_grant(struct mf_cloud_item *i, const struct mf_cloud_granted *g, struct mf_now now,
    uint64_t random, struct mf_err *err)
{
	int64_t now_s = now.wall_us / 1000000;
	struct mf_buf token;
	mf_buf_init(&token, MF_CLOUD_TOKEN_MAX);
	enum mf_status s = check_grant(i, g, now_s, err);
	if (s == MF_OK) {
		mf_buf_put_slice(&token, g->token);
		s = mf_buf_check(&token, err);
	}
	if (s != MF_OK) {
		mf_buf_fini(&token);
		mf_cloud_item_failed(i, MF_SLICE_LIT("what the broker sent was not taken"), now, random);
		return s;
	}
	wipe_token(i);
	i->token = token;
	set_text(i->credential_id, g->credential_id);
	i->expires_s = g->expires_s;
	i->effective_s = g->effective_s;
	i->renew_s = renew_at(now_s, g->effective_s, random);
	i->mint_id = i->not_before_ms = 0;
	i->failures = 0;
	i->denied = i->over = false;
	i->reason[0] = '\0';
	return MF_OK;
}

void
mf_cloud_item_failed(struct mf_cloud_item *i, struct mf_slice reason, struct mf_now now, uint64_t random)
{
	i->mint_id = 0;
	set_text(i->reason, reason);
	wait_longer(i, now, random);
}

void
mf_cloud_item_deny(struct mf_cloud_item *i, struct mf_slice reason, uint64_t hold_ms, struct mf_now now)
{
	i->mint_id = 0;
	i->denied = true;
	i->not_before_ms = now.mono_ms + hold_ms;
	set_text(i->reason, reason);
	wipe_token(i);
}

bool
mf_cloud_item_end(struct mf_cloud_item *i, struct mf_slice id, struct mf_slice reason, bool may_ask_again)
{
	if (id.n > 0 && !mf_slice_eq_str(id, i->credential_id))
		return false;
	wipe_token(i);
	i->over = !may_ask_again;
	i->denied = false;
	i->not_before_ms = 0;
	if (!may_ask_again)
		i->mint_id = 0; /* what is under way is not taken */
	set_text(i->reason, reason);
	return true;
}
