/* freeze: `mayfly revoke`, `mayfly unfreeze`, `mayfly freeze ls`. */
#include "admin.pb-c.h"
#include "base/text.h"
#include "cli/connect.h"
#include "cli/leak.h"
#include "cli/removal.h"
#include "cli/sessions.h"
#include "cli/show.h"
#include "cli/verbs.h"
#include "cli/wait.h"
#include "cli/watch.h"

/* What may be frozen, as options. */
static const char *const kinds[] = { "profile", "rule", "person", "tenant", "all" };

/* How many of the options are there; *ret_kind: the last of them. */
static unsigned
count_kinds(const struct mf_cli *c, const char **ret_kind)
{
	unsigned n = 0;
	for (size_t i = 0; i < MF_COUNT(kinds); i++)
		if (mf_cli_has(c, kinds[i])) {
			*ret_kind = kinds[i];
			n++;
		}
	return n;
}

static void
set_kind(Mayfly__Admin__V1__RevokeRequest *q, const char *kind, char *name)
{
	if (strcmp(kind, "profile") == 0) {
		q->what_case = MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_PROFILE;
		q->profile = name;
	} else if (strcmp(kind, "rule") == 0) {
		q->what_case = MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_RULE;
		q->rule = name;
	} else if (strcmp(kind, "person") == 0) {
		q->what_case = MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_PERSON;
		q->person = name;
	} else if (strcmp(kind, "tenant") == 0) {
		q->what_case = MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_TENANT;
		q->tenant = name;
	} else {
		q->what_case = MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_ALL;
		q->all = true;
	}
}

int
mf_cli_revoke_verb(struct mf_cli *c)
{
	Mayfly__Admin__V1__RevokeRequest req = MAYFLY__ADMIN__V1__REVOKE_REQUEST__INIT;
	char *job = mf_cli_get(c, "job"), *node = mf_cli_get(c, "node"), *one = mf_cli_get(c, "credential");
	const char *kind = NULL;
	const char *file = mf_cli_get(c, "token-file");
	unsigned n = count_kinds(c, &kind) + (job != NULL) + (node != NULL) + (one != NULL) + (file != NULL) +
		     (mf_cli_has(c, "role") || mf_cli_has(c, "target"));
	struct mf_cli_leak leak;
	struct mf_err err = { 0 };
	uint64_t for_ms = 0;
	if (n != 1)
		return mf_cli_usage(c,
		    "say what to revoke, one of: --job J, --node N, --credential C, --profile P, --rule R, "
		    "--person P, --tenant T, --all, --token-file F, --target T --role R");
	if ((mf_cli_has(c, "dry-run") || mf_cli_has(c, "yes")) && !mf_cli_has(c, "role"))
		return mf_cli_usage(c, "--dry-run and --yes go with --role");
	if (mf_cli_has(c, "final") && one == NULL)
		return mf_cli_usage(c, "--final goes with --credential");
	if (!mf_cli_duration(c, "for", &for_ms))
		return MF_EXIT_USAGE;
	if (mf_cli_has(c, "for") && kind == NULL)
		return mf_cli_usage(
		    c, "--for goes with what is frozen: a job that has ended does not come back");
	if (mf_cli_has(c, "for") && for_ms < 1000)
		return mf_cli_usage(c, "--for: at least a second");
	if (mf_cli_has(c, "role") || mf_cli_has(c, "target"))
		return mf_cli_revoke_sessions(c);
	if (job != NULL) {
		req.what_case = MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_JOB;
		req.job = job;
	} else if (node != NULL) {
		req.what_case = MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_NODE;
		req.node = node;
	} else if (one != NULL) {
		req.what_case = MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_CREDENTIAL;
		req.credential = one;
		req.final = mf_cli_has(c, "final");
	} else if (file != NULL) {
		if (mf_cli_leak_read(file, &leak, &err) != MF_OK)
			return mf_cli_fail(c, &err);
		req.what_case = MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_LEAKED;
		req.leaked = &leak.msg;
	} else {
		bool all = strcmp(kind, "all") == 0;
		set_kind(&req, kind, all ? NULL : mf_cli_get(c, kind));
		req.for_s = (int64_t)(for_ms / 1000);
	}
	if (mf_cli_has(c, "reason"))
		req.reason = mf_cli_get(c, "reason");
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	int rc = mf_cli_ask_admin(c, &mf_cli_revoke, &req.base, &msg);
	if (rc != MF_EXIT_OK)
		return rc;
	const Mayfly__Admin__V1__RemovalResponse *r =
	    (const Mayfly__Admin__V1__RemovalResponse *)(const void *)msg;
	bool wait = mf_cli_has(c, "wait") && r->effective && r->recorded;
	if (!wait || !c->json)
		rc = mf_cli_removal_show(c, r, !wait);
	if (kind != NULL && (rc == MF_EXIT_OK || rc == MF_EXIT_NOT_RECORDED)) {
		bool all = strcmp(kind, "all") == 0;
		mf_cli_note(c, "frozen: nothing is issued for it until `mayfly unfreeze --%s%s%s`%s", kind,
		    all ? "" : " ", all ? "" : mf_cli_get(c, kind),
		    for_ms == 0 ? "" : ", or the time of --for is over");
	}
	if (mf_cli_has(c, "wait") && rc == MF_EXIT_NOT_RECORDED)
		mf_cli_note(c, "not waited for: what is not on record is not shown to be dead");
	return wait && rc == MF_EXIT_OK ? mf_cli_wait(c, r) : rc;
}

