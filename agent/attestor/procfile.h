/*
 * procfile: reading and parsing the few files of /proc that attestation needs.
 *
 * The parsers are pure. The kernel writes these files, but jobs choose parts of them: the command name in
 * stat (any bytes, ')' and newline included), the path in cgroup (any byte but '/' and newline inside a
 * name), so every parser takes its file apart from the side that the job cannot shape.
 * Thread rule: no state, call from anywhere.
 */
#ifndef MF_ATTESTOR_PROCFILE_H
#define MF_ATTESTOR_PROCFILE_H
#include <sys/types.h>

#include "base/buf.h"

#define MF_PROC_FILE_MAX 65536u /* bytes of one file; more is an error, never a cut */
#define MF_PROC_GROUPS_MAX 128u /* supplementary groups of one caller; more is refused */

struct mf_proc_status {
	pid_t pid, ppid;
	uint32_t ruid, euid, suid, fsuid;
	uint32_t rgid, egid, sgid, fsgid;
	uint32_t groups[MF_PROC_GROUPS_MAX];
	size_t n_groups;
	unsigned ns_levels; /* numbers in NSpid; 1 where the line is missing */
	pid_t ns_inside;    /* the second of them; 0: there is none */
};

struct mf_proc_stat {
	pid_t pid, ppid;
	int32_t tty_nr;	     /* 0: no controlling terminal */
	uint64_t start_time; /* clock ticks since boot (field 22) */
};

/*
 * The whole of ${path} below ${dirfd} (AT_FDCWD for absolute paths) into ${to}, whose cap is the limit.
 * Errors: MF_E_NOTFOUND (ENOENT or ESRCH), MF_E_DENIED, MF_E_TOOBIG, MF_E_IO, MF_E_NOMEM.
 */
MF_NODISCARD enum mf_status
mf_procfile_read(int dirfd, const char *path, struct mf_buf *to, struct mf_err *err);

/* /proc/PID/status: Pid, PPid, Uid, Gid, Groups must all be there. MF_E_TOOBIG: too many groups. */
MF_NODISCARD enum mf_status
mf_procfile_status(struct mf_slice file, struct mf_proc_status *ret_st, struct mf_err *err);
/* /proc/PID/stat, from the last ')' on. */
MF_NODISCARD enum mf_status
mf_procfile_stat(struct mf_slice file, struct mf_proc_stat *ret_st, struct mf_err *err);
/* The cgroup2 path ("0::" line) of /proc/PID/cgroup; points into ${file}. MF_E_NOTFOUND: pure v1. */
MF_NODISCARD enum mf_status
mf_procfile_cgroup(struct mf_slice file, struct mf_slice *ret_path, struct mf_err *err);
/* "Pid:" of /proc/self/fdinfo/<pidfd>: -1 when the process is gone, 0 when it is in a foreign PID namespace. */
MF_NODISCARD enum mf_status
mf_procfile_fdinfo_pid(struct mf_slice file, int64_t *ret_pid, struct mf_err *err);
/* True when /proc/PID/uid_map maps every id to itself (the initial user namespace, or one that looks so). */
bool mf_procfile_map_is_whole(struct mf_slice file);

/* The next line of ${*rest} without its newline; false when nothing is left. */
bool mf_procfile_line(struct mf_slice *rest, struct mf_slice *ret_line);
/* The next word of ${*rest}, words being parted by spaces and tabs; false when nothing is left. */
bool mf_procfile_word(struct mf_slice *rest, struct mf_slice *ret_word);
#endif
