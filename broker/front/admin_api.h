/*
 * admin_api: mayfly.admin.v1.Admin (with grpc.health.v1 and reflection) on the admin socket and, where it is configured, by mutual TLS.
 *
 * Reading is answered from the read model, also while the notary is away; acting is the notary's. Names that people
 * type (key, id, beginning of one) are resolved here to full ids before the notary hears them. A removal or a new
 * token is answered when the read model has its record too (within two seconds), so that the next listing shows it.
 *
 * Who may: uid 0, the listed uids, members of the admin group (primary or supplementary), as the kernel says at the
 * connect; a socket that was handed on to another uid is closed. Whose login that process comes from is asked for, as this
 * role may not read /proc of others; what the caller says is read when the answer is there, or after a second without it:
 * the notary is then told "none" (4294967295). They may do everything. Who comes by TLS has the
 * role of its certificate (admin_remote.h), and each RPC its least role (broker/core/admin_roles.h).
 *
 * Loop's thread.
 */
#ifndef MF_FRONT_ADMIN_API_H
#define MF_FRONT_ADMIN_API_H
#include "broker/front/feed.h"
#include "broker/front/notary_link.h"
#include "broker/front/sessions.h"
#include "rpc/grpc_health.h"
#include "rpc/grpc_reflect.h"

#define MF_ADMIN_NO_GROUP UINT32_MAX

struct mf_admin_api; /* opaque */

struct mf_admin_conf {
	int fd;	       /* listening; taken over on MF_OK */
	int remote_fd; /* TCP, for mutual TLS; the same; -1: only the socket */
	const char *trust_domain, *broker_id, *release;
	const uint32_t *uids; /* beside 0; outlives the api */
	size_t n_uids;
	uint32_t gid; /* MF_ADMIN_NO_GROUP: none */
	struct mf_read_model *rm;
	struct mf_feed *feed;
	struct mf_notary_link *link;
	struct mf_sessions *sessions;
	struct mf_net_limits net;
	struct mf_net_counters *counters;
	struct mf_net_limits remote_net; /* admin_remote.h */
	struct mf_net_counters *remote_counters;
	/* Ask whose login connected ${sock}; mf_admin_api_login brings the answer. NULL: nobody can be asked. */
	enum mf_status (*ask_login)(void *ask_ctx, uint32_t number, int sock, struct mf_err *err);
	void *ask_ctx;
	uint32_t login_ms;   /* how long that may take; 0: 1 s */
	uint32_t call_ms;    /* how long the notary may take; 0: 10 s */
	uint32_t applied_ms; /* and then the read model; 0: 2 s */
};

MF_NODISCARD enum mf_status mf_admin_api_new(
    struct mf_loop *l, const struct mf_admin_conf *conf, struct mf_admin_api **ret_a, struct mf_err *err);
void mf_admin_api_free(struct mf_admin_api *a);
MF_DEFINE_CLEANUP(struct mf_admin_api, mf_admin_api_free)

/* Records below ${size} are in the tables: what waited for them is answered. */
void mf_admin_api_applied(struct mf_admin_api *a, uint64_t size);
/* The answer to question ${number}; MF_NO_LOGIN_UID. Late or unknown ones are ignored. */
void mf_admin_api_login(struct mf_admin_api *a, uint32_t number, uint32_t uid);
/* For health watchers: the broker issues. */
void mf_admin_api_ready(struct mf_admin_api *a, bool ready);
/* No new calls; those that wait are still answered. */
void mf_admin_api_drain(struct mf_admin_api *a);
bool mf_admin_api_drained(const struct mf_admin_api *a);
/* For the TLS listener, each a no-op without one (admin_remote.h): roles, our bundle, the front's identity. */
MF_NODISCARD enum mf_status
mf_admin_api_access(struct mf_admin_api *a, struct mf_slice packed, struct mf_err *err);
MF_NODISCARD enum mf_status
mf_admin_api_bundle(struct mf_admin_api *a, struct mf_slice bundle, struct mf_err *err);
MF_NODISCARD enum mf_status mf_admin_api_identity(
    struct mf_admin_api *a, const struct mf_slice *chain, size_t n, struct mf_slice key, struct mf_err *err);
/* May this uid, with these groups, administer? The rule by itself, for tests. */
bool mf_admin_allowed(
    const struct mf_admin_conf *conf, uint32_t uid, uint32_t gid, const uint32_t *groups, size_t n_groups);
#endif
