#include "broker/front/peers.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "codec/x509_read.h"
#include "os/jlog.h"

#define LANE 256u
#define LANE_PER_IP 64u
#define LANE_MS 60000u
#define PER_NODE 4u
#define NODE_PATH "/mayfly/node/"
#define SOURCE_MAX 48u

struct mf_peers_node {
	char id[MF_RM_ID_MAX];
	struct mf_list peers; /* oldest first */
	size_t n;
	bool map_oom;
	UT_hash_handle hh;
};

struct mf_peers_source {
	char name[SOURCE_MAX];
	uint32_t n;
	bool map_oom;
	UT_hash_handle hh;
};

struct mf_peers {
	struct mf_loop *loop;
	struct mf_peers_conf conf;
	struct mf_anchors *anchors; /* NULL: no bundle yet */
	struct mf_peers_node *nodes;
	struct mf_peers_source *sources;
	struct mf_peers_stats stats;
};

enum mf_status
mf_peers_new(struct mf_loop *l, const struct mf_peers_conf *conf, struct mf_peers **ret_p, struct mf_err *err)
{
	struct mf_peers *p = calloc(1, sizeof(*p));
	if (p == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	p->loop = l;
	p->conf = *conf;
	struct mf_peers_limits *m = &p->conf.limits;
	m->lane = m->lane == 0 ? LANE : m->lane;
	m->lane_per_ip = m->lane_per_ip == 0 ? LANE_PER_IP : m->lane_per_ip;
	m->lane_ms = m->lane_ms == 0 ? LANE_MS : m->lane_ms;
	m->per_node = m->per_node == 0 ? PER_NODE : m->per_node;
	*ret_p = p;
	return MF_OK;
}

void
mf_peers_free(struct mf_peers *p)
{
	if (p == NULL)
		return;
	mf_anchors_free(p->anchors);
	free(p);
}

enum mf_status
mf_peers_bundle(struct mf_peers *p, struct mf_slice bundle, struct mf_err *err)
{
	struct mf_anchors *a = NULL;
	MF_TRY(mf_anchors_new(mf_slice_str(p->conf.trust_domain), bundle, &a, err));
	mf_anchors_free(p->anchors);
	p->anchors = a;
	return MF_OK;
}

/* ---- the joining lane ---- */

/* Whom the cap counts as one: an IPv4 address, also a mapped one, or an IPv6 /64. */
static void
source_name(const char *remote, char to[SOURCE_MAX])
{
	char host[MF_RM_ID_MAX];
	struct in6_addr a;
	size_t n = strlen(remote);
	while (n > 0 && remote[n - 1] != ':')
		n--;
	n = n == 0 ? strlen(remote) : n - 1;
	n = n < sizeof(host) ? n : sizeof(host) - 1;
	memcpy(host, remote, n);
	host[n] = '\0';
	memset(to, 0, SOURCE_MAX);
	if (inet_pton(AF_INET6, host, &a) != 1) {
		memcpy(to, host, n < SOURCE_MAX ? n : SOURCE_MAX - 1);
		return;
	}
	if (IN6_IS_ADDR_V4MAPPED(&a))
		(void)inet_ntop(AF_INET, &a.s6_addr[12], to, SOURCE_MAX);
	else {
		memset(&a.s6_addr[8], 0, 8);
		(void)inet_ntop(AF_INET6, &a, to, SOURCE_MAX);
	}
}

static struct mf_peers_source *
source_get(struct mf_peers *p, const char *remote)
{
	char name[SOURCE_MAX];
	struct mf_peers_source *s = NULL;
	source_name(remote, name);
	HASH_FIND_STR(p->sources, name, s);
	if (s != NULL)
		return s;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	memcpy(s->name, name, sizeof(s->name));
	HASH_ADD_STR(p->sources, name, s);
	if (!s->map_oom)
		return s;
	free(s);
	return NULL;
}

static void
source_put(struct mf_peers *p, struct mf_peers_source *s)
{
	if (s == NULL || s->n > 0)
		return;
	HASH_DEL(p->sources, s);
	free(s);
}

static void
on_life(void *ctx)
{
	struct mf_peer *peer = ctx;
	peer->peers->conf.lane_over(peer->peers->conf.ctx, peer);
}

static enum mf_status
join_lane(struct mf_peers *p, struct mf_peer *peer, struct mf_err *err)
{
	struct mf_peers_source *s = source_get(p, mf_net_conn_name(peer->conn));
	if (s == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	if (p->stats.joining >= p->conf.limits.lane || s->n >= p->conf.limits.lane_per_ip) {
		p->stats.refused_lane++;
		bool all = p->stats.joining >= p->conf.limits.lane;
		source_put(p, s);
		return MF_FAIL(err, MF_E_EXHAUSTED,
		    "the lane of nodes without certificate is full%s: try again later",
		    all ? "" : " for this address");
	}
	enum mf_status st = mf_loop_timer_new(p->loop, on_life, peer, &peer->life, err);
	if (st != MF_OK) {
		source_put(p, s);
		return st;
	}
	mf_loop_timer_set(peer->life, p->conf.limits.lane_ms);
	peer->source = s;
	s->n++;
	p->stats.joining++;
	p->stats.joined_lane++;
	return MF_OK;
}

/* ---- nodes ---- */

static enum mf_status
read_node(struct mf_peers *p, struct x509_st *leaf, struct stack_st_X509 *sent, char ret_node[MF_RM_ID_MAX],
    struct mf_err *err)
{
	struct mf_svid svid = { 0 };
	const struct mf_anchors *sets[] = { p->anchors };
	if (p->anchors == NULL)
		return MF_FAIL(err, MF_E_UNAVAILABLE, "no bundle yet: try again");
	MF_TRY(
	    mf_svid_verify_decoded(leaf, sent, sets, 1, mf_loop_now(p->loop).wall_us / 1000000, &svid, err));
	struct mf_slice path = mf_spiffe_id_path(svid.id), prefix = MF_SLICE_LIT(NODE_PATH);
	struct mf_slice id = mf_slice_sub(path, prefix.n, path.n);
	enum mf_status s = MF_OK;
	if (!mf_slice_starts(path, prefix) || !mf_spiffe_segment_ok(id) || id.n >= MF_RM_ID_MAX) {
		s = MF_FAIL(err, MF_E_UNAUTH,
		    "the certificate is not a node's: its SPIFFE ID is not under " NODE_PATH);
	} else {
		memcpy(ret_node, id.p, id.n);
		ret_node[id.n] = '\0';
	}
	mf_svid_fini(&svid);
	return s;
}

static enum mf_status
join_node(struct mf_peers *p, struct mf_peer *peer, struct mf_err *err)
{
	struct mf_peers_node *of = NULL;
	HASH_FIND_STR(p->nodes, peer->node, of);
	if (of == NULL) {
		of = calloc(1, sizeof(*of));
		if (of == NULL)
			return MF_FAIL(err, MF_E_NOMEM, "out of memory");
		memcpy(of->id, peer->node, sizeof(of->id));
		mf_list_init(&of->peers);
		HASH_ADD_STR(p->nodes, id, of);
		if (of->map_oom) {
			free(of);
			return MF_FAIL(err, MF_E_NOMEM, "out of memory");
		}
		p->stats.nodes++;
	}
	/* A node that lost its network left connections behind that we still believe in: the newest counts. */
	size_t n = of->n;
	MF_LIST_EACH(at, &of->peers)
	{
		if (n-- < p->conf.limits.per_node)
			break;
		p->stats.replaced++;
		mf_net_conn_close(
		    MF_LIST_ITEM(at, struct mf_peer, at_node)->conn); /* its end comes from the loop */
	}
	mf_list_add_tail(&of->peers, &peer->at_node);
	of->n++;
	peer->of = of;
	return MF_OK;
}

static enum mf_status
judge(struct mf_peers *p, struct mf_peer *peer, struct x509_st *leaf, struct stack_st_X509 *sent,
    struct mf_err *err)
{
	if (leaf == NULL)
		return join_lane(p, peer, err);
	enum mf_status s = read_node(p, leaf, sent, peer->node, err);
	if (s != MF_OK) {
		p->stats.refused_certificate++;
		return s;
	}
	if (mf_read_model_evicted(p->conf.rm, peer->node)) {
		p->stats.refused_evicted++;
		return MF_FAIL(err, MF_E_DENIED,
		    "node %s was evicted: an operator may let it in again by 'mayfly node readmit'",
		    peer->node);
	}
	return join_node(p, peer, err);
}

enum mf_status
mf_peers_verify(struct mf_peers *p, struct mf_net_conn *conn, struct x509_st *leaf,
    struct stack_st_X509 *sent, struct mf_err *err)
{
	struct mf_peer *peer = calloc(1, sizeof(*peer));
	if (peer == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	peer->conn = conn;
	peer->peers = p;
	mf_list_init(&peer->sessions);
	mf_list_init(&peer->at_node);
	enum mf_status s = judge(p, peer, leaf, sent, err);
	if (s != MF_OK) {
		free(peer);
		return s;
	}
	mf_net_conn_set_user(conn, peer);
	return MF_OK;
}

void
mf_peers_gone(struct mf_peer *peer)
{
	if (peer == NULL)
		return;
	struct mf_peers *p = peer->peers;
	mf_loop_timer_free(peer->life);
	if (peer->source != NULL) {
		p->stats.joining--;
		peer->source->n--;
		source_put(p, peer->source);
	}
	if (peer->of != NULL) {
		mf_list_del(&peer->at_node);
		if (--peer->of->n == 0) {
			HASH_DEL(p->nodes, peer->of);
			free(peer->of);
			p->stats.nodes--;
		}
	}
	free(peer);
}

void
mf_peers_drain_node(struct mf_peers *p, const char *node)
{
	struct mf_peers_node *of = NULL;
	HASH_FIND_STR(p->nodes, node, of);
	if (of == NULL)
		return;
	MF_LIST_EACH(at, &of->peers)
	mf_net_conn_drain(MF_LIST_ITEM(at, struct mf_peer, at_node)->conn);
}

struct mf_peers_stats
mf_peers_stats(const struct mf_peers *p)
{
	return p->stats;
}
