/* sessions: `mayfly revoke --target T --role R`: all sessions of a provider's role, after a person said so twice. */
#include "cli/sessions.h"

#include <stdlib.h>
#include <unistd.h>

#include "cli/connect.h"
#include "cli/removal.h"
#include "cli/show.h"
#include "cli/wait.h"

#define ANSWER_MAX 4096

typedef Mayfly__Admin__V1__RemovalResponse removal;
typedef Mayfly__Admin__V1__EndedSessions sessions;

#define COL(k, ty, field)                                                 \
	{                                                                 \
		.key = (k), .type = (ty), .at = offsetof(sessions, field) \
	}
static const struct mf_col cols[] = {
	COL("target", MF_COL_STR, target),
	COL("role", MF_COL_STR, role),
	COL("before", MF_COL_TIME_S, before),
	COL("until", MF_COL_TIME_S, until),
	COL("credentials", MF_COL_U32, credentials),
	COL("jobs", MF_COL_U32, jobs),
	COL("dry_run", MF_COL_BOOL, dry_run),
};

void
mf_cli_sessions_json(struct mf_jw *w, const sessions *s)
{
	mf_jw_object_begin(w);
	if (s != NULL)
		mf_show_object(w, MF_COLS(cols), s);
	mf_jw_object_end(w);
}

void
mf_cli_sessions_put(struct mf_buf *to, const sessions *s)
{
	mf_buf_put_str(to, s->dry_run ? "would end" : "effective: ended are");
	mf_buf_put_str(to, " all sessions of that role from before ");
	mf_time_put_s(to, s->before);
	mf_buf_putf(to, ", whoever has them: %u token%s of %u job%s among them\n", s->credentials,
	    s->credentials == 1 ? "" : "s", s->jobs, s->jobs == 1 ? "" : "s");
	mf_buf_put_str(to, s->dry_run ? "nothing was changed\n" : "the jobs go on, and get new ones\n");
}

static const char *
name_of(const char *role)
{
	const char *slash = strrchr(role, '/');
	return slash == NULL ? role : slash + 1;
}

/* A whole line of stdin. */
static bool
types(const char *want)
{
	char line[ANSWER_MAX];
	if (fgets(line, sizeof(line), stdin) == NULL)
		return false;
	line[strcspn(line, "\r\n")] = '\0';
	return strcmp(line, want) == 0;
}

/* An exit code, MF_EXIT_OK: go on. */
static int
confirm(struct mf_cli *c, const removal *r)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 8192);
	mf_cli_sessions_put(&b, r->sessions);
	if (!isatty(STDIN_FILENO)) {
		return mf_cli_usage(c,
		    "this would end %u token(s) of %u job(s), and whatever else has that role: say --yes, or "
		    "--dry-run to look only",
		    r->sessions->credentials, r->sessions->jobs);
	}
	mf_show_clean(&b, mf_slice_str(r->sessions->role));
	mf_buf_put_str(&b, "\nType the name of the role (");
	mf_show_clean(&b, mf_slice_str(name_of(r->sessions->role)));
	mf_buf_put_str(&b, ") to end them: ");
	if (mf_buf_cstr(&b) != NULL)
		(void)fputs((const char *)b.p, c->err);
	(void)fflush(c->err);
	if (types(name_of(r->sessions->role)))
		return MF_EXIT_OK;
	mf_cli_note(c, "that is not its name: nothing was changed");
	return MF_EXIT_FAILED;
}

/* ${ret_msg}: a RemovalResponse with sessions. */
static int
ask(struct mf_cli *c, Mayfly__Admin__V1__RoleSessions *of, bool dry_run, ProtobufCMessage **ret_msg)
{
	Mayfly__Admin__V1__RevokeRequest q = MAYFLY__ADMIN__V1__REVOKE_REQUEST__INIT;
	struct mf_err err = { 0 };
	q.what_case = MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_SESSIONS;
	q.sessions = of;
	q.dry_run = dry_run;
	if (mf_cli_has(c, "reason"))
		q.reason = mf_cli_get(c, "reason");
	int rc = mf_cli_ask_admin(c, &mf_cli_revoke, &q.base, ret_msg);
	if (rc != MF_EXIT_OK || ((const removal *)(const void *)*ret_msg)->sessions != NULL)
		return rc;
	(void)MF_FAIL(&err, MF_E_UNSUPPORTED, "this broker cannot do that: it is older than this program");
	return mf_cli_fail(c, &err);
}

int
mf_cli_revoke_sessions(struct mf_cli *c)
{
	Mayfly__Admin__V1__RoleSessions of = MAYFLY__ADMIN__V1__ROLE_SESSIONS__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *first = NULL, *msg = NULL;
	bool dry = mf_cli_has(c, "dry-run");
	if (!mf_cli_has(c, "target") || !mf_cli_has(c, "role"))
		return mf_cli_usage(c, "--target and --role go together: a role is one of a cloud target");
	if (dry && (mf_cli_has(c, "wait") || mf_cli_has(c, "yes")))
		return mf_cli_usage(c, "--dry-run only looks: --wait and --yes do not go with it");
	of.target = mf_cli_get(c, "target");
	of.role = mf_cli_get(c, "role");
	int rc = dry || !mf_cli_has(c, "yes") ? ask(c, &of, true, &first) : MF_EXIT_OK;
	if (rc != MF_EXIT_OK)
		return rc;
	if (dry)
		return mf_cli_removal_show(c, (const removal *)(const void *)first, false);
	if (first != NULL && (rc = confirm(c, (const removal *)(const void *)first)) != MF_EXIT_OK)
		return rc;
	if ((rc = ask(c, &of, false, &msg)) != MF_EXIT_OK)
		return rc;
	const removal *r = (const removal *)(const void *)msg;
	bool wait = mf_cli_has(c, "wait") && r->effective && r->recorded;
	if (!wait || !c->json)
		rc = mf_cli_removal_show(c, r, false);
	if (mf_cli_has(c, "wait") && rc == MF_EXIT_NOT_RECORDED)
		mf_cli_note(c, "not waited for: what is not on record is not shown to be dead");
	else if (!wait && rc == MF_EXIT_OK)
		mf_cli_note(c, "the provider is being told; --wait shows when it has confirmed");
	return wait && rc == MF_EXIT_OK ? mf_cli_wait(c, r) : rc;
}
