/*
 * store_kit: a broker's real directory (made by mf_broker_init in /tmp), its log open through the store, and a
 * committer that writes it. Everything fails the test on failure unless it returns a status.
 */
#ifndef MF_TEST_STORE_KIT_H
#define MF_TEST_STORE_KIT_H
#include "broker/keys/broker_keys.h"
#include "broker/notary/committer.h"
#include "broker/notary/store.h"

#define STORE_KIT_TD "example.org"
#define STORE_KIT_BROKER "b1"
#define STORE_KIT_HANG_MS 60000u

struct store_kit {
	char dir[64];
	int state_fd, log_fd, wal_fd, keys_fd, handles_fd;
	struct mf_broker_keys *keys;
	struct mf_note_key note;
	struct mf_buf origin;
	/* from mf_store_kit_open on */
	struct mf_store_opened o; /* its wal is the committer's once that runs */
	struct mf_store_hook hook;
	/* from mf_store_kit_run on */
	struct mf_mailbox *box;
	struct mf_committer *c;
	uint64_t posted, durable, durable_events;
	bool room, failed, disordered; /* disordered: a durable event was not above the one before */
	void (*on_snapshot)(void *ctx, uint64_t size, const uint8_t sha256[32]); /* NULL: nobody */
	void *ctx;
	uint64_t snapshots;
};

/* A KEK that every kit uses; the caller frees. */
struct mf_kek *mf_store_kit_kek(uint8_t first_byte);
void mf_store_kit_init(struct store_kit *k);
/* Frees, and removes the directory. */
void mf_store_kit_fini(struct store_kit *k);
MF_NODISCARD enum mf_status mf_store_kit_open(struct store_kit *k, uint64_t segment, struct mf_err *err);
/* Start the committer on what was opened. */
void mf_store_kit_run(struct store_kit *k);
void mf_store_kit_post(struct store_kit *k, struct mf_slice record, bool removal);
/* Take what the committer says; waits up to ${ms} for something. */
void mf_store_kit_poll(struct store_kit *k, uint64_t ms);
/* Until everything posted is durable. */
void mf_store_kit_settle(struct store_kit *k);
/* Stop the committer, as at the end of the process; the opened state goes too. */
void mf_store_kit_close(struct store_kit *k);
/* A file below the state directory, read whole. The caller fini's. */
void mf_store_kit_read(const struct store_kit *k, const char *name, struct mf_buf *to);
void mf_store_kit_write(const struct store_kit *k, const char *name, struct mf_slice content);
/* Names in the directory ${name}, sorted, at most ${max}; of length ${len} each. The number. */
size_t mf_store_kit_list(const struct store_kit *k, const char *name, size_t len, char ret[][32], size_t max);
#endif
