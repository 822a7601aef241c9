# SPDX-License-Identifier: Apache-2.0
# The packages firn stands on, each as one target. Those that the libraries link are imported ones,
# firn::<package>; firnConfig.cmake makes the same targets for users of the installed libraries.
option(FIRN_FETCH_XNNPACK "build XNNPACK from source also where the system has it" OFF)

# firn_system_library(TARGET HEADER LIBRARIES...): a package that ships no CMake config.
function(firn_system_library target header)
  string(MAKE_C_IDENTIFIER ${target} variable)
  find_path(${variable}_INCLUDE ${header})
  if(NOT ${variable}_INCLUDE)
    message(FATAL_ERROR "${header} not found: run sh cmake/install.sh, or install its package")
  endif()
  add_library(${target} INTERFACE IMPORTED GLOBAL)
  target_include_directories(${target} SYSTEM INTERFACE ${${variable}_INCLUDE})
  foreach(name ${ARGN})
    find_library(${variable}_${name} ${name} REQUIRED)
    target_link_libraries(${target} INTERFACE ${${variable}_${name}})
  endforeach()
endfunction()

find_path(FIRN_XNNPACK_HEADER xnnpack.h)
if(FIRN_FETCH_XNNPACK OR NOT FIRN_XNNPACK_HEADER)
  include(${CMAKE_CURRENT_LIST_DIR}/fetch_xnnpack.cmake)
  firn_fetch_xnnpack()
  foreach(target XNNPACK pthreadpool cpuinfo)
    string(TOLOWER ${target} name)
    add_library(firn::${name} INTERFACE IMPORTED GLOBAL)
    target_link_libraries(firn::${name} INTERFACE ${target})
  endforeach()
else()
  firn_system_library(firn::cpuinfo cpuinfo.h cpuinfo)
  firn_system_library(firn::pthreadpool pthreadpool.h pthreadpool)
  firn_system_library(firn::xnnpack xnnpack.h XNNPACK)
endif()
target_link_libraries(firn::xnnpack INTERFACE firn::pthreadpool)
firn_system_library(firn_protozero protozero/pbf_reader.hpp)
firn_system_library(firn_flatbuffers flatbuffers/flatbuffers.h)
find_program(FIRN_FLATC flatc REQUIRED)
find_package(Threads REQUIRED)

# Generates SCHEMA's header into the build tree and lets TARGET include it as "firn_generated.h".
function(firn_flatbuffers_header target schema)
  get_filename_component(stem ${schema} NAME_WE)
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/generated)
  set(header ${folder}/${stem}_generated.h)
  add_custom_command(
    OUTPUT ${header}
    COMMAND ${FIRN_FLATC} --cpp --scoped-enums -o ${folder} ${PROJECT_SOURCE_DIR}/${schema}
    DEPENDS ${PROJECT_SOURCE_DIR}/${schema})
  target_sources(${target} PRIVATE ${header})
  target_include_directories(${target} SYSTEM PRIVATE ${folder})
endfunction()
