/*
 * audit: `mayfly audit ...` and `mayfly policy ...` are the programs libexec/mayfly/mayfly-audit and mayfly-policy: they
 * need cryptography and a YAML reader, the rest does not.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/beside.h"
#include "cli/verbs.h"

#define ARGS_MAX 64

static int
become(struct mf_cli *c, char *name, const char *as)
{
	char *argv[ARGS_MAX + 3];
	MF_AUTO_IN(mf_buf_fini) struct mf_buf path;
	struct mf_err err = { 0 };
	mf_buf_init(&path, 4096);
	if (c->argc > ARGS_MAX)
		return mf_cli_usage(c, "more than %d arguments", ARGS_MAX);
	if (mf_cli_beside(name, true, &path, &err) != MF_OK)
		return mf_cli_fail(c, &err);
	size_t n = 0;
	argv[n++] = name;
	char *verb = mf_slice_dup_str(mf_slice_str(as));
	argv[n++] = verb;
	for (int i = 0; i < c->argc; i++)
		argv[n++] = c->argv[i];
	argv[n] = NULL;
	(void)fflush(c->out);
	(void)execv((const char *)path.p, argv);
	free(verb);
	(void)MF_FAIL(&err, MF_E_NOTFOUND, "cannot start %s: %s; is the installation whole?",
	    (const char *)path.p, strerror(errno));
	return mf_cli_fail(c, &err);
}

int
mf_cli_audit(struct mf_cli *c)
{
	static char name[] = "mayfly-audit";
	return become(c, name, c->verb->name);
}

int
mf_cli_policy(struct mf_cli *c)
{
	static char name[] = "mayfly-policy";
	return become(c, name, c->verb->name);
}

int
mf_cli_oidc_export(struct mf_cli *c)
{
	static char name[] = "mayfly-audit";
	return become(c, name, "oidc-export");
}

int
mf_cli_setup(struct mf_cli *c)
{
	static char name[] = "mayfly-policy";
	return become(c, name, "setup");
}
