/*
 * courier: the broker's role that speaks to clouds, and the only one. Its only other socket is the notary's.
 *
 *   descriptor  cloud: a packed CloudConf, with the keys that the courier alone has
 */
#include <fcntl.h>
#include <unistd.h>

#include "base/limits.h"
#include "broker/courier/courier.h"
#include "os/build_id.h"
#include "os/jlog.h"
#include "os/role_confinement.h"
#include "os/role_start.h"
#include "os/secure_file.h"

#define PORTS 64u
#define DNS_PORT 53u
#define HTTPS_PORT 443u

/* Takes ${fd}. */
static enum mf_status
read_targets(int fd, struct mf_targets **ret_t, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_LIM_PB_BYTES);
	if (fd < 0)
		return MF_FAIL(
		    err, MF_E_INVALID, "started without its targets: this is a role of mayfly-broker");
	enum mf_status s = lseek(fd, 0, SEEK_SET) < 0 ? MF_FAIL(err, MF_E_IO, "cloud targets: cannot be read")
						      : mf_file_read_all(fd, &b, err);
	(void)close(fd);
	MF_TRY(s);
	return mf_targets_new(mf_buf_slice(&b), ret_t, err);
}

/* What libc and libssl read: names, and the system's CA certificates. A directory that is not there is not needed. */
static enum mf_status
open_files(struct mf_role *role, struct mf_err *err)
{
	static const struct {
		const char *name, *path;
	} dirs[] = { { "etc", "/etc" }, { "run", "/run" }, { "certs", "/usr/share/ca-certificates" } };
	for (size_t i = 0; i < MF_COUNT(dirs); i++) {
		int fd = open(dirs[i].path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0)
			MF_TRY(mf_role_add_fd(role, dirs[i].name, fd, err));
	}
	return MF_OK;
}

static enum mf_status
confine(struct mf_role *role, const struct mf_targets *t, struct mf_err *err)
{
	uint16_t ports[PORTS] = { DNS_PORT, HTTPS_PORT };
	size_t n = 2 + mf_targets_ports(t, ports + 2, PORTS - 2);
	MF_TRY(open_files(role, err));
	return mf_role_confine_ports(role, &mf_confinement_courier, ports, n, err);
}

/* False: end. */
static bool
control(struct mf_role *role, struct mf_courier *c)
{
	struct mf_err err = { 0 };
	for (;;) {
		struct mf_control_msg m;
		MF_AUTO(mf_targets_unref) struct mf_targets *t = NULL;
		enum mf_status s = mf_role_next(role, &m, &err);
		if (s == MF_E_AGAIN)
			return true;
		if (s != MF_OK || m.type == MF_CONTROL_STOP)
			return false;
		if (m.type == MF_CONTROL_LINK && strcmp(m.text, "notary") == 0) {
			if (mf_courier_connect(c, m.fd, &err) != MF_OK)
				mf_jlog_err(
				    MF_LOG_ERROR, "courier.link", "the link could not be taken", &err);
		} else if (m.type == MF_CONTROL_RELOAD && strcmp(m.text, "cloud") == 0) {
			if (read_targets(m.fd, &t, &err) != MF_OK || mf_courier_reload(c, t, &err) != MF_OK)
				mf_jlog_err(
				    MF_LOG_ERROR, "courier.reload", "the targets in force stay", &err);
			else
				t = NULL;
		} else if (m.fd >= 0) {
			(void)close(m.fd);
		}
	}
}

static int
run(struct mf_role *role, struct mf_http *http, struct mf_courier *c)
{
	struct mf_err err = { 0 };
	for (;;) {
		uint32_t ms = mf_courier_tick(c, mf_now());
		struct mf_http_fd fds[2] = {
			{ .fd = mf_role_control_fd(role), .want_read = true },
			{ .fd = mf_courier_fd(c), .want_read = true, .want_write = mf_courier_wants_write(c) }
		};
		if (mf_http_wait(http, fds, MF_COUNT(fds), ms, &err) != MF_OK) {
			mf_jlog_err(MF_LOG_ERROR, "courier.failed", "the courier ends", &err);
			return MF_ROLE_EXIT_FAILED;
		}
		if (fds[0].readable && !control(role, c))
			return MF_ROLE_EXIT_OK;
		if (fds[1].readable)
			mf_courier_read(c, mf_now());
	}
}

static int
refuse(const char *what, const struct mf_err *err)
{
	mf_jlog_err(MF_LOG_ERROR, "courier.start", what, err);
	return MF_ROLE_EXIT_REFUSED;
}

int
main(int argc, char **argv)
{
	struct mf_err err = { 0 };
	MF_AUTO(mf_role_free) struct mf_role *role = NULL;
	MF_AUTO(mf_http_free) struct mf_http *http = NULL;
	MF_AUTO(mf_courier_free) struct mf_courier *c = NULL;
	MF_AUTO(mf_targets_unref) struct mf_targets *targets = NULL;
	if (mf_role_start(argc, argv, "courier", mf_build_id(), &role, &err) != MF_OK ||
	    read_targets(mf_role_take_fd(role, "cloud"), &targets, &err) != MF_OK ||
	    mf_http_new(&http, &err) != MF_OK)
		return refuse("cannot start", &err);
	if (confine(role, targets, &err) != MF_OK)
		return refuse("cannot be confined", &err);
	if (mf_courier_new(mf_build_id(), http, targets, &c, &err) != MF_OK)
		return refuse("cannot start", &err);
	targets = NULL;
	if (mf_role_ready(role, &err) != MF_OK)
		return MF_ROLE_EXIT_FAILED;
	return run(role, http, c);
}
