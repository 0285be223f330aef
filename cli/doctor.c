#include "cli/doctor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "admin.pb-c.h"
#include "cli/connect.h"
#include "cli/show.h"
#include "cli/verbs.h"
#include "grpc/health/v1/health.pb-c.h"
#include "job.pb-c.h"
#include "rpc/grpc_health.h"

static const char *const level_names[] = {
	[MF_LEVEL_OK] = "ok", [MF_LEVEL_WARN] = "warn", [MF_LEVEL_FAIL] = "fail"
};

void
mf_finding_add(
    struct mf_findings *f, const char *code, enum mf_level level, const char *cure, const char *fmt, ...)
{
	struct mf_finding *x = &f->v[f->n < MF_FINDINGS_MAX ? f->n++ : MF_FINDINGS_MAX - 1];
	va_list ap;
	*x = (struct mf_finding) { .level = level, .level_name = level_names[level] };
	(void)snprintf(x->code, sizeof(x->code), "%s", code);
	(void)snprintf(x->cure, sizeof(x->cure), "%s", cure);
	va_start(ap, fmt);
	(void)vsnprintf(x->cause, sizeof(x->cause), fmt, ap);
	va_end(ap);
	if (level > f->worst)
		f->worst = level;
}

void
mf_finding_side(struct mf_findings *f, const char *side)
{
	if (f->n > 0)
		(void)snprintf(f->v[f->n - 1].side, sizeof(f->v[0].side), "%s", side);
}

/* --- the agent --- */

static enum mf_status
ask_health(struct mf_grpc_sync *s, int *ret_status, struct mf_err *err)
{
	Grpc__Health__V1__HealthCheckRequest req = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	MF_TRY(mf_grpc_sync_unary(s, &mf_grpc_health_check, &req.base, &msg, err));
	*ret_status = (int)((const Grpc__Health__V1__HealthCheckResponse *)(const void *)msg)->status;
	return MF_OK;
}

static void
check_whoami(struct mf_grpc_sync *s, struct mf_findings *f)
{
	Mayfly__Job__V1__WhoAmIRequest req = MAYFLY__JOB__V1__WHO_AM_IREQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	struct mf_err err = { 0 };
	if (mf_grpc_sync_unary(s, &mf_cli_who_am_i, &req.base, &msg, &err) != MF_OK) {
		mf_finding_add(f, "agent.whoami", MF_LEVEL_WARN, "",
		    "the agent does not say who we are: %.180s", err.msg);
		return;
	}
	const Mayfly__Job__V1__WhoAmIResponse *w = (const Mayfly__Job__V1__WhoAmIResponse *)(const void *)msg;
	if (w->broker_reachable)
		mf_finding_add(f, "agent.broker", MF_LEVEL_OK, "", "the agent has a session with its broker");
	else
		mf_finding_add(f, "agent.broker", MF_LEVEL_FAIL,
		    "see the agent's log for `session`; is the broker up, and does its address in agent.yaml "
		    "hold?",
		    "the agent has no session with its broker: it serves what it holds until that expires");
	if (strcmp(w->grade, "legacy") == 0)
		mf_finding_add(f, "agent.grade", MF_LEVEL_WARN,
		    "run Linux 6.5 or newer, without caller_check: legacy in agent.yaml",
		    "the agent's evidence about callers is of grade legacy: a process number that was "
		    "checked as well "
		    "as can be");
	else if (w->grade[0] != '\0')
		mf_finding_add(f, "agent.grade", MF_LEVEL_OK, "",
		    "the agent's evidence about this process is of grade %.40s", w->grade);
	if (strcmp(w->state, "granted") == 0)
		mf_finding_add(f, "agent.whoami", MF_LEVEL_OK, "",
		    "we are job %.80s, profile %.60s, grade %.40s", w->job_id, w->profile, w->grade);
	else
		mf_finding_add(f, "agent.whoami", MF_LEVEL_OK, "", "this process has no identity: %.160s",
		    w->reason[0] == '\0' ? w->state : w->reason);
}

