# SPDX-License-Identifier: Apache-2.0
# What cmake --install puts where: headers, libraries, the tool, and firnConfig.cmake, so that
# find_package(firn) and firn::firn work for others.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(firn_config_folder ${CMAKE_INSTALL_LIBDIR}/cmake/firn)

if(BUILD_SHARED_LIBS)
  set(firn_installed firn)
else()
  set(firn_installed firn firn_static ${firn_parts})
endif()
install(TARGETS ${firn_installed} EXPORT firnTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/firn DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.h")
if(FIRN_BUILD_TOOL)
  file(RELATIVE_PATH up /${CMAKE_INSTALL_BINDIR} /${CMAKE_INSTALL_LIBDIR})
  set_target_properties(firn_tool PROPERTIES INSTALL_RPATH $ORIGIN/${up})
  install(TARGETS firn_tool RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

install(EXPORT firnTargets NAMESPACE firn:: DESTINATION ${firn_config_folder})
configure_package_config_file(
  ${PROJECT_SOURCE_DIR}/cmake/firnConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/firnConfig.cmake
  INSTALL_DESTINATION ${firn_config_folder} PATH_VARS CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/firnConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/firnConfig.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/firnConfigVersion.cmake
        DESTINATION ${firn_config_folder})
