#include "agent/front/sender.h"

#include <fcntl.h>
#include <unistd.h>

#include "os/pidfd.h"

static uint64_t
pidfs_inode(int pidfd)
{
	uint64_t inode = 0;
	return pidfd >= 0 && mf_pidfd_inode(pidfd, &inode, NULL) == MF_OK ? inode : 0;
}

void
mf_sender_look(const struct mf_net_sender *s, struct mf_sender *ret_s)
{
	*ret_s = (struct mf_sender) {
		.pid = s->pid, .uid = s->uid, .inode = pidfs_inode(s->pidfd), .pidfd = s->pidfd
	};
}

bool
mf_sender_keep(const struct mf_sender *look, struct mf_sender *ret_s)
{
	int fd = -1;
	if (look->pidfd >= 0 && (fd = fcntl(look->pidfd, F_DUPFD_CLOEXEC, 3)) < 0)
		return false;
	*ret_s = *look;
	ret_s->pidfd = fd;
	return true;
}

void
mf_sender_fini(struct mf_sender *s)
{
	if (s->pidfd >= 0)
		(void)close(s->pidfd);
	*s = (struct mf_sender)MF_SENDER_NONE;
}

/* Its process has not been reaped: the number is still its own. */
static bool
alive(int pidfd)
{
	return pidfd < 0 || mf_pidfd_alive(pidfd);
}

bool
mf_sender_same(const struct mf_sender *a, const struct mf_sender *b)
{
	if (a->inode != 0 && b->inode != 0)
		return a->inode == b->inode;
	return a->pid > 0 && a->pid == b->pid && a->uid == b->uid && alive(a->pidfd) && alive(b->pidfd);
}
