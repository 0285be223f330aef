/*
 * Every act of an administrator is a record that says who: uid, pid and login of a local one, certificate and role of a
 * remote one. The acts come from the table of roles, so a new one without a case here fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "broker/core/admin_roles.h"
#include "base/text.h"
#include "engine_rig_cloud.h"

typedef Mayfly__Roles__V1__AdminCall call_t;

#define WHAT(x) MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_##x
#define WALL_S (r->now.wall_us / 1000000)

static struct {
	bool remote;
	unsigned keys; /* made so far */
	char node[MF_STATE_ID_MAX], job[MF_STATE_ID_MAX];
} at;
static char why[] = "a test", cert[] = "c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ff",
	    subject[] = "CN=olga", role[] = "admin";

static void
act(struct rig *r, call_t *call)
{
	call->call_id = 5;
	call->loginuid = UINT32_MAX;
	if (at.remote) {
		call->remote = true;
		call->cert_sha256 = cert;
		call->subject = subject;
		call->role = role;
	} else {
		call->uid = 7;
		call->pid = 8;
		call->loginuid = 4711;
	}
	mf_engine_admin(r->e, r->now, call);
	mf_rig_settle(r);
}

/* The key maker's answer to what was ordered. */
static void
make_key(struct rig *r)
{
	char id[41];
	at.keys++;
	(void)snprintf(id, sizeof(id), "%040x", 100 + at.keys);
	uint8_t der[] = { 0x30, 0x03, 0x02, 0x01, (uint8_t)at.keys };
	struct mf_key_made m = { .ticket = r->order.ticket,
		.ok = true,
		.why = "",
		.id = id,
		.certificate = mf_slice(der, sizeof(der)),
		.nbf = r->order.nbf,
		.exp = r->order.exp };
	assert_true(r->order.ticket != 0);
	r->order.ticket = 0;
	mf_engine_key_made(r->e, r->now, &m);
	mf_rig_settle(r);
}

#define REQUEST(Type, INIT, member, CASE)                                \
	call_t call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;               \
	Mayfly__Admin__V1__##Type q = MAYFLY__ADMIN__V1__##INIT##__INIT; \
	call.what_case = WHAT(CASE);                                     \
	call.member = &q

static void
prepare_key(struct rig *r)
{
	REQUEST(PrepareKeyRequest, PREPARE_KEY_REQUEST, prepare_key, PREPARE_KEY);
	q.reason = why;
	act(r, &call);
	make_key(r);
}

static void
activate_key(struct rig *r)
{
	REQUEST(ActivateKeyRequest, ACTIVATE_KEY_REQUEST, activate_key, ACTIVATE_KEY);
	q.force = true;
	q.reason = why;
	act(r, &call);
}

static void
taint_key(struct rig *r)
{
	char id[] = RIG_FIRST_CA;
	REQUEST(TaintKeyRequest, TAINT_KEY_REQUEST, taint_key, TAINT_KEY);
	q.match = id;
	q.reason = why;
	act(r, &call);
}

static void
revoke_key(struct rig *r)
{
	char id[] = RIG_FIRST_CA;
	REQUEST(RevokeKeyRequest, REVOKE_KEY_REQUEST, revoke_key, REVOKE_KEY);
	q.match = id;
	q.reason = why;
	act(r, &call);
}

static void
create_join_token(struct rig *r)
{
	REQUEST(CreateJoinTokenRequest, CREATE_JOIN_TOKEN_REQUEST, create_join_token, CREATE_JOIN_TOKEN);
	q.uses = 1;
	act(r, &call);
}

static void
extend_job(struct rig *r)
{
	REQUEST(ExtendJobRequest, EXTEND_JOB_REQUEST, extend_job, EXTEND_JOB);
	q.match = at.job;
	q.by_s = 1;
	q.reason = why;
	act(r, &call);
}

static void
end_job(struct rig *r)
{
	REQUEST(EndJobRequest, END_JOB_REQUEST, end_job, END_JOB);
	q.match = at.job;
	q.reason = why;
	act(r, &call);
}

static char kind[] = "profile", other[] = "nobody-has-it";

static void
freeze(struct rig *r)
{
	REQUEST(FreezeRequest, FREEZE_REQUEST, freeze, FREEZE);
	q.kind = kind;
	q.name = other;
	q.reason = why;
	act(r, &call);
}

static void
unfreeze(struct rig *r)
{
	REQUEST(UnfreezeRequest, UNFREEZE_REQUEST, unfreeze, UNFREEZE);
	q.kind = kind;
	q.name = other;
	q.reason = why;
	act(r, &call);
}

