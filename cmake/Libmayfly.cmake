# libmayfly.so and libmayfly.a, pkg-config files, install rules. Not in instrumented builds: tests link mf_client.
include(GNUInstallDirs)
file(GLOB _src CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/lib/client/*.c)
set(_map ${CMAKE_SOURCE_DIR}/lib/client/libmayfly.map)
set(_parts mf_codec mf_crypto mf_rpc mf_proto mf_base)
set(_libdir ${CMAKE_BINARY_DIR}/lib)

# Shared: only what the map lists is exported; what is linked in from our other libraries is not.
add_library(libmayfly SHARED ${_src})
set_target_properties(libmayfly PROPERTIES OUTPUT_NAME mayfly VERSION ${PROJECT_VERSION} SOVERSION 0
  C_VISIBILITY_PRESET hidden LIBRARY_OUTPUT_DIRECTORY ${_libdir} LINK_DEPENDS ${_map})
target_include_directories(libmayfly PRIVATE ${CMAKE_SOURCE_DIR}/lib ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/include)
target_link_libraries(libmayfly PRIVATE ${_parts} PkgConfig::LIBSSL PkgConfig::LIBCRYPTO Threads::Threads mf_warnings)
target_link_options(libmayfly PRIVATE -Wl,--exclude-libs,ALL -Wl,--version-script=${_map} -Wl,-z,defs)

# Static: one object of everything, in which every other name is made local: a program may bring its own mf_*.
set(_archives)
foreach(_t ${_parts})
  list(APPEND _archives $<TARGET_FILE:${_t}>)
endforeach()
add_custom_command(OUTPUT ${_libdir}/libmayfly.a VERBATIM DEPENDS mf_client ${_parts}
  COMMAND ${CMAKE_COMMAND} -E make_directory ${_libdir}
  COMMAND ${CMAKE_LINKER} -r -o ${_libdir}/libmayfly.o --whole-archive $<TARGET_FILE:mf_client> --no-whole-archive
    --start-group ${_archives} --end-group
  COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=mayfly_* ${_libdir}/libmayfly.o
  COMMAND ${CMAKE_COMMAND} -E rm -f ${_libdir}/libmayfly.a
  COMMAND ${CMAKE_AR} rcs ${_libdir}/libmayfly.a ${_libdir}/libmayfly.o)
add_custom_target(libmayfly_static ALL DEPENDS ${_libdir}/libmayfly.a)

# The prefix is found from where the file lies, so that a copy under DESTDIR works as it is.
file(RELATIVE_PATH MF_PC_UP /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" MF_PC_UP "${MF_PC_UP}")
foreach(_pc libmayfly libmayfly-openssl)
  configure_file(${CMAKE_SOURCE_DIR}/cmake/${_pc}.pc.in ${_libdir}/pkgconfig/${_pc}.pc @ONLY)
  install(FILES ${_libdir}/pkgconfig/${_pc}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)
endforeach()
install(TARGETS libmayfly LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT lib NAMELINK_COMPONENT dev)
install(FILES ${_libdir}/libmayfly.a DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev)
file(GLOB _headers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/include/mayfly/*.h)
install(FILES ${_headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/mayfly COMPONENT dev)
file(GLOB _man CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/docs/man/*.3)
install(FILES ${_man} DESTINATION ${CMAKE_INSTALL_MANDIR}/man3 COMPONENT dev)
