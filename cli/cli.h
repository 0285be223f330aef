/*
 * cli: the frame of the program `mayfly`. Every command is a row of a table (cli/verbs.c); parsing, --help, "did you
 * mean" and the checks of arguments come from the row. One thread; a command runs once and ends.
 */
#ifndef MF_CLI_CLI_H
#define MF_CLI_CLI_H
#include <stdio.h>

#include "base/buf.h"

/* Exit codes (design 10). */
enum mf_exit {
	MF_EXIT_OK = 0,
	MF_EXIT_FAILED = 1,	  /* refused or failed */
	MF_EXIT_USAGE = 2,	  /* the command line makes no sense */
	MF_EXIT_NOT_RECORDED = 3, /* effective, but not on record yet */
	MF_EXIT_UNREACHABLE = 4,  /* not reachable or incomplete: assume that nothing was done */
	MF_EXIT_RUN_FAILED = 125, /* `mayfly run` itself failed */
	MF_EXIT_NOT_EXECUTABLE = 126,
	MF_EXIT_NOT_FOUND = 127,
	MF_EXIT_DONE = 256, /* inside: done, and nothing is left to show; the exit code is 0 */
};

#define MF_CLI_OPTS_MAX 64u	/* options on one command line */
#define MF_CLI_DECLARED_MAX 32u /* options that one command may know */

struct mf_cli_opt {
	const char *name; /* "job"; NULL ends the list */
	char letter;	  /* 'o', or 0 */
	const char *arg;  /* what follows, for people: "J"; NULL: nothing does */
	const char *help;
};

enum mf_cli_flags {
	MF_CLI_AGENT = 1,	  /* talks to the agent: --socket, --timeout */
	MF_CLI_ADMIN = 2,	  /* talks to the broker: --admin-socket, --timeout */
	MF_CLI_JSON = 4,	  /* -o table|json */
	MF_CLI_STOP = 8,	  /* the first argument ends the options */
	MF_CLI_RAW = 16,	  /* everything after the verb is passed on untouched */
	MF_CLI_LONG_TIMEOUT = 32, /* the agent may hold the caller until it is decided */
	MF_CLI_SIGNED = 64,	  /* adds access: --sign, --offline-request, --signature */
};

enum mf_cli_section { MF_CLI_JOBS, MF_CLI_OPERATORS, MF_CLI_LOG, MF_CLI_MACHINE, MF_CLI_SECTIONS };

struct mf_cli;
struct mf_cli_verb {
	enum mf_cli_section section;
	const char *group; /* "job" of `job ls`; NULL: one word */
	const char *name;
	const char *args; /* "J", for people; "" for none */
	const char *help; /* one line */
	const char *more; /* the rest of its --help; NULL for none */
	const struct mf_cli_opt *opts;
	int min_args, max_args; /* -1: any number */
	unsigned flags;
	int (*run)(struct mf_cli *c); /* an exit code */
};

struct mf_cli_set {
	const char *name; /* as declared */
	char *value;	  /* "" for options without one */
};

struct mf_cli {
	const struct mf_cli_verb *verb;
	const char *version, *build_id;
	FILE *out, *err;
	int argc; /* arguments after the options */
	char **argv;
	struct mf_cli_set set[MF_CLI_OPTS_MAX];
	size_t n_set;
	bool json;
	uint64_t timeout_ms;
	char full_id[128]; /* full_id.h */
};

/* All commands, in the order of --help. */
extern const struct mf_cli_verb mf_cli_verbs[];
extern const size_t mf_cli_verb_count;

/* The whole program. ${out} and ${err} stay the caller's. */
int mf_cli_main(int argc, char **argv, const char *version, const char *build_id, FILE *out, FILE *err);

/* Does ${v} know the option ${name}? */
bool mf_cli_declares(const struct mf_cli_verb *v, const char *name);
/* The value of option ${name} (the last one given), or NULL. The name must be one that the verb declares. */
char *mf_cli_get(const struct mf_cli *c, const char *name);
static inline bool
mf_cli_has(const struct mf_cli *c, const char *name)
{
	return mf_cli_get(c, name) != NULL;
}
/* The ${i}-th value of an option that may be repeated; NULL after the last. */
char *mf_cli_get_nth(const struct mf_cli *c, const char *name, size_t i);

/* "mayfly: TEXT" on stderr; yields the exit code that belongs to ${err}. Control characters are replaced. */
int mf_cli_fail(struct mf_cli *c, const struct mf_err *err);
/* The same for a wrong command line: exit code 2, with a pointer to the verb's --help. */
int mf_cli_usage(struct mf_cli *c, const char *fmt, ...) MF_PRINTF(2, 3);
/* A line for people on stderr. */
void mf_cli_note(struct mf_cli *c, const char *fmt, ...) MF_PRINTF(2, 3);
/* Bytes on stdout. */
void mf_cli_write(struct mf_cli *c, struct mf_slice s);
/* What was printed has left; exit code ${rc}, or 1 with a text when it could not. */
int mf_cli_finish(struct mf_cli *c, int rc);
/* MF_E_UNAVAILABLE and its like: 4; everything else: 1. */
int mf_cli_exit_of(enum mf_status s);
/* A duration option: false (and a text) when it is none. Absent: ${ret_ms} is left as it was. */
bool mf_cli_duration(struct mf_cli *c, const char *name, uint64_t *ret_ms);

/* cli/help.c */
void mf_cli_help_all(FILE *to);
void mf_cli_help_group(FILE *to, const char *group);
void mf_cli_help_verb(FILE *to, const struct mf_cli_verb *v);
/* The options of ${v} with those that its flags add; ended by a NULL name. Returns their number. */
size_t mf_cli_declared(const struct mf_cli_verb *v, struct mf_cli_opt ret[MF_CLI_DECLARED_MAX + 1]);
/* NULL: no such command. ${group} NULL: of one word. */
const struct mf_cli_verb *mf_cli_find_verb(const char *group, const char *name);
/* cli/completion.c: `mayfly __complete WORD...`; the last word is the one that is being typed. */
int mf_cli_complete(struct mf_cli *c, int argc, char **argv);
/* Ours for every command of `mayfly ${group} ...`? */
bool mf_cli_is_group(const char *word);
#endif
