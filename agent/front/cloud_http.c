#include "agent/front/cloud_http.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "agent/front/cloud_repeat.h"
#include "agent/front/sock_peer.h"
#include "base/map.h"
#include "base/rand.h"
#include "base/secret.h"
#include "codec/json_write.h"
#include "net/http_server.h"
#include "os/jlog.h"

#define HOLD_MS 55000u
#define PEERS_MAX 8192u /* instances that are recognised without the attestor */
#define BODY_MAX (64u * 1024u)
#define RETRY_MS 100u
#define JSON_TYPE "application/json"

/* An instance that the attestor has named on this link. */
struct peer {
	char name[MF_CLOUD_NAME + 1];
	char *instance_key;
	uint64_t handle, cgroup_id; /* 0: it has none of its own */
	struct in_addr address;
	char secret[MF_CLOUD_SECRET_MAX + 1];
	char over[64]; /* why it has ended; "": it has not. Kept for those who still ask */
	bool map_oom;
	UT_hash_handle hh;
};

/* A request under way. */
struct call {
	struct mf_cloud_http *http;
	struct mf_http_request *q;
	struct mf_list node;
	struct mf_cloud_wait wait;
	struct sockaddr_in client, server;
	struct mf_sock_peer who;
	char name[MF_CLOUD_NAME + 1];
	uint64_t peer_id; /* of the question to the attestor; 0: none is out */
	uint64_t until_ms, round;
	enum mf_cloud_kind kind;
};

struct mf_cloud_http {
	struct mf_cloud_http_config cfg;
	uint8_t key[MF_CLOUD_KEY];
	uint16_t port;
	struct mf_http_server *server;
	struct peer *peers;
	struct mf_cloud_repeats *repeats; /* what their processes asked before */
	struct mf_list calls;
	struct mf_loop_timer *timer; /* for calls that wait for the attestor */
	uint64_t next_peer;
	uint64_t round, over; /* of looking at calls; how many are done */
	bool deaf_told;
	struct mf_cloud_http_stats stats;
};

/* --- answers --- */

static void
call_free(struct call *c)
{
	mf_cloud_wait_cancel(&c->wait);
	c->http->over++;
	mf_list_del(&c->node);
	free(c);
}

static void
reply(struct call *c, int code, struct mf_slice body)
{
	struct mf_http_request *q = c->q;
	struct mf_cloud_http *h = c->http;
	bool alive = mf_http_request_alive(q);
	h->stats.abandoned += !alive;
	if (code == 200)
		h->stats.answered += alive;
	else
		h->stats.denied++;
	call_free(c);
	mf_http_reply(q, code, JSON_TYPE, body);
}

/* AWS clients read code and message, those of OAuth error and error_description. */
static void
refuse(struct call *c, int code, const char *word, const char *reason)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	struct mf_jw w;
	mf_buf_init(&b, 8192);
	mf_jw_init(&w, &b, false);
	mf_jw_object_begin(&w);
	mf_jw_kstr(&w, "code", word);
	mf_jw_kstr(&w, "message", reason);
	mf_jw_kstr(&w, "error", word);
	mf_jw_kstr(&w, "error_description", reason);
	mf_jw_object_end(&w);
	bool good = mf_jw_finish(&w, NULL) == MF_OK;
	reply(c, code, good ? mf_buf_slice(&b) : MF_SLICE_LIT("{\"code\":\"AccessDenied\"}"));
}

/* Only of those who are recognised by their cgroup: whoever else is asked about each time. */
static void
remember(struct call *c, const char *grant)
{
	struct mf_cloud_http *h = c->http;
	struct mf_cloud_repeat what = { .kind = c->kind };
	struct peer *p = NULL;
	HASH_FIND(hh, h->peers, c->name, strlen(c->name), p);
	if (p == NULL || p->over[0] != '\0' || p->cgroup_id == 0 || p->cgroup_id != c->who.cgroup_id)
		return;
	(void)snprintf(what.name, sizeof(what.name), "%s", c->name);
	(void)snprintf(what.grant, sizeof(what.grant), "%s", grant);
	mf_cloud_repeats_add(h->repeats, p->cgroup_id, &what, mf_http_request_text(c->q));
}

