/* mayfly-audit: see audit.h. */
#include "cli/audit/audit.h"

int
main(int argc, char **argv)
{
	return mf_audit_main(argc, argv);
}
