/* key: `mayfly key ls|prepare|activate|taint|revoke`. */
#include "admin.pb-c.h"
#include "cli/connect.h"
#include "cli/show.h"
#include "cli/verbs.h"

typedef Mayfly__Admin__V1__Key key;
typedef Mayfly__Admin__V1__RemovalResponse removal;

#define COL(h, k, ty, field)                                                      \
	{                                                                         \
		.head = (h), .key = (k), .type = (ty), .at = offsetof(key, field) \
	}

static void
put_agents(struct mf_buf *to, const void *msg, struct mf_now now)
{
	const key *k = msg;
	MF_UNUSED(now);
	mf_buf_putf(to, "%u/%u", k->agents_confirmed, k->agents);
}

static const struct mf_col list_cols[] = {
	COL("KEY", "id", MF_COL_STR, id),
	COL("USE", "use", MF_COL_STR, use),
	COL("STATE", "state", MF_COL_STR, state),
	COL("ISSUER", "issuer", MF_COL_STR, issuer),
	COL("BUNDLE", "bundle", MF_COL_U64, bundle),
	{ .head = "AGENTS", .type = MF_COL_OWN, .put = put_agents },
	COL("HELD", "held", MF_COL_U32, held),
	COL("EXPIRES", "not_after", MF_COL_LEFT_S, not_after),
	COL("ACTIVATION", "activation", MF_COL_STR, activation),
	COL(NULL, "credentials", MF_COL_U32, credentials),
	COL(NULL, "in_bundle", MF_COL_BOOL, published),
	COL(NULL, "agents", MF_COL_U32, agents),
	COL(NULL, "agents_confirmed", MF_COL_U32, agents_confirmed),
	COL(NULL, "not_before", MF_COL_TIME_S, not_before),
	COL(NULL, "last_expiry", MF_COL_TIME_S, last_expiry),
	COL(NULL, "prepared", MF_COL_TIME_US, prepared_us),
	COL(NULL, "activated", MF_COL_TIME_US, activated_us),
	COL(NULL, "ended", MF_COL_TIME_US, ended_us),
	COL(NULL, "record_index", MF_COL_U64, record_index),
};

int
mf_cli_key_ls(struct mf_cli *c)
{
	Mayfly__Admin__V1__ListKeysRequest req = MAYFLY__ADMIN__V1__LIST_KEYS_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	req.all = mf_cli_has(c, "all");
	int rc = mf_cli_ask_admin(c, &mf_cli_list_keys, &req.base, &msg);
	if (rc != MF_EXIT_OK)
		return rc;
	const Mayfly__Admin__V1__ListKeysResponse *r =
	    (const Mayfly__Admin__V1__ListKeysResponse *)(const void *)msg;
	return mf_show_list(
	    c, "KeyList", MF_COLS(list_cols), (const void *const *)r->keys, r->n_keys, "no keys yet");
}

/* ---- prepare, activate ---- */

static enum mf_status
render_key(
    const struct mf_cli *c, const Mayfly__Admin__V1__KeyResponse *r, struct mf_buf *to, struct mf_err *err)
{
	if (c->json) {
		struct mf_jw w;
		mf_show_json_begin(&w, to, "Key");
		mf_jw_object_begin(&w);
		mf_show_object(&w, MF_COLS(list_cols), r->key);
		mf_jw_kstr(&w, "note", r->note);
		mf_jw_object_end(&w);
		return mf_show_json_end(&w, err);
	}
	mf_show_clean(to, mf_slice_str(r->key->id));
	mf_buf_putf(to, "\n%s: ", r->key->use);
	mf_show_clean(to, mf_slice_str(r->key->state));
	mf_buf_putf(to, "; record %llu\n", (unsigned long long)r->record_index);
	return mf_buf_check(to, err);
}

static int
change(struct mf_cli *c, const struct mf_grpc_method *m, ProtobufCMessage *request)
{
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	struct mf_err err = { 0 };
	mf_buf_init(&b, MF_SHOW_MAX);
	int rc = mf_cli_ask_admin(c, m, request, &msg);
	if (rc != MF_EXIT_OK)
		return rc;
	const Mayfly__Admin__V1__KeyResponse *r = (const Mayfly__Admin__V1__KeyResponse *)(const void *)msg;
	if (r->key == NULL)
		(void)MF_FAIL(&err, MF_E_INTERNAL, "the broker's answer names no key");
	else
		(void)render_key(c, r, &b, &err);
	if (err.code != MF_OK)
		return mf_cli_fail(c, &err);
	mf_cli_write(c, mf_buf_slice(&b));
	if (!c->json && r->note[0] != '\0')
		mf_cli_note(c, "%s", r->note);
	return MF_EXIT_OK;
}