static const struct mf_col lifted[] = {
	{ .key = "subject",
	    .type = MF_COL_STR,
	    .at = offsetof(Mayfly__Admin__V1__UnfreezeResponse, subject) },
	{ .key = "record_index",
	    .type = MF_COL_U64,
	    .at = offsetof(Mayfly__Admin__V1__UnfreezeResponse, record_index) },
};

int
mf_cli_unfreeze(struct mf_cli *c)
{
	Mayfly__Admin__V1__UnfreezeRequest req = MAYFLY__ADMIN__V1__UNFREEZE_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	const char *kind = NULL;
	mf_buf_init(&b, 4096);
	if (count_kinds(c, &kind) != 1)
		return mf_cli_usage(
		    c, "say what to lift, one of: --profile P, --rule R, --person P, --tenant T, --all");
	char word[16];
	(void)snprintf(word, sizeof(word), "%s", kind);
	req.kind = word;
	if (strcmp(kind, "all") != 0)
		req.name = mf_cli_get(c, kind);
	if (mf_cli_has(c, "reason"))
		req.reason = mf_cli_get(c, "reason");
	int rc = mf_cli_ask_admin(c, &mf_cli_unfreeze_method, &req.base, &msg);
	if (rc != MF_EXIT_OK)
		return rc;
	const Mayfly__Admin__V1__UnfreezeResponse *r =
	    (const Mayfly__Admin__V1__UnfreezeResponse *)(const void *)msg;
	const void *const row = msg;
	if (c->json)
		return mf_show_list(c, "Unfreeze", MF_COLS(lifted), &row, 1, "");
	mf_show_clean(&b, mf_slice_str(r->subject));
	mf_buf_putf(&b,
	    "\nlifted: jobs may ask for it again; those that were ended stay ended\nrecorded: record %llu\n",
	    (unsigned long long)r->record_index);
	mf_cli_write(c, mf_buf_slice(&b));
	return MF_EXIT_OK;
}

typedef Mayfly__Admin__V1__Freeze freeze;
#define COL(h, k, ty, field)                                                         \
	{                                                                            \
		.head = (h), .key = (k), .type = (ty), .at = offsetof(freeze, field) \
	}
static const struct mf_col freeze_cols[] = {
	COL("FROZEN", "subject", MF_COL_STR, subject),
	COL("SINCE", "since", MF_COL_TIME_US, since_us),
	COL("UNTIL", "until", MF_COL_TIME_S, until),
	COL("REASON", "reason", MF_COL_STR, reason),
	COL("RECORD", "record_index", MF_COL_U64, record_index),
};

int
mf_cli_freeze_ls(struct mf_cli *c)
{
	Mayfly__Admin__V1__ListFreezesRequest req = MAYFLY__ADMIN__V1__LIST_FREEZES_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	int rc = mf_cli_ask_admin(c, &mf_cli_list_freezes, &req.base, &msg);
	if (rc != MF_EXIT_OK)
		return rc;
	Mayfly__Admin__V1__ListFreezesResponse *r = (Mayfly__Admin__V1__ListFreezesResponse *)(void *)msg;
	return mf_show_list(c, "FreezeList", MF_COLS(freeze_cols), (const void **)(void *)r->freezes,
	    r->n_freezes, "nothing is frozen");
}
