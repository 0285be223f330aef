# Warning set of the project; each flag is probed because gcc and clang differ.
include(CheckCCompilerFlag)
add_library(mf_warnings INTERFACE)
set(_warn
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wformat=2 -Wstrict-prototypes
  -Wmissing-prototypes -Wvla -Wcast-qual -Wwrite-strings -Wundef -Wpointer-arith -Wnull-dereference
  -Wimplicit-fallthrough -Wframe-larger-than=16384
  -Wlogical-op -Wduplicated-cond -Wcast-align=strict -Wformat-signedness
  -Wthread-safety -Wconditional-uninitialized -Wunreachable-code)
foreach(_f ${_warn})
  string(MAKE_C_IDENTIFIER "MF_HAS${_f}" _v)
  check_c_compiler_flag("-Werror ${_f}" ${_v})
  if(${_v})
    target_compile_options(mf_warnings INTERFACE ${_f})
  endif()
endforeach()
# Bounded copies cut on purpose: texts for people, never ids (those are checked).
if(CMAKE_C_COMPILER_ID STREQUAL "GNU") # clang does not know the name
  target_compile_options(mf_warnings INTERFACE -Wno-format-truncation)
endif()
# protobuf-c's generated *_INIT macros cast constness away where they are used; gcc sees that they come from a
# system header, clang does not. gcc keeps watch.
if(CMAKE_C_COMPILER_ID MATCHES Clang)
  target_compile_options(mf_warnings INTERFACE -Wno-cast-qual)
endif()
# GNU statement features we use on purpose: cleanup attribute, ##__VA_ARGS__.
check_c_compiler_flag(-Wno-gnu-zero-variadic-macro-arguments MF_HAS_NO_GNU_VA)
if(MF_HAS_NO_GNU_VA AND CMAKE_C_COMPILER_ID MATCHES Clang)
  target_compile_options(mf_warnings INTERFACE -Wno-gnu-zero-variadic-macro-arguments -Wno-gnu-statement-expression)
endif()
# gcc's -Wnull-dereference and -Wduplicated-cond give false findings under sanitizers.
if(MF_SANITIZE AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
  target_compile_options(mf_warnings INTERFACE -Wno-null-dereference -Wno-maybe-uninitialized)
endif()
if(MF_WERROR)
  target_compile_options(mf_warnings INTERFACE -Werror)
endif()
