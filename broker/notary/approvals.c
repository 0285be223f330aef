#include "broker/notary/approvals.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "codec/allowed_signers.h"
#include "crypto/hash.h"
#include "os/jlog.h"
#include "os/secure_file.h"
#include "rpc/admin_text.h"

#define CHECKS_MAX 32u /* calls whose signatures are being looked at */

struct mf_approvals {
	struct mf_crew *crew;
	struct mf_engine *engine;
	uint32_t required;
	char log[MF_LIM_NOTE_NAME + 1];
	struct mf_buf signers; /* the file */
	unsigned checks;
};

void
mf_approvals_free(struct mf_approvals *a)
{
	if (a == NULL)
		return;
	mf_buf_fini(&a->signers);
	free(a);
}

static enum mf_status
load(struct mf_approvals *a, int fd, struct mf_err *err)
{
	struct mf_now now = mf_now();
	MF_AUTO(mf_signers_free) struct mf_signers *s = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	uint8_t sha[32];
	char hex[65];
	mf_buf_init(&text, MF_LIM_SIGNERS_FILE);
	if (a->required == 0)
		return MF_OK;
	if (fd < 0)
		return MF_FAIL(
		    err, MF_E_INVALID, "admin_signers: no file came with the number of signatures");
	MF_TRY(mf_file_read_all(fd, &text, err));
	MF_TRY(mf_signers_parse(mf_buf_slice(&text), MF_ADMIN_NAMESPACE, &s, err));
	mf_buf_reset(&a->signers);
	mf_buf_put_slice(&a->signers, mf_buf_slice(&text));
	MF_TRY(mf_buf_check(&a->signers, err));
	mf_sha256(mf_buf_slice(&text), sha);
	for (size_t i = 0; i < sizeof(sha); i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", sha[i]);
	size_t persons = mf_signers_persons(s, now.wall_us / 1000000);
	mf_engine_signers(a->engine, now, a->required, (uint32_t)persons, hex);
	MF_LOG(MF_LOG_INFO, "admin.signers", "signatures are required for acts that add access",
	    mf_ju("required", a->required), mf_ju("persons", persons), mf_js("sha256", hex));
	return MF_OK;
}

enum mf_status
mf_approvals_new(uint32_t required, const char *log, int fd, struct mf_crew *c, struct mf_engine *e,
    struct mf_approvals **ret_a, struct mf_err *err)
{
	MF_AUTO(mf_approvals_free) struct mf_approvals *a = calloc(1, sizeof(*a));
	if (a == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "signers: out of memory");
	a->crew = c;
	a->engine = e;
	a->required = required;
	(void)snprintf(a->log, sizeof(a->log), "%s", log);
	mf_buf_init(&a->signers, MF_LIM_SIGNERS_FILE);
	MF_TRY(load(a, fd, err));
	*ret_a = MF_TAKE(a);
	return MF_OK;
}

void
mf_approvals_reload(struct mf_approvals *a, int fd)
{
	struct mf_err err = { 0 };
	if (load(a, fd, &err) != MF_OK)
		mf_jlog_err(MF_LOG_ERROR, "admin.signers_rejected", "those in force stay", &err);
	if (fd >= 0)
		(void)close(fd);
}

void
mf_approvals_call(struct mf_approvals *a, const Mayfly__Roles__V1__AdminCall *call)
{
	struct mf_now now = mf_now();
	struct mf_err err = { 0 };
	struct mf_approval_job *job = NULL;
	if (a->required == 0 || call->approval == NULL) {
		mf_engine_admin(a->engine, now, call);
		return;
	}
	if (a->checks >= CHECKS_MAX)
		(void)MF_FAIL(
		    &err, MF_E_EXHAUSTED, "%u signed requests are being looked at: try again", CHECKS_MAX);
	else if (mf_approval_job_new(
		     call, mf_buf_slice(&a->signers), a->log, now.wall_us / 1000000, &job, &err) == MF_OK) {
		a->checks++;
		mf_crew_check(a->crew, job);
		return;
	}
	mf_engine_admin_checked(a->engine, now, call, NULL, &err);
}

void
mf_approvals_checked(struct mf_approvals *a, const struct mf_approval_job *job)
{
	a->checks--;
	mf_engine_admin_checked(
	    a->engine, mf_now(), job->call, &job->approval, job->status == MF_OK ? NULL : &job->err);
}
