/*
 * key: a signing key of the broker as the log tells of it. States and their order:
 *
 *   prepared -> active -> retired -> gone          a key's ordinary life
 *   prepared, retired -> tainted -> gone           what it signed is renewed; it leaves when the last of it is dead
 *   tainted -> revoked -> gone                     out of the bundle at once; remembered as distrusted until then
 *
 * Of each use (key_use.h) one key at most is active; an activation retires the one before. What is prepared, active,
 * retired or tainted stands in the use's bundle, if it has one. A certificate or token is always signed by the key that is
 * active where its record lies in the log. Pure; the structs are written by state_keys.c alone.
 */
#ifndef MF_BROKER_KEY_H
#define MF_BROKER_KEY_H
#include "base/list.h"
#include "broker/core/key_use.h"
#include "broker/core/record.h"

/* With its NUL. Of a CA key: hex of its subject key identifier, 40 letters; of a JWT key: its kid, 43 letters. */
#define MF_KEY_ID_MAX 72

enum mf_key_state {
	MF_KEY_PREPARED,
	MF_KEY_ACTIVE,
	MF_KEY_RETIRED,
	MF_KEY_TAINTED,
	MF_KEY_REVOKED,
	MF_KEY_GONE, /* a tombstone: its file is to be removed */
	MF_KEY_STATES
};

struct mf_key {
	char id[MF_KEY_ID_MAX];
	const struct mf_key_use *use;
	enum mf_key_state state;
	uint8_t *certificate; /* DER: the signing certificate, then its intermediates */
	size_t certificate_n;
	uint8_t *anchor; /* DER: what stands in the bundle for it; empty: the certificate */
	size_t anchor_n;
	char *jwk; /* of a JWT key, instead: its public half, as RFC 7638 spells it for the thumbprint */
	int64_t nbf,
	    exp; /* unix seconds, of the certificate; of a JWT key: when the schedule will have replaced it */
	int64_t last_exp; /* end of the last credential that it signed; 0: none yet */
	int64_t prepared_us, activated_us, tainted_us, revoked_us, gone_us; /* 0: not yet */
	uint64_t index;	 /* of its key.prepared: the name of the generation in other records */
	uint64_t bundle; /* of its use, that it came with; 0: it is in none */
	uint64_t activated_index, tainted_index, revoked_index, gone_index;
	uint64_t gone_bundle;
	struct mf_list at; /* by index */
};

const char *mf_key_state_name(enum mf_key_state s); /* "prepared" ... */
/* Does it stand in a bundle? */
bool mf_key_published(const struct mf_key *k);
/* What it signed is not to be held any more. */
bool mf_key_distrusted(const struct mf_key *k);
#endif