static void
on_token(struct mf_cloud_wait *w, const struct mf_cloud_answer *a)
{
	struct call *c = MF_CONTAINER_OF(w, struct call, wait);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf body; /* wiped */
	struct mf_err err = { 0 };
	mf_buf_init(&body, BODY_MAX);
	if (a->result == MF_CLOUD_LATER) {
		refuse(c, 503, mf_cloud_result_code(a->result), a->reason);
		return;
	}
	if (a->result != MF_CLOUD_GIVEN) {
		refuse(c, 403, mf_cloud_result_code(a->result), a->reason);
		return;
	}
	int64_t now_s = mf_loop_now(c->http->cfg.loop).wall_us / 1000000;
	enum mf_status s = mf_cloud_json(a->item, c->kind, now_s, &body, &err);
	if (s == MF_OK) {
		remember(c, a->item->grant);
		reply(c, 200, mf_buf_slice(&body));
	} else
		refuse(c, s == MF_E_INVALID ? 403 : 503, s == MF_E_INVALID ? "NoSuchGrant" : "TryAgain",
		    err.msg);
}

/* --- who it is --- */

static void
forget_peer(struct mf_cloud_http *h, struct peer *p)
{
	mf_cloud_repeats_forget(h->repeats, p->cgroup_id);
	HASH_DELETE(hh, h->peers, p);
	mf_wipe(p->secret, sizeof(p->secret));
	free(p->instance_key);
	free(p);
}

static void
forget_all(struct mf_cloud_http *h)
{
	struct peer *p, *next;
	HASH_ITER(hh, h->peers, p, next)
	forget_peer(h, p);
}

static const char *
secret_of(const struct call *c)
{
	const char *s = mf_http_request_header(c->q, "Authorization");
	if (s != NULL && strncmp(s, "Bearer ", 7) == 0)
		s += 7;
	return s == NULL ? "" : s;
}

/* The caller is of instance ${p}, by the kernel's word: does it know the secret, and is it at the right address? */
static void
serve(struct call *c, const struct peer *p)
{
	struct mf_cloud_http *h = c->http;
	struct mf_svid_entry *e = NULL;
	struct mf_err err = { 0 };
	const char *path = mf_http_request_path(c->q), *grant = strrchr(path, '/') + 1;
	if (!mf_ct_equal(mf_slice_str(secret_of(c)), mf_slice_str(p->secret)) ||
	    c->server.sin_addr.s_addr != p->address.s_addr) {
		h->stats.foreign++;
		refuse(c, 403, "AccessDenied", "the secret is not that of this job at this address");
		return;
	}
	if (mf_identities_bind(h->cfg.ids, p->instance_key, p->handle, c->who.uid, &e, &err) != MF_OK) {
		refuse(c, 503, "TryAgain", err.msg);
		return;
	}
	c->wait.done = on_token;
	uint64_t now = mf_loop_now(h->cfg.loop).mono_ms;
	mf_clouds_get(
	    h->cfg.clouds, &c->wait, e, mf_slice_str(grant), c->until_ms > now ? c->until_ms - now : 0);
}

static enum mf_status
ask_attestor(struct call *c, struct mf_err *err)
{
	Mayfly__Roles__V1__FindPeer m = MAYFLY__ROLES__V1__FIND_PEER__INIT;
	c->peer_id = ++c->http->next_peer;
	m.peer_id = c->peer_id;
	m.name = c->name;
	m.cgroup_id = c->who.cgroup_id;
	m.uid = c->who.uid;
	c->http->stats.find_peer++;
	return mf_attestor_link_send(c->http->cfg.link, MF_MSG_FIND_PEER, &m.base, -1, err);
}

