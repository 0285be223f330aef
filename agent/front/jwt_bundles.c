/* FetchJWTBundles: the complete state, at once and on change (WAPI-3, 4, 5); JWT-SVID keys only (WAPI-19). */
#include <stdio.h>

#include "agent/front/jwt_internal.h"
#include "os/jlog.h"

#define ENTRIES 65u /* our own and 64 foreign */
#define ID_MAX (sizeof("spiffe://") + MF_LIM_TRUST_DOMAIN)

struct message {
	JWTBundlesResponse m;
	JWTBundlesResponse__BundlesEntry entry[ENTRIES], *list[ENTRIES];
	struct mf_buf text[ENTRIES];
	char own[ID_MAX];
};

static enum mf_status
put(struct message *t, const char *id, const struct mf_jwk_set *set, struct mf_err *err)
{
	size_t i = t->m.n_bundles;
	mf_buf_init(&t->text[i], MF_LIM_BUNDLE_JSON);
	t->entry[i] = (JWTBundlesResponse__BundlesEntry)JWTBUNDLES_RESPONSE__BUNDLES_ENTRY__INIT;
	t->list[i] = &t->entry[i];
	t->m.n_bundles++;
	MF_TRY(mf_jwk_set_put_workload(set, &t->text[i], err));
	t->entry[i].key = (char *)(uintptr_t)id;
	t->entry[i].value = (ProtobufCBinaryData) { t->text[i].n, t->text[i].p };
	return MF_OK;
}

static enum mf_status
make(const struct jwt_call *c, struct message *t, struct mf_err *err)
{
	const struct mf_bundles *b = c->api->cfg.bundles;
	(void)snprintf(t->own, sizeof(t->own), "spiffe://%s",
	    mf_svid_cache_trust_domain(mf_identities_cache(c->api->cfg.ids)));
	/* WAPI-15, WAPI-16: our own by its id, then those of others. */
	MF_TRY(put(t, t->own, mf_bundles_own(b), err));
	for (size_t i = 0; i < mf_bundles_foreign_count(b) && t->m.n_bundles < ENTRIES; i++) {
		const struct mf_foreign *f = mf_bundles_foreign(b, i);
		if (mf_jwk_set_count(f->jwt) > 0) /* P-7: no empty values */
			MF_TRY(put(t, f->id, f->jwt, err));
	}
	t->m.bundles = t->list;
	return MF_OK;
}

void
mf_jwt_push_bundles(struct jwt_call *c, struct mf_svid_entry *e)
{
	struct mf_err err = { 0 };
	uint64_t marker = mf_bundles_jwt_version(c->api->cfg.bundles);
	if ((c->sent && c->marker == marker) || c->blocked)
		return;
	struct message t = { .m = JWTBUNDLES_RESPONSE__INIT };
	enum mf_status s = make(c, &t, &err);
	if (s == MF_OK)
		s = mf_grpc_send(c->job.call, &t.m.base, &err);
	for (size_t i = 0; i < t.m.n_bundles; i++)
		mf_buf_fini(&t.text[i]);
	if (s == MF_E_AGAIN) {
		c->blocked = true;
		return;
	}
	if (s != MF_OK) {
		mf_jlog_err(MF_LOG_ERROR, "workload.not_sent", "a message could not be sent", &err);
		mf_jwt_finish(c, MF_GRPC_UNAVAILABLE, "the agent could not make its answer; try again");
		return;
	}
	c->marker = marker;
	c->api->stats.messages++;
	if (!c->sent) {
		c->sent = true;
		mf_job_call_settled(&c->job);
	}
	mf_identities_fetched(c->api->cfg.ids, e);
}
