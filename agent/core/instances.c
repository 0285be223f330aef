#include "agent/core/instances.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/text.h"

#define HANDLES_UNTOLD (UINT64_C(1) << 20) /* more than can be given between two writes of the file */

struct mf_instances {
	struct mf_instance *by_handle, *by_name;
	uint64_t next_handle;
	char boot[MF_BOOT_ID_LEN + 1];
};

const char *
mf_end_cause_name(enum mf_end_cause c)
{
	static const char *const names[MF_END_COUNT] = { "none", "empty", "process", "runner", "while_away",
		"reboot", "operator", "node_evicted", "deadline", "unknown_at_resync", "kept_no_more",
		"manager", "manager_silent", "requeued", "owner" };
	return (unsigned)c < MF_END_COUNT ? names[c] : "unknown";
}

enum mf_status
mf_instances_new(const char *boot_id, struct mf_instances **ret_t, struct mf_err *err)
{
	if (strlen(boot_id) != MF_BOOT_ID_LEN)
		return MF_FAIL(err, MF_E_INVALID, "instances: a boot id has %u letters", MF_BOOT_ID_LEN);
	struct mf_instances *t = calloc(1, sizeof(*t));
	if (t == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "instances: out of memory");
	memcpy(t->boot, boot_id, sizeof(t->boot));
	t->next_handle = 1;
	*ret_t = t;
	return MF_OK;
}

static void
instance_free(struct mf_instance *i)
{
	if (i == NULL)
		return;
	free(i->boot);
	free(i->cgroup_path);
	free(i->run_name);
	free(i->profile);
	free(i->user);
	free(i->lease_id);
	free(i->selectors);
	free(i->manifest);
	free(i);
}
MF_DEFINE_CLEANUP(struct mf_instance, instance_free)

void
mf_instances_free(struct mf_instances *t)
{
	if (t == NULL)
		return;
	MF_INSTANCES_EACH(i, t)
	{
		mf_instances_del(t, i);
	}
	free(t);
}

size_t
mf_instances_count(const struct mf_instances *t)
{
	return HASH_CNT(hh, t->by_handle);
}

const char *
mf_instances_boot(const struct mf_instances *t)
{
	return t->boot;
}

static bool
is_cgroup(enum mf_instance_kind k)
{
	return k == MF_INSTANCE_CGROUP || k == MF_INSTANCE_RUN;
}

static void
name_of(char to[MF_INSTANCE_NAME_MAX], bool cgroup, uint64_t id)
{
	(void)snprintf(to, MF_INSTANCE_NAME_MAX, "%s-%" PRIu64, cgroup ? "cg" : "p", id);
}

static struct mf_instance *
instance_new(struct mf_slice boot)
{
	MF_AUTO(instance_free) struct mf_instance *i = calloc(1, sizeof(*i));
	if (i == NULL)
		return NULL;
	char **empty[] = { &i->cgroup_path, &i->run_name, &i->profile, &i->user, &i->lease_id,
		&i->selectors };
	i->boot = mf_slice_dup_str(boot);
	if (i->boot == NULL)
		return NULL;
	for (size_t k = 0; k < MF_COUNT(empty); k++) {
		*empty[k] = calloc(1, 1);
		if (*empty[k] == NULL)
			return NULL;
	}
	return MF_TAKE(i);
}

/* Put ${i}, whose name is set, into both maps; on failure it is in none and still the caller's. */
static enum mf_status
enter(struct mf_instances *t, struct mf_instance *i, struct mf_err *err)
{
	HASH_ADD(hh, t->by_handle, handle, sizeof(i->handle), i);
	if (i->map_oom)
		return MF_FAIL(err, MF_E_NOMEM, "instances: out of memory");
	(void)snprintf(i->full, sizeof(i->full), "%s/%s", i->boot, i->name);
	HASH_ADD_KEYPTR(hh_name, t->by_name, i->full, strlen(i->full), i);
	if (i->map_oom) {
		HASH_DELETE(hh, t->by_handle, i);
		return MF_FAIL(err, MF_E_NOMEM, "instances: out of memory");
	}
	return MF_OK;
}

static struct mf_instance *
by_full(struct mf_instances *t, const char *boot, const char *name)
{
	char full[MF_BOOT_ID_LEN + 1u + MF_INSTANCE_NAME_MAX];
	struct mf_instance *i = NULL;
	(void)snprintf(full, sizeof(full), "%s/%s", boot, name);
	HASH_FIND(hh_name, t->by_name, full, strlen(full), i);
	return i;
}

