/* engine_keys: what operators ask an engine rig about keys, and what comes of it. Everything fails the test on failure. */
#ifndef MF_TEST_ENGINE_KEYS_H
#define MF_TEST_ENGINE_KEYS_H
#include "engine_rig.h"

/* The answer is the rig's last reply, NULL while there is none; ${use} "": of a CA key. */
void mf_rig_ask_prepare(struct rig *r, const char *use);
/* The key maker's answer to the order that is out. */
void mf_rig_key_made(struct rig *r, struct mf_key_made *m);
/* The same, with spare JWT key ${i}. */
void mf_rig_jwt_made(struct rig *r, unsigned i, bool ok);
const Mayfly__Roles__V1__AdminReply *mf_rig_activate_key(struct rig *r, const char *use, bool force);
const Mayfly__Roles__V1__AdminReply *mf_rig_take_key_away(struct rig *r, const char *id, bool revoke);
/* MF_KEY_STATES: no such key. */
enum mf_key_state mf_rig_key_state(const struct rig *r, const char *id);
void mf_rig_assert_error(const Mayfly__Roles__V1__AdminReply *r, const char *text);
/* The last push of a kind to ${sid}; NULL: none. */
const Mayfly__Agent__V1__Down *
mf_rig_push(const struct rig *r, uint64_t sid, Mayfly__Agent__V1__Down__BodyCase body);
/* The node confirms a bundle. */
void
mf_rig_held(struct rig *r, uint64_t sid, unsigned k, Mayfly__Agent__V1__DocumentKind kind, uint64_t number);
#endif
