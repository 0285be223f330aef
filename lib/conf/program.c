#include "conf/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "conf/schema.h"

static const char *const own_flags[] = { "config=", "version", "help", "print-config", "debug" };
#define VERB_FLAGS 8u

/* Ours, then those of the verb; NULL at the end. */
static void
all_flags(const struct mf_program_verb *v, const char *to[MF_COUNT(own_flags) + VERB_FLAGS + 1])
{
	size_t n = 0;
	for (; n < MF_COUNT(own_flags); n++)
		to[n] = own_flags[n];
	for (size_t i = 0; v->flags != NULL && v->flags[i] != NULL && i < VERB_FLAGS; i++)
		to[n++] = v->flags[i];
	to[n] = NULL;
}

static void
put_help(const struct mf_program *p, struct mf_buf *out)
{
	mf_buf_putf(out,
	    "usage: %s [VERB] [--config FILE] [--debug] [--print-config] [--version] [FLAG...]\n\n", p->name);
	for (size_t i = 0; i < p->verb_count; i++)
		mf_buf_putf(
		    out, "  %-8s %s%s\n", p->verbs[i].name, p->verbs[i].help, i == 0 ? " (the default)" : "");
	mf_buf_putf(out, "\nFlags, their variables and defaults; the file is %s:\n", p->file);
	p->help(out);
}

static enum mf_status
read_to_end(int fd, struct mf_buf *to)
{
	for (;;) {
		uint8_t piece[8192];
		ssize_t n = read(fd, piece, sizeof(piece));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return MF_E_IO;
		if (n == 0 || to->failed != MF_OK)
			return to->failed;
		mf_buf_put(to, piece, (size_t)n);
	}
}

/* The file; empty when it is the default one and not there. */
static enum mf_status
read_file(const char *path, bool must, struct mf_buf *to, struct mf_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 && errno == ENOENT && !must)
		return MF_OK;
	if (fd < 0)
		return MF_FAIL(err, MF_E_NOTFOUND, "open %s: %s", path, strerror(errno));
	enum mf_status s = read_to_end(fd, to);
	if (s == MF_E_TOOBIG)
		s = MF_FAIL(err, s, "%s is larger than %zu bytes", path, to->max);
	else if (s != MF_OK)
		s = MF_FAIL(err, s, "read %s: %s", path, strerror(errno));
	(void)close(fd);
	return s;
}

/* NULL when something is wrong: then all of it, at once, is in ${out}. */
static void *
load(const struct mf_program *p, size_t verb, char *const *flags, struct mf_buf *out)
{
	const char *own[MF_COUNT(own_flags) + VERB_FLAGS + 1];
	MF_AUTO_IN(mf_buf_fini) struct mf_buf file;
	struct mf_err err = { .msg = "out of memory" };
	void *conf = NULL;
	const char *given = mf_conf_own_value(flags, "config");
	const char *path = given == NULL ? p->file : given;
	MF_AUTO(mf_problems_free) struct mf_problems *problems = mf_problems_new(path);
	mf_buf_init(&file, MF_LIM_YAML);
	all_flags(&p->verbs[verb], own);
	enum mf_status s = problems == NULL ? MF_E_NOMEM : read_file(path, given != NULL, &file, &err);
	if (s == MF_OK)
		s = p->load(mf_buf_slice(&file), environ, flags, own, problems, &conf, &err);
	if (s == MF_OK)
		return conf;
	if (problems != NULL && mf_problems_count(problems) > 0)
		mf_problems_put(problems, out);
	else
		mf_buf_putf(out, "%s: %s\n", p->name, err.msg);
	return NULL;
}

bool
mf_program_begin(const struct mf_program *p, int argc, char **argv, struct mf_program_call *ret_call,
    struct mf_buf *out, int *ret_exit)
{
	bool named = argc > 1 && argv[1][0] != '-';
	char *const *flags = argv + (argc > 0 ? 1 : 0) + (named ? 1 : 0);
	size_t verb = 0;
	*ret_exit = EXIT_SUCCESS;
	if (mf_conf_own_flag(flags, "version")) {
		mf_buf_putf(out, "%s\n", p->version);
		return false;
	}
	if (mf_conf_own_flag(flags, "help")) {
		put_help(p, out);
		return false;
	}
	while (named && verb < p->verb_count && strcmp(p->verbs[verb].name, argv[1]) != 0)
		verb++;
	void *conf = NULL;
	if (verb == p->verb_count)
		mf_buf_putf(out, "%s: no verb %s; see %s --help\n", p->name, argv[1], p->name);
	else
		conf = load(p, verb, flags, out);
	if (conf == NULL) {
		*ret_exit = MF_PROGRAM_EXIT_USAGE;
		return false;
	}
	if (mf_conf_own_flag(flags, "print-config")) {
		p->print(conf, out);
		p->free(conf);
		return false;
	}
	*ret_call = (struct mf_program_call) { verb, mf_conf_own_flag(flags, "debug"), conf, flags };
	return true;
}
