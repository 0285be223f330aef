/* node: `mayfly node ls|show|token|evict|readmit`. */
#include <stdlib.h>

#include "admin.pb-c.h"
#include "base/text.h"
#include "cli/admin_cols.h"
#include "cli/connect.h"
#include "cli/removal.h"
#include "cli/verbs.h"
#include "cli/watch.h"

#define ATTRIBUTES_MAX 32u

static int
list(struct mf_cli *c, struct mf_cli_watch *w)
{
	Mayfly__Admin__V1__ListNodesRequest req = MAYFLY__ADMIN__V1__LIST_NODES_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	req.all = mf_cli_has(c, "all");
	int rc = mf_cli_ask_admin(c, &mf_cli_list_nodes, &req.base, &msg);
	if (rc != MF_EXIT_OK)
		return rc;
	Mayfly__Admin__V1__ListNodesResponse *r = (Mayfly__Admin__V1__ListNodesResponse *)(void *)msg;
	return mf_cli_watch_list(c, w, "NodeList", mf_cli_node_cols, (const void **)(void *)r->nodes,
	    r->n_nodes,
	    req.all ? "no nodes: `mayfly node token` makes a join token"
		    : "no nodes (--all shows evicted ones; `mayfly node token` makes a join token)");
}

int
mf_cli_node_ls(struct mf_cli *c)
{
	return mf_cli_watch_run(c, list);
}

struct attributes {
	Mayfly__Admin__V1__CreateJoinTokenRequest__AttributesEntry v[ATTRIBUTES_MAX];
	Mayfly__Admin__V1__CreateJoinTokenRequest__AttributesEntry *p[ATTRIBUTES_MAX];
	char *copies[ATTRIBUTES_MAX]; /* of the keys */
	size_t n;
};

static void
free_attributes(struct attributes *a)
{
	for (size_t i = 0; i < a->n; i++)
		free(a->copies[i]);
}

/* -1: fine; else an exit code. */
static int
take_attributes(struct mf_cli *c, struct attributes *a)
{
	char *kv;
	for (size_t i = 0; (kv = mf_cli_get_nth(c, "attribute", i)) != NULL; i++) {
		char *eq = strchr(kv, '=');
		if (eq == NULL || eq == kv || eq[1] == '\0')
			return mf_cli_usage(c, "--attribute %s: must be KEY=VALUE", kv);
		if (a->n == ATTRIBUTES_MAX)
			return mf_cli_usage(c, "more than %u attributes", ATTRIBUTES_MAX);
		char *key = mf_slice_dup_str(mf_slice(kv, (size_t)(eq - kv)));
		if (key == NULL)
			return mf_cli_usage(c, "out of memory");
		size_t k = a->n++;
		a->copies[k] = key;
		a->v[k] = (Mayfly__Admin__V1__CreateJoinTokenRequest__AttributesEntry)
		    MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__ATTRIBUTES_ENTRY__INIT;
		a->v[k].key = key;
		a->v[k].value = eq + 1;
		a->p[k] = &a->v[k];
	}
	return -1;
}

/* The token goes to stdout alone, so that $(mayfly node token) is the token. */
static int
show_token(struct mf_cli *c, const Mayfly__Admin__V1__CreateJoinTokenResponse *r)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	struct mf_err err = { 0 };
	mf_buf_init(&b, 65536);
	if (c->json) {
		struct mf_jw w;
		MF_AUTO_IN(mf_buf_fini) struct mf_buf t;
		mf_buf_init(&t, 64);
		mf_time_put_s(&t, r->expires);
		mf_show_json_begin(&w, &b, "JoinToken");
		mf_jw_object_begin(&w);
		mf_jw_kstr(&w, "token", r->token);
		mf_jw_kstr(&w, "token_id", r->token_id);
		mf_jw_kstring(&w, "expires", mf_buf_slice(&t));
		mf_jw_kuint(&w, "uses", r->uses);
		mf_jw_object_end(&w);
		if (mf_show_json_end(&w, &err) != MF_OK)
			return mf_cli_fail(c, &err);
	} else {
		mf_buf_put_str(&b, r->token);
		mf_buf_put_u8(&b, '\n');
	}
	if (mf_buf_check(&b, &err) != MF_OK)
		return mf_cli_fail(c, &err);
	mf_cli_write(c, mf_buf_slice(&b));
	mf_buf_reset(&b);
	mf_show_until(&b, r->expires, mf_now());
	const char *until = mf_buf_cstr(&b);
	if (r->uses == 0) {
		mf_cli_note(
		    c, "a public token: it says where the broker is and how to know it, and lets nobody in.");
		return MF_EXIT_OK;
	}
	mf_cli_note(c,
	    "token %s: for %u node%s, until %s. Give it to mayfly-agent as join_token_file, by a way that "
	    "nobody else reads.",
	    r->token_id, r->uses, r->uses == 1 ? "" : "s", until == NULL ? "?" : until);
	return MF_EXIT_OK;
}

