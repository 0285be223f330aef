#include "agent/attestor/cgroup.h"
#include "agent/attestor/procfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All parsers of kernel files over the same bytes: none may read outside of them. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_slice in = mf_slice(data, size), path;
	struct mf_proc_status status;
	struct mf_proc_stat stat;
	int64_t pid;
	bool populated;
	int sink = 0;
	struct mf_buf point, root;
	sink += mf_procfile_status(in, &status, NULL) == MF_OK;
	sink += mf_procfile_stat(in, &stat, NULL) == MF_OK;
	if (mf_procfile_cgroup(in, &path, NULL) == MF_OK)
		MF_UNUSED(mf_cgroup_path_ok(path));
	sink += mf_procfile_fdinfo_pid(in, &pid, NULL) == MF_OK;
	MF_UNUSED(mf_procfile_map_is_whole(in));
	sink += mf_cgroup_parse_events(in, &populated, NULL) == MF_OK;
	mf_buf_init(&point, MF_CGROUP_PATH_MAX);
	mf_buf_init(&root, MF_CGROUP_PATH_MAX);
	sink += mf_cgroup_find_mount(in, &point, &root, NULL) == MF_OK;
	mf_buf_fini(&point);
	mf_buf_fini(&root);
	MF_UNUSED(sink);
	return 0;
}
