/*
 * A whole segment of hostile bytes: the reader ends, recovery refuses or makes a log that opens again with the
 * same records, and a record can be appended to it.
 */
#include <stdlib.h>

#include "log/wal.h"
#include "memdisk.h"

#define DIRFD 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum mf_status
reopen(struct memdisk *d, struct mf_wal **ret_w, uint64_t *ret_records)
{
	struct mf_wal_opts o = {
		.io = mf_memdisk_io(d), .segment = 1 << 20, .tail_reserve = 4096, .reserve = 8192
	};
	struct mf_wal_recovery rec = { 0 };
	struct mf_err err = { 0 };
	enum mf_status s = mf_wal_open(DIRFD, &o, ret_w, &rec, &err);
	*ret_records = rec.records;
	return s;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memdisk *d = mf_memdisk_new(16 << 20, 1);
	const struct mf_log_io *io = mf_memdisk_io(d);
	int fd = io->open(io->ctx, DIRFD, "0000000000000000.seg", O_RDWR | O_CREAT, 0600);
	if (size > 0 && io->pwrite(io->ctx, fd, data, size, 0) != (ssize_t)size)
		abort();
	(void)io->close(io->ctx, fd);
	struct mf_wal *w = NULL;
	uint64_t records = 0, again = 0, first = 0;
	if (reopen(d, &w, &records) == MF_OK) {
		struct mf_slice one = MF_SLICE_LIT("{}");
		if (mf_wal_append_batch(w, &one, 1, MF_WAL_NORMAL, &first, NULL) != MF_OK || first != records)
			abort();
		mf_wal_free(w);
		mf_memdisk_power_loss(d);
		if (reopen(d, &w, &again) != MF_OK || again != records + 1)
			abort();
		mf_wal_free(w);
	}
	mf_memdisk_free(d);
	return 0;
}
