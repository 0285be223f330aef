/* mayfly: the command line for jobs, operators and auditors. */
#include "cli/cli.h"
#include "os/build_id.h"

int
main(int argc, char **argv)
{
	return mf_cli_main(argc, argv, mf_build_version(), mf_build_id(), stdout, stderr);
}
