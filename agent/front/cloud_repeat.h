/*
 * cloud_repeat: requests at the cloud endpoint that were answered before, known again by their bytes. Each belongs to the
 * cgroup whose process sent it; its secret, address, Host and path were judged when it was parsed, so that the same bytes
 * from a socket of the same cgroup ask the same. Whether there is anything to give is not known here.
 * Pure; the bytes hold secrets and are wiped. One thread.
 */
#ifndef MF_AGENT_FRONT_CLOUD_REPEAT_H
#define MF_AGENT_FRONT_CLOUD_REPEAT_H
#include "agent/core/cloud_cache.h"
#include "agent/front/cloud_secret.h"

#define MF_CLOUD_REPEAT_TEXT 2048u /* bytes of one request */
#define MF_CLOUD_REPEAT_EACH 8u	   /* of one cgroup; the oldest makes room */
#define MF_CLOUD_REPEAT_MAX 1024u  /* cgroups; the oldest makes room */

struct mf_cloud_repeat {
	char name[MF_CLOUD_NAME + 1]; /* of the instance, as its secret has it */
	char grant[MF_CLOUD_NAME_MAX + 1];
	enum mf_cloud_kind kind;
};

struct mf_cloud_repeats;
struct mf_cloud_repeats *mf_cloud_repeats_new(void); /* NULL: out of memory */
void mf_cloud_repeats_free(struct mf_cloud_repeats *r);
MF_DEFINE_CLEANUP(struct mf_cloud_repeats, mf_cloud_repeats_free)
/* Without memory, or with a text that is too long, it is not kept. ${cgroup_id} 0 is nobody's. */
void mf_cloud_repeats_add(
    struct mf_cloud_repeats *r, uint64_t cgroup_id, const struct mf_cloud_repeat *what, struct mf_slice text);
/* Whether any text of ${n} bytes is known: a look that costs nothing. */
bool mf_cloud_repeats_may(const struct mf_cloud_repeats *r, size_t n);
/* NULL: not known. In a time that tells of ${text} no more than its length. Borrowed until the next change. */
const struct mf_cloud_repeat *
mf_cloud_repeats_find(const struct mf_cloud_repeats *r, uint64_t cgroup_id, struct mf_slice text);
void mf_cloud_repeats_forget(struct mf_cloud_repeats *r, uint64_t cgroup_id);
void mf_cloud_repeats_clear(struct mf_cloud_repeats *r);
#endif