enum mf_status
mf_instances_add(struct mf_instances *t, enum mf_instance_kind kind, uint64_t id, struct mf_instance **ret_i,
    struct mf_err *err)
{
	char name[MF_INSTANCE_NAME_MAX];
	name_of(name, is_cgroup(kind), id);
	if (by_full(t, t->boot, name) != NULL)
		return MF_FAIL(err, MF_E_EXISTS, "instance %s is known", name);
	if (mf_instances_count(t) >= MF_LIM_NODE_INSTANCES)
		return MF_FAIL(
		    err, MF_E_EXHAUSTED, "this node holds %u instances; end some", MF_LIM_NODE_INSTANCES);
	MF_AUTO(instance_free) struct mf_instance *i = instance_new(mf_slice_str(t->boot));
	if (i == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "instances: out of memory");
	memcpy(i->name, name, sizeof(i->name));
	i->kind = kind;
	i->handle = t->next_handle;
	i->state = kind == MF_INSTANCE_RUN ? MF_JOB_ARMING : MF_JOB_LIVE;
	if (is_cgroup(kind))
		i->cgroup_id = id;
	else
		i->proc_id = id;
	MF_TRY(enter(t, i, err));
	t->next_handle++;
	*ret_i = MF_TAKE(i);
	return MF_OK;
}

void
mf_instances_fresh_handles(struct mf_instances *t)
{
	t->next_handle += HANDLES_UNTOLD;
}

void
mf_instances_del(struct mf_instances *t, struct mf_instance *i)
{
	HASH_DELETE(hh, t->by_handle, i);
	HASH_DELETE(hh_name, t->by_name, i);
	instance_free(i);
}

struct mf_instance *
mf_instances_by_handle(struct mf_instances *t, uint64_t handle)
{
	struct mf_instance *i = NULL;
	HASH_FIND(hh, t->by_handle, &handle, sizeof(handle), i);
	return i;
}

struct mf_instance *
mf_instances_by_cgroup(struct mf_instances *t, uint64_t cgroup_id)
{
	char name[MF_INSTANCE_NAME_MAX];
	name_of(name, true, cgroup_id);
	return by_full(t, t->boot, name);
}

struct mf_instance *
mf_instances_by_process(struct mf_instances *t, uint64_t proc_id)
{
	char name[MF_INSTANCE_NAME_MAX];
	name_of(name, false, proc_id);
	return by_full(t, t->boot, name);
}

struct mf_instance *
mf_instances_by_key(struct mf_instances *t, struct mf_slice key)
{
	struct mf_instance *i = NULL;
	size_t from = key.n, slashes = 0;
	while (from > 0 && (slashes += key.p[from - 1] == '/' ? 1u : 0u) < 2)
		from--;
	struct mf_slice full = mf_slice_sub(key, from, key.n);
	if (full.n > 0)
		HASH_FIND(hh_name, t->by_name, full.p, full.n, i);
	return i;
}

struct mf_instance *
mf_instances_first(struct mf_instances *t)
{
	return t->by_handle;
}

struct mf_instance *
mf_instances_next(struct mf_instance *i)
{
	return i == NULL ? NULL : i->hh.next;
}

enum mf_status
mf_instance_set(char **field, struct mf_slice s, size_t max, struct mf_err *err)
{
	if (s.n > max)
		return MF_FAIL(err, MF_E_TOOBIG, "instance: a text of %zu bytes, at most %zu", s.n, max);
	if (s.n > 0 && memchr(s.p, '\0', s.n) != NULL)
		return MF_FAIL(err, MF_E_INVALID, "instance: a text with a NUL inside");
	char *copy = mf_slice_dup_str(s);
	if (copy == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "instances: out of memory");
	free(*field);
	*field = copy;
	return MF_OK;
}

enum mf_status
mf_instance_set_manifest(struct mf_instance *i, struct mf_slice bytes, struct mf_err *err)
{
	uint8_t *copy = NULL;
	if (bytes.n > MF_LIM_MANIFEST)
		return MF_FAIL(err, MF_E_TOOBIG, "manifest: %zu bytes, at most %u", bytes.n, MF_LIM_MANIFEST);
	if (bytes.n > 0) {
		copy = malloc(bytes.n);
		if (copy == NULL)
			return MF_FAIL(err, MF_E_NOMEM, "instances: out of memory");
		memcpy(copy, bytes.p, bytes.n);
	}
	free(i->manifest);
	i->manifest = copy;
	i->manifest_n = bytes.n;
	return MF_OK;
}

