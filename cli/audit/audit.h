/*
 * mayfly-audit: the verbs of `mayfly audit` that need cryptography, as a program of its own so that the user
 * verbs load none. Reads a log's files and a public key; talks to nobody.
 */
#ifndef MF_CLI_AUDIT_H
#define MF_CLI_AUDIT_H
#include <stdio.h>

#include "log/verify.h"

/* design.md 10 */
enum mf_audit_exit { AUDIT_OK = 0, AUDIT_BAD = 1, AUDIT_USAGE = 2, AUDIT_INCOMPLETE = 4 };

#define AUDIT_PATIENCE_MS 5000u /* how long to wait for the head of records that were written just now */

struct mf_audit_filter {
	const char *type, *job, *node, *spiffe_id, *serial;
	int64_t since_us; /* 0: from the beginning */
};

struct mf_audit_opts {
	const char *dir;
	const char *key;  /* a vkey, or a file that holds one; NULL: the file in the log's directory */
	const char *head; /* a file with a head that was kept; NULL: none */
	bool json, follow, key_from_dir;
	bool all;      /* tail: no limit */
	uint64_t last; /* tail: how many */
	int64_t max_unsigned_us;
	struct mf_audit_filter filter;
};

/* An opened log. */
struct mf_audit_log {
	int dirfd, waldirfd;
	struct mf_note_key key;
	struct mf_checkpoint held; /* when opts.head is given */
};

/* The whole program: an exit code of the above. */
int mf_audit_main(int argc, char **argv);

int mf_audit_fingerprint(const char *path);
/* oidc.c: the verb of `mayfly oidc export`; ${argv} from the program's name on. */
int mf_audit_oidc_export(int argc, char **argv);

int mf_audit_verify(const struct mf_audit_opts *o, const struct mf_audit_log *log);
int mf_audit_tail(const struct mf_audit_opts *o, const struct mf_audit_log *log);
int mf_audit_find(const struct mf_audit_opts *o, const struct mf_audit_log *log);

/*
 * Verify to the end of what is there now, waiting a while for the head of young records. Returns as
 * mf_verifier_head; MF_OK also when some records are not signed (the report tells).
 */
MF_NODISCARD enum mf_status mf_audit_read_all(struct mf_verifier *v, struct mf_err *err);
/* What a failure of the verifier means for the exit code. */
int mf_audit_exit_of(enum mf_status s);
/* Records after the last signed head. */
uint64_t mf_audit_unsigned(const struct mf_verify_report *rep);
void mf_audit_sleep_ms(unsigned ms);

/* Does a record match? Keeps what later records inherit from it (lease, issued certificate). */
struct mf_audit_match; /* opaque */
MF_NODISCARD enum mf_status
mf_audit_match_new(const struct mf_audit_filter *f, struct mf_audit_match **ret_m, struct mf_err *err);
void mf_audit_match_free(struct mf_audit_match *m);
MF_DEFINE_CLEANUP(struct mf_audit_match, mf_audit_match_free)
MF_NODISCARD enum mf_status mf_audit_match_record(
    struct mf_audit_match *m, const struct mf_verify_record *r, bool *ret_yes, struct mf_err *err);
#endif
