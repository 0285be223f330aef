#include "agent/attestor/procfile.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/text.h"

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

enum mf_status
mf_procfile_read(int dirfd, const char *path, struct mf_buf *to, struct mf_err *err)
{
	MF_AUTO_IN(close_fd) int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		int e = errno;
		return MF_FAIL(err,
		    e == ENOENT || e == ESRCH	? MF_E_NOTFOUND
		    : e == EACCES || e == EPERM ? MF_E_DENIED
						: MF_E_IO,
		    "open %s: %s", path, strerror(e));
	}
	for (;;) {
		size_t room = to->max - to->n < 4096 ? to->max - to->n : 4096;
		uint8_t more = 0;
		ssize_t n;
		if (room == 0) { /* full: only the end of the file may follow */
			n = read(fd, &more, 1);
			if (n == 0)
				return MF_OK;
			if (n > 0)
				return MF_FAIL(err, MF_E_TOOBIG, "%s: more than %zu bytes", path, to->max);
		} else {
			size_t before = to->n;
			uint8_t *at = mf_buf_extend(to, room);
			if (at == NULL)
				return mf_buf_check(to, err);
			n = read(fd, at, room);
			to->n = before + (n > 0 ? (size_t)n : 0);
			if (n == 0)
				return MF_OK;
		}
		if (n < 0 && errno != EINTR)
			return MF_FAIL(err, errno == ESRCH ? MF_E_NOTFOUND : MF_E_IO, "read %s: %s", path,
			    strerror(errno));
	}
}

bool
mf_procfile_line(struct mf_slice *rest, struct mf_slice *ret_line)
{
	if (rest->n == 0)
		return false;
	size_t i = 0;
	while (i < rest->n && rest->p[i] != '\n')
		i++;
	*ret_line = mf_slice_sub(*rest, 0, i);
	*rest = mf_slice_sub(*rest, i + 1, rest->n);
	return true;
}

bool
mf_procfile_word(struct mf_slice *rest, struct mf_slice *ret_word)
{
	size_t i = 0;
	while (i < rest->n && (rest->p[i] == ' ' || rest->p[i] == '\t'))
		i++;
	size_t from = i;
	while (i < rest->n && rest->p[i] != ' ' && rest->p[i] != '\t')
		i++;
	if (i == from)
		return false;
	*ret_word = mf_slice_sub(*rest, from, i - from);
	*rest = mf_slice_sub(*rest, i, rest->n);
	return true;
}

static bool
word_u64(struct mf_slice *rest, uint64_t max, uint64_t *ret_v)
{
	struct mf_slice w;
	uint64_t v = 0;
	if (!mf_procfile_word(rest, &w) || !mf_parse_u64(w, &v) || v > max)
		return false;
	*ret_v = v;
	return true;
}

static bool
four_ids(struct mf_slice rest, uint32_t *to[4])
{
	for (size_t i = 0; i < 4; i++) {
		uint64_t v = 0;
		if (!word_u64(&rest, UINT32_MAX, &v))
			return false;
		*to[i] = (uint32_t)v;
	}
	return true;
}

static enum mf_status
take_groups(struct mf_slice rest, struct mf_proc_status *st, struct mf_err *err)
{
	struct mf_slice w;
	while (mf_procfile_word(&rest, &w)) {
		uint64_t v = 0;
		if (!mf_parse_u64(w, &v) || v > UINT32_MAX)
			return MF_FAIL(err, MF_E_INVALID, "status: bad group");
		if (st->n_groups == MF_PROC_GROUPS_MAX)
			return MF_FAIL(err, MF_E_TOOBIG,
			    "the caller is in more than %u groups; run it with fewer (setgroups)",
			    MF_PROC_GROUPS_MAX);
		st->groups[st->n_groups++] = (uint32_t)v;
	}
	return MF_OK;
}

static enum mf_status
take_nspid(struct mf_slice rest, struct mf_proc_status *st, struct mf_err *err)
{
	struct mf_slice w;
	for (st->ns_levels = 0; mf_procfile_word(&rest, &w); st->ns_levels++) {
		uint64_t v = 0;
		if (!mf_parse_u64(w, &v) || v > INT32_MAX)
			return MF_FAIL(err, MF_E_INVALID, "status: bad NSpid");
		if (st->ns_levels == 1)
			st->ns_inside = (pid_t)v;
	}
	return st->ns_levels > 0 ? MF_OK : MF_FAIL(err, MF_E_INVALID, "status: empty NSpid");
}

