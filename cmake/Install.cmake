# Where the programs go: components cli, broker and agent (lib and dev: cmake/Libmayfly.cmake). The daemons find their
# roles at ../libexec/mayfly from where they lie, so that bin, sbin and libexec must stay side by side. Configuration,
# units and users are the packages' matter: deploy/.
include(GNUInstallDirs)
set(_roles ${CMAKE_INSTALL_LIBEXECDIR}/mayfly)
set(_man ${CMAKE_SOURCE_DIR}/docs/man)
install(TARGETS mayfly DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT cli)
install(TARGETS mayfly-audit mayfly-policy mayfly-remote DESTINATION ${_roles} COMPONENT cli)
install(FILES ${_man}/mayfly.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT cli)
install(FILES ${_man}/mayfly-policy.yaml.5 DESTINATION ${CMAKE_INSTALL_MANDIR}/man5 COMPONENT cli)
install(TARGETS mayfly-broker DESTINATION ${CMAKE_INSTALL_SBINDIR} COMPONENT broker)
install(TARGETS notary broker-front verifier courier publisher DESTINATION ${_roles} COMPONENT broker)
install(TARGETS mayfly-agent DESTINATION ${CMAKE_INSTALL_SBINDIR} COMPONENT agent)
install(TARGETS attestor agent-front resolver DESTINATION ${_roles} COMPONENT agent)
foreach(_daemon broker agent)
  install(FILES ${_man}/mayfly-${_daemon}.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8 COMPONENT ${_daemon})
  install(FILES ${_man}/mayfly-${_daemon}.yaml.5 DESTINATION ${CMAKE_INSTALL_MANDIR}/man5 COMPONENT ${_daemon})
endforeach()
