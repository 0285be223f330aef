#include "rig_handles.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct rig *
mf_rig_with_handles(struct rig_cloud *c, struct rig_handles *h, struct rig_job *j)
{
	bool introspects = h->introspects, by_key = h->by_key, jwt = h->jwt;
	memset(h, 0, sizeof(*h));
	h->introspects = introspects;
	h->by_key = by_key;
	h->jwt = jwt;
	struct rig *r = mf_rig_with_cloud(c, j);
	c->handles = h;
	c->backend.caps.levels = MF_REVOKE_STOPPED | MF_REVOKE_CREDENTIAL;
	c->backend.caps.needs_handle = true;
	mf_rig_cloud_conf(r);
	return r;
}

void
mf_rig_handles_target(const struct rig_handles *h, Mayfly__Roles__V1__CloudTarget *t)
{
	static char introspection[] = "https://as.example/introspect",
		    revocation[] = "https://as.example/revoke", auth[] = "private_key_jwt",
		    client[] = "broker";
	t->revocation_endpoint = revocation;
	if (h->introspects)
		t->introspection_endpoint = introspection;
	if (h->by_key) {
		t->client_auth = auth;
		t->client_id = client;
	}
}

static void
secret_of(const char *cred, char to[64])
{
	(void)snprintf(to, 64, "handle-of-%s", cred);
}

void
mf_rig_handles_result(
    const struct rig_handles *h, const Mayfly__Roles__V1__MintRequest *q, Mayfly__Roles__V1__MintResult *m)
{
	static char secret[64], jwt[] = "jwt", opaque[] = "opaque";
	secret_of(q->credential_id, secret);
	m->handle.data = (uint8_t *)secret;
	m->handle.len = strlen(secret);
	m->token_format = h->jwt ? jwt : opaque;
}

static struct rig_handles *
handles_of(void *ctx)
{
	const struct rig *r = ctx;
	return r->cloud == NULL ? NULL : r->cloud->handles;
}

static struct rig_handle *
find(struct rig_handles *h, const char *cred)
{
	for (size_t i = 0; i < h->n; i++)
		if (strcmp(h->all[i].cred, cred) == 0)
			return &h->all[i];
	return NULL;
}

const struct rig_handle *
mf_rig_handle(const struct rig_handles *h, const char *cred)
{
	for (size_t i = 0; i < h->n; i++)
		if (strcmp(h->all[i].cred, cred) == 0)
			return &h->all[i];
	return NULL;
}

size_t
mf_rig_on_disk(const struct rig_handles *h)
{
	size_t n = 0;
	for (size_t i = 0; i < h->n; i++)
		n += h->all[i].on_disk;
	return n;
}

bool
mf_rig_op_keep_handle(void *ctx, const char *cred, struct mf_slice secret, int64_t until)
{
	struct rig_handles *h = handles_of(ctx);
	if (h == NULL || h->n == RIG_HANDLES)
		return false;
	struct rig_handle *x = &h->all[h->n++];
	*x = (struct rig_handle) { .until = until };
	(void)snprintf(x->cred, sizeof(x->cred), "%s", cred);
	assert_true(secret.n < sizeof(x->secret));
	memcpy(x->secret, secret.p, secret.n);
	return true;
}

static void
drop(struct rig_handles *h, struct rig_handle *x)
{
	*x = h->all[--h->n];
}

void
mf_rig_keep_all(struct rig *r, bool ok)
{
	struct rig_handles *h = r->cloud->handles;
	char todo[RIG_HANDLES][MF_STATE_ID_MAX];
	size_t n = 0;
	for (size_t i = 0; i < h->n; i++)
		if (!h->all[i].on_disk)
			memcpy(todo[n++], h->all[i].cred, MF_STATE_ID_MAX);
	for (size_t i = 0; i < n; i++) {
		struct rig_handle *x = find(h, todo[i]);
		x->on_disk = ok;
		if (!ok)
			drop(h, x);
		mf_engine_handle_kept(r->e, r->now, todo[i], ok ? NULL : "no space left on device");
	}
}

bool
mf_rig_op_open_handle(void *ctx, const char *cred)
{
	struct rig_handles *h = handles_of(ctx);
	if (h == NULL || h->opening_n == RIG_HANDLES)
		return false;
	(void)snprintf(h->opening[h->opening_n++], MF_STATE_ID_MAX, "%s", cred);
	h->opened_in_all++;
	return true;
}

