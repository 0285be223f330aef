#include "broker/notary/oidc_files.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "os/jlog.h"
#include "os/secure_file.h"

#define AGAIN_MS 10000u

/* One set on its way to the disk. A worker has it until MF_CREW_DONE. */
struct job {
	const struct mf_oidc_files *files;
	struct mf_oidc_set set;
	struct mf_buf jwks;
	char x5c_kid[MF_KEY_ID_MAX];
	struct mf_jws_key *x5c;
	struct mf_oidc_docs docs;
	struct mf_err err;
	bool ok;
};

struct mf_oidc_files {
	struct mf_oidc_docs_conf conf;
	int dirfd;
	void (*written)(void *ctx, uint64_t number);
	void *ctx;
	struct job *running, *next; /* next: waits for running, or for another try */
	uint64_t again_ms;	    /* not before; 0: at once */
	struct job *last;	    /* the one on disk; NULL: none yet */
};

static void
job_free(struct job *j)
{
	if (j == NULL)
		return;
	mf_buf_fini(&j->jwks);
	mf_oidc_docs_fini(&j->docs);
	mf_jws_key_free(j->x5c);
	free(j);
}

enum mf_status
mf_oidc_files_new(const struct mf_oidc_docs_conf *conf, int dirfd,
    void (*written)(void *ctx, uint64_t number), void *ctx, struct mf_oidc_files **ret_f, struct mf_err *err)
{
	struct mf_oidc_files *f = calloc(1, sizeof(*f));
	if (f == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "oidc documents: out of memory");
	f->conf = *conf;
	f->written = written;
	f->ctx = ctx;
	f->dirfd = conf->issuer == NULL || conf->issuer[0] == '\0' ? -1 : dirfd;
	*ret_f = f;
	return MF_OK;
}

void
mf_oidc_files_free(struct mf_oidc_files *f)
{
	if (f == NULL)
		return;
	job_free(f->running);
	job_free(f->next);
	job_free(f->last);
	free(f);
}

/* The manifest last: a directory that it does not describe is a write under way. */
static enum mf_status
write_all(int dirfd, const struct mf_oidc_docs *d, struct mf_err *err)
{
	for (unsigned i = 0; i < MF_PUBLISHED_FILES; i++)
		MF_TRY(mf_file_write(dirfd, mf_published_name((enum mf_published_file)i),
		    mf_buf_slice(&d->files[i]), 0444, err));
	return mf_file_write(dirfd, MF_PUBLISHED_MANIFEST, mf_buf_slice(&d->manifest), 0444, err);
}

/* In a worker. */
static void
run(void *arg, struct mf_jwt_signer *signers)
{
	struct job *j = arg;
	MF_UNUSED(signers);
	mf_oidc_docs_fini(&j->docs); /* of a try that failed */
	mf_oidc_docs_init(&j->docs);
	enum mf_status s = mf_oidc_docs_make(&j->files->conf, &j->set, j->x5c, &j->docs, &j->err);
	if (s == MF_OK)
		s = write_all(j->files->dirfd, &j->docs, &j->err);
	j->ok = s == MF_OK;
}

static void
start(struct mf_oidc_files *f, struct mf_crew *c)
{
	if (f->running != NULL || f->next == NULL || mf_now().mono_ms < f->again_ms)
		return;
	f->running = MF_TAKE(f->next);
	mf_crew_errand(c, run, f->running);
}

void
mf_oidc_files_write(
    struct mf_oidc_files *f, struct mf_crew *c, const struct mf_oidc_set *set, struct mf_jws_key *x5c)
{
	if (f->dirfd < 0) {
		mf_jws_key_free(x5c);
		f->written(f->ctx, set->number);
		return;
	}
	struct job *j = calloc(1, sizeof(*j));
	if (j == NULL)
		abort(); /* a set that is lost would never be published: start over instead */
	j->files = f;
	mf_oidc_docs_init(&j->docs);
	j->x5c = x5c;
	mf_buf_init(&j->jwks, MF_LIM_OIDC_DOCUMENT);
	mf_buf_put_slice(&j->jwks, set->jwks);
	if (mf_buf_check(&j->jwks, NULL) != MF_OK)
		abort();
	(void)snprintf(j->x5c_kid, sizeof(j->x5c_kid), "%s", set->x5c);
	j->set = *set;
	j->set.jwks = mf_buf_slice(&j->jwks);
	j->set.x5c = j->x5c_kid;
	job_free(f->next);
	f->next = j;
	f->again_ms = 0;
	start(f, c);
}

bool
mf_oidc_files_done(struct mf_oidc_files *f, struct mf_crew *c, void *arg)
{
	struct job *j = arg;
	if (j == NULL || j != f->running)
		return false;
	f->running = NULL;
	if (j->ok) {
		MF_LOG(MF_LOG_INFO, "oidc.written", "OIDC documents written", mf_ju("number", j->set.number),
		    mf_ju("revision", j->set.revision), mf_js("x5c", j->x5c_kid));
		f->written(f->ctx, j->set.number);
		job_free(f->last);
		f->last = j;
	} else {
		mf_jlog_err(MF_LOG_ERROR, "oidc.not_written",
		    "the OIDC documents could not be written: no key of theirs is activated until they are",
		    &j->err);
		f->again_ms = mf_now().mono_ms + AGAIN_MS;
		if (f->next == NULL)
			f->next = j;
		else
			job_free(j);
	}
	start(f, c);
	return true;
}

void
mf_oidc_files_turn(struct mf_oidc_files *f, struct mf_crew *c)
{
	start(f, c);
}

const struct mf_oidc_docs *
mf_oidc_files_last(const struct mf_oidc_files *f)
{
	return f->last == NULL ? NULL : &f->last->docs;
}
