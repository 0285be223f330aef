/*
 * mf_tables: the program's own tables as lines of tab-separated words, for scripts/reference.py, which makes reference and
 * man pages of them.
 *
 *   verb SECTION GROUP NAME ARGS HELP MORE      opt OF NAME LETTER ARG HELP (of the verb before, or of "admin", "agent" ...)
 *   rpc NAME ROLE ADDS                          record NAME REMOVAL FIELDS
 */
#include <stdio.h>
#include <stdlib.h>

#include "broker/core/admin_roles.h"
#include "broker/core/record.h"
#include "cli/cli.h"

/* One word: what would break a line is written as an escape. */
static void
word(const char *s)
{
	(void)fputc('\t', stdout);
	for (; s != NULL && *s != '\0'; s++) {
		if (*s == '\n')
			(void)fputs("\\n", stdout);
		else
			(void)fputc(*s == '\t' ? ' ' : *s, stdout);
	}
}

static bool
own(const struct mf_cli_verb *v, const char *name)
{
	for (const struct mf_cli_opt *o = v->opts; o != NULL && o->name != NULL; o++)
		if (strcmp(o->name, name) == 0)
			return true;
	return false;
}

static void
put_opt(const char *of, const struct mf_cli_opt *o)
{
	const char letter[2] = { o->letter, '\0' };
	(void)fputs("opt", stdout);
	word(of);
	word(o->name);
	word(letter);
	word(o->arg);
	word(o->help);
	(void)fputc('\n', stdout);
}

static void
put_verb(const struct mf_cli_verb *v)
{
	static const char *const sections[] = { "jobs", "operators", "log", "machine" };
	struct mf_cli_opt d[MF_CLI_DECLARED_MAX + 1];
	size_t n = mf_cli_declared(v, d);
	(void)fputs("verb", stdout);
	word(sections[v->section]);
	word(v->group);
	word(v->name);
	word(v->args);
	word(v->help);
	/* What has a parser of its own tells its options itself. */
	if ((v->flags & MF_CLI_RAW) == 0)
		word(v->more);
	else
		word("Its options: --help.");
	(void)fputc('\n', stdout);
	for (size_t i = 0; i < n; i++)
		put_opt(own(v, d[i].name) ? "own" : "common", &d[i]);
}

int
main(void)
{
	for (size_t i = 0; i < mf_cli_verb_count; i++)
		put_verb(&mf_cli_verbs[i]);
	for (size_t i = 0; i < mf_admin_rpc_count; i++) {
		(void)fputs("rpc", stdout);
		word(mf_admin_rpcs[i].name);
		word(mf_admin_role_name(mf_admin_rpcs[i].least));
		word(mf_admin_rpcs[i].adds ? "yes" : "");
		(void)fputc('\n', stdout);
	}
	for (int i = 0; i < MF_RECORD_TYPES; i++) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
		mf_buf_init(&b, 4096);
		mf_record_required((enum mf_record_type)i, &b);
		(void)fputs("record", stdout);
		word(mf_record_type_name((enum mf_record_type)i));
		word(mf_record_is_removal((enum mf_record_type)i) ? "yes" : "");
		word(mf_buf_cstr(&b));
		(void)fputc('\n', stdout);
	}
	return EXIT_SUCCESS;
}