static void
check_agent(struct mf_cli *c, struct mf_findings *f)
{
	MF_AUTO(mf_grpc_sync_free) struct mf_grpc_sync *s = NULL;
	struct mf_err err = { 0 };
	int health = 0;
	if (mf_cli_agent(c, &s, &err) != MF_OK) {
		mf_finding_add(f, "agent.socket", MF_LEVEL_FAIL,
		    "start mayfly-agent (or `mayfly dev`), or set SPIFFE_ENDPOINT_SOCKET", "%.240s", err.msg);
		return;
	}
	mf_finding_add(f, "agent.socket", MF_LEVEL_OK, "", "the agent's socket answers");
	if (ask_health(s, &health, &err) != MF_OK)
		mf_finding_add(f, "agent.health", MF_LEVEL_FAIL, "see the agent's log",
		    "the agent does not say whether it serves: %.180s", err.msg);
	else if (health != GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING)
		mf_finding_add(f, "agent.health", MF_LEVEL_FAIL,
		    "see the agent's log: it has not joined, or not resynced with its broker",
		    "the agent does not serve yet");
	else
		mf_finding_add(f, "agent.health", MF_LEVEL_OK, "", "the agent serves");
	check_whoami(s, f);
}

/* --- the broker, where this is its host --- */

static void
check_issuer(const Mayfly__Admin__V1__Status *st, struct mf_findings *f)
{
	const char *is = st->issuer;
	if (is[0] == '\0' || strcmp(is, "unseen") == 0)
		return; /* nobody looks, or not yet */
	if (strcmp(is, "same") == 0)
		mf_finding_add(f, "broker.issuer", MF_LEVEL_OK, "", "the public OIDC issuer shows our keys");
	else
		mf_finding_add(f, "broker.issuer", MF_LEVEL_FAIL,
		    "`mayfly oidc export DIR`, and copy DIR to where the issuer's URL is served",
		    "the public OIDC issuer is %.20s, identities are issued all the same: %.380s", is,
		    st->issuer_why);
}

static void
check_broker(struct mf_cli *c, struct mf_findings *f)
{
	Mayfly__Admin__V1__GetStatusRequest req = MAYFLY__ADMIN__V1__GET_STATUS_REQUEST__INIT;
	MF_AUTO(mf_grpc_sync_free) struct mf_grpc_sync *s = NULL;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	struct mf_err err = { 0 };
	const char *path = NULL;
	if (mf_cli_admin_path(c, &path, &err) != MF_OK) {
		mf_finding_add(f, "broker.socket", MF_LEVEL_FAIL, "write MAYFLY_ADMIN_SOCKET=/absolute/path",
		    "%s", err.msg);
		return;
	}
	if (!mf_cli_has(c, "broker") && access(path, F_OK) != 0)
		return; /* not the broker's host: nothing to say */
	if (mf_cli_admin(c, &s, &err) == MF_E_DENIED) {
		mf_finding_add(
		    f, "broker.socket", MF_LEVEL_OK, "", "the admin socket is there, and not for this user");
		return;
	}
	if (s == NULL || mf_grpc_sync_unary(s, &mf_cli_get_status, &req.base, &msg, &err) != MF_OK) {
		mf_finding_add(f, "broker.socket", MF_LEVEL_FAIL, "see the log of mayfly-broker",
		    "the broker's admin socket does not answer: %.200s", err.msg);
		return;
	}
	const Mayfly__Admin__V1__Status *st = (const Mayfly__Admin__V1__Status *)(const void *)msg;
	if (st->issuing)
		mf_finding_add(
		    f, "broker.issuing", MF_LEVEL_OK, "", "the broker of %.100s issues", st->trust_domain);
	else
		mf_finding_add(f, "broker.issuing", MF_LEVEL_FAIL, "see the log of mayfly-broker",
		    "the broker issues nothing: %.180s", st->issuing_reason);
	check_issuer(st, f);
	int64_t left = st->ca_not_after - mf_now().wall_us / 1000000;
	if (st->ca_not_after != 0 && left < 7 * 86400)
		mf_finding_add(f, "broker.ca", left <= 0 ? MF_LEVEL_FAIL : MF_LEVEL_WARN,
		    "plan a new CA: it cannot be renewed in place yet",
		    "the CA certificate has %lld hours left", (long long)(left / 3600));
}

static bool
in_state(const char *name, struct mf_buf *to)
{
	const char *state = getenv("MAYFLY_STATE");
	mf_buf_reset(to);
	mf_buf_putf(to, "%s/%s", state != NULL && state[0] != '\0' ? state : "/var/lib/mayfly", name);
	return mf_buf_cstr(to) != NULL;
}

