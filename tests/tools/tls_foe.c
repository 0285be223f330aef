/*
 * tls_foe: one odd client of a TLS 1.3 port that speaks gRPC.
 *
 *   tls_foe --list                         the cases and what each must lead to
 *   tls_foe CASE PATH HOST:PORT [CERT KEY] PEM files; CERT may hold a chain
 *
 * Prints "served" when a call of the method PATH was answered, "refused alert=N" (or without a number) when TLS or the connection ended
 * first. Exit code 0 when that is what the case wants, 1 when not; "ask" is no case of its own: it prints what it finds, exit code 0.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "foe_conn.h"

#define NOTHING mf_slice(NULL, 0)

struct tls_case {
	const char *name;
	/* Ask, or do worse; true: served. */
	bool (*run)(struct foe_target *t, const char *path, struct foe *f);
	const char *want;
};

static bool
ask(struct foe_target *t, const char *path, struct foe *f)
{
	if (!mf_foe_open(f, t))
		return false;
	mf_foe_greet(f, NOTHING);
	return mf_foe_ask(f, 1, path);
}

static bool
tls12(struct foe_target *t, const char *path, struct foe *f)
{
	t->max_version = TLS1_2_VERSION;
	return ask(t, path, f);
}

static bool
with_alpn(struct foe_target *t, const char *path, struct foe *f, const char *alpn, unsigned n)
{
	t->alpn = (const unsigned char *)alpn;
	t->alpn_n = n;
	return ask(t, path, f);
}

static bool
alpn_none(struct foe_target *t, const char *path, struct foe *f)
{
	return with_alpn(t, path, f, "", 0);
}

static bool
alpn_http1(struct foe_target *t, const char *path, struct foe *f)
{
	return with_alpn(t, path, f, "\x08http/1.1", 9);
}

static bool
alpn_nearly(struct foe_target *t, const char *path, struct foe *f)
{
	return with_alpn(t, path, f, "\x03h2c\x02H2\x02h3\x01h", 12);
}

/* 50 KB of names before the right one: a ClientHello of four records. */
static bool
alpn_many(struct foe_target *t, const char *path, struct foe *f)
{
	static unsigned char names[50003];
	size_t n = 0;
	while (n < 50000) {
		names[n++] = 249;
		memset(names + n, 'x', 249);
		n += 249;
	}
	memcpy(names + n, "\x02h2", 3);
	return with_alpn(t, path, f, (const char *)names, (unsigned)n + 3);
}

static bool
sni_odd(struct foe_target *t, const char *path, struct foe *f)
{
	static char name[256];
	memset(name, 'a', 255);
	t->sni = name;
	return ask(t, path, f);
}

static bool
sni_address(struct foe_target *t, const char *path, struct foe *f)
{
	t->sni = "169.254.169.254";
	return ask(t, path, f);
}

/* A second connection that brings whatever session the first one left. */
static bool
resume(struct foe_target *t, const char *path, struct foe *f)
{
	struct foe first;
	if (!ask(t, path, &first)) {
		mf_foe_shut(&first);
		return false;
	}
	SSL_SESSION *s = SSL_get1_session(first.ssl);
	bool ticket = SSL_SESSION_has_ticket(s) == 1 || SSL_SESSION_is_resumable(s) == 1;
	mf_foe_shut(&first);
	t->session = s;
	bool served = ask(t, path, f);
	bool reused = SSL_session_reused(f->ssl) == 1;
	SSL_SESSION_free(s);
	if (ticket || reused)
		(void)printf("the server %s, ", ticket ? "gave a ticket" : "took a session up");
	return served && !ticket && !reused;
}

/* A key that we made up, and data before anybody has proven anything. */
static int
made_up(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *n, SSL_SESSION **ret_s)
{
	static const unsigned char key[32] = "a key that the other side lacks";
	static const unsigned char aes_128_gcm[] = { 0x13, 0x01 };
	const SSL_CIPHER *c = SSL_CIPHER_find(ssl, aes_128_gcm);
	SSL_SESSION *s = SSL_SESSION_new();
	MF_UNUSED(md);
	if (s == NULL || c == NULL || SSL_SESSION_set1_master_key(s, key, sizeof(key)) != 1 ||
	    SSL_SESSION_set_cipher(s, c) != 1 || SSL_SESSION_set_protocol_version(s, TLS1_3_VERSION) != 1 ||
	    SSL_SESSION_set_max_early_data(s, 16384) != 1 ||
	    SSL_SESSION_set1_alpn_selected(s, (const unsigned char *)"h2", 2) != 1)
		abort();
	*id = (const unsigned char *)"foe";
	*n = 3;
	*ret_s = s;
	return 1;
}

static bool
psk_made_up(struct foe_target *t, const char *path, struct foe *f)
{
	t->psk = made_up;
	bool served = ask(t, path, f);
	return served && SSL_session_reused(f->ssl) == 0;
}

/* The preface and a request as 0-RTT data: nothing may come of it. */
static bool
early_data(struct foe_target *t, const char *path, struct foe *f)
{
	struct foe draft = { 0 };
	mf_buf_init(&draft.to, 65536);
	mf_foe_greet(&draft, NOTHING);
	mf_foe_head(&draft, 1, END_STREAM, path, NULL);
	t->psk = made_up;
	t->early = &draft.to;
	bool open = mf_foe_open(f, t);
	mf_buf_fini(&draft.to);
	if (open)
		mf_foe_linger(f, 100);
	return f->early_taken || f->got > 0;
}

