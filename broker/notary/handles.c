#include "broker/notary/handles.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/secret.h"
#include "broker/notary/mailbox.h"
#include "crypto/keyfile.h"
#include "os/jlog.h"
#include "os/secure_file.h"

#define PURPOSE "cloud-handle"
#define UUID 36u
#define SCAN_MS 60000u /* how often expired ones are looked for */
#define SLACK_S 60     /* a provider's clock may lag */

/* A file, as the state thread knows it. */
struct entry {
	char cred[UUID + 1];
	int64_t until; /* unix seconds; INT64_MAX: not known yet */
	bool map_oom;
	UT_hash_handle hh;
};

/* What the thread is asked; the same object is its answer. */
struct order {
	struct mf_list at;
	enum order_kind { KEEP, OPEN, DROP } kind;
	char cred[UUID + 1];
	struct mf_buf secret; /* KEEP: to keep */
	struct mf_secret *opened;
	enum mf_status s;
	struct mf_err err;
};

struct mf_handles {
	int dirfd;
	char *broker_id;
	const struct mf_handles_ops *ops;
	void *ctx;
	struct entry *entries;
	uint64_t scanned_ms;
	struct mf_mailbox *todo, *answers;
	struct mf_kek *kek; /* the thread's */
	pthread_t thread;
	bool running;
};

static void
order_free(struct order *o)
{
	mf_buf_fini(&o->secret);
	mf_secret_free(o->opened);
	free(o);
}

/* ---- the thread ---- */

static void
sealed_id(const struct mf_handles *h, const char *cred, char to[MF_KEYFILE_ID + 1])
{
	(void)snprintf(to, MF_KEYFILE_ID + 1, "%s.%s", h->broker_id, cred);
}

static enum mf_status
write_one(struct mf_handles *h, const struct order *o, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	char id[MF_KEYFILE_ID + 1];
	mf_buf_init(&text, MF_LIM_KEYFILE);
	sealed_id(h, o->cred, id);
	MF_TRY(mf_keyfile_seal(h->kek, PURPOSE, id, mf_buf_slice(&o->secret), NULL, &text, err));
	return mf_file_write_one(h->dirfd, o->cred, mf_buf_slice(&text), 0400, err);
}

static enum mf_status
read_one(struct mf_handles *h, struct order *o, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	char id[MF_KEYFILE_ID + 1];
	mf_buf_init(&text, MF_LIM_KEYFILE);
	sealed_id(h, o->cred, id);
	enum mf_status s = mf_file_read(h->dirfd, o->cred, &text, err);
	if (s == MF_E_TOOBIG)
		return MF_E_CORRUPT; /* nothing that we wrote */
	return s == MF_OK ? mf_keyfile_open(h->kek, PURPOSE, id, mf_buf_slice(&text), &o->opened, err) : s;
}

static void
do_one(struct mf_handles *h, struct order *o)
{
	switch (o->kind) {
	case KEEP:
		o->s = mf_buf_check(&o->secret, &o->err);
		if (o->s == MF_OK)
			o->s = write_one(h, o, &o->err);
		mf_buf_fini(&o->secret);
		break;
	case OPEN:
		o->s = read_one(h, o, &o->err);
		break;
	case DROP: /* not synced: what a crash brings back is swept */
		o->s = unlinkat(h->dirfd, o->cred, 0) == 0 || errno == ENOENT
			   ? MF_OK
			   : MF_FAIL(&o->err, MF_E_IO, "remove: %s", strerror(errno));
		break;
	}
}

/* Their names are not durable: as if none of them had been written. */
static void
not_synced(struct mf_handles *h, struct mf_list *orders, const struct mf_err *why)
{
	MF_LIST_EACH(p, orders)
	{
		struct order *o = MF_LIST_ITEM(p, struct order, at);
		if (o->kind != KEEP || o->s != MF_OK)
			continue;
		o->s = why->code;
		o->err = *why;
		(void)unlinkat(h->dirfd, o->cred, 0);
	}
}

static void
work(struct mf_handles *h, struct mf_list *orders)
{
	bool wrote = false;
	struct mf_err err = { 0 };
	MF_LIST_EACH(p, orders)
	{
		struct order *o = MF_LIST_ITEM(p, struct order, at);
		do_one(h, o);
		wrote = wrote || (o->kind == KEEP && o->s == MF_OK);
	}
	if (wrote && mf_dir_sync(h->dirfd, &err) != MF_OK)
		not_synced(h, orders, &err);
	mf_mailbox_post_all(h->answers, orders);
}

