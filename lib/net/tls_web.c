#include "net/tls_web.h"

#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/list.h"
#include "net/http_internal.h"
#include "net/loop_internal.h"

#define LOOK_MS 1000u

struct mf_tls_web {
	SSL_CTX *ssl;
	struct mf_loop *loop;
	struct evconnlistener *listener; /* the HTTP server's */
	struct mf_loop_timer *look;
	struct mf_list conns; /* oldest first */
	unsigned n, most;
	uint64_t life_ms;
};

/* Lives as long as its SSL: libevent frees that with the connection, and tells nobody else. */
struct conn {
	struct mf_tls_web *w;
	struct bufferevent *bev;
	uint64_t began_ms;
	struct mf_list at;
};

static int conn_index = -1; /* of struct conn in an SSL */

MF_DEFINE_CLEANUP(BIO, BIO_free_all)
MF_DEFINE_CLEANUP(X509, X509_free)
MF_DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free)
MF_DEFINE_CLEANUP(SSL_CTX, SSL_CTX_free)

static enum mf_status
fail(struct mf_err *err, const char *what)
{
	unsigned long e = ERR_get_error();
	const char *why = e == 0 ? NULL : ERR_reason_error_string(e);
	ERR_clear_error();
	return MF_FAIL(err, MF_E_INVALID, "%s: %s", what, why == NULL ? "it cannot be used" : why);
}

/* Never asks anybody: a key under a passphrase is one that cannot be read. */
static int
no_passphrase(char *to, int n, int writing, void *arg)
{
	MF_UNUSED(to);
	MF_UNUSED(n);
	MF_UNUSED(writing);
	MF_UNUSED(arg);
	return -1;
}

static enum mf_status
use_chain(SSL_CTX *c, struct mf_slice pem, struct mf_err *err)
{
	MF_AUTO(BIO_free_all) BIO *in = BIO_new_mem_buf(pem.p, (int)pem.n);
	MF_AUTO(X509_free) X509 *leaf = in == NULL ? NULL : PEM_read_bio_X509(in, NULL, no_passphrase, NULL);
	if (leaf == NULL || SSL_CTX_use_certificate(c, leaf) != 1)
		return fail(err, "the certificate");
	for (X509 *next; (next = PEM_read_bio_X509(in, NULL, no_passphrase, NULL)) != NULL;) {
		if (SSL_CTX_add1_chain_cert(c, next) != 1) {
			X509_free(next);
			return fail(err, "the certificate's chain");
		}
		X509_free(next);
	}
	ERR_clear_error(); /* the end of the file is no failure */
	return MF_OK;
}

static enum mf_status
make_ctx(struct mf_slice chain_pem, struct mf_slice key_pem, SSL_CTX **ret_c, struct mf_err *err)
{
	MF_AUTO(SSL_CTX_free) SSL_CTX *c = SSL_CTX_new(TLS_server_method());
	MF_AUTO(BIO_free_all) BIO *in = BIO_new_mem_buf(key_pem.p, (int)key_pem.n);
	if (c == NULL || in == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "TLS: out of memory");
	if (SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) != 1)
		return fail(err, "TLS");
	(void)SSL_CTX_set_options(
	    c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
	(void)SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(c, SSL_VERIFY_NONE, NULL);
	MF_TRY(use_chain(c, chain_pem, err));
	MF_AUTO(EVP_PKEY_free) EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL);
	if (key == NULL || SSL_CTX_use_PrivateKey(c, key) != 1 || SSL_CTX_check_private_key(c) != 1)
		return fail(err, "the certificate's key");
	*ret_c = MF_TAKE(c);
	return MF_OK;
}

/* ---- connections ---- */

static void
conn_gone(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	MF_UNUSED(parent);
	MF_UNUSED(ad);
	MF_UNUSED(idx);
	MF_UNUSED(argl);
	MF_UNUSED(argp);
	struct conn *c = ptr;
	if (c == NULL)
		return;
	mf_list_del(&c->at);
	if (c->w != NULL && c->w->n-- == c->w->most)
		(void)evconnlistener_enable(c->w->listener);
	free(c);
}

/* One that failed here would be served in clear by libevent: start over instead. */
static struct bufferevent *
on_conn(struct event_base *base, void *arg)
{
	struct mf_tls_web *w = arg;
	struct conn *c = calloc(1, sizeof(*c));
	SSL *ssl = SSL_new(w->ssl);
	if (c == NULL || ssl == NULL || SSL_set_ex_data(ssl, conn_index, c) != 1)
		abort();
	struct bufferevent *bev =
	    bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
	if (bev == NULL)
		abort();
	bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
	*c = (struct conn) { .w = w, .bev = bev, .began_ms = mf_loop_now(w->loop).mono_ms };
	mf_list_init(&c->at);
	mf_list_add_tail(&w->conns, &c->at);
	if (++w->n == w->most)
		(void)evconnlistener_disable(w->listener);
	if (!mf_loop_timer_pending(w->look))
		mf_loop_timer_set(w->look, LOOK_MS);
	return bev;
}

/* Its end comes as if the peer had closed. */
static void
end_old(void *arg)
{
	struct mf_tls_web *w = arg;
	uint64_t now = mf_loop_now(w->loop).mono_ms;
	MF_LIST_EACH(p, &w->conns)
	{
		const struct conn *c = MF_LIST_ITEM(p, struct conn, at);
		int fd = now - c->began_ms < w->life_ms ? -1 : bufferevent_getfd(c->bev);
		if (fd >= 0)
			(void)shutdown(fd, SHUT_RDWR);
	}
	if (w->n > 0)
		mf_loop_timer_set(w->look, LOOK_MS);
}

unsigned
mf_tls_web_conns(const struct mf_tls_web *w)
{
	return w->n;
}

enum mf_status
mf_tls_web_new(struct mf_loop *l, struct mf_http_status *h, const struct mf_tls_web_conf *conf,
    struct mf_tls_web **ret_w, struct mf_err *err)
{
	MF_AUTO(mf_tls_web_free) struct mf_tls_web *w = calloc(1, sizeof(*w));
	if (w == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "TLS: out of memory");
	mf_list_init(&w->conns);
	if (conn_index < 0)
		conn_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, conn_gone);
	if (conn_index < 0)
		return MF_FAIL(err, MF_E_NOMEM, "TLS: out of memory");
	MF_TRY(make_ctx(conf->chain_pem, conf->key_pem, &w->ssl, err));
	MF_TRY(mf_loop_timer_new(l, end_old, w, &w->look, err));
	w->loop = l;
	w->listener = mf_http_status_listener(h);
	w->most = conf->conns;
	w->life_ms = conf->life_ms;
	evhttp_set_bevcb(mf_http_status_evhttp(h), on_conn, w);
	*ret_w = MF_TAKE(w);
	return MF_OK;
}

enum mf_status
mf_tls_web_renew(struct mf_tls_web *w, struct mf_slice chain_pem, struct mf_slice key_pem, struct mf_err *err)
{
	SSL_CTX *c = NULL;
	MF_TRY(make_ctx(chain_pem, key_pem, &c, err));
	SSL_CTX_free(w->ssl);
	w->ssl = c;
	return MF_OK;
}

void
mf_tls_web_free(struct mf_tls_web *w)
{
	if (w == NULL)
		return;
	/* libevent frees connections later, some with the loop only: they know nobody any more. */
	MF_LIST_EACH(p, &w->conns)
	{
		mf_list_del(p);
		MF_LIST_ITEM(p, struct conn, at)->w = NULL;
	}
	mf_loop_timer_free(w->look);
	SSL_CTX_free(w->ssl);
	free(w);
}