static bool
until_closed(const struct foe *f, const void *arg)
{
	MF_UNUSED(arg);
	return f->closed;
}

/* After a handshake, bytes that no key has touched. */
static bool
after_handshake(struct foe_target *t, const char *path, struct foe *f, struct mf_slice bytes)
{
	if (!ask(t, path, f))
		return false;
	(void)send(f->fd, bytes.p, bytes.n, MSG_NOSIGNAL);
	(void)mf_foe_hear(f, until_closed, NULL);
	return !f->closed;
}

static bool
plain_record(struct foe_target *t, const char *path, struct foe *f)
{
	return after_handshake(t, path, f, MF_SLICE_LIT("\x17\3\3\0\5hello"));
}

static bool
hello_again(struct foe_target *t, const char *path, struct foe *f)
{
	return after_handshake(t, path, f, MF_SLICE_LIT("\x16\3\1\0\5\1\0\0\1\0"));
}

static bool
plain_alert(struct foe_target *t, const char *path, struct foe *f)
{
	return after_handshake(t, path, f, MF_SLICE_LIT("\x15\3\3\0\2\1\x5a")); /* user_canceled */
}

static bool
record_too_long(struct foe_target *t, const char *path, struct foe *f)
{
	return after_handshake(t, path, f,
	    MF_SLICE_LIT("\x17\3\3\xff\xff"
			 "x"));
}

/* Keys changed over and over: work for the server, and no data. */
static bool
key_updates(struct foe_target *t, const char *path, struct foe *f, unsigned n)
{
	if (!ask(t, path, f))
		return false;
	for (unsigned i = 0; i < n && !f->closed; i++) {
		if (SSL_key_update(f->ssl, SSL_KEY_UPDATE_REQUESTED) != 1)
			break;
		h2_frame(&f->to, WINDOW_UPDATE, 0, 0, MF_SLICE_LIT("\0\0\0\1"));
		if (n < 100 || i % 64 == 0)
			mf_foe_linger(f, 1);
		(void)mf_foe_say(f);
	}
	return !f->closed && mf_foe_ask(f, 3, path);
}

static bool
key_update_some(struct foe_target *t, const char *path, struct foe *f)
{
	return key_updates(t, path, f, 8);
}

static bool
key_update_flood(struct foe_target *t, const char *path, struct foe *f)
{
	return key_updates(t, path, f, 1000);
}

static const struct tls_case cases[] = {
	{ "tls12", tls12, "refused alert=70" },
	{ "alpn-none", alpn_none, "refused" },
	{ "alpn-http1", alpn_http1, "refused alert=120" },
	{ "alpn-nearly", alpn_nearly, "refused alert=120" },
	{ "alpn-many", alpn_many, "served" },
	{ "sni-odd", sni_odd, "served" },
	{ "sni-address", sni_address, "served" },
	{ "resume", resume, "served" },
	{ "psk-made-up", psk_made_up, "served" },
	{ "early-data", early_data, "refused" },
	{ "plain-record", plain_record, "refused" },
	{ "hello-again", hello_again, "refused" },
	{ "plain-alert", plain_alert, "refused" },
	{ "record-too-long", record_too_long, "refused" },
	{ "key-update-some", key_update_some, "served" },
	{ "key-update-flood", key_update_flood, "refused" },
};

static int
run(const struct tls_case *k, struct foe_target *t, const char *path)
{
	struct foe f;
	char got[64];
	(void)signal(SIGPIPE, SIG_IGN);
	bool served = k->run(t, path, &f);
	if (served)
		(void)snprintf(got, sizeof(got), "served");
	else if (f.hangs)
		(void)snprintf(got, sizeof(got), "hangs");
	else if (f.alert > 0) /* 0 is an orderly end */
		(void)snprintf(got, sizeof(got), "refused alert=%d", f.alert);
	else
		(void)snprintf(got, sizeof(got), "refused");
	mf_foe_shut(&f);
	size_t n = strlen(k->want);
	/* A number in the wanted text binds; without one any refusal is right. */
	bool good = n == 0 || (strncmp(got, k->want, n) == 0 && (got[n] == '\0' || got[n] == ' '));
	(void)printf(good ? "%s\n" : "%s, wanted %s\n", got, k->want);
	return good ? 0 : 1;
}

int
main(int argc, char **argv)
{
	static const struct tls_case plain = { "ask", ask, "" };
	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		for (size_t i = 0; i < MF_COUNT(cases); i++)
			(void)printf("%s\n", cases[i].name);
		return 0;
	}
	struct foe_target t = { .at = argc > 3 ? argv[3] : "" };
	if (argc == 6) {
		t.cert = argv[4];
		t.key = argv[5];
	}
	if ((argc == 4 || argc == 6) && strcmp(argv[1], "ask") == 0)
		return run(&plain, &t, argv[2]);
	for (size_t i = 0; (argc == 4 || argc == 6) && i < MF_COUNT(cases); i++)
		if (strcmp(argv[1], cases[i].name) == 0)
			return run(&cases[i], &t, argv[2]);
	(void)fprintf(stderr, "usage: tls_foe --list | tls_foe CASE PATH HOST:PORT [CERT KEY]\n");
	return 2;
}
