/* wal_internal: what wal.c (appending) and wal_open.c (recovery) share. Nobody else includes it. */
#ifndef MF_LOG_WAL_INTERNAL_H
#define MF_LOG_WAL_INTERNAL_H
#include <pthread.h>
#include <stdatomic.h>

#include "log/wal.h"

#define MF_WAL_NEXT_TMP "next.tmp"
#define MF_WAL_RESERVE_NAME "reserve"
#define MF_WAL_RESERVE_TMP "reserve.tmp"
#define MF_WAL_RECOVER_TMP "recover.tmp"

#define MF_WAL_FULL_NORMAL "disk full: issuance stops, removals continue; free space on the log's file system"
#define MF_WAL_FULL_REMOVAL \
	"disk full and the reserve for removals is used up: free space on the log's file system"

struct mf_wal {
	const struct mf_log_io *io;
	int dirfd;   /* our own, locked */
	int fd;	     /* of the current segment; -1 while there is none */
	int next_fd; /* of the next one, when it was made ahead; -1 */
	uint64_t segment, tail_reserve, reserve;
	void (*on_rollover)(void *ctx, const struct mf_wal_anchor *anchor);
	void *ctx;

	/* The writing thread's alone. */
	uint64_t end;	   /* bytes of frames in the current segment */
	uint64_t cap;	   /* bytes it may hold without asking the disk for more */
	bool removal_only; /* it is a former reserve, or its blocks could not be had */
	bool have_reserve;
	bool preallocated;
	bool
	    full; /* the next segment or the reserve could not be had: normal batches end soon, or have ended */
	bool dead; /* poisoned */
	struct mf_wal_anchor at;
	struct mf_buf frame;

	/* What other threads may ask for: copies under the lock, made by mf_wal_publish. */
	pthread_mutex_t lock;
	struct mf_wal_anchor pub_at;
	struct mf_wal_space pub_space;
	bool pub_dead;
	_Atomic uint64_t durable;
};

/* Blocks for the open segment, as many as can be had: sets cap and removal_only. MF_OK also on a full disk.
 */
MF_NODISCARD enum mf_status mf_wal_allocate(struct mf_wal *w, struct mf_err *err);
/* A whole reserve file exists afterwards, or MF_E_EXHAUSTED. */
MF_NODISCARD enum mf_status mf_wal_make_reserve(struct mf_wal *w, struct mf_err *err);
/* A new, fully allocated current segment named by the next index. MF_E_EXHAUSTED: nothing changed. */
MF_NODISCARD enum mf_status mf_wal_new_segment(struct mf_wal *w, struct mf_err *err);
/* Room for a frame of ${len} bytes of class ${cls} in the current segment, which may be a new one afterwards. */
MF_NODISCARD enum mf_status
mf_wal_room_for(struct mf_wal *w, uint64_t len, enum mf_wal_class cls, struct mf_err *err);
/* The reserve becomes the current segment. */
MF_NODISCARD enum mf_status mf_wal_use_reserve(struct mf_wal *w, struct mf_err *err);
/* Take the reserve and, when the current segment is nearly full, the next one ahead of need: sets ${full}. */
void mf_wal_look_ahead(struct mf_wal *w);
/* Show the writer's state to the other threads; what is in ${at} must be durable. */
void mf_wal_publish(struct mf_wal *w);
#endif
