#include "foe_h2.h"

/* The honest one asks; its streams are odd numbers of its own connection. */
void
mf_foe_beside(struct mf_foe_ctx *c)
{
	c->probe_id += 2;
	if (mf_foe_ask(&c->probe, c->probe_id, c->path))
		c->probes++;
	else
		c->probe_bad = true;
}

static bool
until_closed(const struct foe *f, const void *arg)
{
	MF_UNUSED(arg);
	return f->closed;
}

static bool
until_over(const struct foe *f, const void *arg)
{
	const struct foe_heard *h = &f->on[*(const uint32_t *)arg];
	return h->grpc >= 0 || h->rst >= 0 || h->http >= 400;
}

/* Send, with the honest one asking half way, and hear the end of the connection. */
uint32_t
mf_foe_end(struct mf_foe_ctx *c)
{
	(void)mf_foe_say(&c->f);
	mf_foe_beside(c);
	(void)mf_foe_hear(&c->f, until_closed, NULL);
	return 0;
}

uint32_t
mf_foe_end_of(struct mf_foe_ctx *c, uint32_t id)
{
	(void)mf_foe_say(&c->f);
	mf_foe_beside(c);
	(void)mf_foe_hear(&c->f, until_over, &id);
	return id;
}

/* ${n} copies of one frame. */
uint32_t
mf_foe_flood(
    struct mf_foe_ctx *c, unsigned n, unsigned type, unsigned flags, uint32_t id, struct mf_slice payload)
{
	for (unsigned i = 0; i < n; i++)
		h2_frame(&c->f.to, type, flags, id, payload);
	return mf_foe_end(c);
}

void
mf_foe_stream(struct mf_foe_ctx *c, uint32_t id, unsigned flags)
{
	mf_foe_head(&c->f, id, flags, c->path, NULL);
}
