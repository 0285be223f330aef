#include "crypto/noise.h"

#include <stdlib.h>

#include "base/secret.h"
#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/hkdf.h"

static const char protocol[] = "Noise_IK_25519_AESGCM_SHA256";

enum step { STEP_1, STEP_2, STEP_READY, STEP_DEAD };

/* What must not be dumped or swapped; lives until the split. */
struct hs_secret {
	uint8_t ck[MF_HKDF_HASH];
	uint8_t k[MF_AEAD_KEY_SIZE];
	uint8_t dh[MF_X25519_SIZE];
};

/* Noise 5.1 CipherState: a key and the number of messages it has served. */
struct cipher {
	struct mf_aead *aead;
	uint64_t n;
};

struct mf_noise {
	enum mf_noise_role role;
	enum step step;
	const struct mf_x25519 *s;
	struct mf_x25519 *e;
	uint8_t rs[MF_X25519_SIZE], re[MF_X25519_SIZE];
	bool has_rs;
	struct mf_rand rand;
	struct mf_secret *hs; /* struct hs_secret */
	uint8_t h[MF_NOISE_HASH];
	struct cipher hc; /* of the handshake */
	struct cipher tx, rx;
	uint64_t max;
};

static struct hs_secret *
secrets(struct mf_noise *n)
{
	return (struct hs_secret *)(void *)mf_secret_bytes(n->hs);
}

static void
drop_handshake(struct mf_noise *n)
{
	n->s = NULL;
	mf_x25519_free(MF_TAKE(n->e));
	mf_aead_free(MF_TAKE(n->hc.aead));
	mf_secret_free(MF_TAKE(n->hs));
}

/* The session is over: no key survives. Yields ${st} so that failures read as one line. */
static enum mf_status
die(struct mf_noise *n, enum mf_status st)
{
	n->step = STEP_DEAD;
	drop_handshake(n);
	mf_aead_free(MF_TAKE(n->tx.aead));
	mf_aead_free(MF_TAKE(n->rx.aead));
	return st;
}

static enum mf_status
check_step(const struct mf_noise *n, enum step want, const char *what, struct mf_err *err)
{
	if (n->step == want)
		return MF_OK;
	if (n->step == STEP_DEAD)
		return MF_FAIL(err, MF_E_CLOSED, "noise: the session has ended; make a new one");
	return MF_FAIL(err, MF_E_STATE, "noise: %s at the wrong moment of the handshake", what);
}

/* Noise 5.2. */

static void
mix_hash(struct mf_noise *n, struct mf_slice a, struct mf_sha256_ctx *ctx)
{
	mf_sha256_update(ctx, mf_slice(n->h, sizeof(n->h)));
	mf_sha256_update(ctx, a);
	mf_sha256_final(ctx, n->h);
}

/* MixKey(DH(local, remote)). */
static enum mf_status
mix_dh(struct mf_noise *n, const struct mf_x25519 *local, const uint8_t *remote, struct mf_err *err)
{
	struct hs_secret *s = secrets(n);
	enum mf_status st = mf_x25519_dh(local, remote, s->dh, err);
	if (st == MF_E_INVALID) /* a point of small order: the peer contributes nothing */
		st = MF_FAIL(err, MF_E_UNAUTH, "noise: the peer's public key is not usable");
	MF_TRY(st);
	mf_noise_hkdf2(s->ck, mf_slice(s->dh, sizeof(s->dh)), s->ck, s->k);
	mf_wipe(s->dh, sizeof(s->dh));
	mf_aead_free(MF_TAKE(n->hc.aead));
	n->hc.n = 0;
	st = mf_aead_new(s->k, &n->hc.aead, err);
	mf_wipe(s->k, sizeof(s->k));
	return st;
}

/* Noise 12.4: 4 zero bytes, then the counter big-endian. */
static void
nonce_of(uint64_t counter, uint8_t ret[MF_AEAD_NONCE_SIZE])
{
	memset(ret, 0, MF_AEAD_NONCE_SIZE);
	for (size_t i = MF_AEAD_NONCE_SIZE; i-- > 4; counter >>= 8)
		ret[i] = (uint8_t)counter;
}

static enum mf_status
cipher_seal(
    struct cipher *c, struct mf_slice aad, struct mf_slice plain, struct mf_buf *out, struct mf_err *err)
{
	uint8_t nonce[MF_AEAD_NONCE_SIZE];
	nonce_of(c->n, nonce);
	MF_TRY(mf_aead_seal(c->aead, nonce, aad, plain, out, err));
	c->n++;
	return MF_OK;
}

