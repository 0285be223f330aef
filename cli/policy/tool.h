/*
 * mayfly-policy: the verbs of `mayfly policy` as a program of its own, so that the user verbs load neither a YAML
 * reader nor cryptography. lint, test and diff read files and talk to nobody; apply and reload speak to the broker's
 * admin socket.
 */
#ifndef MF_CLI_POLICY_TOOL_H
#define MF_CLI_POLICY_TOOL_H
#include "broker/core/policy.h"
#include "broker/core/state.h"
#include "cli/sign/sign_act.h"
#include "codec/json_write.h"
#include "conf/yaml.h"

/* design.md 10 */
enum mf_tool_exit { TOOL_OK = 0, TOOL_FAILED = 1, TOOL_USAGE = 2, TOOL_UNREACHABLE = 4 };

#define TOOL_LAST_DEFAULT 1000u
#define TOOL_LAST_MAX 100000u

struct mf_tool_opts {
	const char *args[2]; /* what is no option */
	int n_args;
	const char *policy;	  /* --policy */
	const char *log;	  /* --log DIR */
	const char *to;		  /* --to PATH */
	const char *admin_socket; /* --admin-socket */
	uint64_t last;		  /* --last */
	uint64_t timeout_ms;
	struct mf_sign_opts sign;
	bool live, against_log, force, json;
};

/* The whole program: an exit code of the above. */
int mf_tool_main(int argc, char **argv);
/* setup_verb.c: the verb of `mayfly setup`; ${argv} from the program's name on. */
int mf_tool_setup(int argc, char **argv);
int mf_tool_lint(const struct mf_tool_opts *o);
int mf_tool_test(const struct mf_tool_opts *o);
int mf_tool_diff(const struct mf_tool_opts *o);
int mf_tool_apply(const struct mf_tool_opts *o);
int mf_tool_reload(const struct mf_tool_opts *o);

/* "mayfly policy: TEXT" on stderr; returns ${code}. */
int mf_tool_say(int code, const char *fmt, ...) MF_PRINTF(2, 3);
/* Without what would move a terminal's cursor. */
void mf_tool_put_clean(struct mf_buf *to, const char *text);
/* {"apiVersion":...,"kind":KIND,"items":[ and its end, which prints all. */
void mf_tool_json_begin(struct mf_jw *w, struct mf_buf *to, const char *kind);
int mf_tool_json_end(struct mf_jw *w, struct mf_buf *b, int code);
/* Print ${b}; returns ${code}, or TOOL_FAILED when it cannot be printed. */
int mf_tool_print(struct mf_buf *b, int code);

/* The file read whole, initialising ${to}. TOOL_OK, or what was printed means. */
int mf_tool_read(const char *path, size_t max, struct mf_buf *to);
/* A policy file; all its problems are on stderr, as FILE:LINE:COLUMN: TEXT, when it is not TOOL_OK. ${text} may be NULL. */
int mf_tool_load(const char *path, struct mf_buf *text, struct mf_policy **ret_p);
/* Lint to stderr. Returns the number of errors. */
size_t mf_tool_complain(const char *path, const struct mf_policy *p);
/* --policy, $MAYFLY_POLICY, policy.yaml in $MAYFLY_STATE, /etc/mayfly/policy.yaml. */
const char *mf_tool_policy_path(const struct mf_tool_opts *o, char *room, size_t n);

/* ---- requests: from cases, from the log ---- */

struct mf_tool_request {
	char *name; /* for people */
	char *profile;
	struct mf_facts *facts;
	int64_t wall_s;
	/* What the log says was decided; or what a case expects. */
	bool known, permit;
	char *rule; /* NULL: does not matter */
	char *attribute;
	struct mf_place at; /* of a case in its file */
};
struct mf_tool_requests {
	struct mf_tool_request *v;
	size_t n, room;
};
void mf_tool_requests_fini(struct mf_tool_requests *r);
/* A new zeroed one at the end, or NULL. */
struct mf_tool_request *mf_tool_requests_add(struct mf_tool_requests *r);
void mf_tool_request_fini(struct mf_tool_request *r);

/* MF_E_INVALID with all problems added. */
MF_NODISCARD enum mf_status mf_tool_cases_parse(
    struct mf_slice text, struct mf_problems *problems, struct mf_tool_requests *out, struct mf_err *err);
/* A file of cases. TOOL_OK, or all problems were printed. */
int mf_tool_cases(const char *path, struct mf_tool_requests *out);

struct mf_tool_log {
	struct mf_state *state;		  /* at the end of the log */
	struct mf_tool_requests requests; /* the last so many, oldest first */
	uint64_t incomplete;		  /* requests among them of which the log lacks the facts */
};
/* Read and verify a log. ${last} 0: the state only. TOOL_OK, or what was printed means. */
int mf_tool_log_read(const struct mf_tool_opts *o, uint64_t last, struct mf_tool_log *ret_l);
void mf_tool_log_fini(struct mf_tool_log *l);
#endif
