/* mayfly-policy: see tool.h. */
#include "cli/policy/tool.h"

int
main(int argc, char **argv)
{
	return mf_tool_main(argc, argv);
}