static void
hold(struct call *c)
{
	c->peer_id = 0;
	if (!mf_loop_timer_pending(c->http->timer))
		mf_loop_timer_set(c->http->timer, RETRY_MS);
}

/* Recognised, or shown to the attestor; without one it is held until there is. */
static void
find(struct call *c)
{
	struct mf_cloud_http *h = c->http;
	struct peer *p = NULL;
	HASH_FIND(hh, h->peers, c->name, strlen(c->name), p);
	if (p != NULL && p->over[0] == '\0' && p->cgroup_id != 0 && p->cgroup_id == c->who.cgroup_id)
		serve(c, p);
	else if (!mf_attestor_link_open(h->cfg.link) || ask_attestor(c, NULL) != MF_OK)
		hold(c);
}

static struct peer *
learn(struct mf_cloud_http *h, const char *name, const Mayfly__Roles__V1__PeerFound *m)
{
	struct peer *p = NULL;
	HASH_FIND(hh, h->peers, name, strlen(name), p);
	if (p != NULL)
		forget_peer(h, p);
	if (HASH_CNT(hh, h->peers) >= PEERS_MAX)
		forget_all(h);
	p = calloc(1, sizeof(*p));
	MF_AUTO_IN(mf_buf_fini) struct mf_buf secret;
	mf_buf_init(&secret, MF_CLOUD_SECRET_MAX);
	mf_cloud_secret_put(h->key, m->instance_key, &secret);
	if (p != NULL)
		p->instance_key = mf_slice_dup_str(mf_slice_str(m->instance_key));
	if (p == NULL || p->instance_key == NULL || mf_buf_check(&secret, NULL) != MF_OK) {
		if (p != NULL)
			free(p->instance_key);
		free(p);
		return NULL;
	}
	(void)snprintf(p->name, sizeof(p->name), "%s", name);
	memcpy(p->secret, secret.p, secret.n);
	p->handle = m->handle;
	p->cgroup_id = m->cgroup_id;
	p->address = mf_cloud_address(h->key, m->instance_key);
	HASH_ADD_KEYPTR(hh, h->peers, p->name, strlen(p->name), p);
	if (!p->map_oom)
		return p;
	free(p->instance_key);
	free(p);
	return NULL;
}

/* The attestor forgets what has ended; its own processes are told what it said at the end. */
static void
refuse_unknown(struct call *c, const Mayfly__Roles__V1__PeerFound *m)
{
	struct mf_cloud_http *h = c->http;
	struct peer *p = NULL;
	h->stats.foreign++;
	if (!m->ended) {
		refuse(c, 403, "AccessDenied", m->reason);
		return;
	}
	HASH_FIND(hh, h->peers, c->name, strlen(c->name), p);
	bool own = p != NULL && p->over[0] != '\0' && p->cgroup_id == c->who.cgroup_id &&
		   mf_ct_equal(mf_slice_str(secret_of(c)), mf_slice_str(p->secret));
	refuse(c, 403, mf_cloud_result_code(MF_CLOUD_ENDED), own ? p->over : m->reason);
}

void
mf_cloud_http_on_peer(struct mf_cloud_http *h, const Mayfly__Roles__V1__PeerFound *m)
{
	struct call *c = NULL;
	MF_LIST_EACH(n, &h->calls)
	{
		struct call *x = MF_LIST_ITEM(n, struct call, node);
		if (x->peer_id == m->peer_id)
			c = x;
	}
	if (c == NULL || m->peer_id == 0)
		return; /* of an earlier link, or its client is gone */
	c->peer_id = 0;
	if (m->unavailable) {
		hold(c);
		return;
	}
	if (!m->known) {
		refuse_unknown(c, m);
		return;
	}
	const struct peer *p = learn(h, c->name, m);
	if (p == NULL)
		refuse(c, 503, "TryAgain", "the agent is out of memory");
	else
		serve(c, p);
}

