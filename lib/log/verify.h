/*
 * verify: is a log what its broker signed? By the files and the public key alone; no broker runs, none is
 * trusted. Checked: frame form, checksums, the chain of frames, contiguous indices, the tree's roots, the
 * head's signature and that its root is that of the records; of the records: JSON objects with version, type,
 * time and id, ids unique, and no issuance while the clock was behind the record before it by more than
 * MF_VERIFY_CLOCK_BACK_US. A log that was restored from a copy has had several names (lineage.h): the key of any of them
 * verifies it, and each restore must continue what stands before it.
 *
 * Records up to the signed head are verified; those after it are chained, not yet signed (the broker signs
 * at most a second later). Memory: 16 to 32 bytes for each record, for the ids. One thread.
 */
#ifndef MF_LOG_VERIFY_H
#define MF_LOG_VERIFY_H
#include "codec/json.h"
#include "log/lineage.h"

#define MF_VERIFY_CLOCK_BACK_US 5000000

/* A record, taken apart. All of it is valid during the callback. */
struct mf_verify_record {
	const struct mf_wal_record *rec;
	const struct mf_json_value *json; /* the object */
	struct mf_slice type;
	struct mf_slice id; /* empty: a compact record has none */
	int64_t ts_us;
};

struct mf_verify_opts {
	const struct mf_log_io *io; /* NULL: the system's */
	int log_dirfd;		    /* holds checkpoint */
	int wal_dirfd;		    /* holds the segments */
	const struct mf_note_key *key;
	/* A head that was kept from before: the log must go on from it. NULL: none. Outlives the verifier. */
	const struct mf_checkpoint *held;
	/* Each record in order, before it is known whether a head covers it: show it after on_signed only. */
	enum mf_status (*on_record)(void *ctx, const struct mf_verify_record *rec, struct mf_err *err);
	/* All records below ${size} are verified. */
	enum mf_status (*on_signed)(void *ctx, uint64_t size, struct mf_err *err);
	void *ctx;
};

struct mf_verify_report {
	bool have_head;		   /* a head by the key was found */
	struct mf_checkpoint head; /* the last one that was verified */
	uint64_t records;	   /* read and chained, signed or not */
	uint64_t frames;
	int64_t first_ts_us, last_ts_us; /* of all records read */
	int64_t first_unsigned_ts_us;	 /* of the first frame after the head; 0: there is none */
	uint64_t clock_steps,
	    first_clock_step;		  /* times that the clock went back by more than the tolerance */
	const struct mf_lineage *lineage; /* restores, in order; the verifier's */
	bool unfinished;		  /* bytes that are no frame stand at the very end */
	struct mf_wal_stop stop;	  /* where, when unfinished */
	/* After MF_E_CORRUPT: where. In a log rewritten as a whole only the range is known: [0, head size). */
	bool bad_index_known;
	uint64_t bad_index;
};

struct mf_verifier; /* opaque */

/* ${opts} is copied; key, descriptors and io must outlive the verifier. */
MF_NODISCARD enum mf_status
mf_verifier_new(const struct mf_verify_opts *opts, struct mf_verifier **ret_v, struct mf_err *err);
void mf_verifier_free(struct mf_verifier *v); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_verifier, mf_verifier_free)
/*
 * Load the current head and verify the log up to it. May be called again: then it goes on from where it was.
 * *ret_moved: the head is a newer one than before. MF_E_CORRUPT: proven bad, the text names segment and first
 * bad index; MF_E_UNAUTH: the head is not signed by the key; MF_E_NOTFOUND: there is no head; others: could
 * not be read. After MF_E_CORRUPT the verifier stays there.
 */
MF_NODISCARD enum mf_status mf_verifier_head(struct mf_verifier *v, bool *ret_moved, struct mf_err *err);
/* Read what stands after the head. May be called again, also before another mf_verifier_head. */
MF_NODISCARD enum mf_status mf_verifier_tail(struct mf_verifier *v, struct mf_err *err);
const struct mf_verify_report *mf_verifier_report(const struct mf_verifier *v);
#endif
