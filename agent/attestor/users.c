#include "agent/attestor/users.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "agent/attestor/procfile.h"
#include "base/text.h"

struct user {
	uint32_t uid;
	uint32_t order; /* line in the file: the first one wins */
	char *name;
};

struct mf_users {
	struct user *list; /* by uid */
	size_t n;
	char *path; /* NULL: parsed from memory */
	struct stat seen;
};

/* As shadow-utils permits, and short: what is not such a word is not told. */
static bool
name_ok(struct mf_slice s)
{
	if (s.n == 0 || s.n > MF_USER_NAME_MAX || s.p[0] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!word && c != '_' && c != '-' && c != '.' && c != '@' && c != '$')
			return false;
	}
	return true;
}

/* The ${k}-th field of a colon-separated line. */
static bool
field(struct mf_slice line, unsigned k, struct mf_slice *ret_f)
{
	size_t from = 0;
	for (size_t i = 0; i <= line.n; i++) {
		if (i < line.n && line.p[i] != ':')
			continue;
		if (k-- == 0) {
			*ret_f = mf_slice_sub(line, from, i - from);
			return true;
		}
		from = i + 1;
	}
	return false;
}

static int
by_uid(const void *a, const void *b)
{
	const struct user *x = a, *y = b;
	if (x->uid != y->uid)
		return x->uid < y->uid ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order ? 1 : 0;
}

static enum mf_status
take_line(struct mf_users *u, struct mf_slice line, struct mf_err *err)
{
	struct mf_slice name, number, shell;
	uint64_t uid = 0;
	if (!field(line, 0, &name) || !name_ok(name) || !field(line, 2, &number) ||
	    !mf_parse_u64(number, &uid) || uid >= UINT32_MAX || !field(line, 6, &shell))
		return MF_OK;
	if (u->n == MF_USERS_MAX)
		return MF_FAIL(err, MF_E_TOOBIG, "passwd: more than %u users", MF_USERS_MAX);
	if ((u->n & (u->n - 1)) == 0) { /* at every power of two */
		struct user *more = reallocarray(u->list, u->n == 0 ? 1 : 2 * u->n, sizeof(*more));
		if (more == NULL)
			return MF_FAIL(err, MF_E_NOMEM, "passwd: out of memory");
		u->list = more;
	}
	char *copy = mf_slice_dup_str(name);
	if (copy == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "passwd: out of memory");
	u->list[u->n] = (struct user) { .uid = (uint32_t)uid, .order = (uint32_t)u->n, .name = copy };
	u->n++;
	return MF_OK;
}

enum mf_status
mf_users_parse(struct mf_slice file, struct mf_users **ret_u, struct mf_err *err)
{
	MF_AUTO(mf_users_free) struct mf_users *u = calloc(1, sizeof(*u));
	struct mf_slice line, rest = file;
	if (u == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "passwd: out of memory");
	while (mf_procfile_line(&rest, &line))
		MF_TRY(take_line(u, line, err));
	if (u->n > 0)
		qsort(u->list, u->n, sizeof(*u->list), by_uid);
	*ret_u = MF_TAKE(u);
	return MF_OK;
}

static enum mf_status
load(const char *path, struct mf_users **ret_u, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, MF_USERS_FILE_MAX);
	enum mf_status s = mf_procfile_read(AT_FDCWD, path, &b, err);
	if (s != MF_OK && s != MF_E_NOTFOUND)
		return s;
	return mf_users_parse(mf_buf_slice(&b), ret_u, err);
}

enum mf_status
mf_users_open(const char *path, struct mf_users **ret_u, struct mf_err *err)
{
	MF_AUTO(mf_users_free) struct mf_users *u = NULL;
	struct stat st = { 0 };
	(void)stat(path, &st); /* before the read: what changes meanwhile is read again */
	MF_TRY(load(path, &u, err));
	u->seen = st;
	u->path = mf_slice_dup_str(mf_slice_str(path));
	if (u->path == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "passwd: out of memory");
	*ret_u = MF_TAKE(u);
	return MF_OK;
}

static void
drop_list(struct user *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i].name);
	free(list);
}

void
mf_users_refresh(struct mf_users *u)
{
	MF_AUTO(mf_users_free) struct mf_users *now = NULL;
	struct stat st = { 0 };
	if (u->path == NULL)
		return;
	(void)stat(u->path, &st);
	if (st.st_ino == u->seen.st_ino && st.st_size == u->seen.st_size &&
	    st.st_mtim.tv_sec == u->seen.st_mtim.tv_sec && st.st_mtim.tv_nsec == u->seen.st_mtim.tv_nsec)
		return;
	if (load(u->path, &now, NULL) != MF_OK)
		return;
	drop_list(u->list, u->n);
	u->list = MF_TAKE(now->list);
	u->n = now->n;
	now->n = 0;
	u->seen = st;
}

const char *
mf_users_name(const struct mf_users *u, uint32_t uid)
{
	size_t lo = 0, hi = u->n;
	while (lo < hi) { /* the first of those with this uid */
		size_t mid = lo + (hi - lo) / 2;
		if (u->list[mid].uid < uid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < u->n && u->list[lo].uid == uid ? u->list[lo].name : NULL;
}

void
mf_users_free(struct mf_users *u)
{
	if (u == NULL)
		return;
	drop_list(u->list, u->n);
	free(u->path);
	free(u);
}
