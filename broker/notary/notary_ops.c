/* What the engine asks for, in the notary's process: each is passed to the part that does it. */
#include "base/clock.h"
#include "broker/notary/notary_internal.h"
#include "broker/notary/notary_cloud.h"
#include "broker/notary/policy_file.h"
#include "os/jlog.h"

static void
op_sign(void *ctx, struct mf_sign_request *req)
{
	mf_crew_sign(((struct mf_notary *)ctx)->crew, req);
}

static struct mf_jws_key *
op_jwt_key(void *ctx, const char *kid)
{
	return mf_key_files_jwt(((struct mf_notary *)ctx)->key_files, kid);
}

static void
op_sign_jwt(void *ctx, struct mf_jwt_request *req)
{
	mf_crew_sign_jwt(((struct mf_notary *)ctx)->crew, req);
}

static void
op_append(void *ctx, uint64_t index, struct mf_slice record, bool removal)
{
	mf_committer_hold(((struct mf_notary *)ctx)->committer, index, record, removal);
}

static void
op_send(void *ctx, uint64_t sid, struct mf_slice down, enum mf_engine_lane lane, uint64_t coalesce)
{
	mf_crew_send(((struct mf_notary *)ctx)->crew, sid, down, lane, coalesce);
}

static void
op_close(void *ctx, uint64_t sid, const char *reason)
{
	MF_UNUSED(reason);
	mf_crew_close(((struct mf_notary *)ctx)->crew, sid, true);
}

static bool
op_verify(void *ctx, uint64_t ticket, const Mayfly__Roles__V1__VerifyEvidence *e)
{
	return mf_evidence_verify(((struct mf_notary *)ctx)->evidence, ticket, e, mf_now());
}

static void
op_session_node(void *ctx, uint64_t sid, const char *node_id)
{
	const struct mf_notary *n = ctx;
	uint64_t outer;
	if (mf_sids_outer(n->sids, sid, &outer))
		mf_front_link_session_node(n->front, outer, node_id);
}

static void
op_node_out(void *ctx, const char *node_id)
{
	mf_front_link_node_out(((struct mf_notary *)ctx)->front, node_id);
}

static void
op_admin_reply(void *ctx, const Mayfly__Roles__V1__AdminReply *reply)
{
	mf_front_link_admin_reply(((struct mf_notary *)ctx)->front, reply);
}

static void
op_server_certificate(void *ctx, struct mf_slice chain, int64_t not_after)
{
	mf_front_link_server_certificate(((struct mf_notary *)ctx)->front, chain, not_after);
}

static void
op_removal_kept(void *ctx, struct mf_slice what)
{
	mf_removals_keep(((struct mf_notary *)ctx)->removals, what);
}

static void
op_removal_settled(void *ctx, uint64_t index)
{
	mf_removals_settle(((struct mf_notary *)ctx)->removals, index);
}

static void
op_removal_recorded(void *ctx, uint64_t size)
{
	mf_removals_recorded(((struct mf_notary *)ctx)->removals, size);
}

static const char *const alarms[] = { "node.clone", "oidc.foreign", "cloud.unreachable", "cloud.revoke_late",
	"cloud.still_active", "cloud.handle_lost" };
static const char *const warnings[] = { "cloud.unknown", "cloud.revoke_retry", "oidc.stale", "oidc.away" };

static bool
is_one_of(const char *event, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(event, list[i]) == 0)
			return true;
	return false;
}

static void
op_event(void *ctx, const char *event, const char *text)
{
	struct mf_notary *n = ctx;
	bool broken = strcmp(event, "engine.broken") == 0,
	     alarm = broken || is_one_of(event, alarms, MF_COUNT(alarms));
	MF_LOG(alarm						? MF_LOG_ERROR
	       : is_one_of(event, warnings, MF_COUNT(warnings)) ? MF_LOG_WARN
								: MF_LOG_INFO,
	    event, text);
	if (broken) {
		n->failed = true; /* the log is the truth: read it again */
		n->exit_code = 1;
	}
}

static void
op_make_key(void *ctx, const struct mf_key_order *order)
{
	mf_key_files_make(((struct mf_notary *)ctx)->key_files, ((struct mf_notary *)ctx)->crew, order);
}

static void
op_forget_key(void *ctx, const char *use, const char *id)
{
	struct mf_notary *n = ctx;
	mf_key_files_forget(n->key_files, n->crew, use, id);
}

static void
op_publish(void *ctx, uint64_t number, struct mf_slice bundle_der)
{
	mf_front_link_bundle(((struct mf_notary *)ctx)->front, number, bundle_der);
}

static void
op_jwt_bundle(void *ctx, uint64_t number, struct mf_slice jwks)
{
	mf_front_link_document(((struct mf_notary *)ctx)->front,
	    MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_JWT_BUNDLE, number, jwks);
}

