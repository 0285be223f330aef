#include "agent/core/grade.h"

static const char *const grades[MF_GRADE_COUNT] = {
	[MF_GRADE_NONE] = "none",
	[MF_GRADE_LEGACY] = "legacy",
	[MF_GRADE_TREE] = "tree",
	[MF_GRADE_PIDFD] = "pidfd",
	[MF_GRADE_CGROUP_DELEGATED] = "pidfd+cgroup-delegated",
	[MF_GRADE_CGROUP] = "pidfd+cgroup",
};

const char *
mf_grade_name(enum mf_grade g)
{
	return (unsigned)g < MF_GRADE_COUNT ? grades[g] : grades[MF_GRADE_NONE];
}

enum mf_grade
mf_grade_by_name(struct mf_slice name)
{
	for (unsigned g = 0; g < MF_GRADE_COUNT; g++)
		if (mf_slice_eq_str(name, grades[g]))
			return (enum mf_grade)g;
	return MF_GRADE_NONE;
}
