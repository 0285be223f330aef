/* dispatch: from a command line to the row of the table, with its options taken apart. */
#include <assert.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/suggest.h"
#include "base/text.h"
#include "cli/cli.h"
#include "os/build_id.h"

#define MESSAGE_MAX 4096u

#define TIMEOUT_MS 20000u      /* an answer of a daemon that is there */
#define LONG_TIMEOUT_MS 60000u /* the agent holds callers that it has not decided on */

/* --- what commands ask --- */

bool
mf_cli_declares(const struct mf_cli_verb *v, const char *name)
{
	struct mf_cli_opt d[MF_CLI_DECLARED_MAX + 1];
	size_t n = mf_cli_declared(v, d);
	for (size_t i = 0; i < n; i++)
		if (strcmp(d[i].name, name) == 0)
			return true;
	return false;
}

char *
mf_cli_get_nth(const struct mf_cli *c, const char *name, size_t i)
{
	assert(mf_cli_declares(c->verb, name)); /* else a row of the table and its code disagree */
	for (size_t k = 0; k < c->n_set; k++)
		if (strcmp(c->set[k].name, name) == 0 && i-- == 0)
			return c->set[k].value;
	return NULL;
}

char *
mf_cli_get(const struct mf_cli *c, const char *name)
{
	char *last = NULL, *v;
	for (size_t i = 0; (v = mf_cli_get_nth(c, name, i)) != NULL; i++)
		last = v;
	return last;
}

bool
mf_cli_duration(struct mf_cli *c, const char *name, uint64_t *ret_ms)
{
	const char *v = mf_cli_get(c, name);
	if (v == NULL || mf_parse_duration(mf_slice_str(v), ret_ms, NULL) == MF_OK)
		return true;
	(void)mf_cli_usage(c, "--%s: must be a duration like 90s, 20m, 2h or 30d", name);
	return false;
}

/* --- what commands say --- */

/* Texts come from daemons and from files: nothing that moves a terminal's cursor. */
static void
put_clean(struct mf_buf *to, const char *s)
{
	for (; *s != '\0'; s++)
		mf_buf_put_u8(to, (unsigned char)*s < 0x20 || *s == 0x7f ? '?' : (uint8_t)*s);
}

/* In one write, so that what others say on the same standard error does not come in between. */
static void
put_err(struct mf_cli *c, const struct mf_buf *text)
{
	(void)fwrite(text->p, 1, text->n, c->err);
}

int
mf_cli_exit_of(enum mf_status s)
{
	switch (s) {
	case MF_OK:
		return MF_EXIT_OK;
	case MF_E_UNAVAILABLE:
	case MF_E_DEADLINE:
	case MF_E_CLOSED:
	case MF_E_AGAIN:
		return MF_EXIT_UNREACHABLE;
	default:
		return MF_EXIT_FAILED;
	}
}

int
mf_cli_fail(struct mf_cli *c, const struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MESSAGE_MAX);
	mf_buf_put_str(&b, "mayfly: ");
	put_clean(&b, err->msg[0] == '\0' ? mf_status_name(err->code) : err->msg);
	mf_buf_put_u8(&b, '\n');
	put_err(c, &b);
	return mf_cli_exit_of(err->code == MF_OK ? MF_E_INTERNAL : err->code);
}

MF_PRINTF(2, 0) static void say(struct mf_buf *to, const char *fmt, va_list ap)
{
	char text[1024];
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	put_clean(to, text);
}

void
mf_cli_note(struct mf_cli *c, const char *fmt, ...)
{
	va_list ap;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MESSAGE_MAX);
	va_start(ap, fmt);
	say(&b, fmt, ap);
	va_end(ap);
	mf_buf_put_u8(&b, '\n');
	put_err(c, &b);
}

int
mf_cli_usage(struct mf_cli *c, const char *fmt, ...)
{
	va_list ap;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MESSAGE_MAX);
	mf_buf_put_str(&b, "mayfly: ");
	va_start(ap, fmt);
	say(&b, fmt, ap);
	va_end(ap);
	if (c->verb == NULL)
		mf_buf_put_str(&b, "\nmayfly --help lists all commands\n");
	else
		mf_buf_putf(&b, "\nmayfly %s%s%s --help says more\n",
		    c->verb->group == NULL ? "" : c->verb->group, c->verb->group == NULL ? "" : " ",
		    c->verb->name);
	put_err(c, &b);
	return MF_EXIT_USAGE;
}

void
mf_cli_write(struct mf_cli *c, struct mf_slice s)
{
	if (s.n > 0)
		(void)fwrite(s.p, 1, s.n, c->out);
}

int
mf_cli_finish(struct mf_cli *c, int rc)
{
	rc = rc == MF_EXIT_DONE ? MF_EXIT_OK : rc;
	if (fflush(c->out) == 0 && ferror(c->out) == 0)
		return rc;
	(void)fputs(
	    "mayfly: the output could not be written (is the disk full, or the reader gone?)\n", c->err);
	return rc == MF_EXIT_OK ? MF_EXIT_FAILED : rc;
}