static enum mf_status
cipher_open(
    struct cipher *c, struct mf_slice aad, struct mf_slice sealed, struct mf_buf *out, struct mf_err *err)
{
	uint8_t nonce[MF_AEAD_NONCE_SIZE];
	nonce_of(c->n, nonce);
	MF_TRY(mf_aead_open(c->aead, nonce, aad, sealed, out, err));
	c->n++;
	return MF_OK;
}

static enum mf_status
encrypt_and_hash(struct mf_noise *n, struct mf_slice plain, struct mf_buf *out, struct mf_sha256_ctx *ctx,
    struct mf_err *err)
{
	size_t from = out->n;
	MF_TRY(cipher_seal(&n->hc, mf_slice(n->h, sizeof(n->h)), plain, out, err));
	mix_hash(n, mf_slice_sub(mf_buf_slice(out), from, out->n - from), ctx);
	return MF_OK;
}

static enum mf_status
decrypt_and_hash(struct mf_noise *n, struct mf_slice sealed, struct mf_buf *out, struct mf_sha256_ctx *ctx,
    struct mf_err *err)
{
	MF_TRY(cipher_open(&n->hc, mf_slice(n->h, sizeof(n->h)), sealed, out, err));
	mix_hash(n, sealed, ctx);
	return MF_OK;
}

/* Split (5.2): the first key serves initiator to responder. */
static enum mf_status
split(struct mf_noise *n, struct mf_err *err)
{
	struct hs_secret *s = secrets(n);
	struct cipher *first = n->role == MF_NOISE_INITIATOR ? &n->tx : &n->rx;
	struct cipher *second = n->role == MF_NOISE_INITIATOR ? &n->rx : &n->tx;
	mf_noise_hkdf2(s->ck, mf_slice(NULL, 0), s->k, s->dh);
	MF_TRY(mf_aead_new(s->k, &first->aead, err));
	MF_TRY(mf_aead_new(s->dh, &second->aead, err));
	drop_handshake(n);
	n->step = STEP_READY;
	return MF_OK;
}

/* e: a new ephemeral key goes out. */
static enum mf_status
send_e(struct mf_noise *n, struct mf_buf *out, struct mf_sha256_ctx *ctx, struct mf_err *err)
{
	uint8_t pub[MF_X25519_SIZE];
	MF_TRY(mf_x25519_generate(&n->rand, &n->e, err));
	mf_x25519_public(n->e, pub);
	mf_buf_put(out, pub, sizeof(pub));
	MF_TRY(mf_buf_check(out, err));
	mix_hash(n, mf_slice(pub, sizeof(pub)), ctx);
	return MF_OK;
}

static enum mf_status
recv_e(struct mf_noise *n, struct mf_reader *r, struct mf_sha256_ctx *ctx, struct mf_err *err)
{
	if (!mf_read_copy(r, n->re, sizeof(n->re)))
		return MF_FAIL(err, MF_E_INVALID, "noise: handshake message is too short");
	mix_hash(n, mf_slice(n->re, sizeof(n->re)), ctx);
	return MF_OK;
}

/* -> e, es, s, ss */
static enum mf_status
write_1(struct mf_noise *n, struct mf_slice payload, struct mf_buf *out, struct mf_sha256_ctx *ctx,
    struct mf_err *err)
{
	uint8_t pub[MF_X25519_SIZE];
	MF_TRY(send_e(n, out, ctx, err));
	MF_TRY(mix_dh(n, n->e, n->rs, err));
	mf_x25519_public(n->s, pub);
	MF_TRY(encrypt_and_hash(n, mf_slice(pub, sizeof(pub)), out, ctx, err));
	MF_TRY(mix_dh(n, n->s, n->rs, err));
	MF_TRY(encrypt_and_hash(n, payload, out, ctx, err));
	n->step = STEP_2;
	return MF_OK;
}

static enum mf_status
read_1(struct mf_noise *n, struct mf_reader *r, struct mf_buf *payload, struct mf_sha256_ctx *ctx,
    struct mf_err *err)
{
	struct mf_slice sealed_s;
	MF_TRY(recv_e(n, r, ctx, err));
	MF_TRY(mix_dh(n, n->s, n->re, err));
	if (!mf_read_bytes(r, MF_X25519_SIZE + MF_NOISE_TAG, &sealed_s))
		return MF_FAIL(err, MF_E_INVALID, "noise: handshake message is too short");
	MF_AUTO_IN(mf_buf_fini) struct mf_buf rs;
	mf_buf_init(&rs, MF_X25519_SIZE);
	MF_TRY(decrypt_and_hash(n, sealed_s, &rs, ctx, err));
	memcpy(n->rs, rs.p, sizeof(n->rs));
	MF_TRY(mix_dh(n, n->s, n->rs, err));
	MF_TRY(decrypt_and_hash(n, mf_slice(r->p, r->n), payload, ctx, err));
	n->has_rs = true; /* only now: the key is proven to take part in this message */
	n->step = STEP_2;
	return MF_OK;
}

