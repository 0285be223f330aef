/* Arguments, and what all verbs share: reading policies, saying what is wrong. */
#include "cli/policy/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "broker/policy/policy_load.h"
#include "os/secure_file.h"

static const char usage[] =
    "usage: mayfly policy lint   [FILE] [-o json]\n"
    "       mayfly policy test   CASES [--policy FILE] [-o json]\n"
    "       mayfly policy test   --live [--policy FILE] [--log DIR] [-o json]\n"
    "       mayfly policy diff   OLD NEW [--against-log [--last N] [--log DIR]] [-o json]\n"
    "       mayfly policy apply  FILE [--to PATH] [--force] [--admin-socket PATH] [SIGN]\n"
    "       mayfly policy reload [--admin-socket PATH] [SIGN]\n"
    "SIGN, where the broker has admin_signers: --sign KEY, or --offline-request FILE and then --signature "
    "FILE; each may be\n"
    "repeated. The signatures are for this one file.\n"
    "FILE without a name: $MAYFLY_POLICY, policy.yaml in $MAYFLY_STATE, /etc/mayfly/policy.yaml. DIR holds "
    "checkpoint,\n"
    "vkey and wal/ (default: log in $MAYFLY_STATE or its broker/, then /var/lib/mayfly/broker/log).\n"
    "lint, test and diff talk to nobody. Exit codes: 0 good, 1 a case fails, lint found errors, or the "
    "broker refused;\n"
    "2 a file or the command line makes no sense; 4 a log or the broker cannot be reached\n";

enum { HELP = -1 };
enum {
	OPT_POLICY = 256,
	OPT_LOG,
	OPT_TO,
	OPT_SOCKET,
	OPT_LAST,
	OPT_LIVE,
	OPT_AGAINST,
	OPT_FORCE,
	OPT_TIMEOUT,
	OPT_SIGN,
	OPT_SIGNATURE,
	OPT_OFFLINE,
	OPT_HELP
};

static const struct option options[] = {
	{ "policy", required_argument, NULL, OPT_POLICY },
	{ "log", required_argument, NULL, OPT_LOG },
	{ "to", required_argument, NULL, OPT_TO },
	{ "admin-socket", required_argument, NULL, OPT_SOCKET },
	{ "last", required_argument, NULL, OPT_LAST },
	{ "live", no_argument, NULL, OPT_LIVE },
	{ "against-log", no_argument, NULL, OPT_AGAINST },
	{ "force", no_argument, NULL, OPT_FORCE },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "sign", required_argument, NULL, OPT_SIGN },
	{ "signature", required_argument, NULL, OPT_SIGNATURE },
	{ "offline-request", required_argument, NULL, OPT_OFFLINE },
	{ "output", required_argument, NULL, 'o' },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

static const struct verb {
	const char *name;
	int (*run)(const struct mf_tool_opts *o);
	int min, max;
	const char *options; /* letters of the switch below */
} verbs[] = {
	{ "lint", mf_tool_lint, 0, 1, "o" },
	{ "test", mf_tool_test, 0, 1, "oplL" },
	{ "diff", mf_tool_diff, 2, 2, "olna" },
	{ "apply", mf_tool_apply, 1, 1, "tfsTS" },
	{ "reload", mf_tool_reload, 0, 0, "sTS" },
};

/* ---- saying ---- */

int
mf_tool_say(int code, const char *fmt, ...)
{
	char text[2048];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)fprintf(stderr, "mayfly policy: %s\n", text);
	return code;
}

void
mf_tool_put_clean(struct mf_buf *to, const char *text)
{
	for (; *text != '\0'; text++)
		mf_buf_put_u8(to, (uint8_t)*text < 0x20 || *text == 0x7f ? '?' : (uint8_t)*text);
}

int
mf_tool_print(struct mf_buf *b, int code)
{
	if (b->failed == MF_OK && (b->n == 0 || fwrite(b->p, 1, b->n, stdout) == b->n) && fflush(stdout) == 0)
		return code;
	return mf_tool_say(
	    TOOL_FAILED, "the output could not be written (is the disk full, or the reader gone?)");
}

void
mf_tool_json_begin(struct mf_jw *w, struct mf_buf *to, const char *kind)
{
	mf_jw_init(w, to, false);
	mf_jw_object_begin(w);
	mf_jw_kstr(w, "apiVersion", "mayfly/v1");
	mf_jw_kstr(w, "kind", kind);
	mf_jw_key(w, "items");
	mf_jw_array_begin(w);
}

