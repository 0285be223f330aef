#include "memdisk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define FILES 256
#define NAMES 128
#define HANDLES 64
#define FIRST_FD 5000
#define FREE_HANDLE (-1)
#define DIR_HANDLE (-2)
#define JOURNAL \
	128 /* a full disk fails a new file at every batch: two names changed without a sync between */
#define CHUNK 64

struct file {
	bool used;
	uint8_t *live, *disk, *dirty;
	size_t n, n_disk, cap; /* visible size, size on disk, bytes of the three arrays */
	uint64_t blocks;       /* given by allocate */
};

struct dir {
	struct {
		char name[40];
		int file;
	} at[NAMES];
	size_t n;
};

struct memdisk {
	struct mf_log_io io;
	_Atomic uint64_t capacity; /* tests change it while another thread uses the disk */
	uint64_t seed, calls, strike_at;
	enum mf_memdisk_fault fault;
	bool struck, off, locked;
	struct file file[FILES];
	struct dir live, disk, journal[JOURNAL]; /* journal: every state of the names since the last sync */
	size_t journaled;
	int handle[HANDLES];
};

static uint64_t
coin(struct memdisk *d)
{
	d->seed ^= d->seed << 13;
	d->seed ^= d->seed >> 7;
	d->seed ^= d->seed << 17;
	return d->seed >> 8;
}

/* Counts a call. True when it must fail without effect, errno set. *ret_now is the fault that strikes it. */
static bool
strike(struct memdisk *d, enum mf_memdisk_fault *ret_now)
{
	*ret_now = MEMDISK_NONE;
	d->calls++;
	if (d->off) {
		errno = EIO;
		return true;
	}
	if (d->fault == MEMDISK_NONE || d->calls != d->strike_at)
		return false;
	d->struck = true;
	*ret_now = d->fault;
	errno = d->fault == MEMDISK_ENOSPC ? ENOSPC : EIO;
	d->off = d->fault == MEMDISK_POWER_BEFORE || d->fault == MEMDISK_POWER_AFTER;
	return d->fault != MEMDISK_POWER_AFTER && d->fault != MEMDISK_SHORT;
}

static int *
entry(struct dir *dir, const char *name)
{
	for (size_t i = 0; i < dir->n; i++)
		if (strcmp(dir->at[i].name, name) == 0)
			return &dir->at[i].file;
	return NULL;
}

static void
journal(struct memdisk *d)
{
	if (d->journaled == JOURNAL)
		abort();
	d->journal[d->journaled++] = d->live;
}

static void
drop_entry(struct dir *dir, const char *name)
{
	for (size_t i = 0; i < dir->n; i++)
		if (strcmp(dir->at[i].name, name) == 0) {
			dir->at[i] = dir->at[--dir->n];
			return;
		}
}

static void
set_entry(struct dir *dir, const char *name, int file)
{
	int *e = entry(dir, name);
	if (e != NULL) {
		*e = file;
		return;
	}
	if (dir->n == NAMES)
		abort();
	(void)snprintf(dir->at[dir->n].name, sizeof(dir->at[0].name), "%s", name);
	dir->at[dir->n++].file = file;
}

static uint64_t
space_of(const struct file *f)
{
	return f->blocks > f->n ? f->blocks : f->n;
}

static uint64_t
space_left(const struct memdisk *d)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < d->live.n; i++)
		sum += space_of(&d->file[d->live.at[i].file]);
	return sum > d->capacity ? 0 : d->capacity - sum;
}

static struct file *
of(struct memdisk *d, int fd)
{
	int f = d->handle[fd - FIRST_FD];
	if (f < 0)
		abort();
	return &d->file[f];
}

static uint8_t *
grow(uint8_t *p, size_t have, size_t want)
{
	uint8_t *q = realloc(p, want);
	if (q == NULL)
		abort();
	memset(q + have, 0, want - have);
	return q;
}

static void
room(struct file *f, size_t n)
{
	if (n <= f->cap)
		return;
	f->live = grow(f->live, f->cap, n);
	f->disk = grow(f->disk, f->cap, n);
	f->dirty = grow(f->dirty, f->cap, n);
	f->cap = n;
}

