/*
 * oidc: `mayfly oidc export DIR`: copies the OIDC documents for a bucket or a CDN, after checking that the broker's log key
 * signed exactly these. What is not whole, or not the broker's, is refused, and then nothing is written.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/audit/audit.h"
#include "log/checkpoint.h"
#include "log/published.h"
#include "os/secure_file.h"

#define TRIES 20u /* the broker writes file after file: what does not fit may be half of a change */
#define PAUSE_MS 100u

static const char usage[] =
    "usage: mayfly oidc export DIR [--render standard|gcp|x5c] [--from PUBLIC] [--key KEY]\n"
    "Writes the OIDC documents into DIR, which is made, as they must lie below the issuer's URL:\n"
    "  standard  .well-known/openid-configuration and keys\n"
    "  x5c       the same for stores that read a certificate (radosgw), below the x5c issuer's URL\n"
    "  gcp       jwks.json, for providers to which keys are uploaded\n"
    "PUBLIC is where the broker wrote them (default: public in $MAYFLY_STATE or its broker/, then\n"
    "/var/lib/mayfly/broker/public). KEY is the log's public key (vkey) or a file with it; default: the one\n"
    "of the log beside PUBLIC, which shows that the copy is whole, not who signed it.\n"
    "exit codes: 0 written, 1 torn or forged, 2 usage, 4 not readable\n";

struct export
{
	const char *to, *from, *key, *render;
	int from_fd;
	struct mf_note_key vkey;
	struct mf_published p;
	struct mf_buf files[MF_PUBLISHED_FILES];
};

static int
say(int rc, const char *what, const char *why)
{
	(void)fprintf(stderr, "mayfly oidc export: %s: %s\n", what, why);
	return rc;
}

static int
open_below(const char *state, const char *tail)
{
	char path[4096];
	int n = snprintf(path, sizeof(path), "%s%s", state, tail);
	return n < 0 || (size_t)n >= sizeof(path) ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int
open_from(struct export *x)
{
	const char *state = getenv("MAYFLY_STATE");
	if (x->from != NULL) {
		x->from_fd = open_below(x->from, "");
	} else if (state != NULL && *state != '\0') {
		x->from_fd = open_below(state, "/" MF_PUBLISHED_DIR);
		if (x->from_fd < 0)
			x->from_fd = open_below(state, "/broker/" MF_PUBLISHED_DIR);
	} else {
		x->from_fd = open_below("/var/lib/mayfly/broker/", MF_PUBLISHED_DIR);
	}
	if (x->from_fd >= 0)
		return AUDIT_OK;
	char text[128];
	return say(AUDIT_INCOMPLETE, "the published documents",
	    strerror_r(errno, text, sizeof(text))); /* GNU's: the text */
}

static int
load_key(struct export *x)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	struct mf_err err = { 0 };
	mf_buf_init(&b, 4096);
	if (x->key != NULL && mf_note_key_parse(mf_slice_str(x->key), &x->vkey, NULL) == MF_OK)
		return AUDIT_OK;
	enum mf_status s =
	    x->key == NULL ? mf_log_io_load(mf_log_io_system(), x->from_fd, "../log/" MF_VKEY_NAME, &b, &err)
			   : mf_log_io_load(mf_log_io_system(), AT_FDCWD, x->key, &b, &err);
	if (s == MF_OK)
		s = mf_note_key_parse(mf_buf_slice(&b), &x->vkey, &err);
	return s == MF_OK ? AUDIT_OK
			  : say(AUDIT_INCOMPLETE, "the log's public key (say which with --key)", err.msg);
}

/* One look at all of them. */
static enum mf_status
look(struct export *x, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf note;
	mf_buf_init(&note, MF_LIM_NOTE);
	MF_TRY(mf_file_read(x->from_fd, MF_PUBLISHED_MANIFEST, &note, err));
	MF_TRY(mf_published_open(mf_buf_slice(&note), &x->vkey, &x->p, err));
	for (unsigned i = 0; i < MF_PUBLISHED_FILES; i++) {
		const char *name = mf_published_name((enum mf_published_file)i);
		mf_buf_reset(&x->files[i]);
		MF_TRY(mf_file_read(x->from_fd, name, &x->files[i], err));
		if (!mf_published_is(&x->p, (enum mf_published_file)i, mf_buf_slice(&x->files[i])))
			return MF_FAIL(err, MF_E_CORRUPT,
			    "%s is not what the broker signed: a copy that is torn, or was changed; nothing "
			    "was written",
			    name);
	}
	return MF_OK;
}

static int
read_all(struct export *x)
{
	struct mf_err err = { 0 };
	enum mf_status s = MF_OK;
	for (unsigned i = 0; i < TRIES; i++) {
		err = (struct mf_err) { 0 };
		s = look(x, &err);
		if (s != MF_E_CORRUPT)
			break;
		mf_audit_sleep_ms(PAUSE_MS);
	}
	if (s == MF_OK)
		return AUDIT_OK;
	bool bad = s == MF_E_CORRUPT || s == MF_E_UNAUTH || s == MF_E_INVALID;
	return say(bad ? AUDIT_BAD : AUDIT_INCOMPLETE, "the published documents", err.msg);
}