static void *
run(void *arg)
{
	struct mf_handles *h = arg;
	struct mf_list orders;
	mf_list_init(&orders);
	for (;;) {
		bool some = mf_mailbox_wait(h->todo, &orders, UINT64_MAX);
		if (some)
			work(h, &orders);
		else if (mf_mailbox_closed(h->todo))
			return NULL;
	}
}

/* ---- the state thread ---- */

static struct entry *
find(const struct mf_handles *h, const char *cred)
{
	struct entry *n = NULL;
	HASH_FIND(hh, h->entries, cred, strlen(cred), n);
	return n;
}

static bool
add(struct mf_handles *h, const char *cred, int64_t until)
{
	struct entry *n = find(h, cred);
	if (n != NULL) {
		n->until = until;
		return true;
	}
	n = calloc(1, sizeof(*n));
	if (n == NULL)
		return false;
	(void)snprintf(n->cred, sizeof(n->cred), "%s", cred);
	n->until = until;
	HASH_ADD_KEYPTR(hh, h->entries, n->cred, strlen(n->cred), n);
	if (!n->map_oom)
		return true;
	free(n);
	return false;
}

static void
forget(struct mf_handles *h, struct entry *n)
{
	HASH_DELETE(hh, h->entries, n);
	free(n);
}

static struct order *
new_order(enum order_kind kind, const char *cred)
{
	struct order *o = calloc(1, sizeof(*o));
	if (o == NULL)
		return NULL;
	o->kind = kind;
	(void)snprintf(o->cred, sizeof(o->cred), "%s", cred);
	mf_buf_init(&o->secret, MF_LIM_KEYFILE_SECRET);
	mf_list_init(&o->at);
	return o;
}

bool
mf_handles_has(const struct mf_handles *h, const char *cred)
{
	return find(h, cred) != NULL;
}

size_t
mf_handles_count(const struct mf_handles *h)
{
	return HASH_COUNT(h->entries);
}

bool
mf_handles_keep(struct mf_handles *h, const char *cred, struct mf_slice secret, int64_t until)
{
	struct order *o = new_order(KEEP, cred);
	if (o == NULL || !add(h, cred, until)) {
		free(o);
		return false;
	}
	mf_buf_put_slice(&o->secret, secret);
	mf_mailbox_post(h->todo, &o->at);
	return true;
}

bool
mf_handles_open(struct mf_handles *h, const char *cred)
{
	struct order *o = new_order(OPEN, cred);
	if (o != NULL)
		mf_mailbox_post(h->todo, &o->at);
	return o != NULL;
}

void
mf_handles_drop(struct mf_handles *h, const char *cred)
{
	struct entry *n = find(h, cred);
	struct order *o = n == NULL ? NULL : new_order(DROP, cred);
	if (o == NULL)
		return; /* without memory: again when it has expired, or swept at the next start */
	forget(h, n);
	mf_mailbox_post(h->todo, &o->at);
}

int
mf_handles_fd(const struct mf_handles *h)
{
	return mf_mailbox_fd(h->answers);
}

static void
answer(struct mf_handles *h, struct order *o)
{
	struct entry *n = find(h, o->cred);
	switch (o->kind) {
	case KEEP:
		if (o->s != MF_OK && n != NULL)
			forget(h, n);
		if (o->s != MF_OK)
			mf_jlog_err(MF_LOG_ERROR, "handle.failed",
			    "what a revocation will need could not be kept: the token is taken back",
			    &o->err);
		h->ops->kept(h->ctx, o->cred, o->s == MF_OK ? NULL : &o->err);
		break;
	case OPEN:
		if (o->s != MF_OK)
			mf_jlog_err(
			    MF_LOG_ERROR, "handle.failed", "what a revocation needs cannot be read", &o->err);
		h->ops->opened(
		    h->ctx, o->cred, o->s, o->s == MF_OK ? mf_secret_slice(o->opened) : mf_slice(NULL, 0));
		break;
	case DROP:
		if (o->s != MF_OK)
			mf_jlog_err(MF_LOG_WARN, "handle.failed", "a file is left in handles/", &o->err);
		break;
	}
	order_free(o);
}

static void
scan(struct mf_handles *h, struct mf_now now)
{
	struct entry *n, *next;
	HASH_ITER(hh, h->entries, n, next)
	if (n->until != INT64_MAX && n->until + SLACK_S < now.wall_us / 1000000)
		mf_handles_drop(h, n->cred);
}

