#include "broker/oidc.h"

#include <fcntl.h>
#include <unistd.h>

#include "broker/sources.h"
#include "codec/issuer.h"
#include "log/published.h"
#include "os/listen.h"
#include "os/notify.h"
#include "os/secure_file.h"

bool
mf_broker_publishes(const struct mf_broker_conf *conf)
{
	return conf->oidc.listen[0] != '\0';
}

static enum mf_status
give(struct mf_supervisor *sup, const char *name, int fd, struct mf_err *err)
{
	enum mf_status s = mf_supervisor_give(sup, MF_BROKER_PUBLISHER, name, fd, err);
	if (s != MF_OK)
		(void)close(fd);
	return s;
}

static enum mf_status
give_publisher(const struct mf_broker_conf *conf, struct mf_supervisor *sup, int state_fd, struct mf_err *err)
{
	int fd = mf_notify_listen_fd("oidc");
	if (fd < 0)
		MF_TRY(mf_listen_tcp(conf->oidc.listen, &fd, err));
	MF_TRY(give(sup, "oidc", fd, err));
	MF_TRY(mf_file_open(state_fd, MF_PUBLISHED_DIR, O_RDONLY | O_DIRECTORY, 0, &fd, err));
	MF_TRY(give(sup, "public", fd, err));
	MF_TRY(mf_supervisor_opt(
	    sup, MF_BROKER_PUBLISHER, "issuer_path", mf_issuer_path(conf->oidc.issuer), err));
	return mf_supervisor_opt(
	    sup, MF_BROKER_PUBLISHER, "x5c_path", mf_issuer_path(conf->oidc.x5c_issuer), err);
}

/* Somebody else serves the documents, and there is a cloud that reads them there. */
static bool
is_copied(const struct mf_broker_conf *conf)
{
	const struct mf_cloud_conf_target *t = conf->cloud_targets.v;
	for (size_t i = 0; i < conf->cloud_targets.n; i++)
		if (conf->oidc.public == MF_CLOUD_CONF_ELSEWHERE &&
		    (t[i].issuer[0] == '\0' || strcmp(t[i].issuer, conf->oidc.issuer) == 0))
			return true;
	return false;
}

enum mf_status
mf_broker_oidc(const struct mf_broker_conf *conf, struct mf_supervisor *sup, int state_fd, struct mf_err *err)
{
	if (conf->oidc.issuer[0] == '\0')
		return MF_OK;
	MF_TRY(mf_supervisor_opt(sup, "notary", "oidc_issuer", conf->oidc.issuer, err));
	MF_TRY(mf_supervisor_opt(sup, "notary", "oidc_x5c_issuer", conf->oidc.x5c_issuer, err));
	if (is_copied(conf))
		MF_TRY(mf_supervisor_opt(sup, "notary", "oidc_watch", "1", err));
	return mf_broker_publishes(conf) ? give_publisher(conf, sup, state_fd, err) : MF_OK;
}

enum mf_status
mf_broker_oidc_files(const struct mf_broker_conf *conf, struct mf_supervisor *sup, struct mf_err *err)
{
	int fd = -1;
	if (!mf_broker_publishes(conf) || conf->oidc.certificate[0] == '\0')
		return MF_OK;
	/* The key last: the publisher looks at both when it comes. */
	MF_TRY(mf_broker_open_file(conf->oidc.certificate, MF_FILE_NO_WRITERS, &fd, err));
	MF_TRY(give(sup, "oidc_cert", fd, err));
	MF_TRY(mf_broker_open_file(conf->oidc.key, MF_FILE_PRIVATE, &fd, err));
	return give(sup, "oidc_key", fd, err);
}