/* <- e, ee, se */
static enum mf_status
write_2(struct mf_noise *n, struct mf_slice payload, struct mf_buf *out, struct mf_sha256_ctx *ctx,
    struct mf_err *err)
{
	MF_TRY(send_e(n, out, ctx, err));
	MF_TRY(mix_dh(n, n->e, n->re, err));
	MF_TRY(mix_dh(n, n->e, n->rs, err));
	MF_TRY(encrypt_and_hash(n, payload, out, ctx, err));
	return split(n, err);
}

static enum mf_status
read_2(struct mf_noise *n, struct mf_reader *r, struct mf_buf *payload, struct mf_sha256_ctx *ctx,
    struct mf_err *err)
{
	MF_TRY(recv_e(n, r, ctx, err));
	MF_TRY(mix_dh(n, n->e, n->re, err));
	MF_TRY(mix_dh(n, n->s, n->re, err));
	MF_TRY(decrypt_and_hash(n, mf_slice(r->p, r->n), payload, ctx, err));
	return split(n, err);
}

enum mf_status
mf_noise_new(const struct mf_noise_conf *conf, struct mf_noise **ret_noise, struct mf_err *err)
{
	bool initiator = conf->role == MF_NOISE_INITIATOR;
	if (conf->local_static == NULL || initiator != (conf->remote_static != NULL))
		return MF_FAIL(err, MF_E_INVALID,
		    "noise: an initiator needs its own and the responder's static key, a responder its own");
	MF_AUTO(mf_sha256_ctx_free) struct mf_sha256_ctx *ctx = NULL;
	MF_TRY(mf_sha256_ctx_new(&ctx, err));
	MF_AUTO(mf_noise_free) struct mf_noise *n = calloc(1, sizeof(*n));
	if (n == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "noise: out of memory");
	n->role = conf->role;
	n->s = conf->local_static;
	n->rand = conf->rand == NULL ? mf_rand_system() : *conf->rand;
	n->max = conf->transport_max == 0 ? MF_NOISE_TRANSPORT_MAX : conf->transport_max;
	if (n->max > MF_NOISE_TRANSPORT_MAX)
		return MF_FAIL(err, MF_E_INVALID, "noise: more transport messages than the limit");
	MF_TRY(mf_secret_new(sizeof(struct hs_secret), &n->hs, err));

	_Static_assert(sizeof(protocol) - 1 <= MF_NOISE_HASH, "else h would be its hash (5.2)");
	memcpy(n->h, protocol, sizeof(protocol) - 1);
	memcpy(secrets(n)->ck, n->h, sizeof(n->h));
	mix_hash(n, conf->prologue, ctx);
	/* Pre-message: the responder's static key (7.4, IK: <- s). */
	uint8_t responder[MF_X25519_SIZE];
	if (initiator) {
		memcpy(n->rs, conf->remote_static, sizeof(n->rs));
		n->has_rs = true;
		memcpy(responder, n->rs, sizeof(responder));
	} else {
		mf_x25519_public(n->s, responder);
	}
	mix_hash(n, mf_slice(responder, sizeof(responder)), ctx);
	*ret_noise = MF_TAKE(n);
	return MF_OK;
}

void
mf_noise_free(struct mf_noise *n)
{
	if (n == NULL)
		return;
	(void)die(n, MF_OK);
	free(n);
}

enum mf_status
mf_noise_write(struct mf_noise *n, struct mf_slice payload, struct mf_buf *out, struct mf_err *err)
{
	bool initiator = n->role == MF_NOISE_INITIATOR;
	size_t overhead = initiator ? MF_NOISE_MESSAGE_1 : MF_NOISE_MESSAGE_2;
	MF_TRY(check_step(n, initiator ? STEP_1 : STEP_2, "write", err));
	if (payload.n > MF_NOISE_MESSAGE_MAX - overhead)
		return MF_FAIL(err, MF_E_TOOBIG, "noise: handshake payload of %zu bytes", payload.n);
	MF_AUTO(mf_sha256_ctx_free) struct mf_sha256_ctx *ctx = NULL;
	MF_TRY(mf_sha256_ctx_new(&ctx, err));
	enum mf_status st =
	    initiator ? write_1(n, payload, out, ctx, err) : write_2(n, payload, out, ctx, err);
	return st == MF_OK ? MF_OK : die(n, st);
}

