# SPDX-License-Identifier: Apache-2.0
# libfirn as one shared library: the parts' objects, of which the public interface is visible.
add_library(firn SHARED)
foreach(part ${firn_parts})
  target_sources(firn PRIVATE $<TARGET_OBJECTS:${part}>)
endforeach()
target_include_directories(firn PUBLIC
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
target_compile_features(firn PUBLIC cxx_std_20)
target_compile_definitions(firn INTERFACE FIRN_SHARED_LIBRARY)
target_link_libraries(firn PRIVATE
  $<BUILD_INTERFACE:firn::xnnpack> $<BUILD_INTERFACE:firn::pthreadpool>
  $<BUILD_INTERFACE:firn::cpuinfo>)
# Before 1.0 every minor version may change the interface.
set_target_properties(firn PROPERTIES
  VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
  LINKER_LANGUAGE CXX)
if(NOT APPLE)
  # Instances of the standard library's templates are visible by default, and so are archives that
  # were built that way: neither is ours to export. Android's pages have 16 KB.
  set(map ${PROJECT_SOURCE_DIR}/cmake/libfirn.map)
  target_link_options(firn PRIVATE -Wl,--version-script=${map} -Wl,-z,max-page-size=16384)
  set_target_properties(firn PROPERTIES LINK_DEPENDS ${map})
endif()
