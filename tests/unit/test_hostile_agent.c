/*
 * An agent that is owned in both of its roles, on a real session: it claims whatever it likes, every selector there is included,
 * and gets exactly what the rules grant its node. Random policies, nodes and claims against a model of the policy
 * language that is this file's own; at the attach, and at the renewal under another policy.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/engine_jobs.h"
#include "lib/policy_kit.h"

#define SEEDS 400u
#define POLICIES 4u
#define REQUESTS 10u
#define RULES_MAX 7u
#define NODES 3u
#define VALUES 3u

/* An attribute's set as bits of its three values; -1: not known. */
static const char *const names[] = { "node.pool", "node.zone", "attested.unix.user", "attested.k8s.ns",
	"attested.x.label", "manifest.env", "manifest.kind" };
enum { POOL, ZONE, USER, NS, LABEL, ENV, KIND, ATTRS };
struct claim {
	int set[ATTRS];
};

struct rule_model {
	bool forbid;
	int profile;		   /* -1: all (forbids) */
	struct tree *nodes, *when; /* NULL: any, always */
	bool no_nodes;		   /* a forbid may leave them out */
};
struct policy_model {
	struct rule_model rule[RULES_MAX];
	size_t n;
};

static const char *const profiles[] = { "a", "b", "c" };
static uint64_t seed;

static uint64_t
rnd(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 11) % below;
}

/* --- the model: -1 false, 0 unknown, 1 true --- */

static int
known(bool is)
{
	return is ? 1 : -1;
}

static int
truth_of(const struct tree *t, const struct claim *c)
{
	int least = 1, most = -1, v;
	if (t == NULL)
		return 1;
	for (size_t i = 0; i < t->n_kids; i++) {
		v = truth_of(t->kids[i], c);
		least = v < least ? v : least;
		most = v > most ? v : most;
	}
	if (t->op == MF_POLICY_ALL)
		return least;
	if (t->op == MF_POLICY_ANY_OF)
		return most;
	if (t->op == MF_POLICY_NOT)
		return -least;
	int set = -1, asked = 0;
	for (size_t i = 0; i < ATTRS; i++)
		set = strcmp(t->attr, names[i]) == 0 ? c->set[i] : set;
	for (size_t i = 0; i < t->n_values; i++)
		asked |= 1 << (t->values[i][1] - '0');
	if (t->op == MF_POLICY_HAS)
		return known(set >= 0);
	if (set < 0)
		return 0;
	if (t->op == MF_POLICY_CONTAINS)
		return known((set & asked) != 0);
	if (t->op == MF_POLICY_SUBSET)
		return known((set & ~asked) == 0);
	if (set != 1 && set != 2 && set != 4)
		return 0; /* of one value only */
	return t->op == MF_POLICY_NE ? known((set & asked) == 0) : known((set & asked) != 0);
}

static bool
permits(const struct policy_model *p, int profile, const struct claim *c)
{
	bool some = false;
	for (size_t i = 0; i < p->n; i++) {
		const struct rule_model *r = &p->rule[i];
		int nodes = r->no_nodes ? 1 : truth_of(r->nodes, c), when = truth_of(r->when, c);
		int both = nodes < when ? nodes : when;
		if (r->profile >= 0 && r->profile != profile)
			continue;
		if (r->forbid && both >= 0)
			return false;
		some = some || (!r->forbid && both == 1);
	}
	return some;
}

/* The profile that is given to who asks for ${profile} ("": the only one there is): its number, -1: none. */
static int
expected(const struct policy_model *p, int profile, const struct claim *c)
{
	int only = -1, n = 0;
	if (profile >= 0)
		return permits(p, profile, c) ? profile : -1;
	for (int i = 0; i < (int)MF_COUNT(profiles); i++) {
		if (!permits(p, i, c))
			continue;
		only = i;
		n++;
	}
	return n == 1 ? only : -1;
}

/* --- policies by chance --- */