static void
op_oidc(void *ctx, const struct mf_oidc_set *set)
{
	struct mf_notary *n = ctx;
	struct mf_jws_key *x5c = set->x5c[0] == '\0' ? NULL : mf_key_files_assertion(n->key_files, set->x5c);
	mf_oidc_files_write(n->oidc, n->crew, set, x5c);
}

/* Through the front in clear: they are for everybody, and whoever uses them checks the signature. */
static void
op_oidc_documents(void *ctx, uint64_t call_id)
{
	struct mf_notary *n = ctx;
	const struct mf_oidc_docs *d = mf_oidc_files_last(n->oidc);
	Mayfly__Roles__V1__AdminReply reply = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	Mayfly__Admin__V1__OidcDocuments m = MAYFLY__ADMIN__V1__OIDC_DOCUMENTS__INIT;
	Mayfly__Admin__V1__OidcDocument file[MF_PUBLISHED_FILES], *files[MF_PUBLISHED_FILES];
	reply.call_id = call_id;
	for (size_t i = 0; d != NULL && i < MF_PUBLISHED_FILES; i++) {
		mayfly__admin__v1__oidc_document__init(&file[i]);
		/* Packing only reads. */
		file[i].name = (char *)(uintptr_t)mf_published_name((enum mf_published_file)i);
		file[i].body = (ProtobufCBinaryData) { d->files[i].n, d->files[i].p };
		files[i] = &file[i];
	}
	if (d != NULL) {
		m.files = files;
		m.n_files = MF_PUBLISHED_FILES;
		m.manifest = (ProtobufCBinaryData) { d->manifest.n, d->manifest.p };
		reply.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_OIDC_DOCUMENTS;
		reply.oidc_documents = &m;
	}
	bool big = mayfly__roles__v1__admin_reply__get_packed_size(&reply) > MF_LIM_IPC_MESSAGE - 64;
	if (d == NULL || big) {
		reply.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT__NOT_SET;
		reply.error_code = (char *)(uintptr_t)mf_status_name(big ? MF_E_TOOBIG : MF_E_NOTFOUND);
		reply.error =
		    (char *)(uintptr_t)(big ? "the documents are too large to be carried: copy STATE/public"
					    : "this broker publishes no OIDC documents (yet): see `oidc` in "
					      "broker.yaml");
	}
	mf_front_link_admin_reply(n->front, &reply);
}

static bool
op_fetch_issuer(void *ctx, uint64_t fetch_id)
{
	struct mf_notary *n = ctx;
	return mf_courier_link_fetch(n->courier, fetch_id, n->conf.oidc_issuer,
	    strncmp(n->conf.oidc_issuer, "http://", 7) == 0, false);
}

static bool
op_fetch_documents(void *ctx, uint64_t fetch_id, const char *issuer, bool loopback)
{
	return mf_courier_link_fetch(((struct mf_notary *)ctx)->courier, fetch_id, issuer, loopback, true);
}

static void
op_distrusted(void *ctx, struct mf_slice ids)
{
	mf_front_link_distrusted(((struct mf_notary *)ctx)->front, ids);
}

static bool
op_ask_policy(void *ctx)
{
	return mf_policy_file_ask(((struct mf_notary *)ctx)->role);
}

const struct mf_engine_ops mf_notary_engine_ops = {
	.sign = op_sign,
	.jwt_key = op_jwt_key,
	.sign_jwt = op_sign_jwt,
	.assertion_key = mf_notary_assertion_key,
	.sign_assertion = mf_notary_sign_assertion,
	.mint = mf_notary_mint,
	.revoke = mf_notary_revoke,
	.probe = mf_notary_probe,
	.keep_handle = mf_notary_keep_handle,
	.open_handle = mf_notary_open_handle,
	.drop_handle = mf_notary_drop_handle,
	.has_handle = mf_notary_has_handle,
	.backend = mf_notary_backend,
	.append = op_append,
	.send = op_send,
	.close = op_close,
	.verify = op_verify,
	.session_node = op_session_node,
	.node_out = op_node_out,
	.admin_reply = op_admin_reply,
	.server_certificate = op_server_certificate,
	.removal_kept = op_removal_kept,
	.removal_settled = op_removal_settled,
	.removal_recorded = op_removal_recorded,
	.make_key = op_make_key,
	.forget_key = op_forget_key,
	.publish = op_publish,
	.jwt_bundle = op_jwt_bundle,
	.oidc = op_oidc,
	.oidc_documents = op_oidc_documents,
	.fetch_issuer = op_fetch_issuer,
	.fetch_documents = op_fetch_documents,
	.distrusted = op_distrusted,
	.event = op_event,
	.ask_policy = op_ask_policy,
};
