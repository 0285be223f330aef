/* The admin API's part about keys: everything is the notary's to answer, and no table shows it. */
#include "broker/front/admin_internal.h"

#define PREFIX "/mayfly.admin.v1.Admin/"

typedef Mayfly__Roles__V1__AdminCall call_t;
typedef Mayfly__Roles__V1__AdminReply reply_t;

static const ProtobufCMessage *
pick_keys(const reply_t *r, uint64_t *ret_index)
{
	*ret_index = UINT64_MAX;
	return &r->keys->base;
}

static const ProtobufCMessage *
pick_key(const reply_t *r, uint64_t *ret_index)
{
	*ret_index = UINT64_MAX;
	return &r->key->base;
}

static const ProtobufCMessage *
pick_removal(const reply_t *r, uint64_t *ret_index)
{
	*ret_index = UINT64_MAX;
	return &r->removal->base;
}

/* The request is copied only because what is packed has no const. */
#define ACT(fn, Type, WHAT, member, what, REPLY, pick)                                               \
	static void fill_##fn(call_t *call, char *id, void *ctx)                                     \
	{                                                                                            \
		MF_UNUSED(id);                                                                       \
		call->what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_##WHAT;                        \
		call->member = ctx;                                                                  \
	}                                                                                            \
	static void fn(struct mf_grpc_call *c, const ProtobufCMessage *msg)                          \
	{                                                                                            \
		static const struct mf_admin_act act = { what, NULL, fill_##fn,                      \
			MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_##REPLY, pick };                        \
		Mayfly__Admin__V1__##Type q = *(const Mayfly__Admin__V1__##Type *)(const void *)msg; \
		mf_admin_act(c, &act, "", &q);                                                       \
	}                                                                                            \
	static const struct mf_grpc_server_ops fn##_ops = { .on_message = fn,                        \
		.on_cancel = mf_admin_on_cancel }

ACT(list_keys, ListKeysRequest, LIST_KEYS, list_keys, "list keys", KEYS, pick_keys);
ACT(prepare_key, PrepareKeyRequest, PREPARE_KEY, prepare_key, "prepare key", KEY, pick_key);
ACT(activate_key, ActivateKeyRequest, ACTIVATE_KEY, activate_key, "activate key", KEY, pick_key);
ACT(taint_key, TaintKeyRequest, TAINT_KEY, taint_key, "taint key", REMOVAL, pick_removal);
ACT(revoke_key, RevokeKeyRequest, REVOKE_KEY, revoke_key, "revoke key", REMOVAL, pick_removal);

#define METHOD(name, q, r, fn)                                                                             \
	{                                                                                                  \
		PREFIX name, &mayfly__admin__v1__##q##__descriptor, &mayfly__admin__v1__##r##__descriptor, \
		    MF_GRPC_UNARY, &fn##_ops, 0                                                            \
	}
const struct mf_grpc_method mf_admin_key_methods[] = {
	METHOD("ListKeys", list_keys_request, list_keys_response, list_keys),
	METHOD("PrepareKey", prepare_key_request, key_response, prepare_key),
	METHOD("ActivateKey", activate_key_request, key_response, activate_key),
	METHOD("TaintKey", taint_key_request, removal_response, taint_key),
	METHOD("RevokeKey", revoke_key_request, removal_response, revoke_key),
};
const size_t mf_admin_key_methods_n = MF_COUNT(mf_admin_key_methods);
