/* The admin API of the broker's front: nodes (who is there, showing one, letting one in again); what is frozen. */
#include <stdio.h>

#include "front_world.h"

#define ADMIN(name) mayfly__admin__v1__##name##__descriptor

static int
setup(void **state)
{
	struct fw *w = malloc(sizeof(*w));
	assert_non_null(w);
	mf_fw_init(w);
	kit_history(&w->kit);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	mf_fw_fini(*state);
	free(*state);
	return 0;
}

/* The front serves the history; ${c} is an administrator. */
static void
serve(struct fw *w, struct fw_client *c)
{
	mf_fw_serve(w);
	mf_fn_records(w, 0, w->kit.n);
	FW_UNTIL(w, mf_fn_last(w, MF_MSG_LOG_ACK) != NULL);
	mf_fw_admin(w, c);
}

static const Mayfly__Roles__V1__AdminCall *
last_call(const struct fw *w)
{
	return mf_fn_last(w, MF_MSG_ADMIN_CALL);
}

static void
test_who_is_there(void **state)
{
	struct fw *w = *state;
	static struct fw_client c, node;
	static struct fw_stream s;
	struct fw_unary u;
	Mayfly__Admin__V1__ListNodesRequest nodes = MAYFLY__ADMIN__V1__LIST_NODES_REQUEST__INIT;
	serve(w, &c);
	nodes.all = true;
	/* Still on the lane of joining nodes: whose session it is, the notary says. */
	mf_fw_dial_node(w, &node, NULL);
	uint64_t sid = mf_fw_session(&node, &s);
	mf_fw_ask(&c, "ListNodes", &nodes.base, &ADMIN(list_nodes_response), &u);
	assert_string_equal(
	    ((const Mayfly__Admin__V1__ListNodesResponse *)(const void *)u.reply)->nodes[0]->state, "silent");
	mf_fw_unary_fini(&u);
	mf_fn_node(w, sid, KIT_NODE_A);
	mf_fn_node(w, sid, KIT_NODE_A);	  /* said again */
	mf_fn_node(w, sid, KIT_NODE_B);	  /* never the other's */
	mf_fn_node(w, sid + 9, "n-none"); /* of a session that is over */
	mf_fw_settle(w);
	mf_fw_ask(&c, "ListNodes", &nodes.base, &ADMIN(list_nodes_response), &u);
	const Mayfly__Admin__V1__ListNodesResponse *n = (const void *)u.reply;
	assert_int_equal(n->n_nodes, 2);
	assert_string_equal(n->nodes[0]->state, "connected");
	assert_string_equal(n->nodes[0]->hostname, "gpu-07");
	assert_int_equal(n->nodes[0]->n_attributes, 1);
	assert_string_equal(n->nodes[0]->attributes[0]->key, "pool");
	assert_string_equal(n->nodes[0]->attributes[0]->value, "gpu-a");
	assert_string_equal(n->nodes[1]->state, "evicted");
	mf_fw_unary_fini(&u);
	mf_fw_hang_up(w, &node);
	FW_UNTIL(w, mf_fn_last(w, MF_MSG_SESSION_CLOSE) != NULL);
	nodes.all = false;
	mf_fw_ask(&c, "ListNodes", &nodes.base, &ADMIN(list_nodes_response), &u);
	n = (const void *)u.reply;
	assert_int_equal(n->n_nodes, 1);
	assert_string_equal(n->nodes[0]->state, "silent");
	mf_fw_unary_fini(&u);
}