int
mf_cli_key_prepare(struct mf_cli *c)
{
	Mayfly__Admin__V1__PrepareKeyRequest req = MAYFLY__ADMIN__V1__PREPARE_KEY_REQUEST__INIT;
	if (mf_cli_has(c, "use"))
		req.use = mf_cli_get(c, "use");
	if (mf_cli_has(c, "reason"))
		req.reason = mf_cli_get(c, "reason");
	return change(c, &mf_cli_prepare_key, &req.base);
}

int
mf_cli_key_activate(struct mf_cli *c)
{
	Mayfly__Admin__V1__ActivateKeyRequest req = MAYFLY__ADMIN__V1__ACTIVATE_KEY_REQUEST__INIT;
	if (c->argc > 0)
		req.match = c->argv[0];
	if (mf_cli_has(c, "use"))
		req.use = mf_cli_get(c, "use");
	if (mf_cli_has(c, "reason"))
		req.reason = mf_cli_get(c, "reason");
	req.force = mf_cli_has(c, "force");
	return change(c, &mf_cli_activate_key, &req.base);
}

/* ---- taint, revoke ---- */

#define RCOL(k, ty, field)                                               \
	{                                                                \
		.key = (k), .type = (ty), .at = offsetof(removal, field) \
	}
static const struct mf_col removal_cols[] = {
	RCOL("subject", MF_COL_STR, subject),
	RCOL("effective", MF_COL_BOOL, effective),
	RCOL("recorded", MF_COL_BOOL, recorded),
	RCOL("record_index", MF_COL_U64, record_index),
	RCOL("leases", MF_COL_U32, leases),
};

static enum mf_status
render_removal(const struct mf_cli *c, const removal *r, bool revoked, struct mf_buf *to, struct mf_err *err)
{
	if (c->json) {
		struct mf_jw w;
		mf_show_json_begin(&w, to, "KeyRemoval");
		mf_jw_object_begin(&w);
		mf_show_object(&w, MF_COLS(removal_cols), r);
		mf_jw_object_end(&w);
		return mf_show_json_end(&w, err);
	}
	mf_show_clean(to, mf_slice_str(r->subject));
	mf_buf_put_str(to, "\n");
	if (revoked)
		mf_buf_put_str(
		    to, "effective: out of the bundle; whoever has the new bundle accepts nothing of it\n");
	else
		mf_buf_putf(to,
		    "effective: agents renew what it signed; %u instance%s to go (HELD in `mayfly key ls`)\n",
		    r->leases, r->leases == 1 ? "" : "s");
	if (r->recorded)
		mf_buf_putf(to, "recorded: record %llu\n", (unsigned long long)r->record_index);
	else
		mf_buf_put_str(to, "NOT recorded yet: the log cannot be written; the broker keeps trying\n");
	return mf_buf_check(to, err);
}

static int
take_away(struct mf_cli *c, const struct mf_grpc_method *m, ProtobufCMessage *request, bool revoked)
{
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	struct mf_err err = { 0 };
	mf_buf_init(&b, MF_SHOW_MAX);
	int rc = mf_cli_ask_admin(c, m, request, &msg);
	if (rc != MF_EXIT_OK)
		return rc;
	const removal *r = (const removal *)(const void *)msg;
	if (render_removal(c, r, revoked, &b, &err) != MF_OK)
		return mf_cli_fail(c, &err);
	mf_cli_write(c, mf_buf_slice(&b));
	return r->recorded ? MF_EXIT_OK : MF_EXIT_NOT_RECORDED;
}

int
mf_cli_key_taint(struct mf_cli *c)
{
	Mayfly__Admin__V1__TaintKeyRequest req = MAYFLY__ADMIN__V1__TAINT_KEY_REQUEST__INIT;
	req.match = c->argv[0];
	if (mf_cli_has(c, "reason"))
		req.reason = mf_cli_get(c, "reason");
	return take_away(c, &mf_cli_taint_key, &req.base, false);
}

int
mf_cli_key_revoke(struct mf_cli *c)
{
	Mayfly__Admin__V1__RevokeKeyRequest req = MAYFLY__ADMIN__V1__REVOKE_KEY_REQUEST__INIT;
	req.match = c->argv[0];
	if (mf_cli_has(c, "reason"))
		req.reason = mf_cli_get(c, "reason");
	return take_away(c, &mf_cli_revoke_key, &req.base, true);
}