static struct tree *
random_leaf(size_t from, size_t to)
{
	static const enum mf_policy_op single[] = { MF_POLICY_EQ, MF_POLICY_NE, MF_POLICY_IN, MF_POLICY_HAS,
		MF_POLICY_EQ },
				       sets[] = { MF_POLICY_CONTAINS, MF_POLICY_CONTAINS, MF_POLICY_HAS,
					       MF_POLICY_SUBSET };
	size_t a = from + rnd(to - from);
	bool set = a >= USER && a <= LABEL;
	struct tree *t = new_tree(set ? sets[rnd(MF_COUNT(sets))] : single[rnd(MF_COUNT(single))]);
	(void)snprintf(t->attr, sizeof(t->attr), "%s", names[a]);
	t->n_values = t->op == MF_POLICY_HAS				   ? 0
		      : t->op == MF_POLICY_IN || t->op == MF_POLICY_SUBSET ? 1 + rnd(2)
									   : 1;
	for (size_t i = 0; i < t->n_values; i++)
		(void)snprintf(t->values[i], sizeof(t->values[i]), "v%u", (unsigned)rnd(VALUES));
	return t;
}

static struct tree *
random_tree(size_t from, size_t to, unsigned depth)
{
	static const enum mf_policy_op groups[] = { MF_POLICY_ALL, MF_POLICY_ANY_OF, MF_POLICY_NOT };
	if (depth == 0 || rnd(3) == 0)
		return random_leaf(from, to);
	struct tree *t = new_tree(groups[rnd(3)]);
	size_t n = t->op == MF_POLICY_NOT ? 1 : 1 + rnd(3);
	while (t->n_kids < n) {
		struct tree *kid = random_tree(from, to, depth - 1);
		t->kids[t->n_kids++] = kid;
	}
	return t;
}

static void
random_model(struct policy_model *p)
{
	pool_used = 0;
	p->n = 1 + rnd(RULES_MAX);
	for (size_t i = 0; i < p->n; i++) {
		struct rule_model *r = &p->rule[i];
		*r = (struct rule_model) { .forbid = rnd(4) == 0, .profile = (int)rnd(MF_COUNT(profiles)) };
		if (r->forbid && rnd(3) == 0)
			r->profile = -1;
		r->no_nodes = r->forbid && rnd(2) == 0;
		if (!r->no_nodes && rnd(4) != 0)
			r->nodes = random_tree(POOL, USER, 1);
		if (rnd(5) != 0)
			r->when = random_tree(POOL, ATTRS, 2);
		if (r->no_nodes && r->when == NULL)
			r->when = random_leaf(USER, ATTRS); /* else it forbids all, always */
	}
}

static struct mf_policy *
built(const struct policy_model *m)
{
	struct mf_policy *p = policy_abc();
	struct mf_err err = { 0 };
	for (size_t i = 0; i < m->n; i++) {
		const struct rule_model *r = &m->rule[i];
		char id[16];
		(void)snprintf(id, sizeof(id), "r%zu", i);
		struct mf_policy_rule rule = { .id = id,
			.owner = "team",
			.profile = r->profile < 0 ? "*" : profiles[r->profile],
			.forbid = r->forbid,
			.review_by_s = INT64_C(4000000000) / DAY * DAY,
			.nodes = r->no_nodes	    ? MF_POLICY_ABSENT
				 : r->nodes == NULL ? MF_POLICY_ANY
						    : MF_POLICY_EXPR,
			.when = r->when == NULL ? MF_POLICY_ANY : MF_POLICY_EXPR };
		enum mf_status s = mf_policy_rule_begin(p, &rule, &err);
		if (s == MF_OK && r->nodes != NULL) {
			s = push(p, r->nodes, &err);
			if (s == MF_OK)
				s = mf_policy_rule_nodes(p, &err);
		}
		if (s == MF_OK && r->when != NULL)
			s = push(p, r->when, &err);
		if (s == MF_OK)
			s = mf_policy_rule_end(p, &err);
		if (s != MF_OK)
			fail_msg("rule: %s", err.msg);
	}
	if (mf_policy_seal(p, &err) != MF_OK)
		fail_msg("policy: %s", err.msg);
	return p;
}

/* --- nodes, claims --- */

struct node {
	char id[MF_STATE_ID_MAX];
	int set[2];
};

