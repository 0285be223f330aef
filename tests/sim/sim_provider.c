/* Two providers of cloud tokens: what they give, what they deny and when that holds. */
#include "sim_cloud.h"

#include <stdlib.h>

#include "base/text.h"
#include "crypto/hash.h"
#include "rpc/pb_check.h"

#define ENTRIES 320u
#define ROLES 3u
#define LEEWAY_S 60

struct entry {
	char tag[16], value[MF_DENY_VALUE];
};

struct list {
	struct entry v[ENTRIES];
	size_t n;
};

/* A role of the store: its deny list as it was put last, and as it still stands where that has not arrived. */
struct role {
	char name[32];
	struct list here, there;
	uint64_t there_us; /* when the latest arrives there: one after the other */
};

struct sim_provider {
	struct sim_token tokens[SIM_TOKENS];
	size_t n;
	struct role roles[ROLES];
	uint64_t away_us;
	size_t room;
	Mayfly__Roles__V1__CloudDeny *denied[ENTRIES]; /* of the latest answer */
};

struct sim_provider *
sim_provider_new(void)
{
	struct sim_provider *p = sim_alloc(sizeof(*p));
	p->room = sim_one_in(4) ? 6 : ENTRIES;
	return p;
}

void
sim_provider_free(struct sim_provider *p)
{
	free(p);
}

int64_t
sim_provider_s(void)
{
	return (SIM_EPOCH_US + (int64_t)sim->t_us) / 1000000;
}

void
sim_provider_away(uint64_t us)
{
	sim_trace("the providers are away");
	sim->provider->away_us = sim->t_us + us;
}

size_t
sim_provider_tokens(void)
{
	return sim->provider->n;
}

struct sim_token *
sim_provider_token(size_t i)
{
	return &sim->provider->tokens[i];
}

const struct sim_token *
sim_provider_find(const char *cred)
{
	for (size_t i = sim->provider->n; i-- > 0;)
		if (strcmp(sim->provider->tokens[i].cred, cred) == 0)
			return &sim->provider->tokens[i];
	return NULL;
}

/* ---- giving ---- */

/* The value of ${name}, a text or the first of a list, in claims that the product wrote; "" when there is none. */
static void
claim(const struct mf_buf *claims, const char *name, char *to, size_t cap)
{
	char key[64];
	(void)snprintf(key, sizeof(key), "\"%s\":[\"", name);
	const char *at = memmem(claims->p, claims->n, key, strlen(key));
	const char *end = (const char *)claims->p + claims->n;
	size_t n = 0;
	for (at = at == NULL ? end : at + strlen(key); at < end && *at != '"' && n + 1 < cap; at++)
		to[n++] = *at;
	to[n] = '\0';
}

static int64_t
number(const struct mf_buf *claims, const char *name)
{
	char key[32];
	(void)snprintf(key, sizeof(key), "\"%s\":", name);
	const char *at = memmem(claims->p, claims->n, key, strlen(key));
	return at == NULL ? 0 : strtoll(at + strlen(key), NULL, 10);
}

static void
read_claims(ProtobufCBinaryData jwt, struct mf_buf *claims)
{
	const uint8_t *dot = memchr(jwt.data, '.', jwt.len);
	const uint8_t *end =
	    dot == NULL ? NULL : memchr(dot + 1, '.', jwt.len - (size_t)(dot + 1 - jwt.data));
	if (end == NULL ||
	    mf_base64url_get(mf_slice(dot + 1, (size_t)(end - dot - 1)), claims, NULL) != MF_OK)
		sim_abort("an assertion that is no JWT");
	mf_buf_put_u8(claims, '\0');
}

static void
no(Mayfly__Roles__V1__MintResult *r, const char *error)
{
	r->error = (char *)(uintptr_t)error;
	r->reason = (char *)(uintptr_t) "so it is";
}

