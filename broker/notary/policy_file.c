#include "broker/notary/policy_file.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "broker/policy/policy_load.h"
#include "crypto/hash.h"
#include "os/jlog.h"
#include "os/secure_file.h"

enum mf_status
mf_policy_file_load(struct mf_engine *e, const char *name, int fd, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	MF_AUTO(mf_problems_free) struct mf_problems *problems = mf_problems_new(name);
	struct mf_policy *policy = NULL;
	uint8_t sha[32];
	char hex[65];
	mf_buf_init(&text, MF_LIM_YAML);
	MF_TRY(mf_file_read_all(fd, &text, err));
	mf_sha256(mf_buf_slice(&text), sha);
	for (size_t i = 0; i < 32; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", sha[i]);
	MF_TRY(mf_engine_policy_expected(e, hex, err));
	enum mf_status s = mf_policy_load(mf_buf_slice(&text), problems, &policy, err);
	if (s != MF_OK) {
		/* All problems, a line each: whoever wrote the file sees them at once. */
		MF_AUTO_IN(mf_buf_fini) struct mf_buf said;
		mf_buf_init(&said, 65536);
		if (problems != NULL)
			mf_problems_put(problems, &said);
		MF_LOG(MF_LOG_ERROR, "policy.problems", "the policy file is not valid",
		    mf_jss("problems", mf_buf_slice(&said)));
		return s;
	}
	mf_engine_policy(e, mf_now(), policy, hex);
	MF_LOG(MF_LOG_INFO, "policy.loaded", "policy loaded", mf_js("sha256", hex));
	return MF_OK;
}

void
mf_policy_file_again(struct mf_engine *e, const char *name, int fd)
{
	struct mf_err err = { 0 };
	if (mf_policy_file_load(e, name, fd, &err) != MF_OK) {
		mf_jlog_err(MF_LOG_ERROR, "policy.rejected", "the policy in force stays", &err);
		mf_engine_policy_refused(e, mf_now(), err.msg);
	}
	(void)close(fd);
}

bool
mf_policy_file_ask(struct mf_role *role)
{
	struct mf_err err = { 0 };
	if (mf_role_ask_reload(role, "policy", &err) == MF_OK)
		return true;
	mf_jlog_err(MF_LOG_ERROR, "policy.ask", "the supervisor could not be asked for the file", &err);
	return false;
}
