#include "cli/full_id.h"

#include "admin.pb-c.h"
#include "cli/connect.h"

/* ${name}: what helps a person to recognise it. */
static enum mf_status
take(struct mf_cli *c, char **match, const char *what, const char *id, const char *name, struct mf_err *err)
{
	if (strcmp(*match, id) == 0)
		return MF_OK;
	int n = snprintf(c->full_id, sizeof(c->full_id), "%s", id);
	if (n <= 0 || (size_t)n >= sizeof(c->full_id))
		return MF_FAIL(err, MF_E_INVALID, "the broker names a %s by %d letters", what, n);
	mf_cli_note(c, "%s %s%s%s%s: signed with its full id", what, c->full_id, name[0] != '\0' ? " (" : "",
	    name, name[0] != '\0' ? ")" : "");
	*match = c->full_id;
	return MF_OK;
}

static enum mf_status
job(struct mf_cli *c, struct mf_grpc_sync *s, char **match, struct mf_err *err)
{
	Mayfly__Admin__V1__GetJobRequest q = MAYFLY__ADMIN__V1__GET_JOB_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	q.match = *match;
	MF_TRY(mf_grpc_sync_unary(s, &mf_cli_get_job, &q.base, &msg, err));
	const Mayfly__Admin__V1__Job *j = ((const Mayfly__Admin__V1__GetJobResponse *)(const void *)msg)->job;
	if (j == NULL)
		return MF_FAIL(err, MF_E_INVALID, "the broker does not say which job that is");
	return take(c, match, "job", j->id, j->name[0] != '\0' ? j->name : j->key, err);
}

static enum mf_status
node(struct mf_cli *c, struct mf_grpc_sync *s, char **match, struct mf_err *err)
{
	Mayfly__Admin__V1__GetNodeRequest q = MAYFLY__ADMIN__V1__GET_NODE_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	q.match = *match;
	MF_TRY(mf_grpc_sync_unary(s, &mf_cli_get_node, &q.base, &msg, err));
	const Mayfly__Admin__V1__Node *n = (const Mayfly__Admin__V1__Node *)(const void *)msg;
	return take(c, match, "node", n->id, n->hostname, err);
}

/* Without one, the key that was prepared. */
static bool
key_fits(const Mayfly__Admin__V1__Key *k, const char *match)
{
	return match[0] == '\0' ? strcmp(k->state, "prepared") == 0
				: strncmp(k->id, match, strlen(match)) == 0;
}

static enum mf_status
key(struct mf_cli *c, struct mf_grpc_sync *s, char **match, struct mf_err *err)
{
	Mayfly__Admin__V1__ListKeysRequest q = MAYFLY__ADMIN__V1__LIST_KEYS_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	MF_TRY(mf_grpc_sync_unary(s, &mf_cli_list_keys, &q.base, &msg, err));
	const Mayfly__Admin__V1__ListKeysResponse *r =
	    (const Mayfly__Admin__V1__ListKeysResponse *)(const void *)msg;
	const Mayfly__Admin__V1__Key *found = NULL;
	for (size_t i = 0; i < r->n_keys; i++) {
		if (!key_fits(r->keys[i], *match))
			continue;
		if (found != NULL)
			return MF_FAIL(
			    err, MF_E_INVALID, "several keys fit: type more letters ('mayfly key ls')");
		found = r->keys[i];
	}
	if (found == NULL)
		return MF_FAIL(err, MF_E_NOTFOUND, "%s: see 'mayfly key ls'",
		    (*match)[0] == '\0' ? "no key is prepared" : "no such key");
	return take(c, match, "key", found->id, found->state, err);
}

enum mf_status
mf_cli_full_id(struct mf_cli *c, struct mf_grpc_sync *s, ProtobufCMessage *request, struct mf_err *err)
{
	void *const q = request;
	if (request->descriptor == &mayfly__admin__v1__extend_job_request__descriptor)
		return job(c, s, &((Mayfly__Admin__V1__ExtendJobRequest *)q)->match, err);
	if (request->descriptor == &mayfly__admin__v1__readmit_node_request__descriptor)
		return node(c, s, &((Mayfly__Admin__V1__ReadmitNodeRequest *)q)->match, err);
	if (request->descriptor == &mayfly__admin__v1__activate_key_request__descriptor)
		return key(c, s, &((Mayfly__Admin__V1__ActivateKeyRequest *)q)->match, err);
	return MF_OK;
}