static int
new_handle(struct memdisk *d, int file)
{
	for (int i = 0; i < HANDLES; i++)
		if (d->handle[i] == FREE_HANDLE) {
			d->handle[i] = file;
			return FIRST_FD + i;
		}
	abort(); /* a leak of descriptors in the code under test */
}

static void
free_file(struct file *f)
{
	free(f->live);
	free(f->disk);
	free(f->dirty);
	memset(f, 0, sizeof(*f));
}

static bool
named(const struct dir *dir, int file)
{
	for (size_t k = 0; k < dir->n; k++)
		if (dir->at[k].file == file)
			return true;
	return false;
}

/* Files that no state of the directory names, and nobody has open, are gone. */
static void
collect(struct memdisk *d)
{
	for (int i = 0; i < FILES; i++) {
		bool keep = named(&d->live, i) || named(&d->disk, i);
		for (size_t j = 0; j < d->journaled; j++)
			keep = keep || named(&d->journal[j], i);
		for (size_t j = 0; j < HANDLES; j++)
			keep = keep || d->handle[j] == i;
		if (!keep)
			free_file(&d->file[i]);
	}
}

/* A place for one more. */
static int
free_place(struct memdisk *d)
{
	for (int tries = 0; tries < 2; tries++) {
		for (int i = 0; i < FILES; i++)
			if (!d->file[i].used)
				return i;
		collect(d);
	}
	abort();
}

static int
m_open(void *ctx, int dirfd, const char *name, int flags, mode_t mode)
{
	MF_UNUSED(dirfd);
	MF_UNUSED(mode);
	struct memdisk *d = ctx;
	enum mf_memdisk_fault now;
	if (strike(d, &now))
		return -1;
	if (strcmp(name, ".") == 0)
		return new_handle(d, DIR_HANDLE);
	const int *e = entry(&d->live, name);
	if (e == NULL && (flags & O_CREAT) == 0) {
		errno = ENOENT;
		return -1;
	}
	int id = e == NULL ? free_place(d) : *e;
	if (e == NULL) {
		d->file[id].used = true;
		set_entry(&d->live, name, id);
		journal(d);
	}
	if ((flags & O_TRUNC) != 0)
		d->file[id].n = d->file[id].blocks = 0;
	return new_handle(d, id);
}

static int
m_close(void *ctx, int fd)
{
	struct memdisk *d = ctx; /* always works; not counted */
	int *h = &d->handle[fd - FIRST_FD];
	if (*h == FREE_HANDLE)
		abort();
	if (*h == DIR_HANDLE)
		d->locked = false;
	*h = FREE_HANDLE;
	return 0;
}

static int
m_lock(void *ctx, int fd)
{
	MF_UNUSED(fd);
	struct memdisk *d = ctx;
	enum mf_memdisk_fault now;
	if (strike(d, &now))
		return -1;
	if (d->locked) {
		errno = EWOULDBLOCK;
		return -1;
	}
	d->locked = true;
	return 0;
}

static ssize_t
m_pread(void *ctx, int fd, void *to, size_t n, uint64_t at)
{
	struct memdisk *d = ctx;
	enum mf_memdisk_fault now;
	if (strike(d, &now))
		return -1;
	const struct file *f = of(d, fd);
	if (at >= f->n)
		return 0;
	if (n > f->n - at)
		n = f->n - (size_t)at;
	if (now == MEMDISK_SHORT && n > 1)
		n /= 2;
	memcpy(to, f->live + at, n);
	return (ssize_t)n;
}

static ssize_t
m_pwrite(void *ctx, int fd, const void *from, size_t n, uint64_t at)
{
	struct memdisk *d = ctx;
	enum mf_memdisk_fault now;
	if (strike(d, &now))
		return -1;
	struct file *f = of(d, fd);
	uint64_t may = space_of(f) + space_left(d);
	if (n > 0 && at >= may) {
		errno = ENOSPC;
		return -1;
	}
	if (at + n > may)
		n = (size_t)(may - at);
	if (now == MEMDISK_SHORT)
		n /= 2;
	if (n == 0)
		return 0;
	room(f, (size_t)at + n);
	memcpy(f->live + at, from, n);
	memset(f->dirty + at, 1, n);
	if (at + n > f->n)
		f->n = (size_t)at + n;
	return (ssize_t)n;
}

