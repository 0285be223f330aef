/*
 * completion: `mayfly completion bash|zsh`, and what these scripts ask: `mayfly __complete WORD...`. All candidates come
 * from the table of commands (cli/verbs.c); ids of jobs and nodes from the broker, if it answers at once.
 *
 * __complete prints "CANDIDATE<tab>DESCRIPTION" lines; a line ":files" lets the shell complete file names. It never fails.
 */
#include <stdlib.h>

#include "admin.pb-c.h"
#include "cli/connect.h"
#include "cli/show.h"
#include "cli/verbs.h"

#define PATIENCE_MS 2000u
#define IDS 200u

static const char bash_script[] =
    "# mayfly: completion for bash. Put into ~/.bashrc: eval \"$(mayfly completion bash)\"\n"
    "_mayfly() {\n"
    "\tlocal line cur=${COMP_WORDS[COMP_CWORD]}\n"
    "\tCOMPREPLY=()\n"
    "\twhile IFS= read -r line; do\n"
    "\t\tif [ \"$line\" = :files ]; then\n"
    "\t\t\tcompopt -o filenames 2>/dev/null\n"
    "\t\t\twhile IFS= read -r line; do COMPREPLY+=(\"$line\"); done < <(compgen -f -- \"$cur\")\n"
    "\t\telse\n"
    "\t\t\tCOMPREPLY+=(\"${line%%$'\\t'*}\")\n"
    "\t\tfi\n"
    "\tdone < <(\"${COMP_WORDS[0]}\" __complete \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
    "}\n"
    "complete -F _mayfly mayfly\n";

static const char zsh_script[] =
    "#compdef mayfly\n"
    "# mayfly: completion for zsh. Put into a folder of $fpath as _mayfly, or: eval \"$(mayfly completion "
    "zsh)\"\n"
    "_mayfly() {\n"
    "\tlocal line files=0\n"
    "\tlocal -a found\n"
    "\twhile IFS= read -r line; do\n"
    "\t\tif [[ $line == :files ]]; then\n"
    "\t\t\tfiles=1\n"
    "\t\telse\n"
    "\t\t\tfound+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\")\n"
    "\t\tfi\n"
    "\tdone < <(\"${words[1]}\" __complete \"${(@)words[2,CURRENT]}\" 2>/dev/null)\n"
    "\t(( ${#found} )) && _describe mayfly found\n"
    "\t(( files )) && _files\n"
    "\treturn 0\n"
    "}\n"
    "if [[ $funcstack[1] == _mayfly ]]; then _mayfly \"$@\"; else compdef _mayfly mayfly; fi\n";

int
mf_cli_completion(struct mf_cli *c)
{
	if (strcmp(c->argv[0], "bash") == 0)
		mf_cli_write(c, mf_slice_str(bash_script));
	else if (strcmp(c->argv[0], "zsh") == 0)
		mf_cli_write(c, mf_slice_str(zsh_script));
	else
		return mf_cli_usage(c, "%s: completion is there for bash and zsh", c->argv[0]);
	return MF_EXIT_OK;
}

/* ---- candidates ---- */

static void
offer(struct mf_cli *c, const char *typed, const char *candidate, const char *what)
{
	if (strncmp(candidate, typed, strlen(typed)) != 0)
		return;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 65536);
	mf_show_clean(&b, mf_slice_str(candidate));
	mf_buf_put_u8(&b, '\t');
	mf_show_clean(&b, mf_slice_str(what));
	mf_buf_put_u8(&b, '\n');
	mf_cli_write(c, mf_buf_slice(&b));
}

static void
offer_verbs(struct mf_cli *c, const char *group, const char *typed)
{
	for (size_t i = 0; i < mf_cli_verb_count; i++) {
		const struct mf_cli_verb *v = &mf_cli_verbs[i];
		if (group != NULL && v->group != NULL && strcmp(v->group, group) == 0) {
			offer(c, typed, v->name, v->help);
		} else if (group == NULL && v->group == NULL) {
			offer(c, typed, v->name, v->help);
		} else if (group == NULL) {
			/* A group once, with its first verb's place in the table. */
			bool first = true;
			for (size_t k = 0; k < i && first; k++)
				first = mf_cli_verbs[k].group == NULL ||
					strcmp(mf_cli_verbs[k].group, v->group) != 0;
			if (first)
				offer(c, typed, v->group, "commands about it: --help lists them");
		}
	}
}

static void
offer_options(struct mf_cli *c, const struct mf_cli_verb *v, const char *typed)
{
	struct mf_cli_opt d[MF_CLI_DECLARED_MAX + 1];
	size_t n = mf_cli_declared(v, d);
	char word[72];
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(word, sizeof(word), "--%s", d[i].name);
		offer(c, typed, word, d[i].help);
	}
	offer(c, typed, "--help", "more about this command");
}

