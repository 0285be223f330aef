/*
 * doctor: checks of this machine. Each finding has a code that stays, a level, a cause and, unless it is fine, a cure.
 */
#ifndef MF_CLI_DOCTOR_H
#define MF_CLI_DOCTOR_H
#include "cli/cli.h"

enum mf_level { MF_LEVEL_OK, MF_LEVEL_WARN, MF_LEVEL_FAIL };

struct mf_finding {
	const char *code; /* "kernel.version": stable */
	const char *level_name;
	enum mf_level level;
	char cause[256];
	const char *cure; /* "" when there is nothing to do */
};

#define MF_FINDINGS_MAX 40u
struct mf_findings {
	struct mf_finding v[MF_FINDINGS_MAX];
	size_t n;
	enum mf_level worst;
};

/* ${cure}: a literal. */
void mf_finding_add(struct mf_findings *f, const char *code, enum mf_level level, const char *cure,
    const char *fmt, ...) MF_PRINTF(5, 6);
/* Lower than the release ${major}.${minor}? ${release} as uname says it: "6.1.0-28-amd64". */
bool mf_kernel_older(const char *release, uint64_t major, uint64_t minor);

void mf_doctor_kernel(struct mf_findings *f);			 /* doctor_kernel.c */
void mf_doctor_cgroup(struct mf_findings *f);			 /* doctor_kernel.c */
void mf_doctor_daemons(struct mf_cli *c, struct mf_findings *f); /* doctor.c */
#endif