void
mf_cloud_http_ended(struct mf_cloud_http *h, const Mayfly__Roles__V1__InstanceEnded *m)
{
	struct peer *p, *next;
	HASH_ITER(hh, h->peers, p, next)
	{
		if (p->handle != m->handle || p->over[0] != '\0')
			continue;
		mf_cloud_repeats_forget(h->repeats, p->cgroup_id);
		if (m->suspended)
			forget_peer(h, p);
		else
			(void)snprintf(p->over, sizeof(p->over), "the job has ended (%.40s)", m->cause);
	}
}

/* What waits for the attestor. An answer may bring others with it: after one the list is gone through anew. */
static void
find_again(struct mf_cloud_http *h)
{
	uint64_t now = mf_loop_now(h->cfg.loop).mono_ms, round = ++h->round;
	bool more = false;
	struct mf_list *n = h->calls.next;
	while (n != &h->calls) {
		struct call *c = MF_LIST_ITEM(n, struct call, node);
		uint64_t over = h->over;
		if (!c->wait.there && c->round < round) {
			c->round = round;
			more = true;
			if (now >= c->until_ms)
				refuse(c, 503, "TryAgain", "the agent's attestor is being started");
			else if (c->peer_id == 0)
				find(c);
		}
		n = h->over == over ? n->next : h->calls.next;
	}
	if (more)
		mf_loop_timer_set(h->timer, RETRY_MS);
}

static void
on_timer(void *ctx)
{
	find_again(ctx);
}

void
mf_cloud_http_link_opened(struct mf_cloud_http *h)
{
	find_again(h);
}

/* Handles of that link mean nothing to the next one; who waits is shown to it. */
void
mf_cloud_http_link_closed(struct mf_cloud_http *h)
{
	forget_all(h);
	MF_LIST_EACH(n, &h->calls)
	{
		struct call *c = MF_LIST_ITEM(n, struct call, node);
		if (!c->wait.there)
			hold(c);
	}
}

/* --- requests --- */

/* NULL: the request is plain. Else why it is not: a browser or a proxy was talked into it, or it is no request of ours. */
static const char *
not_plain(struct call *c)
{
	static const char *const signs[] = { "X-Forwarded-", "Forwarded", "Via", "X-Real-IP", "Proxy-",
		"Origin", "Referer", "Sec-Fetch-", "Cookie", "Upgrade" };
	char host[64], ip[INET_ADDRSTRLEN];
	const char *said = mf_http_request_header(c->q, "Host");
	for (size_t k = 0; k < MF_COUNT(signs); k++)
		if (mf_http_request_has(c->q, signs[k]))
			return "it came through a proxy or a browser";
	if (inet_ntop(AF_INET, &c->server.sin_addr, ip, sizeof(ip)) == NULL)
		return "no address";
	(void)snprintf(host, sizeof(host), "%s:%u", ip, (unsigned)ntohs(c->server.sin_port));
	return said == NULL || strcmp(said, host) != 0 ? "Host is not the job's own address" : NULL;
}

static bool
take_path(struct call *c)
{
	static const struct {
		const char *prefix;
		enum mf_cloud_kind kind;
	} paths[] = { { "/v1/aws/", MF_CLOUD_AWS }, { "/v1/token/", MF_CLOUD_BEARER } };
	const char *path = mf_http_request_path(c->q);
	for (size_t k = 0; k < MF_COUNT(paths); k++) {
		size_t n = strlen(paths[k].prefix);
		if (strncmp(path, paths[k].prefix, n) != 0 || path[n] == '\0' ||
		    strchr(path + n, '/') != NULL)
			continue;
		c->kind = paths[k].kind;
		return true;
	}
	return false;
}

static bool
loopback(const struct sockaddr_in *at)
{
	return ntohl(at->sin_addr.s_addr) >> 24 == 127;
}

