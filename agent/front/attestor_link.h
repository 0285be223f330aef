/*
 * attestor_link: the front's end of the role link to the attestor (rpc/role_links.h, mf_link_agent).
 *
 * The link comes and goes: the supervisor hands over a new end whenever the attestor was started again. Each end has
 * a generation; handles of instances are good under the generation in which they were learnt. Hello is exchanged
 * here; both sides must be of one build. Whatever breaks the table ends the link.
 * Thread rule: the loop's thread. Callbacks may call everything here but mf_attestor_link_free.
 */
#ifndef MF_AGENT_FRONT_ATTESTOR_LINK_H
#define MF_AGENT_FRONT_ATTESTOR_LINK_H
#include "net/loop.h"
#include "rpc/role_links.h"

#include "roles.pb-c.h"

#define MF_ATTESTOR_LINK_QUEUE (8u * 1024u * 1024u) /* bytes waiting for the attestor */
#define MF_ATTESTOR_LINK_CROWDED (1u * 1024u * 1024u)

struct mf_attestor_link;

struct mf_attestor_link_ops {
	/* The attestor said hello: messages may be sent. */
	void (*opened)(void *ctx, const Mayfly__Roles__V1__AttestorHello *hello);
	/* An open link is over. */
	void (*closed)(void *ctx, const struct mf_err *why);
	/* Everything but the hello; checked and unpacked, freed after the callback. */
	void (*message)(void *ctx, uint16_t type, const ProtobufCMessage *msg);
	/* The queue is short again after mf_attestor_link_crowded said true. */
	void (*room)(void *ctx);
};

/* ${build_id} and ${ops} are borrowed. */
MF_NODISCARD enum mf_status mf_attestor_link_new(struct mf_loop *l, const char *build_id,
    const struct mf_attestor_link_ops *ops, void *ctx, struct mf_attestor_link **ret_k, struct mf_err *err);
/* Runs no callback. NULL is a no-op. */
void mf_attestor_link_free(struct mf_attestor_link *k);
MF_DEFINE_CLEANUP(struct mf_attestor_link, mf_attestor_link_free)

/* A new end (taken over, also on failure): the old one is closed, hello is sent. */
MF_NODISCARD enum mf_status mf_attestor_link_attach(struct mf_attestor_link *k, int fd, struct mf_err *err);
bool mf_attestor_link_open(const struct mf_attestor_link *k);
/* Of the present end, or of the last one. 0: there was none. */
uint32_t mf_attestor_link_generation(const struct mf_attestor_link *k);
/*
 * Send. ${fd} is -1 or becomes the link's, also on failure. MF_E_UNAVAILABLE: not open. MF_E_EXHAUSTED: the attestor
 * does not keep up. MF_E_TOOBIG, MF_E_INTERNAL: see mf_role_encode. A broken link is closed soon, not inside this call.
 */
MF_NODISCARD enum mf_status mf_attestor_link_send(
    struct mf_attestor_link *k, uint16_t type, const ProtobufCMessage *msg, int fd, struct mf_err *err);
/* So much waits that bulk (data of the session) should pause; ops->room tells when to go on. */
bool mf_attestor_link_crowded(struct mf_attestor_link *k);
#endif
