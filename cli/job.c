/* job: `mayfly job ls|show`. */
#include <stdlib.h>
#include <time.h>

#include "admin.pb-c.h"
#include "base/map.h"
#include "base/text.h"
#include "cli/admin_cols.h"
#include "cli/connect.h"
#include "cli/verbs.h"
#include "cli/watch.h"

#define WATCH_MS 1000

/* ---- all pages, and what of them is asked for ---- */

struct pages {
	ProtobufCMessage **msg;
	size_t n_msg;
	const void **row;
	size_t n, room;
};

static void
pages_fini(struct pages *p)
{
	for (size_t i = 0; i < p->n_msg; i++)
		mf_pb_free(p->msg[i]);
	free(p->msg);
	free(p->row);
}

/* Takes ${msg}, keeps room for ${more} rows of it. */
static bool
pages_take(struct pages *p, ProtobufCMessage *msg, size_t more)
{
	ProtobufCMessage **m = reallocarray(p->msg, p->n_msg + 1, sizeof(ProtobufCMessage *));
	if (m == NULL) {
		mf_pb_free(msg);
		return false;
	}
	p->msg = m;
	p->msg[p->n_msg++] = msg;
	if (p->n + more <= p->room)
		return true;
	const void **v = reallocarray(p->row, p->n + more, sizeof(*v));
	if (v == NULL)
		return false;
	p->row = v;
	p->room = p->n + more;
	return true;
}

struct label {
	const char *key;
	size_t at; /* offsetof a text of the job */
};
#define LABEL(k, f)                                      \
	{                                                \
		(k), offsetof(Mayfly__Admin__V1__Job, f) \
	}
static const struct label labels[] = { LABEL("profile", profile), LABEL("person", person),
	LABEL("state", state), LABEL("tenant", tenant), LABEL("run", run_id), LABEL("name", name),
	LABEL("rule", rule) };

static bool
has_label(const Mayfly__Admin__V1__Job *j, const char *kv)
{
	for (size_t i = 0; i < MF_COUNT(labels); i++) {
		size_t n = strlen(labels[i].key);
		char *v;
		if (strncmp(kv, labels[i].key, n) != 0 || kv[n] != '=')
			continue;
		memcpy(&v, (const char *)j + labels[i].at, sizeof(v));
		return strcmp(v, kv + n + 1) == 0;
	}
	return false;
}

static bool
wanted(const struct mf_cli *c, const Mayfly__Admin__V1__Job *j, int64_t since_us)
{
	if (j->started_us < since_us && j->ended_us < since_us)
		return false;
	const char *kv;
	for (size_t i = 0; (kv = mf_cli_get_nth(c, "label", i)) != NULL; i++)
		if (!has_label(j, kv))
			return false;
	return true;
}

/* -1: go on; else an exit code. */
static int
read_filters(struct mf_cli *c, int64_t *ret_since_us)
{
	const char *kv, *since = mf_cli_get(c, "since");
	uint64_t ms;
	*ret_since_us = 0;
	for (size_t i = 0; (kv = mf_cli_get_nth(c, "label", i)) != NULL; i++) {
		bool known = false;
		for (size_t k = 0; k < MF_COUNT(labels); k++)
			known |= strncmp(kv, labels[k].key, strlen(labels[k].key)) == 0 &&
				 kv[strlen(labels[k].key)] == '=';
		if (!known)
			return mf_cli_usage(c,
			    "-l %s: K=V, with profile, person, state, tenant, run, name or rule for K", kv);
	}
	if (since == NULL || mf_time_get(mf_slice_str(since), ret_since_us, NULL) == MF_OK)
		return -1;
	if (mf_parse_duration(mf_slice_str(since), &ms, NULL) != MF_OK)
		return mf_cli_usage(
		    c, "--since %s: a duration like 90m or 2d, or a time like 2026-11-22T19:37:00Z", since);
	*ret_since_us = mf_now().wall_us - (int64_t)ms * 1000;
	return -1;
}

static int
no_memory(struct mf_cli *c)
{
	struct mf_err err = { 0 };
	(void)!MF_FAIL(&err, MF_E_NOMEM, "out of memory");
	return mf_cli_fail(c, &err);
}

static int
fetch(struct mf_cli *c, int64_t since_us, struct pages *p)
{
	Mayfly__Admin__V1__ListJobsRequest req = MAYFLY__ADMIN__V1__LIST_JOBS_REQUEST__INIT;
	Mayfly__Admin__V1__ListJobsResponse *r;
	req.all = mf_cli_has(c, "all");
	if (c->argc > 0)
		req.match = c->argv[0];
	do {
		ProtobufCMessage *msg = NULL;
		int rc = mf_cli_ask_admin(c, &mf_cli_list_jobs, &req.base, &msg);
		if (rc != MF_EXIT_OK)
			return rc;
		r = (Mayfly__Admin__V1__ListJobsResponse *)(void *)msg;
		if (!pages_take(p, msg, r->n_jobs))
			return no_memory(c);
		for (size_t i = 0; i < r->n_jobs; i++)
			if (wanted(c, r->jobs[i], since_us))
				p->row[p->n++] = r->jobs[i];
		req.page = r->next_page;
	} while (r->next_page[0] != '\0');
	return MF_EXIT_OK;
}