/* --- options --- */

struct parser {
	struct mf_cli_opt declared[MF_CLI_DECLARED_MAX + 1];
	size_t n;
	struct option lo[MF_CLI_DECLARED_MAX + 2];
	char so[2 * MF_CLI_DECLARED_MAX + 8];
};

static void
prepare(struct parser *p, const struct mf_cli_verb *v)
{
	size_t at = 0;
	p->n = mf_cli_declared(v, p->declared);
	if ((v->flags & MF_CLI_STOP) != 0)
		p->so[at++] = '+';
	p->so[at++] = ':'; /* a missing value is told apart from an unknown option */
	p->so[at++] = 'h';
	for (size_t i = 0; i < p->n; i++) {
		const struct mf_cli_opt *o = &p->declared[i];
		p->lo[i] = (struct option) { o->name, o->arg != NULL ? required_argument : no_argument, NULL,
			256 + (int)i };
		if (o->letter != '\0') {
			p->so[at++] = o->letter;
			if (o->arg != NULL)
				p->so[at++] = ':';
		}
	}
	p->lo[p->n] = (struct option) { "help", no_argument, NULL, 'h' };
	p->lo[p->n + 1] = (struct option) { 0 };
	p->so[at] = '\0';
}

static int
bad_option(struct mf_cli *c, const struct parser *p, int opt, char **argv)
{
	const char *names[MF_CLI_DECLARED_MAX];
	const char *typed = argv[optind - 1];
	if (opt == ':')
		return mf_cli_usage(c, "%s: a value is missing", typed);
	if (optopt > 0 && optopt < 256)
		return mf_cli_usage(c, "-%c: no such option", optopt);
	if (optopt >= 256)
		return mf_cli_usage(c, "%s: takes no value", typed);
	for (size_t i = 0; i < p->n; i++)
		names[i] = p->declared[i].name;
	struct mf_slice word = mf_slice_str(typed);
	while (word.n > 0 && word.p[0] == '-')
		word = mf_slice_sub(word, 1, word.n);
	size_t n = 0;
	while (n < word.n && word.p[n] != '=')
		n++;
	const char *near = mf_suggest(mf_slice_sub(word, 0, n), names, p->n);
	if (near != NULL)
		return mf_cli_usage(c, "%s: no such option; did you mean --%s?", typed, near);
	return mf_cli_usage(c, "%s: no such option", typed);
}

static const struct mf_cli_opt *
find_opt(const struct parser *p, int opt)
{
	if (opt >= 256)
		return &p->declared[opt - 256];
	for (size_t i = 0; i < p->n; i++)
		if (p->declared[i].letter == opt)
			return &p->declared[i];
	return NULL;
}

/* -1: go on; else an exit code. */
static int
common_options(struct mf_cli *c)
{
	const struct mf_cli_verb *v = c->verb;
	c->timeout_ms = (v->flags & MF_CLI_LONG_TIMEOUT) != 0 ? LONG_TIMEOUT_MS : TIMEOUT_MS;
	if ((v->flags & (MF_CLI_AGENT | MF_CLI_ADMIN)) != 0 && !mf_cli_duration(c, "timeout", &c->timeout_ms))
		return MF_EXIT_USAGE;
	const char *o = (v->flags & MF_CLI_JSON) != 0 ? mf_cli_get(c, "output") : NULL;
	if (o != NULL && strcmp(o, "json") != 0 && strcmp(o, "table") != 0)
		return mf_cli_usage(c, "-o %s: must be table or json", o);
	c->json = o != NULL && strcmp(o, "json") == 0;
	if (c->argc < v->min_args)
		return mf_cli_usage(c, "%s is missing", v->args);
	if (v->max_args >= 0 && c->argc > v->max_args)
		return mf_cli_usage(c, "one argument too many: %s", c->argv[v->max_args]);
	return -1;
}

/* ${argv}[0] is the verb. -1: go on; else an exit code. */
static int
parse(struct mf_cli *c, int argc, char **argv)
{
	static char nothing[1];
	struct parser p = { 0 };
	prepare(&p, c->verb);
	opterr = 0;
	optind = 0;
	for (int opt; (opt = getopt_long(argc, argv, p.so, p.lo, NULL)) != -1;) {
		if (opt == 'h') {
			mf_cli_help_verb(c->out, c->verb);
			return mf_cli_finish(c, MF_EXIT_OK);
		}
		const struct mf_cli_opt *o = opt == '?' || opt == ':' ? NULL : find_opt(&p, opt);
		if (o == NULL)
			return bad_option(c, &p, opt, argv);
		if (c->n_set == MF_CLI_OPTS_MAX)
			return mf_cli_usage(c, "more than %u options", MF_CLI_OPTS_MAX);
		c->set[c->n_set++] = (struct mf_cli_set) { o->name, o->arg != NULL ? optarg : nothing };
	}
	c->argc = argc - optind;
	c->argv = argv + optind;
	return common_options(c);
}