/* A node is read from the tables, and let in again by the notary; the answer waits until the tables say so. */
static void
test_node_show_and_readmit(void **state)
{
	struct fw *w = *state;
	static struct fw_client c;
	struct fw_unary u;
	Mayfly__Admin__V1__GetNodeRequest g = MAYFLY__ADMIN__V1__GET_NODE_REQUEST__INIT;
	Mayfly__Admin__V1__ReadmitNodeRequest q = MAYFLY__ADMIN__V1__READMIT_NODE_REQUEST__INIT;
	Mayfly__Roles__V1__AdminReply m = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	Mayfly__Admin__V1__ReadmitNodeResponse done = MAYFLY__ADMIN__V1__READMIT_NODE_RESPONSE__INIT;
	Mayfly__Admin__V1__RemovalResponse removed = MAYFLY__ADMIN__V1__REMOVAL_RESPONSE__INIT;
	char match[] = "gpu-08", none[] = "gpu-99", id[] = KIT_NODE_B, reason[] = "mended";
	serve(w, &c);
	g.match = none;
	mf_fw_ask(&c, "GetNode", &g.base, &ADMIN(node), &u);
	assert_int_equal(u.code, MF_GRPC_NOT_FOUND);
	g.match = match;
	mf_fw_ask(&c, "GetNode", &g.base, &ADMIN(node), &u);
	assert_int_equal(u.code, MF_GRPC_OK);
	const Mayfly__Admin__V1__Node *n = (const void *)u.reply;
	assert_string_equal(n->id, KIT_NODE_B);
	assert_string_equal(n->state, "evicted");
	assert_string_equal(n->evict_reason, "stolen");
	mf_fw_unary_fini(&u);
	q.match = match;
	q.reason = reason;
	size_t at = w->kit.n;
	mf_fw_call(&c, "ReadmitNode", &q.base, &ADMIN(readmit_node_response), &u);
	FW_UNTIL(w, last_call(w) != NULL);
	assert_int_equal(last_call(w)->what_case, MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_READMIT_NODE);
	assert_string_equal(last_call(w)->readmit_node->match, KIT_NODE_B);
	assert_string_equal(last_call(w)->readmit_node->reason, "mended");
	done.node_id = id;
	done.record_index = at;
	m.call_id = last_call(w)->call_id;
	m.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_READMITTED;
	m.readmitted = &done;
	mf_fn_say(w, MF_MSG_ADMIN_REPLY, &m.base);
	mf_fw_settle(w);
	assert_false(u.over);
	kit_node_says(&w->kit, MF_REC_NODE_READMITTED, KIT_NODE_B, "mended");
	mf_fn_records(w, at, w->kit.n);
	FW_UNTIL(w, u.over);
	assert_int_equal(u.code, MF_GRPC_OK);
	mf_fw_unary_fini(&u);
	mf_fw_ask(&c, "GetNode", &g.base, &ADMIN(node), &u);
	n = (const void *)u.reply;
	assert_string_equal(n->state, "silent");
	assert_string_equal(n->evict_reason, "");
	assert_true(n->readmitted_us != 0);
	mf_fw_unary_fini(&u);
	/* Another answer than was asked for is no answer. */
	mf_fw_call(&c, "ReadmitNode", &q.base, &ADMIN(readmit_node_response), &u);
	FW_UNTIL(w, mf_fn_count(w, MF_MSG_ADMIN_CALL) == 2);
	m.call_id = last_call(w)->call_id;
	m.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_REMOVAL;
	m.removal = &removed;
	mf_fn_say(w, MF_MSG_ADMIN_REPLY, &m.base);
	FW_UNTIL(w, u.over);
	assert_int_equal(u.code, MF_GRPC_INTERNAL);
}

/* All sessions of a role: to the notary as they were said, and its answer, which is no removal of a job, back. */
static void
test_sessions(void **state)
{
	struct fw *w = *state;
	static struct fw_client c;
	struct fw_unary u;
	char target[] = "aws", role[] = "train", reason[] = "leaked",
	     subject[] = "role:aws:arn:aws:iam::1:role/train";
	serve(w, &c);
	for (unsigned dry = 0; dry < 2; dry++) {
		Mayfly__Admin__V1__RevokeRequest q = MAYFLY__ADMIN__V1__REVOKE_REQUEST__INIT;
		Mayfly__Admin__V1__RoleSessions of = MAYFLY__ADMIN__V1__ROLE_SESSIONS__INIT;
		Mayfly__Roles__V1__AdminReply m = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
		Mayfly__Admin__V1__RemovalResponse done = MAYFLY__ADMIN__V1__REMOVAL_RESPONSE__INIT;
		Mayfly__Admin__V1__EndedSessions s = MAYFLY__ADMIN__V1__ENDED_SESSIONS__INIT;
		of.target = target;
		of.role = role;
		q.what_case = MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_SESSIONS;
		q.sessions = &of;
		q.reason = reason;
		q.dry_run = dry != 0;
		mf_fw_call(&c, "Revoke", &q.base, &ADMIN(removal_response), &u);
		FW_UNTIL(w, mf_fn_count(w, MF_MSG_ADMIN_CALL) == dry + 1);
		assert_int_equal(last_call(w)->what_case, MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_END_SESSIONS);
		assert_string_equal(last_call(w)->end_sessions->of->target, "aws");
		assert_string_equal(last_call(w)->end_sessions->of->role, "train");
		assert_string_equal(last_call(w)->end_sessions->reason, "leaked");
		assert_int_equal(last_call(w)->end_sessions->dry_run, dry);
		m.call_id = last_call(w)->call_id;
		m.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_REMOVAL;
		m.removal = &done;
		done.effective = dry == 0;
		done.subject = subject;
		done.sessions = &s;
		s.credentials = 12;
		s.dry_run = dry != 0;
		mf_fn_say(w, MF_MSG_ADMIN_REPLY, &m.base);
		FW_UNTIL(w, u.over);
		assert_int_equal(u.code, MF_GRPC_OK);
		const Mayfly__Admin__V1__RemovalResponse *got = (const void *)u.reply;
		assert_int_equal(got->sessions->credentials, 12);
		assert_int_equal(got->sessions->dry_run, dry);
		mf_fw_unary_fini(&u);
	}
}

