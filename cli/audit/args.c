/* Arguments, the log's directory and its key; then the verb. */
#include "cli/audit/audit.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

static const char usage[] =
    "usage: mayfly audit verify [--log DIR] [--key KEY] [--head FILE] [--max-unsigned 2s] [-o json]\n"
    "       mayfly audit tail   [--log DIR] [--key KEY] [-f] [-n N|all] [FILTER...] [-o json]\n"
    "       mayfly audit find   [--log DIR] [--key KEY] FILTER... [-o json]\n"
    "       mayfly audit fingerprint FILE\n"
    "filters: --type T  --job J  --node N  --spiffe-id I  --serial S  --since 10m|2026-01-31T12:00:00Z\n"
    "DIR holds checkpoint, vkey and wal/ (default: log in $MAYFLY_STATE or its broker/, then\n"
    "/var/lib/mayfly/broker/log). KEY is the log's public key (vkey) or a file with it: get it by a way "
    "that\n"
    "you trust; without it the one beside the log is taken, which shows consistency, not who signed.\n"
    "FILE is a signed head (checkpoint) that you kept: the log must go on from it.\n"
    "exit codes: 0 good, 1 proven bad (verify) or nothing found (find), 2 usage, 4 incomplete or not "
    "readable\n";

enum { HELP = -1 }; /* not an exit code: print the usage */

enum {
	OPT_LOG = 256,
	OPT_KEY,
	OPT_HEAD,
	OPT_TYPE,
	OPT_JOB,
	OPT_NODE,
	OPT_ID,
	OPT_SERIAL,
	OPT_SINCE,
	OPT_MAX,
	OPT_HELP
};

