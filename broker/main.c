/* mayfly-broker: the program that operators start. What it does: broker/run.h and broker/sources.h. */
#include <stdio.h>
#include <stdlib.h>

#include "broker/init.h"
#include "broker/recovery.h"
#include "broker/run.h"
#include "broker/sources.h"
#include "conf/program.h"
#include "os/build_id.h"
#include "os/jlog.h"

enum { VERB_RUN, VERB_INIT, VERB_BACKUP, VERB_RESTORE };

static const struct mf_program_verb verbs[] = {
	[VERB_RUN] = { "run", "serve, in the foreground", NULL },
	[VERB_INIT] = { "init", "make keys, log and state directory, once", NULL },
	[VERB_BACKUP] = { "backup", "[--to DIR]: copy keys, as sealed, and log, also while it runs",
	    mf_backup_flags },
	[VERB_RESTORE] = { "restore",
	    "--from DIR [--head FILE] [--force]: make the state from a backup; FILE is the last head of its "
	    "log",
	    mf_restore_flags },
};

static enum mf_status
do_verb(const struct mf_program_call *call, struct mf_err *err)
{
	switch (call->verb) {
	case VERB_INIT:
		return mf_broker_init_verb(call->conf, call->debug, err);
	case VERB_BACKUP:
		return mf_broker_backup_verb(call->conf, call->flags, err);
	case VERB_RESTORE:
		return mf_broker_restore_verb(call->conf, call->flags, err);
	default:
		return mf_broker_run(call->conf, call->debug, err);
	}
}

static enum mf_status
load(struct mf_slice file, char *const *env, char *const *argv, const char *const *own,
    struct mf_problems *problems, void **ret_conf, struct mf_err *err)
{
	struct mf_broker_conf *c = NULL;
	MF_TRY(mf_broker_conf_load(file, env, argv, own, problems, &c, err));
	*ret_conf = c;
	return MF_OK;
}

static void
print(const void *conf, struct mf_buf *to)
{
	mf_broker_conf_print(conf, to);
}

static const char *
state_dir(const void *conf)
{
	const struct mf_broker_conf *c = conf;
	return c->state_dir;
}

static void
free_conf(void *conf)
{
	mf_broker_conf_free(conf);
}

int
main(int argc, char **argv)
{
	char version[128];
	struct mf_program_call call;
	struct mf_err err = { 0 };
	int code = EXIT_SUCCESS;
	(void)snprintf(version, sizeof(version), "mayfly-broker %s (SPIFFE specifications %s)",
	    mf_build_version(), MF_BUILD_SPIFFE_REVISION);
	const struct mf_program program = { .name = "mayfly-broker",
		.file = MF_BROKER_CONF_FILE,
		.version = version,
		.verbs = verbs,
		.verb_count = MF_COUNT(verbs),
		.load = load,
		.print = print,
		.help = mf_broker_conf_help,
		.free = free_conf };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out;
	mf_buf_init(&out, 1u << 20);
	if (!mf_program_begin(&program, argc, argv, &call, &out, &code)) {
		(void)fwrite(out.p, 1, out.n, code == EXIT_SUCCESS ? stdout : stderr);
		return code;
	}
	/* For people, before there are log lines: what is wrong with the policy, all at once. */
	if (call.verb == VERB_RUN && !mf_broker_policy_ok(call.conf, &out)) {
		(void)fwrite(out.p, 1, out.n, stderr);
		free_conf(call.conf);
		return MF_PROGRAM_EXIT_USAGE;
	}
	mf_jlog_init("mayfly-broker", MF_LOG_INFO);
	/* A first set-up that is missing is a matter of configuration: service managers shall not try again. */
	if (call.verb == VERB_RUN && mf_broker_check_format(state_dir(call.conf), &err) == MF_E_NOTFOUND)
		code = MF_PROGRAM_EXIT_USAGE;
	else if (do_verb(&call, &err) != MF_OK)
		code = EXIT_FAILURE;
	if (code != EXIT_SUCCESS)
		mf_jlog_err(MF_LOG_ERROR, "program.failed", "mayfly-broker ends", &err);
	free_conf(call.conf);
	return code;
}
