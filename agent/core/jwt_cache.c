#include "agent/core/jwt_cache.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/text.h"

#define AUDIENCES_BYTES (MF_LIM_JWT_AUDIENCES * (MF_LIM_JWT_AUDIENCE + 4u))

void
mf_jwt_cache_init(struct mf_jwt_cache *c)
{
	mf_list_init(&c->items);
	c->n = 0;
}

static void
drop(struct mf_jwt_cache *c, struct mf_jwt_item *i)
{
	mf_list_del(&i->at);
	c->n--;
	free(i->spiffe_id);
	mf_buf_fini(&i->audiences);
	mf_buf_fini(&i->token);
	free(i);
}

void
mf_jwt_cache_wipe(struct mf_jwt_cache *c)
{
	MF_LIST_EACH(p, &c->items)
	drop(c, MF_LIST_ITEM(p, struct mf_jwt_item, at));
}

static enum mf_status
put_audiences(struct mf_buf *to, const struct mf_slice *audiences, size_t n, struct mf_err *err)
{
	for (size_t i = 0; i < n; i++) {
		mf_buf_put_u32be(to, (uint32_t)audiences[i].n);
		mf_buf_put_slice(to, audiences[i]);
	}
	return mf_buf_check(to, err);
}

static enum mf_status
make_room(struct mf_jwt_cache *c, struct mf_err *err)
{
	if (c->n < MF_JWT_CACHE_MAX)
		return MF_OK;
	MF_LIST_EACH(p, &c->items)
	{
		struct mf_jwt_item *i = MF_LIST_ITEM(p, struct mf_jwt_item, at);
		if (i->mint_id != 0)
			continue;
		drop(c, i);
		return MF_OK;
	}
	return MF_FAIL(err, MF_E_EXHAUSTED,
	    "this job asks for more than %u tokens at a time: wait for the answers", MF_JWT_CACHE_MAX);
}

static enum mf_status
add(struct mf_jwt_cache *c, const char *spiffe_id, struct mf_slice audiences, struct mf_jwt_item **ret_i,
    struct mf_err *err)
{
	MF_TRY(make_room(c, err));
	struct mf_jwt_item *i = calloc(1, sizeof(*i));
	if (i == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "token: out of memory");
	mf_buf_init(&i->audiences, AUDIENCES_BYTES);
	mf_buf_init(&i->token, MF_LIM_JWT);
	mf_list_init(&i->at);
	mf_list_add_tail(&c->items, &i->at);
	c->n++;
	i->spiffe_id = strdup(spiffe_id);
	mf_buf_put_slice(&i->audiences, audiences);
	if (i->spiffe_id == NULL || mf_buf_check(&i->audiences, NULL) != MF_OK) {
		drop(c, i);
		return MF_FAIL(err, MF_E_NOMEM, "token: out of memory");
	}
	*ret_i = i;
	return MF_OK;
}

enum mf_status
mf_jwt_cache_get(struct mf_jwt_cache *c, const char *spiffe_id, const struct mf_slice *audiences, size_t n,
    struct mf_jwt_item **ret_i, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf key;
	mf_buf_init(&key, AUDIENCES_BYTES);
	MF_TRY(put_audiences(&key, audiences, n, err));
	MF_LIST_EACH(p, &c->items)
	{
		struct mf_jwt_item *i = MF_LIST_ITEM(p, struct mf_jwt_item, at);
		if (strcmp(i->spiffe_id, spiffe_id) != 0 ||
		    !mf_slice_eq(mf_buf_slice(&i->audiences), mf_buf_slice(&key)))
			continue;
		mf_list_del(p);
		mf_list_add_tail(&c->items, p);
		*ret_i = i;
		return MF_OK;
	}
	return add(c, spiffe_id, mf_buf_slice(&key), ret_i, err);
}

struct mf_jwt_item *
mf_jwt_cache_by_mint(struct mf_jwt_cache *c, uint64_t mint_id)
{
	MF_LIST_EACH(p, &c->items)
	{
		struct mf_jwt_item *i = MF_LIST_ITEM(p, struct mf_jwt_item, at);
		if (i->mint_id == mint_id && mint_id != 0)
			return i;
	}
	return NULL;
}

size_t
mf_jwt_cache_distrust(struct mf_jwt_cache *c, const struct mf_distrust *d)
{
	size_t n = 0;
	MF_LIST_EACH(p, &c->items)
	{
		struct mf_jwt_item *i = MF_LIST_ITEM(p, struct mf_jwt_item, at);
		if (!mf_distrust_covers_token(d, mf_buf_slice(&i->token)))
			continue;
		mf_buf_fini(&i->token); /* wiped */
		n++;
	}
	return n;
}

bool
mf_jwt_cache_end(struct mf_jwt_cache *c, const char *jti)
{
	MF_LIST_EACH(p, &c->items)
	{
		struct mf_jwt_item *i = MF_LIST_ITEM(p, struct mf_jwt_item, at);
		if (i->token.n == 0 || strcmp(i->jti, jti) != 0)
			continue;
		mf_buf_fini(&i->token); /* wiped */
		return true;
	}
	return false;
}

void
mf_jwt_cache_void(struct mf_jwt_cache *c)
{
	MF_LIST_EACH(p, &c->items)
	MF_LIST_ITEM(p, struct mf_jwt_item, at)->mint_id = 0;
}

enum mf_jwt_view
mf_jwt_item_view(const struct mf_jwt_item *i, int64_t now_s)
{
	if (i->token.n == 0 || i->exp_s <= now_s)
		return MF_JWT_NONE;
	return now_s >= i->renew_s ? MF_JWT_STALE : MF_JWT_FRESH;
}

enum mf_status
mf_jwt_item_grant(struct mf_jwt_item *i, struct mf_slice token, struct mf_slice jti, int64_t exp_s,
    int64_t now_s, struct mf_err *err)
{
	size_t dots = 0;
	i->mint_id = 0;
	for (size_t k = 0; k < token.n; k++)
		dots += token.p[k] == '.';
	if (dots != 2 || token.n > MF_LIM_JWT || jti.n > MF_JWT_JTI_MAX || exp_s <= now_s)
		return MF_FAIL(
		    err, MF_E_INVALID, "token: not a compact JWT, or it has expired: do the clocks agree?");
	mf_buf_fini(&i->token); /* wiped */
	mf_buf_put_slice(&i->token, token);
	if (mf_buf_check(&i->token, err) != MF_OK) {
		mf_buf_fini(&i->token);
		return MF_E_NOMEM;
	}
	if (jti.n > 0)
		memcpy(i->jti, jti.p, jti.n);
	i->jti[jti.n] = '\0';
	i->exp_s = exp_s;
	i->renew_s = now_s + (exp_s - now_s) / 2;
	i->refused = false;
	return MF_OK;
}

void
mf_jwt_item_refuse(struct mf_jwt_item *i, uint32_t code, struct mf_slice reason, bool final, uint64_t now_ms)
{
	size_t n = mf_utf8_cut(reason, MF_JWT_REASON_MAX);
	i->mint_id = 0;
	i->refused = true;
	i->code = code;
	i->refused_ms = now_ms;
	if (n > 0)
		memcpy(i->reason, reason.p, n);
	i->reason[n] = '\0';
	if (final)
		mf_buf_fini(&i->token);
}