/* Each kind of freeze reaches the notary as what it is. */
static void
test_freezes(void **state)
{
	struct fw *w = *state;
	static struct fw_client c;
	struct fw_unary u;
	char name[] = "train", reason[] = "leaked", kind[] = "rule";
	static const char *const kinds[] = { "profile", "rule", "person", "tenant", "all" };
	serve(w, &c);
	for (size_t i = 0; i < MF_COUNT(kinds); i++) {
		Mayfly__Admin__V1__RevokeRequest q = MAYFLY__ADMIN__V1__REVOKE_REQUEST__INIT;
		q.what_case =
		    (Mayfly__Admin__V1__RevokeRequest__WhatCase)(MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_PROFILE +
								 (int)i);
		q.profile = name; /* one member of a union for the first four */
		if (i == 4)
			q.all = true;
		q.reason = reason;
		q.for_s = 60;
		mf_fw_call(&c, "Revoke", &q.base, &ADMIN(removal_response), &u);
		FW_UNTIL(w, mf_fn_count(w, MF_MSG_ADMIN_CALL) == i + 1);
		assert_int_equal(last_call(w)->what_case, MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_FREEZE);
		assert_string_equal(last_call(w)->freeze->kind, kinds[i]);
		assert_string_equal(last_call(w)->freeze->name, i == 4 ? "" : "train");
		assert_string_equal(last_call(w)->freeze->reason, "leaked");
		assert_int_equal(last_call(w)->freeze->for_s, 60);
		mf_fn_fail(&w->n, last_call(w)->call_id, "wrong_state", "no");
		FW_UNTIL(w, u.over);
	}
	Mayfly__Admin__V1__UnfreezeRequest q = MAYFLY__ADMIN__V1__UNFREEZE_REQUEST__INIT;
	Mayfly__Roles__V1__AdminReply m = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	Mayfly__Admin__V1__UnfreezeResponse done = MAYFLY__ADMIN__V1__UNFREEZE_RESPONSE__INIT;
	q.kind = kind;
	q.name = name;
	mf_fw_call(&c, "Unfreeze", &q.base, &ADMIN(unfreeze_response), &u);
	FW_UNTIL(w, mf_fn_count(w, MF_MSG_ADMIN_CALL) == 6);
	assert_string_equal(last_call(w)->unfreeze->kind, "rule");
	done.subject = kind;
	m.call_id = last_call(w)->call_id;
	m.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_UNFROZEN;
	m.unfrozen = &done;
	mf_fn_say(w, MF_MSG_ADMIN_REPLY, &m.base);
	FW_UNTIL(w, u.over);
	assert_int_equal(u.code, MF_GRPC_OK);
	mf_fw_unary_fini(&u);
	Mayfly__Admin__V1__ListFreezesRequest l = MAYFLY__ADMIN__V1__LIST_FREEZES_REQUEST__INIT;
	Mayfly__Admin__V1__ListFreezesResponse none = MAYFLY__ADMIN__V1__LIST_FREEZES_RESPONSE__INIT;
	mf_fw_call(&c, "ListFreezes", &l.base, &ADMIN(list_freezes_response), &u);
	FW_UNTIL(w, mf_fn_count(w, MF_MSG_ADMIN_CALL) == 7);
	m.call_id = last_call(w)->call_id;
	m.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_FREEZES;
	m.freezes = &none;
	mf_fn_say(w, MF_MSG_ADMIN_REPLY, &m.base);
	FW_UNTIL(w, u.over);
	assert_int_equal(u.code, MF_GRPC_OK);
	mf_fw_unary_fini(&u);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_who_is_there, setup, teardown),
		cmocka_unit_test_setup_teardown(test_node_show_and_readmit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_freezes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sessions, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
