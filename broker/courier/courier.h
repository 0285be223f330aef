/*
 * courier: what the courier does but for its process. Requests of the notary in, one result for each out; between them a
 * backend says what to send, the target's lane when, and http carries it.
 *
 * Every request gets exactly one result, at the latest when its time is over, unless the link ends before. A new link is a
 * new notary: what the old one asked for is dropped. One thread.
 */
#ifndef MF_COURIER_COURIER_H
#define MF_COURIER_COURIER_H
#include "base/clock.h"
#include "broker/courier/http.h"
#include "broker/courier/targets.h"

#define MF_COURIER_TASKS 8192u /* at a time, waiting included */

struct mf_courier; /* opaque */

/* ${build_id} and ${http} outlive it; ${targets} is taken. */
MF_NODISCARD enum mf_status mf_courier_new(const char *build_id, struct mf_http *http,
    struct mf_targets *targets, struct mf_courier **ret_c, struct mf_err *err);
void mf_courier_free(struct mf_courier *c);
MF_DEFINE_CLEANUP(struct mf_courier, mf_courier_free)

/* Takes ${fd}, and says hello on it. */
MF_NODISCARD enum mf_status mf_courier_connect(struct mf_courier *c, int fd, struct mf_err *err);
int mf_courier_fd(const struct mf_courier *c); /* -1: no link */
bool mf_courier_wants_write(const struct mf_courier *c);
/* For tasks to come. The same names must be there (broker.yaml is read once). Taken on MF_OK. */
MF_NODISCARD enum mf_status
mf_courier_reload(struct mf_courier *c, struct mf_targets *targets, struct mf_err *err);
/* What the notary says, as far as it came. */
void mf_courier_read(struct mf_courier *c, struct mf_now now);
/* Start what may start, end what has no time left, send what waits. Returns milliseconds until it is needed again. */
uint32_t mf_courier_tick(struct mf_courier *c, struct mf_now now);
/* Tasks under way or waiting. */
size_t mf_courier_tasks(const struct mf_courier *c);
#endif
