/*
 * doctor: checks of this machine, and with --profile of the way of that profile's cloud tokens. Each finding has a code that
 * stays, a level, a cause and, unless it is fine, a cure.
 */
#ifndef MF_CLI_DOCTOR_H
#define MF_CLI_DOCTOR_H
#include "cli/cli.h"

enum mf_level { MF_LEVEL_OK, MF_LEVEL_WARN, MF_LEVEL_FAIL };

struct mf_finding {
	char code[96]; /* "kernel.version": stable */
	const char *level_name;
	enum mf_level level;
	char cause[512];
	char cure[512]; /* "" when there is nothing to do */
	char side
	    [16]; /* whose it is to mend: a word of CloudFinding.side (proto/admin.proto); "": this machine's */
};

#define MF_FINDINGS_MAX 256u
struct mf_findings {
	struct mf_finding v[MF_FINDINGS_MAX];
	size_t n;
	enum mf_level worst;
};

void mf_finding_add(struct mf_findings *f, const char *code, enum mf_level level, const char *cure,
    const char *fmt, ...) MF_PRINTF(5, 6);
/* Whose the last one is to mend. */
void mf_finding_side(struct mf_findings *f, const char *side);
/* Lower than the release ${major}.${minor}? ${release} as uname says it: "6.1.0-28-amd64". */
bool mf_kernel_older(const char *release, uint64_t major, uint64_t minor);

void mf_doctor_kernel(struct mf_findings *f);			 /* doctor_kernel.c */
void mf_doctor_cgroup(struct mf_findings *f);			 /* doctor_kernel.c */
void mf_doctor_daemons(struct mf_cli *c, struct mf_findings *f); /* doctor.c */
/* doctor_cloud.c: the broker's side of the cloud tokens of ${profile}, which a test token of each grant walks. */
void mf_doctor_cloud(struct mf_cli *c, const char *profile, struct mf_findings *f);
/* doctor_job.c: the agent's side: may this user, and where we are a job of ${profile}: does its endpoint answer? */
void mf_doctor_job(struct mf_cli *c, const char *profile, struct mf_findings *f);
/*
 * One GET of an http URL at a literal address of this machine, with an Authorization header; nothing of the body is kept. The
 * status; MF_E_UNAVAILABLE: no answer. doctor_get.c.
 */
MF_NODISCARD enum mf_status mf_doctor_get(
    const char *url, struct mf_slice secret, unsigned timeout_ms, unsigned *ret_status, struct mf_err *err);
#endif