static int
m_fsync(void *ctx, int fd)
{
	struct memdisk *d = ctx;
	enum mf_memdisk_fault now;
	bool bad = strike(d, &now) || now == MEMDISK_SHORT;
	if (bad && d->off)
		return -1; /* still dirty: mf_memdisk_power_loss tosses for each chunk */
	if (fd < FIRST_FD ||
	    d->handle[fd - FIRST_FD] == DIR_HANDLE) { /* the caller's descriptor is the directory */
		if (bad)
			return -1;
		d->disk = d->live;
		d->journaled = 0;
		return 0;
	}
	struct file *f = of(d, fd);
	for (size_t i = 0; i < f->n; i++) {
		if (f->dirty[i] != 0 && !bad)
			f->disk[i] = f->live[i];
		f->dirty[i] = 0; /* also when it failed: that is the trap */
	}
	if (bad)
		return -1;
	f->n_disk = f->n;
	return 0;
}

static int
m_allocate(void *ctx, int fd, uint64_t n)
{
	struct memdisk *d = ctx;
	enum mf_memdisk_fault now;
	if (strike(d, &now))
		return -1;
	struct file *f = of(d, fd);
	if (n > space_of(f) + space_left(d)) {
		errno = ENOSPC;
		return -1;
	}
	if (n > f->blocks)
		f->blocks = n;
	return 0;
}

static int
m_truncate(void *ctx, int fd, uint64_t n)
{
	struct memdisk *d = ctx;
	enum mf_memdisk_fault now;
	if (strike(d, &now))
		return -1;
	struct file *f = of(d, fd);
	room(f, (size_t)n);
	if (n < f->n) {
		memset(f->live + n, 0, f->n - (size_t)n);
		memset(f->dirty + n, 0, f->n - (size_t)n);
	}
	f->n = (size_t)n;
	f->blocks = n;
	return 0;
}

static int
m_size(void *ctx, int fd, uint64_t *ret_n)
{
	struct memdisk *d = ctx;
	enum mf_memdisk_fault now;
	if (strike(d, &now))
		return -1;
	*ret_n = of(d, fd)->n;
	return 0;
}

static int
m_rename(void *ctx, int dirfd, const char *from, const char *to)
{
	MF_UNUSED(dirfd);
	struct memdisk *d = ctx;
	enum mf_memdisk_fault now;
	if (strike(d, &now))
		return -1;
	const int *e = entry(&d->live, from);
	if (e == NULL) {
		errno = ENOENT;
		return -1;
	}
	set_entry(&d->live, to, *e);
	drop_entry(&d->live, from);
	journal(d);
	return 0;
}

static int
m_unlink(void *ctx, int dirfd, const char *name)
{
	MF_UNUSED(dirfd);
	struct memdisk *d = ctx;
	enum mf_memdisk_fault now;
	if (strike(d, &now))
		return -1;
	if (entry(&d->live, name) == NULL) {
		errno = ENOENT;
		return -1;
	}
	drop_entry(&d->live, name);
	journal(d);
	return 0;
}

static int
m_list(void *ctx, int dirfd, bool (*each)(void *arg, const char *name), void *arg)
{
	MF_UNUSED(dirfd);
	struct memdisk *d = ctx;
	enum mf_memdisk_fault now;
	if (strike(d, &now))
		return -1;
	for (size_t i = 0; i < d->live.n; i++)
		if (!each(arg, d->live.at[i].name))
			break;
	return 0;
}

static int
m_mkdir(void *ctx, int dirfd, const char *name, mode_t mode)
{
	MF_UNUSED(ctx);
	MF_UNUSED(dirfd);
	MF_UNUSED(name);
	MF_UNUSED(mode);
	errno = EPERM; /* it is one directory */
	return -1;
}

struct memdisk *
mf_memdisk_new(uint64_t capacity, uint64_t seed)
{
	struct memdisk *d = calloc(1, sizeof(*d));
	if (d == NULL)
		abort();
	d->io = (struct mf_log_io) { d, m_open, m_close, m_lock, m_pread, m_pwrite, m_fsync, m_fsync,
		m_allocate, m_truncate, m_size, m_rename, m_unlink, m_list, m_mkdir };
	d->capacity = capacity;
	d->seed = seed * 2654435761u + 88172645463325252u;
	for (int i = 0; i < HANDLES; i++)
		d->handle[i] = FREE_HANDLE;
	return d;
}