int
mf_tool_json_end(struct mf_jw *w, struct mf_buf *b, int code)
{
	struct mf_err err = { 0 };
	mf_jw_array_end(w);
	mf_jw_object_end(w);
	if (mf_jw_finish(w, &err) != MF_OK)
		return mf_tool_say(TOOL_FAILED, "%s", err.msg);
	mf_buf_put_u8(b, '\n');
	return mf_tool_print(b, code);
}

/* ---- reading ---- */

int
mf_tool_read(const char *path, size_t max, struct mf_buf *to)
{
	struct mf_err err = { 0 };
	mf_buf_init(to, max);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return mf_tool_say(TOOL_USAGE, "%s: %s", path, strerror(errno));
	enum mf_status s = mf_file_read_all(fd, to, &err);
	(void)close(fd);
	return s == MF_OK ? TOOL_OK : mf_tool_say(TOOL_USAGE, "%s: %s", path, err.msg);
}

static void
print_problems(struct mf_problems *problems)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf said;
	mf_buf_init(&said, 1 << 20);
	mf_problems_put(problems, &said);
	if (said.n > 0)
		(void)fwrite(said.p, 1, said.n, stderr);
}

int
mf_tool_load(const char *path, struct mf_buf *text, struct mf_policy **ret_p)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf own;
	MF_AUTO(mf_problems_free) struct mf_problems *problems = mf_problems_new(path);
	struct mf_err err = { 0 };
	mf_buf_init(&own, 1);
	struct mf_buf *b = text != NULL ? text : &own;
	int rc = mf_tool_read(path, MF_LIM_YAML, b);
	if (rc != TOOL_OK)
		return rc;
	if (problems == NULL)
		return mf_tool_say(TOOL_FAILED, "out of memory");
	enum mf_status s = mf_policy_load(mf_buf_slice(b), problems, ret_p, &err);
	if (s == MF_OK)
		return TOOL_OK;
	print_problems(problems);
	return mf_problems_count(problems) > 0 ? TOOL_USAGE
					       : mf_tool_say(TOOL_USAGE, "%s: %s", path, err.msg);
}

const char *
mf_tool_policy_path(const struct mf_tool_opts *o, char *room, size_t n)
{
	const char *env = getenv("MAYFLY_POLICY"), *state = getenv("MAYFLY_STATE");
	if (o->policy != NULL)
		return o->policy;
	if (env != NULL && *env != '\0')
		return env;
	if (state != NULL && *state != '\0') {
		int len = snprintf(room, n, "%s/policy.yaml", state);
		if (len > 0 && (size_t)len < n && access(room, F_OK) == 0)
			return room;
	}
	return "/etc/mayfly/policy.yaml";
}

/* ---- requests ---- */

void
mf_tool_request_fini(struct mf_tool_request *r)
{
	free(r->name);
	free(r->profile);
	free(r->rule);
	free(r->attribute);
	mf_facts_free(r->facts);
	*r = (struct mf_tool_request) { 0 };
}

void
mf_tool_requests_fini(struct mf_tool_requests *r)
{
	for (size_t i = 0; i < r->n; i++)
		mf_tool_request_fini(&r->v[i]);
	free(r->v);
	*r = (struct mf_tool_requests) { 0 };
}

struct mf_tool_request *
mf_tool_requests_add(struct mf_tool_requests *r)
{
	if (r->n == r->room) {
		size_t room = r->room == 0 ? 64 : 2 * r->room;
		struct mf_tool_request *v = reallocarray(r->v, room, sizeof(*v));
		if (v == NULL)
			return NULL;
		r->v = v;
		r->room = room;
	}
	r->v[r->n] = (struct mf_tool_request) { 0 };
	return &r->v[r->n++];
}

/* ---- arguments ---- */

static int
set_number(const char *name, const char *arg, uint64_t max, uint64_t *ret)
{
	if (mf_parse_u64(mf_slice_str(arg), ret) && *ret > 0 && *ret <= max)
		return TOOL_OK;
	return mf_tool_say(
	    TOOL_USAGE, "%s %s: must be a number from 1 to %llu", name, arg, (unsigned long long)max);
}

static int
set_sign(struct mf_sign_opts *o, int opt, const char *arg)
{
	bool room = true;
	if (opt == OPT_OFFLINE)
		o->offline = arg;
	else if (opt == OPT_SIGN)
		room = mf_sign_add(o->keys, &o->keys_n, arg);
	else
		room = mf_sign_add(o->signatures, &o->signatures_n, arg);
	return room ? TOOL_OK : mf_tool_say(TOOL_USAGE, "more than %u signatures", MF_LIM_APPROVALS);
}

