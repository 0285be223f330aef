#include "engine_keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

typedef Mayfly__Roles__V1__AdminCall call_t;
typedef Mayfly__Roles__V1__AdminReply reply_t;

static char no_text[] = "", why[] = "a test";

static const reply_t *
ask(struct rig *r, call_t *call)
{
	call->call_id = 11;
	call->uid = 7;
	call->pid = 8;
	call->loginuid = 9;
	if (r->reply != NULL)
		mayfly__roles__v1__admin_reply__free_unpacked(r->reply, NULL);
	r->reply = NULL;
	mf_engine_admin(r->e, r->now, call);
	return r->reply;
}

void
mf_rig_ask_prepare(struct rig *r, const char *use)
{
	call_t call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__PrepareKeyRequest q = MAYFLY__ADMIN__V1__PREPARE_KEY_REQUEST__INIT;
	q.reason = why;
	q.use = (char *)(uintptr_t)use; /* packing only reads */
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_PREPARE_KEY;
	call.prepare_key = &q;
	(void)ask(r, &call);
}

void
mf_rig_key_made(struct rig *r, struct mf_key_made *m)
{
	assert_true(r->order.ticket != 0);
	m->ticket = r->order.ticket;
	m->use = r->order.use;
	m->why = "the disk is full";
	r->order.ticket = 0;
	mf_engine_key_made(r->e, r->now, m);
}

void
mf_rig_jwt_made(struct rig *r, unsigned i, bool ok)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf jwk;
	mf_buf_init(&jwk, 2048);
	mf_jws_key_put_jwk(mf_rig_spare_jwt(i), &jwk);
	struct mf_key_made m = {
		.ok = ok, .id = mf_jws_key_kid(mf_rig_spare_jwt(i)), .jwk = mf_buf_slice(&jwk)
	};
	mf_rig_key_made(r, &m);
}

const reply_t *
mf_rig_activate_key(struct rig *r, const char *use, bool force)
{
	call_t call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__ActivateKeyRequest q = MAYFLY__ADMIN__V1__ACTIVATE_KEY_REQUEST__INIT;
	q.match = no_text;
	q.use = (char *)(uintptr_t)use;
	q.force = force;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_ACTIVATE_KEY;
	call.activate_key = &q;
	return ask(r, &call);
}

const reply_t *
mf_rig_take_key_away(struct rig *r, const char *id, bool revoke)
{
	call_t call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__TaintKeyRequest t = MAYFLY__ADMIN__V1__TAINT_KEY_REQUEST__INIT;
	Mayfly__Admin__V1__RevokeKeyRequest v = MAYFLY__ADMIN__V1__REVOKE_KEY_REQUEST__INIT;
	t.match = v.match = (char *)(uintptr_t)id;
	t.reason = v.reason = why;
	call.what_case = revoke ? MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_REVOKE_KEY
				: MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_TAINT_KEY;
	if (revoke)
		call.revoke_key = &v;
	else
		call.taint_key = &t;
	return ask(r, &call);
}

enum mf_key_state
mf_rig_key_state(const struct rig *r, const char *id)
{
	const struct mf_key *key = mf_state_key(mf_engine_state(r->e), mf_slice_str(id));
	return key == NULL ? MF_KEY_STATES : key->state;
}

void
mf_rig_assert_error(const reply_t *r, const char *text)
{
	assert_non_null(r);
	assert_string_not_equal(r->error_code, "");
	if (strstr(r->error, text) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", r->error, text);
}

const Mayfly__Agent__V1__Down *
mf_rig_push(const struct rig *r, uint64_t sid, Mayfly__Agent__V1__Down__BodyCase body)
{
	for (size_t i = r->downs_n; i-- > 0;)
		if (r->downs[i].sid == sid && r->downs[i].down->body_case == body)
			return r->downs[i].down;
	return NULL;
}

void
mf_rig_held(struct rig *r, uint64_t sid, unsigned k, Mayfly__Agent__V1__DocumentKind kind, uint64_t number)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__BundleHeld h = MAYFLY__AGENT__V1__BUNDLE_HELD__INIT;
	h.number = number;
	h.kind = kind;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_BUNDLE_HELD;
	up.bundle_held = &h;
	(void)mf_rig_up(r, sid, k, &up);
}
