/*
 * defs: what every file needs. Scope-based cleanup, must-use results, counts.
 *
 * MF_AUTO(fn)   the variable is released by fn##_p when its scope ends (see MF_DEFINE_CLEANUP).
 * MF_TAKE(p)    yields p and sets it NULL: ownership leaves the scope.
 */
#ifndef MF_BASE_DEFS_H
#define MF_BASE_DEFS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MF_NODISCARD __attribute__((warn_unused_result))
#define MF_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define MF_AUTO(fn) __attribute__((cleanup(fn##_p)))
#define MF_DEFINE_CLEANUP(type, fn)            \
	static inline void fn##_p(type **mf_p) \
	{                                      \
		fn(*mf_p);                     \
	}
/* For types embedded by value (buffers, descriptors): fn takes the pointer itself. */
#define MF_AUTO_IN(fn) __attribute__((cleanup(fn)))
#define MF_TAKE(p)                            \
	__extension__({                       \
		__typeof__(p) mf_taken = (p); \
		(p) = NULL;                   \
		mf_taken;                     \
	})
#define MF_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MF_CONTAINER_OF(ptr, type, member) ((type *)(void *)(((char *)(ptr)) - offsetof(type, member)))
#define MF_UNUSED(x) ((void)(x))
#endif