static struct sim_token *
make(const Mayfly__Roles__V1__MintRequest *q, const struct mf_buf *claims)
{
	struct sim_provider *p = sim->provider;
	if (p->n == SIM_TOKENS)
		sim_abort("more cloud tokens than a history has");
	struct sim_token *t = &p->tokens[p->n++];
	*t = (struct sim_token) { .store = strcmp(q->target, "store") == 0,
		.exp = sim_provider_s() + (q->ttl_s == 0 ? SIM_IDP_TTL_S : q->ttl_s),
		.not_after = q->not_after };
	(void)snprintf(t->cred, sizeof(t->cred), "%s", q->credential_id);
	(void)snprintf(t->role, sizeof(t->role), "%s", q->role);
	claim(claims, "mayfly-job", t->job, sizeof(t->job));
	claim(claims, "mayfly-lease", t->lease, sizeof(t->lease));
	if (t->store) {
		char cred[MF_STATE_ID_MAX];
		claim(claims, "mayfly-cred", cred, sizeof(cred));
		if (strcmp(cred, t->cred) != 0)
			sim_violated(4, "the assertion for credential %s is tagged %s", t->cred, cred);
	}
	return t;
}

static void
hash_of(const char *text, char to[65])
{
	uint8_t sum[MF_SHA256_SIZE];
	mf_sha256(mf_slice_str(text), sum);
	for (size_t i = 0; i < sizeof(sum); i++)
		(void)snprintf(to + 2 * i, 3, "%02x", sum[i]);
}

static void
put_token(struct sim_token *t, struct mf_buf *to)
{
	Mayfly__Roles__V1__CloudToken m = MAYFLY__ROLES__V1__CLOUD_TOKEN__INIT;
	char text[64], key[] = "AKID", secret[] = "secret";
	(void)snprintf(text, sizeof(text), "token-%016llx%016llx", (unsigned long long)sim_below(UINT64_MAX),
	    (unsigned long long)sim_below(UINT64_MAX));
	hash_of(text, t->hash);
	m.kind = t->store ? MAYFLY__ROLES__V1__CLOUD_TOKEN__KIND__KIND_AWS
			  : MAYFLY__ROLES__V1__CLOUD_TOKEN__KIND__KIND_BEARER;
	if (t->store) {
		m.access_key_id = key;
		m.secret_access_key = secret;
		m.session_token = text;
	} else {
		m.access_token = text;
	}
	if (mf_pb_pack(&m.base, to, NULL) != MF_OK)
		sim_abort("a token that cannot be packed");
}

void
sim_provider_mint(
    const Mayfly__Roles__V1__MintRequest *q, Mayfly__Roles__V1__MintResult *r, struct mf_buf *token)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf claims;
	mf_buf_init(&claims, MF_LIM_JWT);
	read_claims(q->assertion, &claims);
	int64_t now_s = sim_provider_s();
	r->mint_id = q->mint_id;
	if (sim->t_us < sim->provider->away_us) {
		no(r, sim_one_in(2) ? "transient" : "unknown");
	} else if (number(&claims, "exp") + LEEWAY_S < now_s || number(&claims, "nbf") - LEEWAY_S > now_s) {
		no(r, "clock");
	} else if (sim_one_in(16)) {
		no(r, sim_one_in(2) ? "throttled" : "denied");
	} else {
		struct sim_token *t = make(q, &claims);
		put_token(t, token);
		sim_trace("%s gives %s until %lld", q->target, t->cred, (long long)t->exp);
		sim_saw_minted(t);
		if (sim_one_in(16)) { /* the reply is cut */
			no(r, "unknown");
			return;
		}
		r->minted = true;
		r->token = (ProtobufCBinaryData) { token->n, token->p };
		r->expires = t->exp;
	}
}

/* ---- taking back ---- */

static struct role *
role_of(const char *name)
{
	for (size_t i = 0; i < ROLES; i++) {
		struct role *r = &sim->provider->roles[i];
		if (r->name[0] == '\0')
			(void)snprintf(r->name, sizeof(r->name), "%s", name);
		if (strcmp(r->name, name) == 0)
			return r;
	}
	sim_abort("more roles than the store has");
}