void
mf_instance_key_put(struct mf_buf *to, const struct mf_instance *i, struct mf_slice node)
{
	mf_buf_put_str(to, "local/");
	mf_buf_put_slice(to, node);
	mf_buf_put_str(to, "/");
	mf_buf_put_str(to, i->boot);
	mf_buf_put_str(to, "/");
	mf_buf_put_str(to, i->name);
}

/* ---- the file: "MFIN", u32 version, u64 next handle, u32 count, then the entries ---- */

#define VERSION 1u
#define SELECTORS_MAX (MF_LIM_SELECTORS * (MF_LIM_SELECTOR + 1u))
#define PATH_BYTES_MAX 4096u

static void
put_text(struct mf_buf *to, struct mf_slice s)
{
	mf_buf_put_u32be(to, (uint32_t)s.n);
	mf_buf_put_slice(to, s);
}

static void
put_one(struct mf_buf *to, const struct mf_instance *i)
{
	mf_buf_put_u64be(to, i->handle);
	mf_buf_put_u8(to, (uint8_t)i->kind);
	mf_buf_put_u8(to, (uint8_t)i->grade);
	mf_buf_put_u8(to, (uint8_t)i->state);
	mf_buf_put_u8(to, (uint8_t)i->end_cause);
	mf_buf_put_u8(to, (uint8_t)((i->interactive ? 1 : 0) | (i->asked ? 2 : 0)));
	mf_buf_put_u32be(to, i->uid);
	mf_buf_put_u32be(to, i->gid);
	mf_buf_put_u64be(to, i->cgroup_id);
	mf_buf_put_u64be(to, i->proc_id);
	mf_buf_put_u32be(to, (uint32_t)i->pid);
	mf_buf_put_u64be(to, (uint64_t)i->end_us);
	mf_buf_put_u32be(to, i->epoch);
	put_text(to, mf_slice_str(i->boot));
	put_text(to, mf_slice_str(i->cgroup_path));
	put_text(to, mf_slice_str(i->run_name));
	put_text(to, mf_slice_str(i->profile));
	put_text(to, mf_slice_str(i->user));
	put_text(to, mf_slice_str(i->lease_id));
	put_text(to, mf_slice_str(i->selectors));
	put_text(to, mf_slice(i->manifest, i->manifest_n));
}

void
mf_instances_put(struct mf_buf *to, const struct mf_instances *t)
{
	mf_buf_put_str(to, "MFIN");
	mf_buf_put_u32be(to, VERSION);
	mf_buf_put_u64be(to, t->next_handle);
	mf_buf_put_u32be(to, (uint32_t)mf_instances_count(t));
	for (const struct mf_instance *i = t->by_handle; i != NULL; i = i->hh.next)
		put_one(to, i);
}

static bool
get_text(struct mf_reader *r, size_t max, struct mf_slice *ret_s)
{
	uint32_t n = 0;
	return mf_read_u32be(r, &n) && n <= max && mf_read_bytes(r, n, ret_s);
}

/* The numbers of one entry; false when one is missing or means nothing. */
static bool
get_numbers(struct mf_reader *r, struct mf_instance *i)
{
	uint8_t kind = 0, grade = 0, state = 0, cause = 0, flags = 0;
	uint32_t pid = 0;
	uint64_t end_us = 0;
	if (!mf_read_u64be(r, &i->handle) || !mf_read_u8(r, &kind) || !mf_read_u8(r, &grade) ||
	    !mf_read_u8(r, &state) || !mf_read_u8(r, &cause) || !mf_read_u8(r, &flags) ||
	    !mf_read_u32be(r, &i->uid) || !mf_read_u32be(r, &i->gid) || !mf_read_u64be(r, &i->cgroup_id) ||
	    !mf_read_u64be(r, &i->proc_id) || !mf_read_u32be(r, &pid) || !mf_read_u64be(r, &end_us) ||
	    !mf_read_u32be(r, &i->epoch))
		return false;
	if (kind >= MF_INSTANCE_KIND_COUNT || grade == MF_GRADE_NONE || grade >= MF_GRADE_COUNT ||
	    state >= MF_JOB_GONE || cause >= MF_END_COUNT || flags > 3 || pid > INT32_MAX ||
	    end_us > INT64_MAX)
		return false;
	if ((state == MF_JOB_ENDED) != (cause != MF_END_NONE) || i->handle == 0)
		return false;
	i->kind = (enum mf_instance_kind)kind;
	i->grade = (enum mf_grade)grade;
	i->state = (enum mf_job_state)state;
	i->end_cause = (enum mf_end_cause)cause;
	i->interactive = (flags & 1) != 0;
	i->asked = (flags & 2) != 0;
	i->pid = (int32_t)pid;
	i->end_us = (int64_t)end_us;
	name_of(i->name, is_cgroup(i->kind), is_cgroup(i->kind) ? i->cgroup_id : i->proc_id);
	return true;
}

