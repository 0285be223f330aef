/*
 * grade: how strong the evidence about a caller is. The words stand in records and policies: they stay.
 */
#ifndef MF_AGENT_CORE_GRADE_H
#define MF_AGENT_CORE_GRADE_H
#include "base/slice.h"

/* Weakest first. */
enum mf_grade {
	MF_GRADE_NONE = 0,
	MF_GRADE_LEGACY, /* "legacy": no SO_PEERPIDFD; a number that was checked as well as can be */
	MF_GRADE_TREE,	 /* "tree": below a subreaper, by the chain of parents */
	MF_GRADE_PIDFD,	 /* "pidfd": this very process, children not covered */
	MF_GRADE_CGROUP_DELEGATED, /* "pidfd+cgroup-delegated": own cgroup, which others than root may fill */
	MF_GRADE_CGROUP,	   /* "pidfd+cgroup": own cgroup that only root may fill */
	MF_GRADE_COUNT
};
const char *mf_grade_name(enum mf_grade g);	      /* never NULL; "none" for what is not known */
enum mf_grade mf_grade_by_name(struct mf_slice name); /* MF_GRADE_NONE for an unknown word */
#endif