static void
check_state(struct mf_findings *f)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf path;
	mf_buf_init(&path, 4096);
	if (in_state("broker/kek", &path) && access((const char *)path.p, R_OK) == 0)
		mf_finding_add(f, "broker.kek", MF_LEVEL_WARN,
		    "a systemd credential or a passphrase instead: kek in broker.yaml",
		    "the key that seals the broker's state lies beside it in a file: a copy of the disk is a "
		    "copy of all "
		    "keys");
	if (in_state("dev", &path) && access((const char *)path.p, F_OK) == 0)
		mf_finding_add(f, "dev.mode", MF_LEVEL_WARN,
		    "for real work start mayfly-broker and mayfly-agent as root",
		    "this is `mayfly dev`: a throw-away trust domain%s",
		    geteuid() == 0 ? ""
				   : ", where jobs share the user of the daemons and can take their keys");
}

void
mf_doctor_daemons(struct mf_cli *c, struct mf_findings *f)
{
	check_agent(c, f);
	check_broker(c, f);
	check_state(f);
}

/* --- the verb --- */

static const struct mf_col cols[] = {
	{ .head = "", .key = "level", .type = MF_COL_STR, .at = offsetof(struct mf_finding, level_name) },
};

static const char *
name_of_side(const char *side)
{
	static const char *const names[][2] = { { "profile", "the profile in the policy file" },
		{ "broker", "the broker and its configuration" },
		{ "publication", "what is published at the issuer's URL" },
		{ "provider", "the provider: its trust policy, its roles" },
		{ "network", "the way to the provider" }, { "clock", "the clocks" } };
	for (size_t i = 0; i < MF_COUNT(names); i++)
		if (strcmp(side, names[i][0]) == 0)
			return names[i][1];
	return "the broker";
}

static enum mf_status
render(const struct mf_cli *c, const struct mf_findings *f, struct mf_buf *to, struct mf_err *err)
{
	struct mf_jw w;
	if (c->json) {
		mf_show_json_begin(&w, to, "DoctorReport");
		for (size_t i = 0; i < f->n; i++) {
			mf_jw_object_begin(&w);
			mf_show_object(&w, MF_COLS(cols), &f->v[i]);
			mf_jw_kstr(&w, "code", f->v[i].code);
			mf_jw_kstr(&w, "cause", f->v[i].cause);
			mf_jw_kstr(&w, "cure", f->v[i].cure);
			mf_jw_kstr(&w, "side", f->v[i].side);
			mf_jw_object_end(&w);
		}
		return mf_show_json_end(&w, err);
	}
	for (size_t i = 0; i < f->n; i++) {
		const struct mf_finding *x = &f->v[i];
		mf_buf_putf(to, "%-5s %-18s ", x->level_name, x->code);
		mf_show_clean(to, mf_slice_str(x->cause));
		if (x->side[0] != '\0')
			mf_buf_putf(to, "\n%-24s where: %s", "", name_of_side(x->side));
		if (x->cure[0] != '\0') {
			mf_buf_putf(to, "\n%-24s cure: ", "");
			mf_show_clean(to, mf_slice_str(x->cure));
		}
		mf_buf_put_u8(to, '\n');
	}
	return mf_buf_check(to, err);
}

int
mf_cli_doctor(struct mf_cli *c)
{
	const char *profile = mf_cli_get(c, "profile");
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_SHOW_MAX);
	if (profile == NULL && (mf_cli_has(c, "grant") || mf_cli_has(c, "no-token")))
		return mf_cli_usage(c, "--grant and --no-token go with --profile");
	struct mf_findings *f = calloc(1, sizeof(*f));
	if (f == NULL) {
		(void)MF_FAIL(&err, MF_E_NOMEM, "out of memory");
		return mf_cli_fail(c, &err);
	}
	if (profile == NULL) {
		mf_doctor_kernel(f);
		mf_doctor_cgroup(f);
		mf_doctor_daemons(c, f);
	} else {
		mf_doctor_cloud(c, profile, f);
		mf_doctor_job(c, profile, f);
	}
	enum mf_status s = render(c, f, &b, &err);
	enum mf_level worst = f->worst;
	free(f);
	if (s != MF_OK)
		return mf_cli_fail(c, &err);
	mf_cli_write(c, mf_buf_slice(&b));
	return worst == MF_LEVEL_FAIL ? MF_EXIT_FAILED : MF_EXIT_OK;
}