static int
list(struct mf_cli *c, struct mf_cli_watch *w)
{
	struct pages p __attribute__((cleanup(pages_fini))) = { 0 };
	int64_t since_us;
	int rc = read_filters(c, &since_us);
	if (rc >= 0 || (rc = fetch(c, since_us, &p)) != MF_EXIT_OK)
		return rc;
	return mf_cli_watch_list(c, w, "JobList", mf_cli_job_cols, p.row, p.n,
	    mf_cli_has(c, "all") ? "no jobs" : "no live jobs (--all shows ended ones)");
}

static void
pause_watch(void)
{
	struct timespec t = { WATCH_MS / 1000, WATCH_MS % 1000 * 1000000L };
	(void)nanosleep(&t, NULL);
}

int
mf_cli_job_ls(struct mf_cli *c)
{
	return mf_cli_watch_run(c, list);
}

static void
json_rows(struct mf_jw *w, const char *key, struct mf_cols cols, const void *const *rows, size_t n)
{
	mf_jw_key(w, key);
	mf_jw_array_begin(w);
	for (size_t i = 0; i < n; i++) {
		mf_jw_object_begin(w);
		mf_show_object(w, cols, rows[i]);
		mf_jw_object_end(w);
	}
	mf_jw_array_end(w);
}

/* The job as its first page has it, the instances of all pages. */
static enum mf_status
show(const struct mf_cli *c, const Mayfly__Admin__V1__GetJobResponse *r, const struct pages *p,
    struct mf_buf *to, struct mf_err *err)
{
	const void *const *credentials = (const void *const *)r->credentials;
	struct mf_now now = mf_now();
	if (r->job == NULL)
		return MF_FAIL(
		    err, MF_E_INVALID, "the broker's answer holds no job: is it of another release?");
	if (c->json) {
		struct mf_jw w;
		mf_show_json_begin(&w, to, "Job");
		mf_jw_object_begin(&w);
		mf_show_object(&w, mf_cli_job_cols, r->job);
		json_rows(&w, "instances", mf_cli_instance_cols, p->row, p->n);
		json_rows(&w, "credentials", mf_cli_credential_cols, credentials, r->n_credentials);
		mf_jw_object_end(&w);
		return mf_show_json_end(&w, err);
	}
	MF_TRY(mf_show_block(to, mf_cli_job_block, r->job, now, err));
	if (p->n > 0) {
		mf_buf_put_str(to, "\nInstances\n");
		MF_TRY(mf_show_table(to, "  ", mf_cli_instance_cols, p->row, p->n, now, err));
	}
	if (r->n_credentials > 0) {
		mf_buf_put_str(to, "\nCredentials that have not expired\n");
		MF_TRY(
		    mf_show_table(to, "  ", mf_cli_credential_cols, credentials, r->n_credentials, now, err));
	}
	if (r->incomplete[0] != '\0') {
		mf_buf_put_str(to, "\nIncomplete: ");
		mf_show_clean(to, mf_slice_str(r->incomplete));
		mf_buf_put_str(to, "\n");
	}
	return mf_buf_check(to, err);
}

static int
fetch_job(struct mf_cli *c, struct pages *p)
{
	Mayfly__Admin__V1__GetJobRequest req = MAYFLY__ADMIN__V1__GET_JOB_REQUEST__INIT;
	Mayfly__Admin__V1__GetJobResponse *r;
	req.match = c->argv[0];
	do {
		ProtobufCMessage *msg = NULL;
		int rc = mf_cli_ask_admin(c, &mf_cli_get_job, &req.base, &msg);
		if (rc != MF_EXIT_OK)
			return rc;
		r = (Mayfly__Admin__V1__GetJobResponse *)(void *)msg;
		if (!pages_take(p, msg, r->n_instances))
			return no_memory(c);
		for (size_t i = 0; i < r->n_instances; i++)
			p->row[p->n++] = r->instances[i];
		req.page = r->next_page;
	} while (r->next_page[0] != '\0');
	return MF_EXIT_OK;
}

/* Print it, unless it is what ${before} holds. *ret_over: it has ended. */
static int
show_once(struct mf_cli *c, uint64_t *before, bool *ret_over)
{
	struct pages p __attribute__((cleanup(pages_fini))) = { 0 };
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_SHOW_MAX);
	int rc = fetch_job(c, &p);
	if (rc != MF_EXIT_OK)
		return rc;
	const Mayfly__Admin__V1__GetJobResponse *r =
	    (const Mayfly__Admin__V1__GetJobResponse *)(const void *)p.msg[0];
	/* What the broker says is compared, not the text: it counts down. */
	size_t n = protobuf_c_message_get_packed_size(p.msg[0]);
	uint8_t *packed = malloc(n + 1);
	if (packed == NULL)
		return no_memory(c);
	(void)protobuf_c_message_pack(p.msg[0], packed);
	uint64_t h = mf_map_hash(packed, n);
	free(packed);
	*ret_over = r->job != NULL && r->job->ended_us != 0;
	if (h == *before)
		return MF_EXIT_OK;
	if (show(c, r, &p, &b, &err) != MF_OK)
		return mf_cli_fail(c, &err);
	if (*before != 0 && !c->json)
		mf_cli_write(c, MF_SLICE_LIT("\n"));
	*before = h;
	mf_cli_write(c, mf_buf_slice(&b));
	return MF_EXIT_OK;
}

int
mf_cli_job_show(struct mf_cli *c)
{
	uint64_t before = 0;
	for (bool over = false;;) {
		int rc = show_once(c, &before, &over);
		if (rc != MF_EXIT_OK || over || !mf_cli_has(c, "watch"))
			return rc;
		if (fflush(c->out) != 0)
			return MF_EXIT_FAILED;
		pause_watch();
	}
}