/* Both ends are loopback's, and IPv4. */
static bool
take_addresses(struct call *c)
{
	socklen_t n = sizeof(c->server);
	int fd = mf_http_request_fd(c->q);
	return fd >= 0 && mf_http_request_peer(c->q, &c->client) &&
	       getsockname(fd, (struct sockaddr *)&c->server, &n) == 0 && c->server.sin_family == AF_INET &&
	       loopback(&c->client) && loopback(&c->server);
}

/*
 * In which cgroup the client's socket was made: asked once for each connection, since it stays so as long as the socket does, and no
 * other socket can be at that end while ours is there.
 */
static uint64_t
cgroup_of(struct mf_cloud_http *h, struct mf_http_conn *at, struct sockaddr_in *ret_server)
{
	struct sockaddr_in client;
	struct mf_sock_peer who = { 0 };
	uint64_t *kept = mf_http_conn_note(at);
	if (!mf_http_conn_ends(at, &client, ret_server) || !loopback(&client) || !loopback(ret_server))
		return 0;
	if (*kept == 0 && mf_sock_peer_look(h->cfg.diag_fd, &client, ret_server, &who, NULL) == MF_OK)
		*kept = who.cgroup_id;
	return *kept;
}

/* These bytes came before, from this cgroup, and what they asked for is there: all that may have changed is looked at. */
static bool
on_again(void *ctx, struct mf_http_conn *at, struct mf_slice text, struct mf_slice *ret_body)
{
	struct mf_cloud_http *h = ctx;
	struct sockaddr_in server;
	struct peer *p = NULL;
	if (!mf_cloud_repeats_may(h->repeats, text.n))
		return false;
	uint64_t cgroup_id = cgroup_of(h, at, &server);
	const struct mf_cloud_repeat *k = mf_cloud_repeats_find(h->repeats, cgroup_id, text);
	if (k != NULL)
		HASH_FIND(hh, h->peers, k->name, strlen(k->name), p);
	if (p == NULL || p->over[0] != '\0' || p->cgroup_id != cgroup_id ||
	    server.sin_addr.s_addr != p->address.s_addr)
		return false;
	struct mf_svid_entry *e = mf_svid_cache_by_handle(mf_identities_cache(h->cfg.ids), p->handle);
	struct mf_cloud_item *i = e == NULL || strcmp(e->key, p->instance_key) != 0
				      ? NULL
				      : mf_clouds_ready(h->cfg.clouds, e, mf_slice_str(k->grant));
	int64_t now_s = mf_loop_now(h->cfg.loop).wall_us / 1000000;
	if (i == NULL || mf_cloud_json_kept(i, k->kind, now_s, ret_body, NULL) != MF_OK)
		return false;
	h->stats.requests++;
	h->stats.again++;
	h->stats.answered++;
	return true;
}

static void
begin(struct call *c)
{
	struct mf_cloud_http *h = c->http;
	struct mf_err err = { 0 };
	const char *why = NULL;
	if (!take_addresses(c)) {
		refuse(c, 403, "AccessDenied", "only loopback is served");
		return;
	}
	why = not_plain(c);
	if (why != NULL) {
		h->stats.foreign++;
		refuse(c, 403, "AccessDenied", why);
		return;
	}
	if (!take_path(c)) {
		refuse(c, 403, "NoSuchGrant", "the paths are /v1/aws/GRANT and /v1/token/GRANT");
		return;
	}
	if (mf_cloud_secret_name(mf_slice_str(secret_of(c)), c->name, &err) != MF_OK) {
		h->stats.foreign++;
		refuse(c, 403, "AccessDenied", "Authorization does not hold the job's secret");
		return;
	}
	if (mf_sock_peer_look(h->cfg.diag_fd, &c->client, &c->server, &c->who, &err) != MF_OK) {
		if (err.code != MF_E_NOTFOUND && !h->deaf_told)
			mf_jlog_err(MF_LOG_ERROR, "cloud.no_sock_diag",
			    "the kernel does not say whose sockets are: nobody gets cloud credentials", &err);
		h->deaf_told |= err.code != MF_E_NOTFOUND;
		refuse(c, 403, "AccessDenied", "the kernel does not say who asks");
		return;
	}
	find(c);
}

