/*
 * program: how the daemons' command lines begin: PROGRAM [VERB] [--config FILE] [--debug] [--print-config] [--help]
 * [--version] [FLAG...]. The first verb is the default; a verb may have flags of its own. main only.
 */
#ifndef MF_CONF_PROGRAM_H
#define MF_CONF_PROGRAM_H
#include "conf/problem.h"

#define MF_PROGRAM_EXIT_USAGE 2 /* design: 2 is usage */

struct mf_program_verb {
	const char *name, *help;
	/* Flags of this verb alone, as in mf_conf_override ("to=" takes a value); NULL at the end. NULL: none. */
	const char *const *flags;
};

struct mf_program {
	const char *name;
	const char *file;    /* the configuration, when --config names no other; may be absent */
	const char *version; /* the line of --version */
	const struct mf_program_verb *verbs;
	size_t verb_count;
	/* The four functions of the configuration, with its type left out. */
	enum mf_status (*load)(struct mf_slice file, char *const *env, char *const *argv,
	    const char *const *own, struct mf_problems *problems, void **ret_conf, struct mf_err *err);
	void (*print)(const void *conf, struct mf_buf *to);
	void (*help)(struct mf_buf *to);
	void (*free)(void *conf);
};

struct mf_program_call {
	size_t verb; /* index in verbs */
	bool debug;
	void *conf;	    /* the caller's to free */
	char *const *flags; /* the command line after the verb: ask mf_conf_own_value for the verb's own */
};

/*
 * True: do it. False: nothing is left to do (--help, --version, --print-config) or the command line or the
 * configuration is wrong; print ${out} (to stdout when *ret_exit is 0, else to stderr) and end with *ret_exit.
 */
bool mf_program_begin(const struct mf_program *p, int argc, char **argv, struct mf_program_call *ret_call,
    struct mf_buf *out, int *ret_exit);
#endif
