/* doctor --profile: the broker's side. The notary walks the way, here it is only shown. */
#include <stdlib.h>

#include "admin.pb-c.h"
#include "cli/connect.h"
#include "cli/doctor.h"

#define PATIENCE_MS 100000u /* a test token has its time, at most two of them for a grant */

typedef Mayfly__Admin__V1__CloudProbe probe;

static enum mf_level
level_of(const char *word)
{
	return strcmp(word, "ok") == 0	   ? MF_LEVEL_OK
	       : strcmp(word, "warn") == 0 ? MF_LEVEL_WARN
					   : MF_LEVEL_FAIL;
}

static void
take(struct mf_findings *f, const char *grant, const probe *p)
{
	for (size_t i = 0; i < p->n_findings; i++) {
		const Mayfly__Admin__V1__CloudFinding *x = p->findings[i];
		char code[sizeof(f->v[0].code)];
		(void)snprintf(
		    code, sizeof(code), "%.60s%s%.30s", grant, grant[0] == '\0' ? "" : ".", x->code);
		mf_finding_add(f, code, level_of(x->level), x->cure, "%s", x->cause);
		mf_finding_side(f, x->side);
	}
}

/* NULL: it is said why. A connection each: an answer may take a while, and the next one must not wait in its place. */
static ProtobufCMessage *
ask(struct mf_cli *c, const char *profile, const char *grant, struct mf_findings *f)
{
	Mayfly__Admin__V1__ProbeCloudRequest q = MAYFLY__ADMIN__V1__PROBE_CLOUD_REQUEST__INIT;
	MF_AUTO(mf_grpc_sync_free) struct mf_grpc_sync *s = NULL;
	struct mf_cli patient = *c;
	ProtobufCMessage *msg = NULL;
	struct mf_err err = { 0 };
	if (!mf_cli_has(c, "timeout"))
		patient.timeout_ms = PATIENCE_MS;
	q.profile = (char *)(uintptr_t)profile; /* packing reads only */
	q.grant = (char *)(uintptr_t)grant;
	q.look = mf_cli_has(c, "no-token");
	enum mf_status st = mf_cli_admin(&patient, &s, &err);
	if (st == MF_OK)
		st = mf_grpc_sync_unary(s, &mf_cli_probe_cloud, &q.base, &msg, &err);
	if (st == MF_OK)
		return msg;
	if (st == MF_E_DENIED || (st == MF_E_UNAVAILABLE && s == NULL))
		mf_finding_add(f, "broker", MF_LEVEL_WARN,
		    "as an operator on the broker's machine (root or group mayfly-admin), or with --broker "
		    "URL from elsewhere",
		    "not looked at: the broker's side, its target and keys, what is published, the provider "
		    "(%.300s)",
		    err.msg);
	else
		mf_finding_add(f, grant[0] == '\0' ? "broker" : grant, MF_LEVEL_FAIL,
		    "see the log of mayfly-broker", "the broker does not say how it is: %.400s", err.msg);
	return NULL;
}

void
mf_doctor_cloud(struct mf_cli *c, const char *profile, struct mf_findings *f)
{
	const char *only = mf_cli_get(c, "grant");
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = ask(c, profile, "", f);
	const probe *all = (const probe *)(const void *)msg;
	if (all == NULL)
		return;
	take(f, "", all);
	for (size_t i = 0; i < (only == NULL ? all->n_grants : 1); i++) {
		const char *grant = only == NULL ? all->grants[i] : only;
		MF_AUTO(mf_pb_free) ProtobufCMessage *one = ask(c, profile, grant, f);
		if (one != NULL)
			take(f, grant, (const probe *)(const void *)one);
	}
}