enum mf_status
mf_procfile_status(struct mf_slice file, struct mf_proc_status *ret_st, struct mf_err *err)
{
	enum { PID = 1, PPID = 2, UID = 4, GID = 8, GROUPS = 16, ALL = 31, NSPID = 32 };
	struct mf_proc_status st = { .ns_levels = 1 };
	unsigned seen = 0, now = 0;
	struct mf_slice line, rest = file;
	while (mf_procfile_line(&rest, &line)) {
		struct mf_slice key;
		uint64_t v = 0;
		bool ok = true;
		if (!mf_procfile_word(&line, &key))
			continue;
		now = 0;
		if (mf_slice_eq_str(key, "Pid:")) {
			ok = word_u64(&line, INT32_MAX, &v);
			st.pid = (pid_t)v;
			now = PID;
		} else if (mf_slice_eq_str(key, "PPid:")) {
			ok = word_u64(&line, INT32_MAX, &v);
			st.ppid = (pid_t)v;
			now = PPID;
		} else if (mf_slice_eq_str(key, "Uid:")) {
			ok = four_ids(line, (uint32_t *[4]) { &st.ruid, &st.euid, &st.suid, &st.fsuid });
			now = UID;
		} else if (mf_slice_eq_str(key, "Gid:")) {
			ok = four_ids(line, (uint32_t *[4]) { &st.rgid, &st.egid, &st.sgid, &st.fsgid });
			now = GID;
		} else if (mf_slice_eq_str(key, "Groups:")) {
			MF_TRY(take_groups(line, &st, err));
			now = GROUPS;
		} else if (mf_slice_eq_str(key, "NSpid:")) {
			MF_TRY(take_nspid(line, &st, err));
			now = NSPID;
		}
		if (!ok || (seen & now) != 0)
			return MF_FAIL(err, MF_E_INVALID, "status: bad or repeated line");
		seen |= now;
	}
	if ((seen & ALL) != ALL)
		return MF_FAIL(err, MF_E_INVALID, "status: a line is missing");
	*ret_st = st;
	return MF_OK;
}

enum mf_status
mf_procfile_stat(struct mf_slice file, struct mf_proc_stat *ret_st, struct mf_err *err)
{
	struct mf_proc_stat st = { 0 };
	size_t open = 0, close = file.n;
	while (open < file.n && file.p[open] != '(')
		open++;
	while (close > open && file.p[close - 1] != ')')
		close--;
	struct mf_slice head = mf_slice_sub(file, 0, open), rest = mf_slice_sub(file, close, file.n), w;
	uint64_t v = 0;
	if (close <= open || !word_u64(&head, INT32_MAX, &v))
		return MF_FAIL(err, MF_E_INVALID, "stat: no command name");
	st.pid = (pid_t)v;
	/* Field 3 is the first after the name; 4 ppid, 7 tty_nr (may be negative), 22 starttime. */
	for (int field = 3; field <= 22; field++) {
		if (!mf_procfile_word(&rest, &w))
			return MF_FAIL(err, MF_E_INVALID, "stat: too short");
		bool minus = field == 7 && w.n > 1 && w.p[0] == '-';
		if (minus)
			w = mf_slice_sub(w, 1, w.n);
		if (field != 4 && field != 7 && field != 22)
			continue;
		if (!mf_parse_u64(w, &v) || (field != 22 && v > INT32_MAX))
			return MF_FAIL(err, MF_E_INVALID, "stat: field %d is no number", field);
		if (field == 4)
			st.ppid = (pid_t)v;
		else if (field == 7)
			st.tty_nr = minus ? -(int32_t)v : (int32_t)v;
		else
			st.start_time = v;
	}
	*ret_st = st;
	return MF_OK;
}

enum mf_status
mf_procfile_cgroup(struct mf_slice file, struct mf_slice *ret_path, struct mf_err *err)
{
	struct mf_slice line, rest = file, found = { 0 };
	bool have = false;
	while (mf_procfile_line(&rest, &line)) {
		if (!mf_slice_starts(line, MF_SLICE_LIT("0::")))
			continue;
		if (have)
			return MF_FAIL(err, MF_E_INVALID, "cgroup: two lines for hierarchy 0");
		found = mf_slice_sub(line, 3, line.n);
		have = true;
	}
	if (!have)
		return MF_FAIL(err, MF_E_NOTFOUND, "cgroup: no cgroup2 line; mount cgroup2");
	if (found.n == 0 || found.p[0] != '/')
		return MF_FAIL(err, MF_E_INVALID, "cgroup: path does not begin with /");
	*ret_path = found;
	return MF_OK;
}

enum mf_status
mf_procfile_fdinfo_pid(struct mf_slice file, int64_t *ret_pid, struct mf_err *err)
{
	struct mf_slice line, rest = file, w;
	while (mf_procfile_line(&rest, &line)) {
		if (!mf_procfile_word(&line, &w) || !mf_slice_eq_str(w, "Pid:"))
			continue;
		uint64_t v = 0;
		if (!mf_procfile_word(&line, &w))
			break;
		if (mf_slice_eq_str(w, "-1")) {
			*ret_pid = -1;
			return MF_OK;
		}
		if (!mf_parse_u64(w, &v) || v > INT32_MAX)
			break;
		*ret_pid = (int64_t)v;
		return MF_OK;
	}
	return MF_FAIL(err, MF_E_INVALID, "fdinfo: no Pid line: not a pidfd");
}

bool
mf_procfile_map_is_whole(struct mf_slice file)
{
	struct mf_slice line, rest = file;
	uint64_t inside = 1, outside = 1, count = 0;
	return mf_procfile_line(&rest, &line) && word_u64(&line, UINT32_MAX, &inside) &&
	       word_u64(&line, UINT32_MAX, &outside) && word_u64(&line, UINT32_MAX, &count) && inside == 0 &&
	       outside == 0 && count == UINT32_MAX && rest.n == 0;
}
