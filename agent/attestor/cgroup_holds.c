/* What lies below a cgroup: a walk with an end. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/attestor/cgroup.h"

#define LEVELS 8u
#define DIRECTORIES 1024u

static bool
below(int dirfd, uint64_t id, unsigned levels, unsigned *left)
{
	int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	bool found = false;
	if (d == NULL) {
		if (copy >= 0)
			(void)close(copy);
		return false;
	}
	for (struct dirent *e = readdir(d); e != NULL && !found && *left > 0; e = readdir(d)) {
		if (e->d_type != DT_DIR || strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		(*left)--;
		found = e->d_ino == id;
		if (found || levels <= 1)
			continue;
		int next = openat(dirfd, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (next < 0)
			continue; /* removed meanwhile */
		found = below(next, id, levels - 1, left);
		(void)close(next);
	}
	(void)closedir(d);
	return found;
}

bool
mf_cgroup_holds(const struct mf_cgroup *c, uint64_t id)
{
	unsigned left = DIRECTORIES;
	if (id == 0 || c->fd < 0)
		return false;
	return c->id == id || below(c->fd, id, LEVELS, &left);
}