int
mf_cli_node_token(struct mf_cli *c)
{
	Mayfly__Admin__V1__CreateJoinTokenRequest req = MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	MF_AUTO_IN(free_attributes) struct attributes a = { .n = 0 };
	uint64_t ttl_ms = 0, uses = 0;
	const char *n = mf_cli_get(c, "uses");
	if (!mf_cli_duration(c, "ttl", &ttl_ms))
		return MF_EXIT_USAGE;
	if (ttl_ms / 1000 > UINT32_MAX || (mf_cli_has(c, "ttl") && ttl_ms < 1000))
		return mf_cli_usage(c, "--ttl: must be from 1s to 30d");
	if (n != NULL && (!mf_parse_u64(mf_slice_str(n), &uses) || uses == 0 || uses > 100000))
		return mf_cli_usage(c, "--uses %s: must be a number from 1 to 100000", n);
	int rc = take_attributes(c, &a);
	if (rc >= 0)
		return rc;
	req.ttl_s = (uint32_t)(ttl_ms / 1000);
	req.uses = (uint32_t)uses;
	req.public_only = mf_cli_has(c, "public");
	req.n_attributes = a.n;
	req.attributes = a.p;
	if (mf_cli_has(c, "address"))
		req.address = mf_cli_get(c, "address");
	rc = mf_cli_ask_admin(c, &mf_cli_create_join_token, &req.base, &msg);
	if (rc != MF_EXIT_OK)
		return rc;
	return show_token(c, (const Mayfly__Admin__V1__CreateJoinTokenResponse *)(const void *)msg);
}

int
mf_cli_node_evict(struct mf_cli *c)
{
	Mayfly__Admin__V1__EvictNodeRequest req = MAYFLY__ADMIN__V1__EVICT_NODE_REQUEST__INIT;
	req.match = c->argv[0];
	if (mf_cli_has(c, "reason"))
		req.reason = mf_cli_get(c, "reason");
	return mf_cli_remove(c, &mf_cli_evict_node, &req.base);
}

int
mf_cli_node_show(struct mf_cli *c)
{
	Mayfly__Admin__V1__GetNodeRequest req = MAYFLY__ADMIN__V1__GET_NODE_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_SHOW_MAX);
	req.match = c->argv[0];
	int rc = mf_cli_ask_admin(c, &mf_cli_get_node, &req.base, &msg);
	if (rc != MF_EXIT_OK)
		return rc;
	const void *const row = msg;
	if (c->json)
		return mf_show_list(c, "Node", mf_cli_node_cols, &row, 1, "");
	if (mf_show_block(&b, mf_cli_node_block, msg, mf_now(), &err) != MF_OK)
		return mf_cli_fail(c, &err);
	mf_cli_write(c, mf_buf_slice(&b));
	return MF_EXIT_OK;
}

static const struct mf_col readmitted[] = {
	{ .key = "node",
	    .type = MF_COL_STR,
	    .at = offsetof(Mayfly__Admin__V1__ReadmitNodeResponse, node_id) },
	{ .key = "record_index",
	    .type = MF_COL_U64,
	    .at = offsetof(Mayfly__Admin__V1__ReadmitNodeResponse, record_index) },
};

int
mf_cli_node_readmit(struct mf_cli *c)
{
	Mayfly__Admin__V1__ReadmitNodeRequest req = MAYFLY__ADMIN__V1__READMIT_NODE_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 4096);
	req.match = c->argv[0];
	if (mf_cli_has(c, "reason"))
		req.reason = mf_cli_get(c, "reason");
	int rc = mf_cli_ask_admin(c, &mf_cli_readmit_node, &req.base, &msg);
	if (rc != MF_EXIT_OK)
		return rc;
	const Mayfly__Admin__V1__ReadmitNodeResponse *r =
	    (const Mayfly__Admin__V1__ReadmitNodeResponse *)(const void *)msg;
	const void *const row = msg;
	if (c->json)
		return mf_show_list(c, "Readmission", MF_COLS(readmitted), &row, 1, "");
	mf_show_clean(&b, mf_slice_str(r->node_id));
	mf_buf_putf(&b,
	    "\nrecorded: record %llu\nits agent may come back by itself, with the key that it has; instances "
	    "that ended stay ended\n",
	    (unsigned long long)r->record_index);
	mf_cli_write(c, mf_buf_slice(&b));
	return MF_EXIT_OK;
}
