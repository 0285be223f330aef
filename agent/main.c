/* mayfly-agent: the program that operators start on every node. What it does: agent/run.h. */
#include <stdio.h>
#include <stdlib.h>

#include "agent/run.h"
#include "conf/program.h"
#include "os/build_id.h"
#include "os/jlog.h"

static const struct mf_program_verb verbs[] = {
	{ "run", "serve, in the foreground", NULL },
};
static enum mf_status (*const runs[])(const struct mf_agent_conf *, bool, struct mf_err *) = { mf_agent_run };

static enum mf_status
load(struct mf_slice file, char *const *env, char *const *argv, const char *const *own,
    struct mf_problems *problems, void **ret_conf, struct mf_err *err)
{
	struct mf_agent_conf *c = NULL;
	MF_TRY(mf_agent_conf_load(file, env, argv, own, problems, &c, err));
	*ret_conf = c;
	return MF_OK;
}

static void
print(const void *conf, struct mf_buf *to)
{
	mf_agent_conf_print(conf, to);
}

static void
free_conf(void *conf)
{
	mf_agent_conf_free(conf);
}

int
main(int argc, char **argv)
{
	char version[128];
	struct mf_program_call call;
	struct mf_err err = { 0 };
	int code = EXIT_SUCCESS;
	(void)snprintf(version, sizeof(version), "mayfly-agent %s (SPIFFE specifications %s)",
	    mf_build_version(), MF_BUILD_SPIFFE_REVISION);
	const struct mf_program program = { .name = "mayfly-agent",
		.file = MF_AGENT_CONF_FILE,
		.version = version,
		.verbs = verbs,
		.verb_count = MF_COUNT(verbs),
		.load = load,
		.print = print,
		.help = mf_agent_conf_help,
		.free = free_conf };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out;
	mf_buf_init(&out, 1u << 20);
	if (!mf_program_begin(&program, argc, argv, &call, &out, &code)) {
		(void)fwrite(out.p, 1, out.n, code == EXIT_SUCCESS ? stdout : stderr);
		return code;
	}
	mf_jlog_init("mayfly-agent", MF_LOG_INFO);
	/* A first set-up that is missing is a matter of configuration: service managers shall not try again. */
	if (mf_agent_check(call.conf, &err) != MF_OK)
		code = MF_PROGRAM_EXIT_USAGE;
	else if (runs[call.verb](call.conf, call.debug, &err) != MF_OK)
		code = EXIT_FAILURE;
	if (code != EXIT_SUCCESS)
		mf_jlog_err(MF_LOG_ERROR, "program.failed", "mayfly-agent ends", &err);
	free_conf(call.conf);
	return code;
}
