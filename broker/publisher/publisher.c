#include "broker/publisher/publisher.h"

#include <stdio.h>
#include <stdlib.h>

#include "log/published.h"
#include "net/tls_web.h"
#include "os/jlog.h"
#include "os/secure_file.h"

#define CONNS 256u
#define LIFE_MS 30000u
#define PATH_MAX_BYTES (MF_LIM_ISSUER + 64u)

struct page {
	int dirfd;
	enum mf_published_file file;
	char path[PATH_MAX_BYTES];
	bool failed; /* said so in the log, until it is good again */
};

struct mf_publisher {
	struct page pages[MF_PUBLISHED_FILES];
	struct mf_http_status *http;
	struct mf_tls_web *tls;
};

static int
fill(void *ctx, struct mf_buf *body)
{
	struct page *p = ctx;
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf file;
	mf_buf_init(&file, MF_LIM_OIDC_DOCUMENT);
	bool failed = mf_file_read(p->dirfd, mf_published_name(p->file), &file, &err) != MF_OK;
	if (failed && !p->failed)
		mf_jlog_err(MF_LOG_ERROR, "publisher.no_file", "a document cannot be served", &err);
	p->failed = failed;
	if (!failed)
		mf_buf_put_slice(body, mf_buf_slice(&file));
	else
		mf_buf_put_str(body, "{}\n");
	return failed ? 503 : 200;
}

static enum mf_status
serve(struct mf_publisher *p, struct mf_loop *l, const struct mf_publisher_conf *conf, struct mf_err *err)
{
	struct mf_http_status_page pages[MF_PUBLISHED_FILES];
	for (unsigned i = 0; i < MF_PUBLISHED_FILES; i++) {
		struct page *pg = &p->pages[i];
		bool x5c = i == MF_PUBLISHED_X5C_DISCOVERY || i == MF_PUBLISHED_X5C_KEYS;
		pg->dirfd = conf->public_dirfd;
		pg->file = (enum mf_published_file)i;
		(void)snprintf(pg->path, sizeof(pg->path), "%s%s", x5c ? conf->x5c_path : conf->issuer_path,
		    mf_published_path(pg->file));
		/* Short, so that whoever stands between forgets a key soon after we did. */
		pages[i] =
		    (struct mf_http_status_page) { pg->path, "application/json", "max-age=60", fill, pg };
	}
	return mf_http_status_new(l, conf->listen_fd, pages, MF_PUBLISHED_FILES, &p->http, err);
}

enum mf_status
mf_publisher_new(
    struct mf_loop *l, const struct mf_publisher_conf *conf, struct mf_publisher **ret_p, struct mf_err *err)
{
	MF_AUTO(mf_publisher_free) struct mf_publisher *p = calloc(1, sizeof(*p));
	const struct mf_tls_web_conf tls = { conf->chain_pem, conf->key_pem,
		conf->conns == 0 ? CONNS : conf->conns, conf->life_ms == 0 ? LIFE_MS : conf->life_ms };
	if (p == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "publisher: out of memory");
	MF_TRY(serve(p, l, conf, err));
	/* Nothing is accepted before the loop turns. */
	if (conf->tls)
		MF_TRY(mf_tls_web_new(l, p->http, &tls, &p->tls, err));
	*ret_p = MF_TAKE(p);
	return MF_OK;
}

enum mf_status
mf_publisher_renew(
    struct mf_publisher *p, struct mf_slice chain_pem, struct mf_slice key_pem, struct mf_err *err)
{
	if (p->tls == NULL)
		return MF_FAIL(err, MF_E_STATE, "it serves in clear: restart mayfly-broker to serve by TLS");
	return mf_tls_web_renew(p->tls, chain_pem, key_pem, err);
}

void
mf_publisher_free(struct mf_publisher *p)
{
	if (p == NULL)
		return;
	mf_tls_web_free(p->tls);
	mf_http_status_free(p->http);
	free(p);
}