void
mf_memdisk_free(struct memdisk *d)
{
	for (size_t i = 0; i < FILES; i++)
		free_file(&d->file[i]);
	free(d);
}

const struct mf_log_io *
mf_memdisk_io(struct memdisk *d)
{
	return &d->io;
}

void
mf_memdisk_arm(struct memdisk *d, uint64_t nth, enum mf_memdisk_fault fault)
{
	d->struck = false;
	d->fault = nth == 0 ? MEMDISK_NONE : fault;
	d->strike_at = d->calls + nth;
}

bool
mf_memdisk_struck(const struct memdisk *d)
{
	return d->struck;
}

uint64_t
mf_memdisk_calls(const struct memdisk *d)
{
	return d->calls;
}

void
mf_memdisk_capacity(struct memdisk *d, uint64_t capacity)
{
	d->capacity = capacity;
}

void
mf_memdisk_exit(struct memdisk *d)
{
	for (int i = 0; i < HANDLES; i++)
		d->handle[i] = FREE_HANDLE;
	d->locked = false;
	collect(d);
}

static void
lose(struct memdisk *d, struct file *f)
{
	bool beyond = false;
	for (size_t at = 0; at < f->n; at += CHUNK) {
		bool kept = (coin(d) & 1) != 0;
		for (size_t i = at; kept && i < f->n && i < at + CHUNK; i++)
			if (f->dirty[i] != 0) {
				f->disk[i] = f->live[i];
				beyond = beyond || i >= f->n_disk;
			}
	}
	/* The size travels by itself: it may be there while the bytes are not (they read as zeros). */
	if (beyond || (f->n != f->n_disk && (coin(d) & 1) != 0))
		f->n_disk = f->n;
	room(f, f->n_disk);
	f->n = f->n_disk;
	if (f->cap == 0)
		return;
	memset(f->disk + f->n, 0, f->cap - f->n);
	memcpy(f->live, f->disk, f->cap);
	memset(f->dirty, 0, f->cap);
}

void
mf_memdisk_power_loss(struct memdisk *d)
{
	d->off = false;
	/* Changes of names become durable in order: some first part of them. */
	size_t keep = (size_t)(coin(d) % (d->journaled + 1));
	d->live = keep == 0 ? d->disk : d->journal[keep - 1];
	d->disk = d->live;
	d->journaled = 0;
	for (size_t i = 0; i < FILES; i++)
		if (d->file[i].used)
			lose(d, &d->file[i]);
	mf_memdisk_exit(d);
}

static uint8_t *
copy_of(const uint8_t *from, size_t cap)
{
	uint8_t *to = cap == 0 ? NULL : malloc(cap);
	if (cap > 0 && to == NULL)
		abort();
	if (cap > 0)
		memcpy(to, from, cap);
	return to;
}

struct memdisk *
mf_memdisk_copy(const struct memdisk *d)
{
	struct memdisk *c = mf_memdisk_new(d->capacity, d->seed);
	c->live = d->live;
	c->disk = d->disk;
	c->journaled = d->journaled;
	memcpy(c->journal, d->journal, d->journaled * sizeof(d->journal[0]));
	for (size_t i = 0; i < FILES; i++) {
		struct file *f = &c->file[i];
		*f = d->file[i];
		f->live = copy_of(d->file[i].live, f->cap);
		f->disk = copy_of(d->file[i].disk, f->cap);
		f->dirty = copy_of(d->file[i].dirty, f->cap);
	}
	mf_memdisk_power_loss(c);
	return c;
}

uint8_t *
mf_memdisk_file(struct memdisk *d, const char *name, size_t *ret_n)
{
	const int *e = entry(&d->live, name);
	if (e == NULL)
		return NULL;
	room(&d->file[*e], 1);
	*ret_n = d->file[*e].n;
	return d->file[*e].live;
}

bool
mf_memdisk_holds(const struct memdisk *d, struct mf_slice what)
{
	for (size_t i = 0; i < d->disk.n; i++) {
		const struct file *f = &d->file[d->disk.at[i].file];
		if (f->n_disk > 0 && memmem(f->disk, f->n_disk, what.p, what.n) != NULL)
			return true;
	}
	return false;
}