/* ${name} may have one folder in front. */
static enum mf_status
write_one(const char *dir, const char *folder, const char *name, struct mf_slice content, struct mf_err *err)
{
	char path[4096];
	int n = snprintf(path, sizeof(path), "%s/%s", dir, folder);
	if (n < 0 || (size_t)n >= sizeof(path))
		return MF_FAIL(err, MF_E_INVALID, "the path is too long");
	if ((mkdir(dir, 0755) != 0 && errno != EEXIST) || (mkdir(path, 0755) != 0 && errno != EEXIST))
		return MF_FAIL(err, MF_E_IO, "make %s: errno %d", path, errno);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return MF_FAIL(err, MF_E_IO, "open %s: errno %d", path, errno);
	enum mf_status s = mf_file_write(fd, name, content, 0644, err);
	(void)close(fd);
	return s;
}

/* The keys first: a reader that has the new discovery finds keys. */
static int
write_all(struct export *x)
{
	struct mf_err err = { 0 };
	bool x5c = strcmp(x->render, "x5c") == 0, gcp = strcmp(x->render, "gcp") == 0;
	struct mf_slice keys = mf_buf_slice(&x->files[x5c ? MF_PUBLISHED_X5C_KEYS : MF_PUBLISHED_KEYS]);
	struct mf_slice disc =
	    mf_buf_slice(&x->files[x5c ? MF_PUBLISHED_X5C_DISCOVERY : MF_PUBLISHED_DISCOVERY]);
	const char *issuer = x5c ? x->p.x5c_issuer : x->p.issuer;
	enum mf_status s = write_one(x->to, ".", gcp ? "jwks.json" : "keys", keys, &err);
	if (s == MF_OK && !gcp)
		s = write_one(x->to, ".well-known", "openid-configuration", disc, &err);
	if (s != MF_OK)
		return say(AUDIT_INCOMPLETE, x->to, err.msg);
	if (gcp)
		(void)printf("%s/jwks.json\n", x->to);
	else
		(void)printf("%s/keys -> %s%s\n%s/.well-known/openid-configuration -> %s%s\n", x->to, issuer,
		    mf_published_path(MF_PUBLISHED_KEYS), x->to, issuer,
		    mf_published_path(MF_PUBLISHED_DISCOVERY));
	(void)fprintf(stderr,
	    "revision %llu of %s, signed by %s; serve as application/json with Cache-Control: max-age=60\n",
	    (unsigned long long)x->p.revision, issuer, x->vkey.name);
	return AUDIT_OK;
}

static int
parse(int argc, char **argv, struct export *x)
{
	static const struct option options[] = { { "render", required_argument, NULL, 'r' },
		{ "from", required_argument, NULL, 'f' }, { "key", required_argument, NULL, 'k' },
		{ "vkey", required_argument, NULL, 'k' }, { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 } };
	for (int opt; (opt = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (opt) {
		case 'r':
			x->render = optarg;
			break;
		case 'f':
			x->from = optarg;
			break;
		case 'k':
			x->key = optarg;
			break;
		case 'h':
			x->to = NULL;
			return AUDIT_OK;
		default:
			return AUDIT_USAGE; /* getopt has said why */
		}
	}
	if (optind + 1 != argc)
		return say(AUDIT_USAGE, "DIR", "say one directory to write to; see --help");
	if (strcmp(x->render, "standard") != 0 && strcmp(x->render, "gcp") != 0 &&
	    strcmp(x->render, "x5c") != 0)
		return say(AUDIT_USAGE, "--render", "must be standard, gcp or x5c");
	x->to = argv[optind];
	return AUDIT_OK;
}

int
mf_audit_oidc_export(int argc, char **argv)
{
	struct export x = { .render = "standard", .from_fd = -1 };
	int rc = parse(argc, argv, &x);
	if (rc == AUDIT_OK && x.to == NULL) {
		(void)fputs(usage, stdout);
		return AUDIT_OK;
	}
	for (size_t i = 0; i < MF_PUBLISHED_FILES; i++)
		mf_buf_init(&x.files[i], MF_LIM_OIDC_DOCUMENT);
	if (rc == AUDIT_OK)
		rc = open_from(&x);
	if (rc == AUDIT_OK)
		rc = load_key(&x);
	if (rc == AUDIT_OK)
		rc = read_all(&x);
	if (rc == AUDIT_OK)
		rc = write_all(&x);
	for (size_t i = 0; i < MF_PUBLISHED_FILES; i++)
		mf_buf_fini(&x.files[i]);
	if (x.from_fd >= 0)
		(void)close(x.from_fd);
	return rc;
}