static void
end_leaked(struct rig *r)
{
	REQUEST(EndLeakedRequest, END_LEAKED_REQUEST, end_leaked, END_LEAKED);
	Mayfly__Admin__V1__LeakedCredential leak = MAYFLY__ADMIN__V1__LEAKED_CREDENTIAL__INIT;
	uint8_t hash[32];
	const struct mf_job *j = mf_state_job(mf_engine_state(r->e), mf_slice_str(at.job));
	const struct mf_lease *l = MF_LIST_ITEM(j->leases.next, struct mf_lease, at_job);
	const struct mf_cred *c = MF_LIST_ITEM(l->creds.next, struct mf_cred, at);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 64);
	assert_int_equal(mf_base64url_get(mf_slice_str(c->der), &b, NULL), MF_OK);
	memcpy(hash, b.p, sizeof(hash));
	ProtobufCBinaryData v = { sizeof(hash), hash };
	leak.n_sha256 = 1;
	leak.sha256 = &v;
	q.leaked = &leak;
	q.reason = why;
	act(r, &call);
}

static void
end_credential(struct rig *r)
{
	REQUEST(EndCredentialRequest, END_CREDENTIAL_REQUEST, end_credential, END_CREDENTIAL);
	const struct mf_job *j = mf_state_job(mf_engine_state(r->e), mf_slice_str(at.job));
	const struct mf_lease *l = MF_LIST_ITEM(j->leases.next, struct mf_lease, at_job);
	char id[41];
	memcpy(id, MF_LIST_ITEM(l->creds.next, struct mf_cred, at)->serial, sizeof(id));
	q.match = id;
	q.reason = why;
	act(r, &call);
}

/* Of a role that the policy's grant has, at a provider that knows roles. */
static void
end_sessions(struct rig *r)
{
	static struct rig_cloud cloud;
	static char target[] = "lab", of_role[] = "role-1";
	REQUEST(EndSessionsRequest, END_SESSIONS_REQUEST, end_sessions, END_SESSIONS);
	Mayfly__Admin__V1__RoleSessions of = MAYFLY__ADMIN__V1__ROLE_SESSIONS__INIT;
	char hex[65];
	memset(&cloud, 0, sizeof(cloud));
	mf_rig_cloud_backend(&cloud);
	cloud.backend.caps.levels |= MF_REVOKE_SESSIONS;
	r->cloud = &cloud;
	mf_rig_cloud_conf(r);
	memset(hex, 'c', 64);
	hex[64] = '\0';
	mf_engine_policy(r->e, r->now, mf_rig_cloud_policy("1h", "alice"), hex);
	mf_rig_settle(r);
	of.target = target;
	of.role = of_role;
	q.of = &of;
	q.reason = why;
	act(r, &call);
	assert_int_equal(mf_rig_count(r, MF_REC_SESSIONS_ENDED), 1);
	for (size_t i = 0; i < cloud.signing_n; i++)
		mf_assertion_request_free(cloud.signing[i]);
	r->cloud = NULL;
}

static void
evict_node(struct rig *r)
{
	REQUEST(EvictNodeRequest, EVICT_NODE_REQUEST, evict_node, EVICT_NODE);
	q.match = at.node;
	q.reason = why;
	act(r, &call);
}

static void
readmit_node(struct rig *r)
{
	REQUEST(ReadmitNodeRequest, READMIT_NODE_REQUEST, readmit_node, READMIT_NODE);
	q.match = at.node;
	q.reason = why;
	act(r, &call);
}

/* Of a grant whose target is there; the test token stays asked for. */
static void
probe_cloud(struct rig *r)
{
	static struct rig_cloud cloud;
	static char profile[] = "train", grant[] = "data";
	REQUEST(ProbeCloudRequest, PROBE_CLOUD_REQUEST, probe_cloud, PROBE_CLOUD);
	memset(&cloud, 0, sizeof(cloud));
	mf_rig_cloud_backend(&cloud);
	r->cloud = &cloud;
	mf_rig_cloud_conf(r);
	q.profile = profile;
	q.grant = grant;
	act(r, &call);
	mf_rig_settle(r);
	assert_int_equal(cloud.signing_n, 1); /* the intent is on disk */
	mf_assertion_request_free(cloud.signing[0]);
	r->cloud = NULL;
}