static void
join(struct rig *r, unsigned k, struct node *n)
{
	typedef Mayfly__Admin__V1__CreateJoinTokenRequest__AttributesEntry entry;
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__CreateJoinTokenRequest q = MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__INIT;
	entry a[2], *pa[2];
	char key[2][8] = { "pool", "zone" }, value[2][8];
	for (size_t i = 0; i < 2; i++) {
		unsigned v = (unsigned)rnd(VALUES);
		n->set[i] = rnd(4) == 0 ? -1 : 1 << v;
		if (n->set[i] < 0)
			continue;
		(void)snprintf(value[i], sizeof(value[i]), "v%u", v);
		a[i] = (entry)MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__ATTRIBUTES_ENTRY__INIT;
		a[i].key = key[i];
		a[i].value = value[i];
		pa[q.n_attributes++] = &a[i];
	}
	q.attributes = pa;
	q.uses = 1;
	q.ttl_s = 3600;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_CREATE_JOIN_TOKEN;
	call.create_join_token = &q;
	mf_engine_admin(r->e, r->now, &call);
	mf_rig_commit(r);
	assert_int_equal(r->reply->what_case, MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_JOIN_TOKEN);
	char *token = strdup(r->reply->join_token->token);
	const Mayfly__Agent__V1__Down *d = mf_rig_hello(r, k, k, RIG_BOOT, NULL, 0, token);
	free(token);
	assert_non_null(d);
	assert_int_equal(d->body_case, MAYFLY__AGENT__V1__DOWN__BODY_WELCOME);
	(void)snprintf(n->id, sizeof(n->id), "%s", d->welcome->node_id);
	assert_non_null(mf_rig_resync(r, k, k, NULL, NULL, NULL, 0));
}

static void
random_claim(const struct node *n, struct claim *c)
{
	bool everything = rnd(2) == 0; /* it says that it is everybody */
	c->set[POOL] = n->set[0];
	c->set[ZONE] = n->set[1];
	for (size_t i = USER; i <= LABEL; i++) {
		c->set[i] = everything ? 7 : (int)rnd(8);
		c->set[i] = c->set[i] == 0 ? -1 : c->set[i];
	}
	for (size_t i = ENV; i <= KIND; i++)
		c->set[i] = rnd(3) == 0 ? -1 : 1 << rnd(VALUES);
}

static unsigned
value_of(int set)
{
	return set == 1 ? 0 : set == 2 ? 1 : 2;
}

static void
put_manifest(const struct claim *c, char to[128])
{
	static const char *const keys[] = { "env", "kind" };
	size_t n = 0;
	to[n++] = '{';
	for (size_t i = 0; i < 2; i++)
		if (c->set[ENV + i] >= 0)
			n += (size_t)snprintf(to + n, 128 - n, "%s\"%s\":\"v%u\"", n > 1 ? "," : "", keys[i],
			    value_of(c->set[ENV + i]));
	(void)snprintf(to + n, 128 - n, "}");
}

/* An Attach of ${c} for ${profile}, in the name of ${node}'s instance ${i}. */
static uint64_t
attach(struct rig *r, unsigned k, const char *node, unsigned i, const struct claim *c, int profile)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__Attach a = MAYFLY__AGENT__V1__ATTACH__INIT;
	char key[256], manifest[128], text[16][40], *selectors[16];
	uint8_t point[65];
	ProtobufCBinaryData b = { sizeof(point), point };
	memset(point, (int)(i % 251), sizeof(point));
	mf_rig_instance_key(key, node, RIG_BOOT, i);
	for (size_t n = USER; n <= LABEL; n++)
		for (unsigned v = 0; v < VALUES && c->set[n] >= 0; v++)
			if ((c->set[n] >> v & 1) != 0) {
				(void)snprintf(
				    text[a.n_selectors], sizeof(text[0]), "%s:v%u", names[n] + 9, v);
				selectors[a.n_selectors] = text[a.n_selectors];
				a.n_selectors++;
			}
	put_manifest(c, manifest);
	a.instance_key = key;
	a.selectors = selectors;
	a.grade = (char *)(uintptr_t) "pidfd+cgroup";
	a.points = &b;
	a.n_points = 1;
	a.profile = (char *)(uintptr_t)(profile < 0 ? "" : profiles[profile]);
	a.unix_user = (char *)(uintptr_t)(rnd(2) == 0 ? "v0" : "root"); /* decides nothing here */
	if (rnd(4) != 0 || c->set[ENV] >= 0 || c->set[KIND] >= 0)
		a.manifest = (ProtobufCBinaryData) { strlen(manifest), (uint8_t *)manifest };
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_ATTACH;
	up.attach = &a;
	uint64_t req = mf_rig_up(r, k, k, &up);
	mf_rig_settle(r);
	return req;
}

/* --- the test --- */

struct held {
	unsigned k;
	struct claim claim;
	int profile;
	char lease[MF_STATE_ID_MAX];
	uint32_t epoch;
};