enum mf_status
mf_noise_read(struct mf_noise *n, struct mf_slice message, struct mf_buf *payload, struct mf_err *err)
{
	bool initiator = n->role == MF_NOISE_INITIATOR;
	MF_TRY(check_step(n, initiator ? STEP_2 : STEP_1, "read", err));
	if (message.n > MF_NOISE_MESSAGE_MAX)
		return die(n, MF_FAIL(err, MF_E_TOOBIG, "noise: handshake message of %zu bytes", message.n));
	if (payload == NULL && message.n != (initiator ? MF_NOISE_MESSAGE_2 : MF_NOISE_MESSAGE_1))
		return die(n, MF_FAIL(err, MF_E_INVALID,
				  "noise: handshake message of %zu bytes; ours carry no payload", message.n));
	MF_AUTO(mf_sha256_ctx_free) struct mf_sha256_ctx *ctx = NULL;
	MF_TRY(mf_sha256_ctx_new(&ctx, err));
	MF_AUTO_IN(mf_buf_fini) struct mf_buf nothing;
	mf_buf_init(&nothing, 0);
	struct mf_reader r = mf_reader(message);
	struct mf_buf *to = payload == NULL ? &nothing : payload;
	enum mf_status st = initiator ? read_2(n, &r, to, ctx, err) : read_1(n, &r, to, ctx, err);
	return st == MF_OK ? MF_OK : die(n, st);
}

void
mf_noise_end(struct mf_noise *n)
{
	(void)die(n, MF_OK);
}

bool
mf_noise_ready(const struct mf_noise *n)
{
	return n->step == STEP_READY;
}

enum mf_status
mf_noise_hash(const struct mf_noise *n, uint8_t ret_hash[MF_NOISE_HASH], struct mf_err *err)
{
	MF_TRY(check_step(n, STEP_READY, "handshake hash", err));
	memcpy(ret_hash, n->h, sizeof(n->h));
	return MF_OK;
}

enum mf_status
mf_noise_remote_static(const struct mf_noise *n, uint8_t ret_key[MF_X25519_SIZE], struct mf_err *err)
{
	if (n->step == STEP_DEAD)
		return MF_FAIL(err, MF_E_CLOSED, "noise: the session has ended; make a new one");
	if (!n->has_rs)
		return MF_FAIL(err, MF_E_STATE, "noise: the peer's key is known after message 1");
	memcpy(ret_key, n->rs, sizeof(n->rs));
	return MF_OK;
}

enum mf_status
mf_noise_seal(struct mf_noise *n, struct mf_slice plain, struct mf_buf *out, struct mf_err *err)
{
	MF_TRY(check_step(n, STEP_READY, "seal", err));
	enum mf_status st;
	if (n->tx.n >= n->max)
		st = MF_FAIL(err, MF_E_EXHAUSTED, "noise: %llu messages sealed; make a new session",
		    (unsigned long long)n->tx.n);
	else if (plain.n > MF_NOISE_MESSAGE_MAX - MF_NOISE_TAG)
		st = MF_FAIL(err, MF_E_TOOBIG, "noise: %zu bytes in one transport message", plain.n);
	else
		st = cipher_seal(&n->tx, mf_slice(NULL, 0), plain, out, err);
	return st == MF_OK ? MF_OK : die(n, st);
}

enum mf_status
mf_noise_open(struct mf_noise *n, struct mf_slice sealed, struct mf_buf *out, struct mf_err *err)
{
	MF_TRY(check_step(n, STEP_READY, "open", err));
	enum mf_status st;
	if (n->rx.n >= n->max)
		st = MF_FAIL(err, MF_E_EXHAUSTED, "noise: %llu messages opened; make a new session",
		    (unsigned long long)n->rx.n);
	else if (sealed.n > MF_NOISE_MESSAGE_MAX)
		st = MF_FAIL(err, MF_E_TOOBIG, "noise: transport message of %zu bytes", sealed.n);
	else
		st = cipher_open(&n->rx, mf_slice(NULL, 0), sealed, out, err);
	return st == MF_OK ? MF_OK : die(n, st);
}
