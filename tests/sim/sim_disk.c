/*
 * The broker's disk: three directories of tests/lib/memdisk.h (log, wal, snapshots) as one table of calls. What was not
 * synced may be lost or torn when the power goes.
 */
#include "sim.h"

#include <errno.h>
#include <stdlib.h>

#include "memdisk.h"

enum { LOG, WAL, SNAPS, DIRS };
#define ROOM (UINT64_C(1) << 23)
#define SPAN 10000 /* descriptors of directory i are [SPAN * (i + 1), ...) */

struct sim_disk {
	struct mf_log_io io;
	struct memdisk *dir[DIRS];
	bool made[DIRS];
};

static const struct mf_log_io *
io_of(const struct sim_disk *d, int fd, int *ret_fd)
{
	int i = fd == SIM_LOG_DIR ? LOG : fd / SPAN - 1;
	*ret_fd = fd == SIM_LOG_DIR ? SIM_LOG_DIR : fd % SPAN;
	if (i < LOG || i >= DIRS)
		sim_abort("the disk knows no descriptor %d", fd);
	return mf_memdisk_io(d->dir[i]);
}

static int
out(int dirfd, int fd)
{
	int i = dirfd == SIM_LOG_DIR ? LOG : dirfd / SPAN - 1;
	return fd < 0 ? fd : fd + SPAN * (i + 1);
}

static int
d_open(void *ctx, int dirfd, const char *name, int flags, mode_t mode)
{
	static const char *const names[DIRS] = { ".", "wal", "snapshots" };
	struct sim_disk *d = ctx;
	int in;
	for (int i = WAL; dirfd == SIM_LOG_DIR && i < DIRS; i++)
		if (strcmp(name, names[i]) == 0) {
			const struct mf_log_io *sub = mf_memdisk_io(d->dir[i]);
			return out(SPAN * (i + 1), sub->open(sub->ctx, SIM_LOG_DIR, ".", flags, mode));
		}
	const struct mf_log_io *io = io_of(d, dirfd, &in);
	return out(dirfd, io->open(io->ctx, in, name, flags, mode));
}

#define ONE(type, name, more, pass)                               \
	static type d_##name more                                 \
	{                                                         \
		int in;                                           \
		const struct mf_log_io *io = io_of(ctx, fd, &in); \
		return io->name pass;                             \
	}
ONE(int, close, (void *ctx, int fd), (io->ctx, in))
ONE(int, lock, (void *ctx, int fd), (io->ctx, in))
ONE(ssize_t, pread, (void *ctx, int fd, void *to, size_t n, uint64_t at), (io->ctx, in, to, n, at))
ONE(ssize_t, pwrite, (void *ctx, int fd, const void *from, size_t n, uint64_t at), (io->ctx, in, from, n, at))

/* The bug of invariant 1: the sync is forgotten. */
static int
d_fdatasync(void *ctx, int fd)
{
	int in;
	const struct mf_log_io *io = io_of(ctx, fd, &in);
	return sim->bug == 1 ? 0 : io->fdatasync(io->ctx, in);
}
ONE(int, fsync, (void *ctx, int fd), (io->ctx, in))
ONE(int, allocate, (void *ctx, int fd, uint64_t n), (io->ctx, in, n))
ONE(int, truncate, (void *ctx, int fd, uint64_t n), (io->ctx, in, n))
ONE(int, size, (void *ctx, int fd, uint64_t *ret_n), (io->ctx, in, ret_n))
ONE(int, rename, (void *ctx, int fd, const char *from, const char *to), (io->ctx, in, from, to))
ONE(int, unlink, (void *ctx, int fd, const char *name), (io->ctx, in, name))
ONE(int, list, (void *ctx, int fd, bool (*each)(void *arg, const char *name), void *arg),
    (io->ctx, in, each, arg))

static int
d_mkdir(void *ctx, int dirfd, const char *name, mode_t mode)
{
	MF_UNUSED(ctx);
	MF_UNUSED(dirfd);
	MF_UNUSED(name);
	MF_UNUSED(mode);
	errno = EEXIST;
	return -1;
}

struct sim_disk *
sim_disk_new(uint64_t seed)
{
	struct sim_disk *d = sim_alloc(sizeof(*d));
	d->io = (struct mf_log_io) { d, d_open, d_close, d_lock, d_pread, d_pwrite, d_fdatasync, d_fsync,
		d_allocate, d_truncate, d_size, d_rename, d_unlink, d_list, d_mkdir };
	for (int i = 0; i < DIRS; i++)
		d->dir[i] = mf_memdisk_new(ROOM, seed + (uint64_t)i);
	return d;
}

void
sim_disk_free(struct sim_disk *d)
{
	for (int i = 0; d != NULL && i < DIRS; i++)
		mf_memdisk_free(d->dir[i]);
	free(d);
}

const struct mf_log_io *
sim_disk_io(struct sim_disk *d)
{
	return &d->io;
}

void
sim_disk_exit(struct sim_disk *d)
{
	for (int i = 0; i < DIRS; i++) {
		mf_memdisk_arm(d->dir[i], 0, MEMDISK_NONE);
		mf_memdisk_exit(d->dir[i]);
	}
}

void
sim_disk_power(struct sim_disk *d)
{
	for (int i = 0; i < DIRS; i++) {
		mf_memdisk_arm(d->dir[i], 0, MEMDISK_NONE);
		mf_memdisk_power_loss(d->dir[i]);
	}
}

struct sim_disk *
sim_disk_backup(const struct sim_disk *d)
{
	struct sim_disk *b = sim_alloc(sizeof(*b));
	for (int i = 0; i < DIRS; i++)
		b->dir[i] = mf_memdisk_copy(d->dir[i]);
	return b;
}

void
sim_disk_restore(struct sim_disk *d, struct sim_disk *backup)
{
	for (int i = 0; i < DIRS; i++) {
		mf_memdisk_free(d->dir[i]);
		d->dir[i] = backup->dir[i];
		mf_memdisk_capacity(d->dir[i], ROOM);
	}
	free(backup);
}

void
sim_disk_full(struct sim_disk *d, bool full)
{
	sim_heads_full(full);
	for (int i = 0; i < DIRS; i++)
		mf_memdisk_capacity(d->dir[i], full ? 0 : ROOM);
}

void
sim_disk_trouble(struct sim_disk *d, bool power)
{
	static const enum mf_memdisk_fault bad[] = { MEMDISK_EIO, MEMDISK_SHORT, MEMDISK_EIO };
	static const enum mf_memdisk_fault off[] = { MEMDISK_POWER_BEFORE, MEMDISK_POWER_AFTER };
	mf_memdisk_arm(d->dir[WAL], sim_between(1, 6), power ? off[sim_below(2)] : bad[sim_below(3)]);
}

bool
sim_disk_holds(const struct sim_disk *d, struct mf_slice what)
{
	return mf_memdisk_holds(d->dir[WAL], what);
}