static void
on_request(void *ctx, struct mf_http_request *q)
{
	struct mf_cloud_http *h = ctx;
	struct call *c = calloc(1, sizeof(*c));
	h->stats.requests++;
	if (c == NULL) {
		mf_http_reply(q, 503, JSON_TYPE, MF_SLICE_LIT("{\"code\":\"TryAgain\"}"));
		return;
	}
	c->http = h;
	c->q = q;
	c->until_ms = mf_loop_now(h->cfg.loop).mono_ms + h->cfg.hold_ms;
	mf_http_request_set_user(q, c);
	mf_list_init(&c->node);
	mf_list_add_tail(&h->calls, &c->node);
	begin(c);
}

static void
on_dropped(void *ctx, struct mf_http_request *q)
{
	MF_UNUSED(ctx);
	call_free(mf_http_request_user(q));
}

/* --- the object --- */

enum mf_status
mf_cloud_http_new(const struct mf_cloud_http_config *cfg, struct mf_cloud_http **ret_h, struct mf_err *err)
{
	struct sockaddr_in at = { 0 };
	socklen_t n = sizeof(at);
	MF_AUTO(mf_cloud_http_free) struct mf_cloud_http *h = calloc(1, sizeof(*h));
	if (h == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "cloud endpoint: out of memory");
	h->cfg = *cfg;
	if (h->cfg.hold_ms == 0)
		h->cfg.hold_ms = HOLD_MS;
	memcpy(h->key, cfg->key, sizeof(h->key));
	h->cfg.key = NULL;
	mf_list_init(&h->calls);
	mf_rand_bytes(&h->next_peer, sizeof(h->next_peer));
	h->next_peer >>= 1; /* never 0 again */
	if (getsockname(cfg->fd, (struct sockaddr *)&at, &n) != 0 || at.sin_family != AF_INET)
		return MF_FAIL(err, MF_E_INVALID, "cloud endpoint: descriptor %d is no TCP socket", cfg->fd);
	h->port = ntohs(at.sin_port);
	h->repeats = mf_cloud_repeats_new();
	if (h->repeats == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "cloud endpoint: out of memory");
	MF_TRY(mf_loop_timer_new(cfg->loop, on_timer, h, &h->timer, err));
	struct mf_http_server_config http = { .fd = cfg->fd,
		.request = on_request,
		.dropped = on_dropped,
		.again = on_again,
		.again_type = JSON_TYPE,
		.ctx = h,
		.most_fds = cfg->most_fds };
	MF_TRY(mf_http_server_new(cfg->loop, &http, &h->server, err));
	*ret_h = MF_TAKE(h);
	return MF_OK;
}

void
mf_cloud_http_free(struct mf_cloud_http *h)
{
	if (h == NULL)
		return;
	mf_http_server_free(h->server);
	forget_all(h);
	mf_cloud_repeats_free(h->repeats);
	mf_loop_timer_free(h->timer);
	mf_wipe(h->key, sizeof(h->key));
	free(h);
}

struct mf_cloud_http_stats
mf_cloud_http_stats(const struct mf_cloud_http *h)
{
	struct mf_cloud_http_stats s = h->stats;
	s.open = mf_http_server_open(h->server);
	return s;
}

void
mf_cloud_http_drain(struct mf_cloud_http *h)
{
	mf_http_server_drain(h->server);
}

bool
mf_cloud_http_idle(const struct mf_cloud_http *h)
{
	return mf_http_server_open(h->server) == 0;
}

uint16_t
mf_cloud_http_port(const struct mf_cloud_http *h)
{
	return h->port;
}

const uint8_t *
mf_cloud_http_key(const struct mf_cloud_http *h)
{
	return h->key;
}