void
mf_rig_open_all(struct rig *r, enum mf_status s)
{
	struct rig_handles *h = r->cloud->handles;
	while (h->opening_n > 0) {
		char cred[MF_STATE_ID_MAX];
		memcpy(cred, h->opening[0], sizeof(cred));
		memmove(h->opening[0], h->opening[1], --h->opening_n * MF_STATE_ID_MAX);
		const struct rig_handle *x = mf_rig_handle(h, cred);
		enum mf_status is = s != MF_OK ? s : x == NULL || !x->on_disk ? MF_E_NOTFOUND : MF_OK;
		mf_engine_handle_opened(
		    r->e, r->now, cred, is, is == MF_OK ? mf_slice_str(x->secret) : mf_slice(NULL, 0));
	}
}

void
mf_rig_op_drop_handle(void *ctx, const char *cred)
{
	struct rig_handles *h = handles_of(ctx);
	struct rig_handle *x = h == NULL ? NULL : find(h, cred);
	if (x != NULL)
		drop(h, x);
}

bool
mf_rig_op_has_handle(void *ctx, const char *cred)
{
	struct rig_handles *h = handles_of(ctx);
	return h != NULL && find(h, cred) != NULL;
}

bool
mf_rig_op_probe(void *ctx, const Mayfly__Roles__V1__CloudProbeRequest *req)
{
	struct rig_handles *h = handles_of(ctx);
	if (h == NULL || ((const struct rig *)ctx)->cloud->away || h->probing_n == RIG_HANDLES)
		return false;
	assert_true(req->handle.len < sizeof(h->probe_of[0]));
	memset(h->probe_of[h->probing_n], 0, sizeof(h->probe_of[0]));
	memcpy(h->probe_of[h->probing_n], req->handle.data, req->handle.len);
	h->probing[h->probing_n++] = req->probe_id;
	h->probed_in_all++;
	return true;
}

bool
mf_rig_probed(struct rig *r, bool known, bool active)
{
	struct rig_handles *h = r->cloud->handles;
	Mayfly__Roles__V1__CloudProbeResult res = MAYFLY__ROLES__V1__CLOUD_PROBE_RESULT__INIT;
	if (h->probing_n == 0)
		return false;
	res.probe_id = h->probing[0];
	res.reachable = true;
	res.known = known;
	res.active = active;
	h->probing_n--;
	memmove(h->probing, h->probing + 1, h->probing_n * sizeof(h->probing[0]));
	memmove(h->probe_of[0], h->probe_of[1], h->probing_n * sizeof(h->probe_of[0]));
	mf_engine_probed(r->e, r->now, &res);
	return true;
}

void
mf_rig_handles_crash(struct rig *r)
{
	struct rig_cloud *c = r->cloud;
	struct rig_handles *h = c->handles;
	for (size_t i = h->n; i > 0; i--)
		if (!h->all[i - 1].on_disk)
			drop(h, &h->all[i - 1]);
	h->opening_n = h->probing_n = 0;
	for (size_t i = 0; i < c->signing_n; i++)
		mf_assertion_request_free(c->signing[i]);
	c->signing_n = 0;
	mf_rig_crash(r);
	while (c->revoking_n > 0)
		(void)mf_rig_ended(r, NULL); /* of a life before: nobody waits for it */
	while (c->asked_n > 0)
		mf_rig_forget_asked(r);
	mf_rig_cloud_conf(r);
}

bool
mf_rig_ended(struct rig *r, const char *error)
{
	struct rig_cloud *c = r->cloud;
	Mayfly__Roles__V1__CloudRevokeResult res = MAYFLY__ROLES__V1__CLOUD_REVOKE_RESULT__INIT;
	char word[32], request[] = "req-9";
	if (c->revoking_n == 0)
		return false;
	(void)snprintf(word, sizeof(word), "%s", error == NULL ? "" : error);
	res.revoke_id = c->revoking[0]->revoke_id;
	res.confirmed = error == NULL;
	res.error = word;
	res.level = error == NULL ? 1 : 0;
	res.provider_request_id = request;
	mf_rig_forget_revoking(r);
	mf_engine_revoked(r->e, r->now, &res);
	return true;
}