static const struct option options[] = {
	{ "log", required_argument, NULL, OPT_LOG },
	{ "key", required_argument, NULL, OPT_KEY },
	{ "vkey", required_argument, NULL, OPT_KEY },
	{ "head", required_argument, NULL, OPT_HEAD },
	{ "type", required_argument, NULL, OPT_TYPE },
	{ "job", required_argument, NULL, OPT_JOB },
	{ "node", required_argument, NULL, OPT_NODE },
	{ "spiffe-id", required_argument, NULL, OPT_ID },
	{ "serial", required_argument, NULL, OPT_SERIAL },
	{ "since", required_argument, NULL, OPT_SINCE },
	{ "max-unsigned", required_argument, NULL, OPT_MAX },
	{ "follow", no_argument, NULL, 'f' },
	{ "output", required_argument, NULL, 'o' },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

static int
complain(const char *what, const char *arg, const char *why)
{
	(void)fprintf(stderr, "mayfly audit: %s %s: %s\n", what, arg, why);
	return AUDIT_USAGE;
}

static int
parse_since(const char *arg, int64_t *ret_us)
{
	struct mf_err err = { 0 };
	uint64_t ms = 0;
	if (mf_time_get(mf_slice_str(arg), ret_us, NULL) == MF_OK)
		return AUDIT_OK;
	if (mf_parse_duration(mf_slice_str(arg), &ms, &err) != MF_OK)
		return complain(
		    "--since", arg, "write a duration like 10m, or a time like 2026-01-31T12:00:00Z");
	*ret_us = mf_now().wall_us - (int64_t)ms * 1000;
	return AUDIT_OK;
}

/* Which options a verb knows. */
static bool
known(const char *verb, int opt)
{
	if (opt == OPT_LOG || opt == OPT_KEY || opt == 'o')
		return true;
	if (strcmp(verb, "verify") == 0)
		return opt == OPT_MAX || opt == OPT_HEAD;
	if (opt == 'f' || opt == 'n')
		return strcmp(verb, "tail") == 0;
	return opt != OPT_MAX && opt != OPT_HEAD;
}

static int
set_option(struct mf_audit_opts *o, int opt, const char *arg)
{
	uint64_t ms = 0;
	switch (opt) {
	case OPT_LOG:
		o->dir = arg;
		return AUDIT_OK;
	case OPT_KEY:
		o->key = arg;
		return AUDIT_OK;
	case OPT_HEAD:
		o->head = arg;
		return AUDIT_OK;
	case OPT_TYPE:
		o->filter.type = arg;
		return AUDIT_OK;
	case OPT_JOB:
		o->filter.job = arg;
		return AUDIT_OK;
	case OPT_NODE:
		o->filter.node = arg;
		return AUDIT_OK;
	case OPT_ID:
		o->filter.spiffe_id = arg;
		return AUDIT_OK;
	case OPT_SERIAL:
		o->filter.serial = arg;
		return AUDIT_OK;
	case OPT_SINCE:
		return parse_since(arg, &o->filter.since_us);
	case OPT_MAX:
		if (mf_parse_duration(mf_slice_str(arg), &ms, NULL) != MF_OK)
			return complain("--max-unsigned", arg, "write a duration like 2s");
		o->max_unsigned_us = (int64_t)ms * 1000;
		return AUDIT_OK;
	case 'f':
		o->follow = true;
		return AUDIT_OK;
	case 'n':
		o->all = strcmp(arg, "all") == 0;
		if (!o->all &&
		    (!mf_parse_u64(mf_slice_str(arg), &o->last) || o->last == 0 || o->last > 1000000))
			return complain("-n", arg, "write a number from 1 to 1000000, or all");
		return AUDIT_OK;
	default:
		o->json = strcmp(arg, "json") == 0;
		return o->json || strcmp(arg, "table") == 0 ? AUDIT_OK
							    : complain("-o", arg, "must be json or table");
	}
}

static int
parse(int argc, char **argv, const char *verb, struct mf_audit_opts *o)
{
	*o = (struct mf_audit_opts) { .last = 20, .max_unsigned_us = 2000000 };
	for (int opt; (opt = getopt_long(argc, argv, "fn:o:", options, NULL)) != -1;) {
		if (opt == '?')
			return AUDIT_USAGE; /* getopt has said why */
		if (opt == OPT_HELP)
			return HELP;
		if (!known(verb, opt))
			return complain("option of another verb for", verb, "see --help");
		int rc = set_option(o, opt, optarg);
		if (rc != AUDIT_OK)
			return rc;
	}
	if (optind < argc)
		o->dir = argv[optind++];
	if (optind < argc)
		return complain("too many arguments:", argv[optind], "see --help");
	return AUDIT_OK;
}

/* ${path}, or ${path}/${tail} when that is given, as a directory; -1. */
static int
open_dir(int at, const char *path, const char *tail)
{
	char joined[4096];
	int n = snprintf(joined, sizeof(joined), "%s%s", path, tail);
	if (n < 0 || (size_t)n >= sizeof(joined)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return openat(at, joined, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int
open_log_dir(const struct mf_audit_opts *o)
{
	if (o->dir != NULL)
		return open_dir(AT_FDCWD, o->dir, "");
	const char *state = getenv("MAYFLY_STATE");
	int fd = -1;
	if (state != NULL && *state != '\0') {
		fd = open_dir(AT_FDCWD, state, "/log");
		return fd >= 0 ? fd : open_dir(AT_FDCWD, state, "/broker/log");
	}
	return open_dir(AT_FDCWD, "/var/lib/mayfly/broker/log", "");
}

static int
load_key(struct mf_audit_opts *o, struct mf_audit_log *log)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 4096);
	struct mf_err err = { 0 };
	if (o->key != NULL && mf_note_key_parse(mf_slice_str(o->key), &log->key, NULL) == MF_OK)
		return AUDIT_OK;
	o->key_from_dir = o->key == NULL;
	enum mf_status s = mf_log_io_load(mf_log_io_system(), o->key_from_dir ? log->dirfd : AT_FDCWD,
	    o->key_from_dir ? MF_VKEY_NAME : o->key, &b, &err);
	if (s == MF_OK)
		s = mf_note_key_parse(mf_buf_slice(&b), &log->key, &err);
	if (s == MF_OK)
		return AUDIT_OK;
	(void)fprintf(stderr, "mayfly audit: the log's public key: %s\n", err.msg);
	return o->key_from_dir ? AUDIT_INCOMPLETE : AUDIT_USAGE;
}

/* The head that somebody kept, signed under any name of the log. */
static int
load_head(const struct mf_audit_opts *o, struct mf_audit_log *log)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	struct mf_err err = { 0 };
	mf_buf_init(&b, MF_LIM_NOTE);
	if (o->head == NULL)
		return AUDIT_OK;
	enum mf_status s = mf_log_io_load(mf_log_io_system(), AT_FDCWD, o->head, &b, &err);
	if (s == MF_OK)
		s = mf_lineage_open_head(mf_buf_slice(&b), &log->key, &log->held, &err);
	if (s == MF_OK)
		return AUDIT_OK;
	(void)fprintf(stderr, "mayfly audit: --head %s: %s\n", o->head, err.msg);
	return AUDIT_USAGE;
}

static int
open_log(struct mf_audit_opts *o, struct mf_audit_log *log)
{
	char text[128];
	log->dirfd = open_log_dir(o);
	log->waldirfd = log->dirfd < 0 ? -1 : open_dir(log->dirfd, "wal", "");
	if (log->waldirfd < 0) {
		(void)fprintf(stderr, "mayfly audit: log directory %s: %s; say which with --log DIR\n",
		    o->dir != NULL ? o->dir : "(default)", strerror_r(errno, text, sizeof(text)));
		return AUDIT_INCOMPLETE;
	}
	int rc = load_key(o, log);
	return rc != AUDIT_OK ? rc : load_head(o, log);
}

int
mf_audit_main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(const struct mf_audit_opts *o, const struct mf_audit_log *log);
	} verbs[] = { { "verify", mf_audit_verify }, { "tail", mf_audit_tail }, { "find", mf_audit_find } };
	const char *verb = argc > 1 ? argv[1] : "";
	if (strcmp(verb, "--help") == 0 || strcmp(verb, "help") == 0) {
		(void)fputs(usage, stdout);
		return AUDIT_OK;
	}
	if (strcmp(verb, "fingerprint") == 0 && argc == 3 && argv[2][0] != '-')
		return mf_audit_fingerprint(argv[2]);
	if (strcmp(verb, "oidc-export") == 0) {
		argv[1] = argv[0];
		return mf_audit_oidc_export(argc - 1, argv + 1);
	}
	for (size_t i = 0; i < MF_COUNT(verbs); i++) {
		if (strcmp(verb, verbs[i].name) != 0)
			continue;
		struct mf_audit_opts o;
		struct mf_audit_log log;
		argv[1] = argv[0];
		int rc = parse(argc - 1, argv + 1, verb, &o);
		if (rc == HELP) {
			(void)fputs(usage, stdout);
			return AUDIT_OK;
		}
		if (rc == AUDIT_OK)
			rc = open_log(&o, &log);
		return rc != AUDIT_OK ? rc : verbs[i].run(&o, &log);
	}
	(void)fputs(usage, stderr);
	return AUDIT_USAGE;
}
