/*
 * build_id: which build this program is. Generated (cmake/BuildId.cmake), in the library mf_build_id that every
 * program and role links; lib/ itself does not, so that a new commit relinks programs only.
 */
#ifndef MF_OS_BUILD_ID_H
#define MF_OS_BUILD_ID_H

/* "0.1.0+1a2b3c4d5e6f": release, revision, "-dirty" and the kind of an instrumented build. Letters, digits, "+-._". */
const char *mf_build_id(void);
/* "0.1.0" */
const char *mf_build_version(void);
/* The revision of the SPIFFE specifications that we implement. */
#define MF_BUILD_SPIFFE_REVISION "665a28f"
#endif