/* --- verbs --- */

bool
mf_cli_is_group(const char *word)
{
	for (size_t i = 0; i < mf_cli_verb_count; i++)
		if (mf_cli_verbs[i].group != NULL && strcmp(mf_cli_verbs[i].group, word) == 0)
			return true;
	return false;
}

const struct mf_cli_verb *
mf_cli_find_verb(const char *group, const char *name)
{
	for (size_t i = 0; i < mf_cli_verb_count; i++) {
		const struct mf_cli_verb *v = &mf_cli_verbs[i];
		if ((group == NULL) == (v->group == NULL) &&
		    (group == NULL || strcmp(group, v->group) == 0) && strcmp(name, v->name) == 0)
			return v;
	}
	return NULL;
}

/* Exit code 2, with the nearest word that would have been right. */
static int
unknown_verb(struct mf_cli *c, const char *group, const char *typed)
{
	const char *words[128];
	size_t n = 0;
	for (size_t i = 0; i < mf_cli_verb_count && n < MF_COUNT(words); i++) {
		const struct mf_cli_verb *v = &mf_cli_verbs[i];
		if (group == NULL)
			words[n++] = v->group != NULL ? v->group : v->name;
		else if (v->group != NULL && strcmp(v->group, group) == 0)
			words[n++] = v->name;
	}
	const char *near = mf_suggest(mf_slice_str(typed), words, n);
	const char *pre = group == NULL ? "" : group, *gap = group == NULL ? "" : " ";
	if (near != NULL)
		return mf_cli_usage(
		    c, "unknown command `%s%s%s`; did you mean `%s%s%s`?", pre, gap, typed, pre, gap, near);
	return mf_cli_usage(c, "unknown command `%s%s%s`", pre, gap, typed);
}

static bool
wants_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

static int
help(struct mf_cli *c, int argc, char **argv)
{
	const struct mf_cli_verb *v = NULL;
	if (argc == 0) {
		mf_cli_help_all(c->out);
	} else if (argc == 1 && mf_cli_is_group(argv[0])) {
		mf_cli_help_group(c->out, argv[0]);
	} else {
		v = argc == 1 ? mf_cli_find_verb(NULL, argv[0]) : mf_cli_find_verb(argv[0], argv[1]);
		if (v == NULL)
			return unknown_verb(c, argc == 1 ? NULL : argv[0], argv[argc == 1 ? 0 : 1]);
		mf_cli_help_verb(c->out, v);
	}
	return mf_cli_finish(c, MF_EXIT_OK);
}

static int
version(struct mf_cli *c)
{
	(void)fprintf(c->out, "mayfly %s (build %s)\nSPIFFE specifications " MF_BUILD_SPIFFE_REVISION "\n",
	    c->version, c->build_id);
	return mf_cli_finish(c, MF_EXIT_OK);
}

static int
run_verb(struct mf_cli *c, const struct mf_cli_verb *v, int argc, char **argv)
{
	c->verb = v;
	if ((v->flags & MF_CLI_RAW) != 0) {
		c->argc = argc - 1;
		c->argv = argv + 1;
	} else {
		int rc = parse(c, argc, argv);
		if (rc >= 0)
			return rc;
	}
	return mf_cli_finish(c, v->run(c));
}

int
mf_cli_main(int argc, char **argv, const char *ver, const char *build_id, FILE *out, FILE *err)
{
	struct mf_cli c = { .version = ver, .build_id = build_id, .out = out, .err = err };
	if (argc < 2) {
		mf_cli_help_all(err);
		return MF_EXIT_USAGE;
	}
	const char *word = argv[1];
	if (wants_help(word))
		return help(&c, argc - 2, argv + 2);
	if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0 || strcmp(word, "version") == 0)
		return version(&c);
	if (strcmp(word, "__complete") == 0)
		return mf_cli_finish(&c, mf_cli_complete(&c, argc - 2, argv + 2));
	const struct mf_cli_verb *v = mf_cli_find_verb(NULL, word);
	if (v != NULL)
		return run_verb(&c, v, argc - 1, argv + 1);
	if (!mf_cli_is_group(word))
		return unknown_verb(&c, NULL, word);
	if (argc == 2) {
		mf_cli_help_group(err, word);
		return MF_EXIT_USAGE;
	}
	if (wants_help(argv[2])) {
		mf_cli_help_group(out, word);
		return mf_cli_finish(&c, MF_EXIT_OK);
	}
	v = mf_cli_find_verb(word, argv[2]);
	return v == NULL ? unknown_verb(&c, word, argv[2]) : run_verb(&c, v, argc - 2, argv + 2);
}