static void
confirm_clock(struct rig *r)
{
	REQUEST(ConfirmClockRequest, CONFIRM_CLOCK_REQUEST, confirm_clock, CONFIRM_CLOCK);
	r->now.wall_us += INT64_C(3600) * 1000000; /* it jumps; no timer has seen it yet */
	q.wall_s = WALL_S;
	q.reason = why;
	act(r, &call);
}

static void
reload_policy(struct rig *r)
{
	REQUEST(ReloadPolicyRequest, RELOAD_POLICY_REQUEST, reload_policy, RELOAD_POLICY);
	char hex[65];
	memset(hex, at.remote ? 'e' : 'd', 64);
	hex[64] = '\0';
	act(r, &call);
	mf_engine_policy(
	    r->e, r->now, mf_rig_policy_max(UINT64_C(1000) * 3600 * 1000), hex); /* jobs may run longer */
	mf_rig_settle(r);
}

/* In this order, so that each finds what it needs; but for those that only look. */
static const struct {
	const char *name;
	void (*run)(struct rig *r);
} cases[] = { { "create_join_token", create_join_token }, { "reload_policy", reload_policy },
	{ "extend_job", extend_job }, { "end_credential", end_credential }, { "end_leaked", end_leaked },
	{ "end_job", end_job }, { "evict_node", evict_node }, { "readmit_node", readmit_node },
	{ "probe_cloud", probe_cloud }, { "end_sessions", end_sessions }, { "prepare_key", prepare_key },
	{ "activate_key", activate_key }, { "freeze", freeze }, { "unfreeze", unfreeze },
	{ "taint_key", taint_key }, { "revoke_key", revoke_key }, { "confirm_clock", confirm_clock } };

/* Does one of the records since ${from} name who acted? */
static bool
names_who(const struct rig *r, size_t from)
{
	static const char *const local[] = { "\"loginuid\":4711,\"pid\":8,", "\"uid\":7" },
				 *const remote[] = { "\"cert_sha256\":\"c0ffeec0ffee",
					 "\"subject\":\"CN=olga\"" };
	const char *const *want = at.remote ? remote : local;
	for (size_t i = from; i < r->log_n; i++) {
		char *text = mf_slice_dup_str(mf_slice(r->log[i].p, r->log[i].n));
		bool all = text != NULL && strstr(text, want[0]) != NULL && strstr(text, want[1]) != NULL;
		free(text);
		if (all)
			return true;
	}
	return false;
}

static void
all_acts(bool remote)
{
	uint8_t value[16];
	char key[256];
	struct rig *r = mf_rig_new();
	memset(&at, 0, sizeof(at));
	at.remote = remote;
	mf_rig_join(r, 1, 1, at.node, value);
	mf_rig_instance_key(key, at.node, RIG_BOOT, 1);
	uint64_t request = mf_rig_attach(r, 1, 1, key, "train", "alice");
	mf_rig_settle(r);
	const Mayfly__Agent__V1__Grant *g = mf_rig_grant(r, 1, request);
	assert_non_null(g);
	(void)snprintf(at.job, sizeof(at.job), "%s", g->job_id);
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		size_t from = r->log_n;
		cases[i].run(r);
		if (!names_who(r, from))
			fail_msg("%s (%s): no record says who: %s", cases[i].name,
			    remote ? "remote" : "local", r->reply == NULL ? "no answer" : r->reply->error);
	}
	mf_rig_free(r);
}

static void
test_local(void **state)
{
	MF_UNUSED(state);
	all_acts(false);
}

static void
test_remote(void **state)
{
	MF_UNUSED(state);
	all_acts(true);
}

static void
test_every_act_has_a_case(void **state)
{
	MF_UNUSED(state);
	for (size_t i = 0; i < mf_admin_act_count; i++) {
		bool found = mf_admin_acts[i].least == MF_ADMIN_VIEWER; /* it only looks */
		for (size_t k = 0; k < MF_COUNT(cases); k++)
			found = found || strcmp(cases[k].name, mf_admin_acts[i].name) == 0;
		if (!found)
			fail_msg("%s acts, and no case here shows its record", mf_admin_acts[i].name);
	}
}

static int
setup(void **state)
{
	MF_UNUSED(state);
	return mf_jws_key_generate(MF_JWS_RS256, &mf_rig_assertion_key, NULL) == MF_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	mf_jws_key_free(mf_rig_assertion_key);
	mf_rig_assertion_key = NULL;
	mf_rig_free_spares();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_local), cmocka_unit_test(test_remote),
		cmocka_unit_test(test_every_act_has_a_case) };
	return cmocka_run_group_tests_name("engine_acts", tests, setup, teardown);
}