static enum mf_status
get_texts(struct mf_reader *r, struct mf_instance *i, struct mf_err *err)
{
	const struct {
		char **field;
		size_t max;
	} texts[] = { { &i->boot, MF_BOOT_ID_LEN }, { &i->cgroup_path, PATH_BYTES_MAX },
		{ &i->run_name, MF_INSTANCE_TEXT_MAX }, { &i->profile, MF_INSTANCE_TEXT_MAX },
		{ &i->user, MF_INSTANCE_TEXT_MAX }, { &i->lease_id, MF_INSTANCE_TEXT_MAX },
		{ &i->selectors, SELECTORS_MAX } };
	struct mf_slice s;
	for (size_t k = 0; k < MF_COUNT(texts); k++) {
		if (!get_text(r, texts[k].max, &s))
			return MF_FAIL(err, MF_E_CORRUPT, "instances file: a text is cut or too long");
		MF_TRY(mf_instance_set(texts[k].field, s, texts[k].max, err));
	}
	if (strlen(i->boot) != MF_BOOT_ID_LEN)
		return MF_FAIL(err, MF_E_CORRUPT, "instances file: bad boot id");
	if (!get_text(r, MF_LIM_MANIFEST, &s))
		return MF_FAIL(err, MF_E_CORRUPT, "instances file: a manifest is cut or too long");
	return mf_instance_set_manifest(i, s, err);
}

static enum mf_status
get_one(struct mf_reader *r, struct mf_instances *t, struct mf_err *err)
{
	MF_AUTO(instance_free) struct mf_instance *i = instance_new(mf_slice_str(""));
	if (i == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "instances: out of memory");
	if (!get_numbers(r, i))
		return MF_FAIL(err, MF_E_CORRUPT, "instances file: an entry is cut or means nothing");
	MF_TRY(get_texts(r, i, err));
	if (i->handle >= t->next_handle || mf_instances_by_handle(t, i->handle) != NULL ||
	    by_full(t, i->boot, i->name) != NULL)
		return MF_FAIL(err, MF_E_CORRUPT, "instances file: an entry stands there twice");
	MF_TRY(enter(t, i, err));
	MF_TAKE(i);
	return MF_OK;
}

enum mf_status
mf_instances_parse(struct mf_slice file, const char *boot_id, struct mf_instances **ret_t, struct mf_err *err)
{
	MF_AUTO(mf_instances_free) struct mf_instances *t = NULL;
	struct mf_reader r = mf_reader(file);
	struct mf_slice magic;
	uint32_t version = 0, count = 0;
	MF_TRY(mf_instances_new(boot_id, &t, err));
	if (!mf_read_bytes(&r, 4, &magic) || !mf_slice_eq_str(magic, "MFIN") || !mf_read_u32be(&r, &version))
		return MF_FAIL(err, MF_E_CORRUPT, "instances file: not one of ours");
	if (version != VERSION)
		return MF_FAIL(err, MF_E_UNSUPPORTED, "instances file: version %u", version);
	if (!mf_read_u64be(&r, &t->next_handle) || !mf_read_u32be(&r, &count) || t->next_handle == 0 ||
	    count > MF_LIM_NODE_INSTANCES)
		return MF_FAIL(err, MF_E_CORRUPT, "instances file: bad head");
	for (uint32_t k = 0; k < count; k++) {
		enum mf_status s = get_one(&r, t, err);
		if (s != MF_OK)
			return s == MF_E_NOMEM
				   ? s
				   : MF_FAIL(err, MF_E_CORRUPT, "instances file: entry %u is bad", k);
	}
	if (!mf_reader_end(&r))
		return MF_FAIL(err, MF_E_CORRUPT, "instances file: more than was announced");
	*ret_t = MF_TAKE(t);
	return MF_OK;
}
