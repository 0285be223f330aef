/* env: what a job that was started otherwise than by `mayfly run` sets to find its identity and its cloud credentials. */
#include <stdlib.h>

#include "cli/cloud_files.h"
#include "cli/connect.h"
#include "cli/show.h"
#include "cli/verbs.h"
#include "job.pb-c.h"

/* The files stay: whoever sets these variables reads them later. They are worth nothing outside of the job. */
static enum mf_status
put_clouds(struct mf_cli *c, const char *job, struct mf_buf *to, struct mf_err *err)
{
	Mayfly__Job__V1__GetCloudEnvironmentRequest req =
	    MAYFLY__JOB__V1__GET_CLOUD_ENVIRONMENT_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	struct mf_cloud_files files = MF_CLOUD_FILES_NONE;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf lines;
	mf_buf_init(&lines, 65536);
	if (mf_cli_ask_agent(c, &mf_cli_cloud_environment, &req.base, &msg) != MF_EXIT_OK)
		return MF_FAIL(err, MF_E_UNAVAILABLE, "the environment for cloud grants is missing");
	MF_TRY(mf_cloud_files_open_for(&files, job, err));
	enum mf_status s = mf_cloud_files_take(
	    &files, (const Mayfly__Job__V1__CloudEnvironment *)(const void *)msg, &lines, err);
	mf_cloud_files_close(&files);
	MF_TRY(s);
	for (size_t at = 0; at < lines.n; at += strlen((const char *)lines.p + at) + 1) {
		const char *line = (const char *)lines.p + at, *is = strchr(line, '=');
		char name[256];
		if (is == NULL)
			mf_buf_putf(to, "unset %s\n", line);
		else if ((size_t)(is - line) < sizeof(name)) {
			memcpy(name, line, (size_t)(is - line));
			name[is - line] = '\0';
			mf_show_export(to, name, is + 1);
		}
	}
	return MF_OK;
}

int
mf_cli_env(struct mf_cli *c)
{
	Mayfly__Job__V1__WhoAmIRequest req = MAYFLY__JOB__V1__WHO_AM_IREQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	struct mf_err err = { 0 };
	const char *path = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 131072);
	if (mf_cli_agent_path(c, &path, &err) != MF_OK)
		return mf_cli_fail(c, &err);
	int rc = mf_cli_ask_agent(c, &mf_cli_who_am_i, &req.base, &msg);
	if (rc != MF_EXIT_OK)
		return rc;
	const Mayfly__Job__V1__WhoAmIResponse *w = (const Mayfly__Job__V1__WhoAmIResponse *)(const void *)msg;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf uri;
	mf_buf_init(&uri, 4096);
	mf_buf_putf(&uri, "unix://%s", path);
	const char *value = mf_buf_cstr(&uri);
	mf_show_export(&b, "SPIFFE_ENDPOINT_SOCKET", value == NULL ? "" : value);
	if (w->job_id[0] != '\0')
		mf_show_export(&b, "MAYFLY_JOB", w->job_id);
	if (w->run_id[0] != '\0')
		mf_show_export(&b, "MAYFLY_RUN", w->run_id);
	if (w->n_cloud > 0 && put_clouds(c, w->job_id, &b, &err) != MF_OK)
		return mf_cli_fail(c, &err);
	if (mf_buf_check(&b, &err) != MF_OK)
		return mf_cli_fail(c, &err);
	mf_cli_write(c, mf_buf_slice(&b));
	if (strcmp(w->state, "granted") != 0 && strcmp(w->state, "ending") != 0)
		mf_cli_note(c, "mayfly: this process has no identity: %s", w->reason);
	return MF_EXIT_OK;
}