static struct {
	size_t grants, refusals, renewals, refused_renewals;
} seen;

static void
say(char *to, size_t room, const struct claim *c)
{
	size_t n = 0;
	for (size_t i = 0; i < ATTRS; i++)
		n += (size_t)snprintf(to + n, room - n, "%s=%d ", names[i], c->set[i]);
}

static const Mayfly__Agent__V1__Grant *
judged(struct rig *r, unsigned k, uint64_t req, const struct claim *c, int want)
{
	const Mayfly__Agent__V1__Grant *g = mf_rig_grant(r, k, req);
	char text[256];
	say(text, sizeof(text), c);
	if ((g != NULL) != (want >= 0))
		fail_msg("%s, but the model says %d: %s", g != NULL ? "granted" : "refused", want, text);
	if (g == NULL && mf_rig_refusal(r, k, req) == 0)
		fail_msg("neither granted nor refused: %s", text);
	if (g != NULL && strcmp(g->profile, profiles[want]) != 0)
		fail_msg("granted %s, wanted %s", g->profile, profiles[want]);
	if (g != NULL)
		assert_int_equal(g->n_issued, 1);
	return g;
}

static void
load(struct rig *r, const struct policy_model *m, unsigned number)
{
	char hex[65];
	memset(hex, 'b', 64);
	(void)snprintf(hex, sizeof(hex), "%08x%056u", (unsigned)seed, number);
	mf_engine_policy(r->e, r->now, built(m), hex);
	mf_rig_settle(r);
}

static void
one_history(unsigned number)
{
	struct rig *r = mf_rig_new();
	struct node node[NODES];
	struct held held[POLICIES * REQUESTS];
	struct policy_model m;
	size_t n_held = 0, leases = 0;
	seed = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);
	for (unsigned k = 0; k < NODES; k++)
		join(r, k + 1, &node[k]);
	for (unsigned p = 0; p < POLICIES; p++) {
		random_model(&m);
		load(r, &m, p);
		for (size_t i = 0; i < n_held; i++) { /* what it has is decided anew */
			struct held *h = &held[i];
			uint64_t req = mf_rig_renew(r, h->k, h->k, h->lease, h->epoch);
			mf_rig_settle(r);
			int want = expected(&m, h->profile, &h->claim);
			(void)judged(r, h->k, req, &h->claim, want);
			seen.renewals += want >= 0;
			seen.refused_renewals += want < 0;
		}
		for (unsigned i = 0; i < REQUESTS; i++) {
			unsigned k = 1 + (unsigned)rnd(NODES), instance = p * REQUESTS + i;
			struct claim c;
			int profile = (int)rnd(MF_COUNT(profiles) + 1) - 1;
			random_claim(&node[k - 1], &c);
			if (rnd(6) == 0) { /* in another node's name: never, whatever policy says */
				uint64_t req = attach(r, k, node[k % NODES].id, instance, &c, profile);
				(void)judged(r, k, req, &c, -1);
				continue;
			}
			int want = expected(&m, profile, &c);
			uint64_t req = attach(r, k, node[k - 1].id, instance, &c, profile);
			const Mayfly__Agent__V1__Grant *g = judged(r, k, req, &c, want);
			seen.grants += g != NULL;
			seen.refusals += g == NULL;
			if (g == NULL)
				continue;
			leases++;
			struct held *h = &held[n_held++];
			*h = (struct held) { .k = k, .claim = c, .profile = want, .epoch = g->epoch };
			(void)snprintf(h->lease, sizeof(h->lease), "%s", g->lease_id);
		}
	}
	assert_int_equal(mf_rig_count(r, MF_REC_LEASE_OPENED), leases); /* no other was ever opened */
	mf_rig_free(r);
}

static void
test_exactly_what_the_rules_grant(void **state)
{
	MF_UNUSED(state);
	for (unsigned i = 0; i < SEEDS; i++)
		one_history(i);
	print_message("   %zu granted, %zu refused; %zu renewals granted, %zu refused\n", seen.grants,
	    seen.refusals, seen.renewals, seen.refused_renewals);
	/* The dice are worth nothing if they always fall alike. */
	assert_true(seen.grants > 2000 && seen.refusals > 2000);
	assert_true(seen.renewals > 500 && seen.refused_renewals > 500);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exactly_what_the_rules_grant),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
