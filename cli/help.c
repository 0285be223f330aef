/* help: --help from the table of commands. */
#include <ctype.h>

#include "cli/cli.h"

static const char *const sections[MF_CLI_SECTIONS] = {
	[MF_CLI_JOBS] = "Jobs and their owners (they speak to the agent: SPIFFE_ENDPOINT_SOCKET)",
	[MF_CLI_OPERATORS] = "Operators (they speak to the broker: MAYFLY_ADMIN_SOCKET or MAYFLY_BROKER)",
	[MF_CLI_LOG] = "The log (reads files: MAYFLY_STATE)",
	[MF_CLI_MACHINE] = "This machine",
};

static const struct mf_cli_opt agent_opt = { "socket", 0, "PATH",
	"the agent's socket; default $SPIFFE_ENDPOINT_SOCKET, else unix:///run/mayfly/agent.sock" };
static const struct mf_cli_opt admin_opt = { "admin-socket", 0, "PATH",
	"the broker's admin socket; default $MAYFLY_ADMIN_SOCKET, else /run/mayfly/admin.sock" };
static const struct mf_cli_opt remote_opts[] = {
	{ "broker", 0, "URL",
	    "a broker elsewhere, https://HOST:PORT; default $MAYFLY_BROKER, else the socket" },
	{ "cert", 0, "FILE",
	    "client certificate for --broker, PEM; default $MAYFLY_BROKER_CERT, else this job's own" },
	{ "key", 0, "FILE", "its key, PEM; default $MAYFLY_BROKER_KEY" },
	{ "ca", 0, "FILE", "the broker's CA certificates, PEM; default $MAYFLY_BROKER_CA" },
};
static const struct mf_cli_opt sign_opts[] = {
	{ "sign", 0, "KEY", "sign with this SSH key, where the broker asks for signatures; may be repeated" },
	{ "offline-request", 0, "FILE", "write what is to be signed to FILE, and ask nothing yet" },
	{ "signature", 0, "FILE", "a signature over that file, by ssh-keygen; may be repeated" },
};
static const struct mf_cli_opt timeout_opt = { "timeout", 0, "T", "how long to wait for an answer: 5s, 1m" };
static const struct mf_cli_opt output_opt = { "output", 'o', "FORMAT", "table (default) or json" };

size_t
mf_cli_declared(const struct mf_cli_verb *v, struct mf_cli_opt ret[MF_CLI_DECLARED_MAX + 1])
{
	size_t n = 0;
	for (const struct mf_cli_opt *o = v->opts;
	     o != NULL && o->name != NULL && n + 12 < MF_CLI_DECLARED_MAX; o++)
		ret[n++] = *o;
	if ((v->flags & MF_CLI_JSON) != 0)
		ret[n++] = output_opt;
	if ((v->flags & MF_CLI_AGENT) != 0)
		ret[n++] = agent_opt;
	if ((v->flags & MF_CLI_ADMIN) != 0)
		ret[n++] = admin_opt;
	for (size_t i = 0; (v->flags & MF_CLI_ADMIN) != 0 && i < MF_COUNT(remote_opts); i++)
		ret[n++] = remote_opts[i];
	for (size_t i = 0; (v->flags & MF_CLI_SIGNED) != 0 && i < MF_COUNT(sign_opts); i++)
		ret[n++] = sign_opts[i];
	if ((v->flags & (MF_CLI_AGENT | MF_CLI_ADMIN)) != 0)
		ret[n++] = timeout_opt;
	ret[n] = (struct mf_cli_opt) { 0 };
	return n;
}

/* "job end J" and what it does, in two columns. */
static void
line(FILE *to, const struct mf_cli_verb *v)
{
	char left[96];
	int n = snprintf(left, sizeof(left), "%s%s%s%s%s", v->group == NULL ? "" : v->group,
	    v->group == NULL ? "" : " ", v->name, v->args[0] == '\0' ? "" : " ", v->args);
	(void)fprintf(to, "  %-28s%s%s\n", left, n >= 28 ? "  " : "", v->help);
}

void
mf_cli_help_all(FILE *to)
{
	(void)fputs("usage: mayfly COMMAND [OPTIONS] [ARGUMENTS]\n", to);
	for (int s = 0; s < MF_CLI_SECTIONS; s++) {
		(void)fprintf(to, "\n%s\n", sections[s]);
		for (size_t i = 0; i < mf_cli_verb_count; i++)
			if (mf_cli_verbs[i].section == (enum mf_cli_section)s)
				line(to, &mf_cli_verbs[i]);
	}
	(void)fputs(
	    "\nJ is a job's key, its short id (j-...) or a prefix that only one job has.\n"
	    "mayfly COMMAND --help says more about a command; mayfly --version names release and build.\n"
	    "Exit codes: 0 done, 1 refused or failed, 2 usage, 3 effective but not yet recorded,\n"
	    "4 not reachable or incomplete: assume that nothing was done.\n",
	    to);
}

void
mf_cli_help_group(FILE *to, const char *group)
{
	(void)fprintf(to, "usage: mayfly %s COMMAND [OPTIONS] [ARGUMENTS]\n\n", group);
	for (size_t i = 0; i < mf_cli_verb_count; i++)
		if (mf_cli_verbs[i].group != NULL && strcmp(mf_cli_verbs[i].group, group) == 0)
			line(to, &mf_cli_verbs[i]);
	(void)fprintf(to, "\nmayfly %s COMMAND --help says more.\n", group);
}

void
mf_cli_help_verb(FILE *to, const struct mf_cli_verb *v)
{
	struct mf_cli_opt d[MF_CLI_DECLARED_MAX + 1];
	size_t n = mf_cli_declared(v, d);
	(void)fprintf(to, "usage: mayfly %s%s%s%s%s%s\n\n%c%s.\n", v->group == NULL ? "" : v->group,
	    v->group == NULL ? "" : " ", v->name, n > 0 ? " [OPTIONS]" : "", v->args[0] == '\0' ? "" : " ",
	    v->args, toupper((unsigned char)v->help[0]), v->help + 1);
	if (v->more != NULL)
		(void)fprintf(to, "%s\n", v->more);
	if (n == 0)
		return;
	(void)fputs("\nOptions:\n", to);
	for (size_t i = 0; i < n; i++) {
		char left[64];
		char letter[8] = "    ";
		if (d[i].letter != '\0')
			(void)snprintf(letter, sizeof(letter), "-%c, ", d[i].letter);
		(void)snprintf(left, sizeof(left), "%s--%s%s%s", letter, d[i].name,
		    d[i].arg == NULL ? "" : " ", d[i].arg == NULL ? "" : d[i].arg);
		(void)fprintf(to, "  %-26s %s\n", left, d[i].help);
	}
}
