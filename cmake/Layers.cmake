# One static library per directory. A library may name only libraries of lower layers: the include
# layering that scripts/lint.sh checks in the sources is thereby also the link order.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(LIBCRYPTO REQUIRED IMPORTED_TARGET libcrypto>=3.0)
pkg_check_modules(LIBSSL REQUIRED IMPORTED_TARGET libssl>=3.0)
pkg_check_modules(NGHTTP2 REQUIRED IMPORTED_TARGET libnghttp2)
pkg_check_modules(PROTOBUFC REQUIRED IMPORTED_TARGET libprotobuf-c)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)
pkg_check_modules(CAPNG REQUIRED IMPORTED_TARGET libcap-ng)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl>=7.77)
pkg_check_modules(EVENT REQUIRED IMPORTED_TARGET libevent)
pkg_check_modules(EVENT_SSL REQUIRED IMPORTED_TARGET libevent_openssl)

# mf_build_id: which build this is, looked at in every build, rewritten when it changed.
set(_build_id ${CMAKE_BINARY_DIR}/generated/build_id.c)
add_custom_target(mf_build_id_now BYPRODUCTS ${_build_id} VERBATIM
  COMMAND ${CMAKE_COMMAND} -DOUT=${_build_id} -DSRC=${CMAKE_SOURCE_DIR} -DVERSION=${PROJECT_VERSION}
    "-DKIND=${MF_SANITIZE}" "-DREVISION=${MF_REVISION}" -P ${CMAKE_SOURCE_DIR}/cmake/BuildId.cmake)
add_library(mf_build_id STATIC ${_build_id})
add_dependencies(mf_build_id mf_build_id_now)
target_include_directories(mf_build_id PUBLIC ${CMAKE_SOURCE_DIR}/lib)

# mf_library(NAME dir DEPS...) : static library mf_NAME of all dir/*.c
function(mf_library name dir)
  file(GLOB _src CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${dir}/*.c)
  if(NOT _src)
    add_library(mf_${name} INTERFACE)
    target_link_libraries(mf_${name} INTERFACE ${ARGN})
    return()
  endif()
  add_library(mf_${name} STATIC ${_src})
  target_include_directories(mf_${name} PUBLIC ${CMAKE_SOURCE_DIR}/lib ${CMAKE_SOURCE_DIR}
    ${CMAKE_SOURCE_DIR}/include)
  target_link_libraries(mf_${name} PUBLIC ${ARGN} PRIVATE mf_warnings)
endfunction()

# Everything of dir but main.c becomes the library NAME_parts, so that tests link what the program runs.
function(mf_executable name dir out)
  file(GLOB _src CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${dir}/*.c)
  set(_main ${_src})
  list(FILTER _main INCLUDE REGEX "/main\\.c$")
  list(FILTER _src EXCLUDE REGEX "/main\\.c$")
  set(_deps ${ARGN})
  if(_src)
    add_library(${name}_parts STATIC ${_src})
    target_include_directories(${name}_parts PUBLIC ${CMAKE_SOURCE_DIR}/lib ${CMAKE_SOURCE_DIR}
      ${CMAKE_SOURCE_DIR}/include)
    target_link_libraries(${name}_parts PUBLIC ${ARGN} PRIVATE mf_warnings)
    set(_deps ${name}_parts ${ARGN})
  endif()
  if(_main)
    add_executable(${name} ${_main})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${out})
    target_link_libraries(${name} PRIVATE ${_deps} mf_build_id mf_warnings)
  endif()
endfunction()

# mf_role(NAME dir DEPS...) : a role executable in libexec
function(mf_role name dir)
  mf_executable(${name} ${dir} ${MF_LIBEXEC} ${ARGN})
endfunction()

# mf_program(NAME dir DEPS...) : a program for people in bin
function(mf_program name dir)
  mf_executable(${name} ${dir} ${CMAKE_BINARY_DIR}/bin ${ARGN})
endfunction()
