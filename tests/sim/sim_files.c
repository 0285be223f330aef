/*
 * Small files of a node, in the place of os/secure_file.h: written whole and durable, or not at all. A node's state
 * directory lasts; its run directory ends with the boot.
 */
#include "sim.h"

#include "os/secure_file.h"

#define FIRST_DIR 2000000
#define FIRST_FILE 3000000
#define MANAGER_DIR 4000000

int
sim_files_dir(size_t agent, bool run)
{
	return FIRST_DIR + (int)agent * 2 + run;
}

static struct sim_file *
dir_of(int dirfd)
{
	int i = dirfd - FIRST_DIR;
	if (i < 0 || i >= (int)SIM_AGENTS * 2)
		return NULL;
	struct sim_files *f = sim_agent_files(sim->agents[i / 2]);
	return i % 2 == 0 ? f->state : f->run;
}

static struct sim_file *
find(int dirfd, const char *name)
{
	struct sim_file *d = dir_of(dirfd);
	for (size_t i = 0; d != NULL && i < SIM_FILES; i++)
		if (strcmp(d[i].name, name) == 0)
			return &d[i];
	return NULL;
}

void
sim_files_fini(struct sim_files *f)
{
	sim_files_forget_run(f);
	for (size_t i = 0; i < SIM_FILES; i++)
		mf_buf_fini(&f->state[i].bytes);
}

void
sim_files_forget_run(struct sim_files *f)
{
	for (size_t i = 0; i < SIM_FILES; i++) {
		mf_buf_fini(&f->run[i].bytes);
		f->run[i] = (struct sim_file) { .name = "" };
	}
}

static void
put(struct sim_file *f, const char *name, struct mf_slice content)
{
	if (f->name[0] == '\0')
		mf_buf_init(&f->bytes, 1u << 24);
	(void)snprintf(f->name, sizeof(f->name), "%s", name);
	mf_buf_reset(&f->bytes);
	mf_buf_put_slice(&f->bytes, content);
}

void
sim_files_copy(struct sim_files *to, const struct sim_files *from)
{
	for (size_t i = 0; i < SIM_FILES; i++)
		if (from->state[i].name[0] != '\0')
			put(&to->state[i], from->state[i].name, mf_buf_slice(&from->state[i].bytes));
}

/* ---- os/secure_file.h ---- */

enum mf_status
mf_file_open(int dirfd, const char *name, int flags, mode_t mode, int *ret_fd, struct mf_err *err)
{
	MF_UNUSED(flags);
	MF_UNUSED(mode);
	const struct sim_file *d = dir_of(dirfd), *f = find(dirfd, name);
	if (f == NULL)
		return MF_FAIL(err, MF_E_NOTFOUND, "%s: no such file", name);
	*ret_fd = FIRST_FILE + (dirfd - FIRST_DIR) * (int)SIM_FILES + (int)(f - d);
	return MF_OK;
}

enum mf_status
mf_file_check(int fd, const char *what, uid_t owner, mode_t forbidden, struct mf_err *err)
{
	MF_UNUSED(fd);
	MF_UNUSED(what);
	MF_UNUSED(owner);
	MF_UNUSED(forbidden);
	MF_UNUSED(err);
	return MF_OK;
}

enum mf_status
mf_file_read_all(int fd, struct mf_buf *ret_b, struct mf_err *err)
{
	int i = fd - FIRST_FILE;
	if (fd == SIM_SIGNERS_FD) {
		sim_operators_signers(ret_b);
		return mf_buf_check(ret_b, err);
	}
	const struct sim_file *d = i < 0 ? NULL : dir_of(FIRST_DIR + i / (int)SIM_FILES);
	if (d == NULL)
		return MF_FAIL(err, MF_E_IO, "no such descriptor");
	mf_buf_put_slice(ret_b, mf_buf_slice(&d[i % (int)SIM_FILES].bytes));
	return mf_buf_check(ret_b, err);
}

enum mf_status
mf_file_read(int dirfd, const char *name, struct mf_buf *ret_b, struct mf_err *err)
{
	int fd = -1;
	if (dirfd >= MANAGER_DIR)
		return sim_managers_read((size_t)(dirfd - MANAGER_DIR), name, ret_b)
			   ? mf_buf_check(ret_b, err)
			   : MF_FAIL(err, MF_E_NOTFOUND, "%s: no such file", name);
	MF_TRY(mf_file_open(dirfd, name, 0, 0, &fd, err));
	return mf_file_read_all(fd, ret_b, err);
}

enum mf_status
mf_file_write(int dirfd, const char *name, struct mf_slice content, mode_t mode, struct mf_err *err)
{
	MF_UNUSED(mode);
	struct sim_file *d = dir_of(dirfd), *f = find(dirfd, name);
	for (size_t i = 0; f == NULL && d != NULL && i < SIM_FILES; i++)
		if (d[i].name[0] == '\0')
			f = &d[i];
	if (f == NULL)
		sim_abort("a node has more files than the simulation gives it: %s", name);
	if (sim->agent != NULL && sim_agent_files(sim->agent)->failing)
		return MF_FAIL(err, MF_E_IO, "write %s: no space left", name);
	put(f, name, content);
	return MF_OK;
}

enum mf_status
mf_file_write_of_boot(int dirfd, const char *name, struct mf_slice content, mode_t mode, struct mf_err *err)
{
	return mf_file_write(dirfd, name, content, mode, err);
}

enum mf_status
mf_file_write_new(int dirfd, const char *name, struct mf_slice content, mode_t mode, struct mf_err *err)
{
	if (find(dirfd, name) != NULL)
		return MF_FAIL(err, MF_E_EXISTS, "%s is there", name);
	return mf_file_write(dirfd, name, content, mode, err);
}

enum mf_status
mf_file_remove(int dirfd, const char *name, struct mf_err *err)
{
	MF_UNUSED(err);
	if (dirfd >= MANAGER_DIR) {
		sim_managers_removed((size_t)(dirfd - MANAGER_DIR));
		return MF_OK;
	}
	struct sim_file *f = find(dirfd, name);
	if (f == NULL)
		return MF_OK;
	mf_buf_fini(&f->bytes);
	*f = (struct sim_file) { .name = "" };
	return MF_OK;
}

/* The simulated manager's directory of agent/attestor/sim_manager.c. */
enum mf_status
mf_dir_open_at(int dirfd, const char *name, bool create, uid_t owner, gid_t group, mode_t mode, int *ret_fd,
    struct mf_err *err)
{
	MF_UNUSED(create);
	MF_UNUSED(owner);
	MF_UNUSED(group);
	MF_UNUSED(mode);
	if (!sim->managed)
		return MF_FAIL(err, MF_E_NOTFOUND, "%s: no such directory", name);
	*ret_fd = MANAGER_DIR + (dirfd - FIRST_DIR) / 2;
	return MF_OK;
}
