/*
 * resolve: the broker's name, looked up by a process of its own for each round of connecting: this role may open no files
 * and ask no servers. One question at a time; whatever the process does (dies, hangs, says rubbish), the question is answered.
 * Thread rule: the loop's thread.
 */
#ifndef MF_AGENT_FRONT_RESOLVE_H
#define MF_AGENT_FRONT_RESOLVE_H
#include "agent/front/address.h"
#include "net/loop.h"

#define MF_RESOLVE_MS 15000u /* from the question to the answer */

struct mf_resolve; /* opaque */

struct mf_resolve_config {
	struct mf_loop *loop;
	const char *build_id;
	uint32_t patience_ms; /* 0: MF_RESOLVE_MS */
	/* Ask the supervisor for a process; its link comes by mf_resolve_link. NULL: nobody can be asked. */
	enum mf_status (*start)(void *start_ctx, struct mf_err *err);
	void *start_ctx;
	/*
	 * The answer, once for each question, never inside mf_resolve_ask: ${n} literals; 0: none, ${why}.
	 */
	void (*done)(void *ctx, const char *const *addresses, size_t n, const char *why);
	void *ctx;
};

MF_NODISCARD enum mf_status
mf_resolve_new(const struct mf_resolve_config *cfg, struct mf_resolve **ret_r, struct mf_err *err);
void mf_resolve_free(struct mf_resolve *r); /* tells nobody */
MF_DEFINE_CLEANUP(struct mf_resolve, mf_resolve_free)
/* ${host} is borrowed until the answer. A question that is out already stays the only one. */
void mf_resolve_ask(struct mf_resolve *r, const char *host);
/* A process has started; takes ${fd}. */
void mf_resolve_link(struct mf_resolve *r, int fd);
#endif
