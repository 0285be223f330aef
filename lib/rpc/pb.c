/* Unpack into an arena, pack into a buffer. The check itself is in pb_check.c. */
#include <stdlib.h>

#include "base/limits.h"
#include "base/secret.h"
#include "rpc/pb_check.h"

#define ALIGN 16u
#define MAGIC UINT64_C(0x6d66706261726e61)

struct block {
	struct block *next;
	size_t size, used; /* of bytes[] */
	_Alignas(ALIGN) uint8_t bytes[];
};

/* The first block's first bytes are this, directly before the root message. */
struct arena {
	uint64_t magic;
	struct block *blocks; /* the newest first; the last one holds this struct */
	size_t total;
	size_t pad;
};
_Static_assert(sizeof(struct arena) % ALIGN == 0, "the root message must be aligned");

static struct block *
block_new(size_t size)
{
	struct block *b = malloc(sizeof(*b) + size);
	if (b == NULL)
		return NULL;
	*b = (struct block) { .size = size };
	return b;
}

static void *
take(struct block *b, size_t n)
{
	if (n > b->size - b->used)
		return NULL;
	void *p = b->bytes + b->used;
	b->used += n;
	return p;
}

static void *
arena_alloc(void *ctx, size_t n)
{
	struct arena *a = ctx;
	if (n > MF_LIM_PB_MEMORY)
		return NULL;
	n = (n + ALIGN - 1) / ALIGN * ALIGN;
	void *p = take(a->blocks, n);
	if (p != NULL)
		return p;
	size_t size = n > 4096 ? n : 4096;
	if (size > MF_LIM_PB_MEMORY - a->total)
		return NULL;
	struct block *b = block_new(size);
	if (b == NULL)
		return NULL;
	a->total += size;
	b->next = a->blocks;
	a->blocks = b;
	return take(b, n);
}

/* All goes at once, in arena_free. */
static void
arena_no_free(void *ctx, void *p)
{
	MF_UNUSED(ctx);
	MF_UNUSED(p);
}

static struct arena *
arena_new(size_t size)
{
	struct block *b = block_new(sizeof(struct arena) + size);
	if (b == NULL)
		return NULL;
	struct arena *a = take(b, sizeof(*a));
	*a = (struct arena) { .magic = MAGIC, .blocks = b, .total = size };
	return a;
}

static void
arena_free(struct arena *a)
{
	if (a == NULL)
		return;
	struct block *b = a->blocks;
	while (b != NULL) {
		struct block *next = b->next;
		mf_wipe(b->bytes, b->used);
		free(b);
		b = next;
	}
}
MF_DEFINE_CLEANUP(struct arena, arena_free)

enum mf_status
mf_pb_unpack(const ProtobufCMessageDescriptor *desc, struct mf_slice in, ProtobufCMessage **ret_msg,
    struct mf_err *err)
{
	struct mf_pb_cost cost;
	MF_TRY(mf_pb_check(desc, in, &cost, err));
	MF_AUTO(arena_free) struct arena *a = arena_new(cost.memory);
	if (a == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "protobuf %s: out of memory", desc->name);
	ProtobufCAllocator alloc = { arena_alloc, arena_no_free, a };
	ProtobufCMessage *msg = protobuf_c_message_unpack(desc, &alloc, in.n, in.p);
	if (msg == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "protobuf %s: not unpacked (out of memory)", desc->name);
	/* mf_pb_free finds the arena in front of the root, which protobuf-c allocates first. */
	if ((void *)msg != (void *)(a + 1))
		return MF_FAIL(err, MF_E_INTERNAL, "protobuf-c did not allocate the root message first");
	*ret_msg = msg;
	a = NULL;
	return MF_OK;
}

void
mf_pb_free(ProtobufCMessage *msg)
{
	if (msg == NULL)
		return;
	struct arena *a = (struct arena *)(void *)msg - 1;
	if (a->magic != MAGIC)
		abort(); /* not ours: a double free or a message of another origin */
	arena_free(a);
}

enum mf_status
mf_pb_pack(const ProtobufCMessage *msg, struct mf_buf *to, struct mf_err *err)
{
	MF_TRY(mf_buf_check(to, err));
	size_t before = to->n, n = protobuf_c_message_get_packed_size(msg);
	uint8_t *at = mf_buf_extend(to, n);
	MF_TRY(mf_buf_check(to, err));
	if (protobuf_c_message_pack(msg, at) != n) {
		to->n = before;
		return MF_FAIL(err, MF_E_INTERNAL, "protobuf %s: packed size differs", msg->descriptor->name);
	}
	enum mf_status s = mf_pb_check(msg->descriptor, mf_slice(at, n), NULL, err);
	if (s == MF_OK)
		return MF_OK;
	mf_wipe(at, n);
	to->n = before;
	return s == MF_E_TOOBIG ? s : mf_err_wrap(err, MF_E_INTERNAL, "a message of ours");
}
