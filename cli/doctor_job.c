/* doctor --profile: the agent's side, as the user who asks. */
#include <stdlib.h>

#include "cli/connect.h"
#include "cli/doctor.h"
#include "job.pb-c.h"

#define GET_MS 60000u /* the agent holds a request that it cannot answer yet */

typedef Mayfly__Job__V1__CloudEnvironment environment;
typedef Mayfly__Job__V1__WhoAmIResponse who;

static bool
starts(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

/* Where the file of variable ${name} is to lie: its bytes. */
static struct mf_slice
file_of(const environment *e, const char *name)
{
	const char *file = "";
	for (size_t i = 0; i < e->n_set; i++)
		if (strcmp(e->set[i]->name, name) == 0)
			file = e->set[i]->file;
	for (size_t i = 0; i < e->n_files; i++)
		if (file[0] != '\0' && strcmp(e->files[i]->name, file) == 0)
			return mf_slice(e->files[i]->body.data, e->files[i]->body.len);
	return mf_slice(NULL, 0);
}

static void
get_one(const Mayfly__Job__V1__EnvVariable *v, struct mf_slice secret, struct mf_findings *f)
{
	const char *at = strrchr(v->value, '/');
	char code[96];
	unsigned status = 0;
	struct mf_err err = { 0 };
	(void)snprintf(code, sizeof(code), "%.60s.endpoint", at == NULL ? "" : at + 1);
	if (mf_doctor_get(v->value, secret, GET_MS, &status, &err) != MF_OK)
		mf_finding_add(f, code, MF_LEVEL_FAIL,
		    "see the agent's log; a container with a network of its own does not reach it: `mayfly "
		    "token get` does",
		    "the agent's endpoint does not answer: %.300s", err.msg);
	else if (status == 200)
		mf_finding_add(f, code, MF_LEVEL_OK, "", "the agent's endpoint gives this job its token");
	else
		mf_finding_add(f, code, MF_LEVEL_FAIL,
		    "`mayfly token get` and `mayfly whoami` say why; the findings about the provider are the "
		    "broker's",
		    "the agent's endpoint answers with HTTP %u instead of a token", status);
}

/* We are a job of the profile: what do SDKs get here? */
static void
check_endpoint(struct mf_cli *c, struct mf_findings *f)
{
	Mayfly__Job__V1__GetCloudEnvironmentRequest req =
	    MAYFLY__JOB__V1__GET_CLOUD_ENVIRONMENT_REQUEST__INIT;
	MF_AUTO(mf_grpc_sync_free) struct mf_grpc_sync *s = NULL;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	struct mf_err err = { 0 };
	if (mf_cli_agent(c, &s, &err) != MF_OK ||
	    mf_grpc_sync_unary(s, &mf_cli_cloud_environment, &req.base, &msg, &err) != MF_OK) {
		mf_finding_add(f, "agent.endpoint", MF_LEVEL_FAIL, "see the agent's log",
		    "the agent does not say where its endpoint is: %.300s", err.msg);
		return;
	}
	const environment *e = (const environment *)(const void *)msg;
	struct mf_slice secret = file_of(e, "MAYFLY_CLOUD_SECRET_FILE");
	size_t n = 0;
	for (size_t i = 0; i < e->n_set; i++) {
		if (!starts(e->set[i]->name, "MAYFLY_AWS_URI_") &&
		    !starts(e->set[i]->name, "MAYFLY_TOKEN_URI_"))
			continue;
		get_one(e->set[i], secret, f);
		n++;
	}
	if (n == 0)
		mf_finding_add(f, "agent.endpoint", MF_LEVEL_FAIL,
		    "set cloud_port in agent.yaml, and see the agent's log; `mayfly token get` works without "
		    "it",
		    "the agent has no endpoint for the cloud grants of this job");
}

static void
check_permit(struct mf_cli *c, const char *profile, struct mf_grpc_sync *s, struct mf_findings *f)
{
	Mayfly__Job__V1__ExplainRequest req = MAYFLY__JOB__V1__EXPLAIN_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	struct mf_err err = { 0 };
	MF_UNUSED(c);
	req.profile = (char *)(uintptr_t)profile; /* packing reads only */
	if (mf_grpc_sync_unary(s, &mf_cli_explain, &req.base, &msg, &err) != MF_OK) {
		mf_finding_add(f, "agent.permit", MF_LEVEL_WARN,
		    "`mayfly why --profile` with a manifest says more",
		    "the agent does not say whether this user may have the profile: %.300s", err.msg);
		return;
	}
	const Mayfly__Job__V1__ExplainResponse *x =
	    (const Mayfly__Job__V1__ExplainResponse *)(const void *)msg;
	if (x->permit)
		mf_finding_add(f, "agent.permit", MF_LEVEL_OK, "",
		    "policy lets this user start jobs of the profile (rule %.100s)", x->rule);
	else {
		mf_finding_add(f, "agent.permit", MF_LEVEL_WARN,
		    x->cure[0] != '\0'
			? x->cure
			: "`mayfly why --profile` says more; another user or a manifest may be let",
		    "policy does not let this user start a job of the profile without a manifest: %.300s",
		    x->reason);
		mf_finding_side(f, "profile");
	}
	mf_finding_add(f, "agent.endpoint", MF_LEVEL_OK, "",
	    "not looked at from outside of a job: `mayfly run --profile %.60s -- mayfly doctor --profile "
	    "%.60s` does",
	    profile, profile);
}

void
mf_doctor_job(struct mf_cli *c, const char *profile, struct mf_findings *f)
{
	Mayfly__Job__V1__WhoAmIRequest req = MAYFLY__JOB__V1__WHO_AM_IREQUEST__INIT;
	MF_AUTO(mf_grpc_sync_free) struct mf_grpc_sync *s = NULL;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	struct mf_err err = { 0 };
	if (mf_cli_agent(c, &s, &err) != MF_OK ||
	    mf_grpc_sync_unary(s, &mf_cli_who_am_i, &req.base, &msg, &err) != MF_OK) {
		mf_finding_add(f, "agent", MF_LEVEL_WARN, "on a node, where jobs of the profile run",
		    "not looked at: the agent's side (%.300s)", err.msg);
		return;
	}
	const who *w = (const who *)(const void *)msg;
	bool ours = strcmp(w->profile, profile) == 0 && !mf_cli_has(c, "no-token");
	if (ours && (strcmp(w->state, "granted") == 0 || strcmp(w->state, "ending") == 0))
		check_endpoint(c, f);
	else
		check_permit(c, profile, s, f);
}