void
mf_handles_turn(struct mf_handles *h, struct mf_now now)
{
	struct mf_list got;
	mf_list_init(&got);
	(void)mf_mailbox_take(h->answers, &got);
	MF_LIST_EACH(p, &got)
	{
		mf_list_del(p);
		answer(h, MF_LIST_ITEM(p, struct order, at));
	}
	if (now.mono_ms - h->scanned_ms < SCAN_MS)
		return;
	h->scanned_ms = now.mono_ms;
	scan(h, now);
}

void
mf_handles_sweep(struct mf_handles *h, const struct mf_state *st)
{
	struct entry *n, *next;
	size_t dropped = 0;
	HASH_ITER(hh, h->entries, n, next)
	{
		const struct mf_cloud_cred *c = mf_state_cloud(st, mf_slice_str(n->cred));
		if (c != NULL && c->handle && c->state != MF_CLOUD_COMPLETED) {
			n->until = c->exp;
			continue;
		}
		mf_handles_drop(h, n->cred);
		dropped++;
	}
	if (dropped > 0)
		MF_LOG(MF_LOG_INFO, "handle.swept", "handles that no credential needs any more were removed",
		    mf_ju("count", dropped));
}

/* ---- beginning and end ---- */

static bool
is_uuid(const char *s)
{
	for (size_t i = 0; i < UUID; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		if (dash ? s[i] != '-' : !((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
			return false;
	}
	return s[UUID] == '\0';
}

static void
close_dir(DIR *const *d)
{
	if (*d != NULL)
		(void)closedir(*d);
}

static enum mf_status
read_dir(struct mf_handles *h, struct mf_err *err)
{
	int fd = openat(h->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MF_AUTO_IN(close_dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (d == NULL) {
		enum mf_status s =
		    MF_FAIL(err, MF_E_IO, "handles: the directory cannot be read: %s", strerror(errno));
		if (fd >= 0)
			(void)close(fd);
		return s;
	}
	errno = 0;
	for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
		if (is_uuid(e->d_name)) {
			if (!add(h, e->d_name, INT64_MAX))
				return MF_FAIL(err, MF_E_NOMEM, "handles: out of memory");
		} else if (e->d_name[0] == '.' && e->d_name[1] != '\0' && e->d_name[1] != '.') {
			(void)unlinkat(h->dirfd, e->d_name, 0); /* one in the making */
		}
		errno = 0;
	}
	return errno == 0
		   ? MF_OK
		   : MF_FAIL(err, MF_E_IO, "handles: the directory cannot be read: %s", strerror(errno));
}

enum mf_status
mf_handles_new(int dirfd, const char *broker_id, const struct mf_kek *kek, const struct mf_handles_ops *ops,
    void *ctx, struct mf_handles **ret_h, struct mf_err *err)
{
	MF_AUTO(mf_handles_free) struct mf_handles *h = calloc(1, sizeof(*h));
	if (h == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "handles: out of memory");
	h->dirfd = dirfd;
	h->ops = ops;
	h->ctx = ctx;
	h->broker_id = strdup(broker_id);
	if (h->broker_id == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "handles: out of memory");
	MF_TRY(mf_kek_copy(kek, &h->kek, err));
	MF_TRY(mf_mailbox_new(false, &h->todo, err));
	MF_TRY(mf_mailbox_new(true, &h->answers, err));
	MF_TRY(read_dir(h, err));
	if (pthread_create(&h->thread, NULL, run, h) != 0)
		return MF_FAIL(err, MF_E_EXHAUSTED, "handles: no thread");
	h->running = true;
	*ret_h = MF_TAKE(h);
	return MF_OK;
}

static void
empty(struct mf_mailbox *b)
{
	struct mf_list left;
	mf_list_init(&left);
	if (b != NULL)
		(void)mf_mailbox_take(b, &left);
	MF_LIST_EACH(p, &left)
	{
		mf_list_del(p);
		order_free(MF_LIST_ITEM(p, struct order, at));
	}
	mf_mailbox_free(b);
}

void
mf_handles_free(struct mf_handles *h)
{
	struct entry *n, *next;
	if (h == NULL)
		return;
	if (h->running) {
		mf_mailbox_close(h->todo);
		(void)pthread_join(h->thread, NULL);
	}
	empty(h->todo);
	empty(h->answers);
	HASH_ITER(hh, h->entries, n, next)
	forget(h, n);
	mf_kek_free(h->kek);
	free(h->broker_id);
	free(h);
}