static bool
meets(const struct entry *e, const struct sim_token *t)
{
	return strcmp(e->value, strcmp(e->tag, "mayfly-job") == 0     ? t->job
				: strcmp(e->tag, "mayfly-lease") == 0 ? t->lease
								      : t->cred) == 0;
}

/* What stood there and does not any more for want of room. */
static void
note_pushed(const struct list *old, const struct list *now)
{
	for (size_t i = 0; i < old->n; i++) {
		bool stays = false;
		for (size_t k = 0; k < now->n && !stays; k++)
			stays = strcmp(old->v[i].value, now->v[k].value) == 0;
		for (size_t k = 0; k < sim->provider->n && !stays; k++)
			if (meets(&old->v[i], &sim->provider->tokens[k]))
				sim->provider->tokens[k].pushed_us = sim->t_us;
	}
}

struct update {
	struct role *role;
	struct list list;
};

static void
arrives(void *arg, uint64_t x)
{
	struct update *u = arg;
	MF_UNUSED(x);
	u->role->there = u->list;
	free(u);
}

/* The document is replaced as a whole: at once here, and elsewhere within what the store documents. */
static void
put_list(struct role *r, const Mayfly__Roles__V1__CloudRevokeRequest *q, size_t n)
{
	struct update *u = sim_alloc(sizeof(*u));
	uint64_t at = sim->t_us + sim_below(SIM_DENY_LATENCY_S * SIM_S);
	u->role = r;
	u->list.n = n;
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(u->list.v[i].tag, sizeof(u->list.v[i].tag), "%s", q->deny[i]->tag);
		(void)snprintf(u->list.v[i].value, sizeof(u->list.v[i].value), "%s", q->deny[i]->value);
	}
	if (n < q->n_deny)
		note_pushed(&r->here, &u->list);
	r->here = u->list;
	r->there_us = at > r->there_us ? at : r->there_us;
	sim_after(r->there_us - sim->t_us, arrives, u, 0, NULL);
}

void
sim_provider_revoke(const Mayfly__Roles__V1__CloudRevokeRequest *q, Mayfly__Roles__V1__CloudRevokeResult *r)
{
	struct sim_provider *p = sim->provider;
	r->revoke_id = q->revoke_id;
	if (sim->t_us < p->away_us || sim_one_in(16)) {
		r->error = (char *)(uintptr_t) "transient";
		r->retry_after_ms = sim_one_in(2) ? 0 : (uint32_t)sim_between(1, 3000);
		return;
	}
	if (q->n_deny > ENTRIES || strcmp(q->target, "store") != 0 || !q->whole)
		sim_abort("a revocation that the simulation does not know");
	size_t n = q->n_deny < p->room ? q->n_deny : p->room;
	put_list(role_of(q->role), q, n);
	sim_trace("the store denies %zu of %zu for %s", n, q->n_deny, q->role);
	if (sim_one_in(16)) { /* done, and the reply is lost */
		r->error = (char *)(uintptr_t) "unknown";
		return;
	}
	for (size_t i = 0; i < n; i++)
		p->denied[i] = q->deny[i];
	r->confirmed = true;
	r->level = 2;
	r->overflow = n < q->n_deny;
	r->n_denied = r->overflow ? n : 0;
	r->denied = p->denied;
	/* By the broker's clock, at this moment, and rounded up. */
	r->dead_at = sim_now_of(sim_notary_host(sim->notary)).wall_us / 1000000 + 1 + SIM_DENY_LATENCY_S;
}

static bool
denied(const struct list *l, const struct sim_token *t)
{
	for (size_t i = 0; i < l->n; i++)
		if (meets(&l->v[i], t))
			return true;
	return false;
}

bool
sim_provider_usable(const struct sim_token *t)
{
	int64_t now_s = sim_provider_s();
	const struct role *r = t->store ? role_of(t->role) : NULL;
	if (now_s >= t->exp || (t->not_after != 0 && now_s >= t->not_after))
		return false;
	return r == NULL || !denied(&r->here, t) || !denied(&r->there, t);
}