static void
offer_jobs(struct mf_cli *c, const char *typed)
{
	Mayfly__Admin__V1__ListJobsRequest q = MAYFLY__ADMIN__V1__LIST_JOBS_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	MF_AUTO(mf_grpc_sync_free) struct mf_grpc_sync *s = NULL;
	q.limit = IDS;
	if (mf_cli_admin(c, &s, NULL) != MF_OK ||
	    mf_grpc_sync_unary(s, &mf_cli_list_jobs, &q.base, &msg, NULL) != MF_OK)
		return;
	const Mayfly__Admin__V1__ListJobsResponse *r =
	    (const Mayfly__Admin__V1__ListJobsResponse *)(const void *)msg;
	for (size_t i = 0; i < r->n_jobs; i++)
		offer(c, typed, r->jobs[i]->id,
		    r->jobs[i]->name[0] != '\0' ? r->jobs[i]->name : r->jobs[i]->key);
}

static void
offer_nodes(struct mf_cli *c, const char *typed)
{
	Mayfly__Admin__V1__ListNodesRequest q = MAYFLY__ADMIN__V1__LIST_NODES_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	MF_AUTO(mf_grpc_sync_free) struct mf_grpc_sync *s = NULL;
	q.all = strcmp(c->verb->name, "readmit") == 0 || strcmp(c->verb->name, "show") == 0;
	if (mf_cli_admin(c, &s, NULL) != MF_OK ||
	    mf_grpc_sync_unary(s, &mf_cli_list_nodes, &q.base, &msg, NULL) != MF_OK)
		return;
	const Mayfly__Admin__V1__ListNodesResponse *r =
	    (const Mayfly__Admin__V1__ListNodesResponse *)(const void *)msg;
	for (size_t i = 0; i < r->n_nodes; i++)
		offer(c, typed, r->nodes[i]->id, r->nodes[i]->hostname);
}

/* By what the table calls the value: "J", "[J]", "FILE", "table|json". */
static void
offer_value(struct mf_cli *c, const char *name, const char *typed)
{
	static const char *const files[] = { "FILE", "DIR", "PATH", "KEY", "F", "-- CMD..." };
	bool admin = (c->verb->flags & MF_CLI_ADMIN) != 0;
	if (admin && (strcmp(name, "J") == 0 || strcmp(name, "[J]") == 0)) {
		offer_jobs(c, typed);
	} else if (admin && (strcmp(name, "N") == 0 || strcmp(name, "[N]") == 0)) {
		offer_nodes(c, typed);
	} else if (strcmp(name, "FORMAT") == 0) {
		offer(c, typed, "table", "for people");
		offer(c, typed, "json", "for programs");
	} else if (strcmp(name, "bash|zsh") == 0) {
		offer(c, typed, "bash", "");
		offer(c, typed, "zsh", "");
	}
	for (size_t i = 0; i < MF_COUNT(files); i++)
		if (strcmp(name, files[i]) == 0)
			mf_cli_write(c, MF_SLICE_LIT(":files\n"));
}

/* The option that ${word} is, when a value follows it as the next word. */
static const struct mf_cli_opt *
wants_value(const struct mf_cli_opt *d, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++) {
		bool by_name = strncmp(word, "--", 2) == 0 && strcmp(word + 2, d[i].name) == 0;
		bool by_letter =
		    d[i].letter != '\0' && word[0] == '-' && word[1] == d[i].letter && word[2] == '\0';
		if (d[i].arg != NULL && (by_name || by_letter))
			return &d[i];
	}
	return NULL;
}

static void
complete_verb(struct mf_cli *c, int argc, char **argv)
{
	struct mf_cli_opt d[MF_CLI_DECLARED_MAX + 1];
	size_t n = mf_cli_declared(c->verb, d);
	const char *typed = argv[argc - 1];
	const struct mf_cli_opt *o = argc > 1 ? wants_value(d, n, argv[argc - 2]) : NULL;
	c->timeout_ms = PATIENCE_MS;
	if (o != NULL)
		offer_value(c, o->arg, typed);
	else if (typed[0] == '-')
		offer_options(c, c->verb, typed);
	else
		offer_value(c, c->verb->args, typed);
}

int
mf_cli_complete(struct mf_cli *c, int argc, char **argv)
{
	if (argc < 1)
		return MF_EXIT_OK;
	if (argc == 1) {
		offer_verbs(c, NULL, argv[0]);
		return MF_EXIT_OK;
	}
	bool group = mf_cli_is_group(argv[0]);
	if (argc == 2 && group) {
		offer_verbs(c, argv[0], argv[1]);
		return MF_EXIT_OK;
	}
	int words = group ? 2 : 1;
	c->verb = mf_cli_find_verb(group ? argv[0] : NULL, argv[words - 1]);
	if (c->verb != NULL)
		complete_verb(c, argc - words, argv + words);
	return MF_EXIT_OK;
}