static int
set_option(struct mf_tool_opts *o, int opt, const char *arg, char *ret_letter)
{
	static const struct {
		int opt;
		char letter;
	} letters[] = { { OPT_POLICY, 'p' }, { OPT_LOG, 'l' }, { OPT_TO, 't' }, { OPT_SOCKET, 's' },
		{ OPT_LAST, 'n' }, { OPT_LIVE, 'L' }, { OPT_AGAINST, 'a' }, { OPT_FORCE, 'f' },
		{ OPT_TIMEOUT, 'T' }, { OPT_SIGN, 'S' }, { OPT_SIGNATURE, 'S' }, { OPT_OFFLINE, 'S' },
		{ 'o', 'o' } };
	for (size_t i = 0; i < MF_COUNT(letters); i++)
		if (letters[i].opt == opt)
			*ret_letter = letters[i].letter;
	switch (opt) {
	case OPT_POLICY:
		o->policy = arg;
		return TOOL_OK;
	case OPT_LOG:
		o->log = arg;
		return TOOL_OK;
	case OPT_TO:
		o->to = arg;
		return TOOL_OK;
	case OPT_SOCKET:
		o->admin_socket = arg;
		return TOOL_OK;
	case OPT_LAST:
		return set_number("--last", arg, TOOL_LAST_MAX, &o->last);
	case OPT_LIVE:
		o->live = true;
		return TOOL_OK;
	case OPT_AGAINST:
		o->against_log = true;
		return TOOL_OK;
	case OPT_FORCE:
		o->force = true;
		return TOOL_OK;
	case OPT_SIGN:
	case OPT_SIGNATURE:
	case OPT_OFFLINE:
		return set_sign(&o->sign, opt, arg);
	case OPT_TIMEOUT:
		if (mf_parse_duration(mf_slice_str(arg), &o->timeout_ms, NULL) == MF_OK)
			return TOOL_OK;
		return mf_tool_say(TOOL_USAGE, "--timeout %s: must be a duration like 20s", arg);
	default:
		o->json = strcmp(arg, "json") == 0;
		if (o->json || strcmp(arg, "table") == 0)
			return TOOL_OK;
		return mf_tool_say(TOOL_USAGE, "-o %s: must be table or json", arg);
	}
}

static int
parse(int argc, char **argv, const struct verb *v, struct mf_tool_opts *o)
{
	*o = (struct mf_tool_opts) { .last = TOOL_LAST_DEFAULT, .timeout_ms = 20000 };
	optind = 1;
	for (int opt; (opt = getopt_long(argc, argv, "o:h", options, NULL)) != -1;) {
		char letter = 'o';
		if (opt == '?')
			return TOOL_USAGE; /* getopt has said why */
		if (opt == OPT_HELP || opt == 'h')
			return HELP;
		int rc = set_option(o, opt, optarg, &letter);
		if (rc != TOOL_OK)
			return rc;
		if (strchr(v->options, letter) == NULL)
			return mf_tool_say(TOOL_USAGE, "%s: an option of another verb; see --help", v->name);
	}
	if (argc - optind < v->min || argc - optind > v->max)
		return mf_tool_say(TOOL_USAGE, "%s takes %d file%s; see mayfly policy %s --help", v->name,
		    v->max, v->max == 1 ? "" : "s", v->name);
	for (; optind < argc; optind++)
		o->args[o->n_args++] = argv[optind];
	return TOOL_OK;
}

int
mf_tool_main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	if (strcmp(verb, "--help") == 0 || strcmp(verb, "help") == 0) {
		(void)fputs(usage, stdout);
		return TOOL_OK;
	}
	if (strcmp(verb, "setup") == 0) {
		argv[1] = argv[0];
		return mf_tool_setup(argc - 1, argv + 1);
	}
	for (size_t i = 0; i < MF_COUNT(verbs); i++) {
		struct mf_tool_opts o;
		if (strcmp(verb, verbs[i].name) != 0)
			continue;
		argv[1] = argv[0];
		int rc = parse(argc - 1, argv + 1, &verbs[i], &o);
		if (rc == HELP) {
			(void)fputs(usage, stdout);
			return TOOL_OK;
		}
		return rc == TOOL_OK ? verbs[i].run(&o) : rc;
	}
	(void)fputs(usage, stderr);
	return TOOL_USAGE;
}
