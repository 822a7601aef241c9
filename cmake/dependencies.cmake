# SPDX-License-Identifier: Apache-2.0
# The packages firn stands on, each as one target firn_<package>.

# firn_system_library(TARGET HEADER LIBRARIES...): a package that ships no CMake config.
function(firn_system_library target header)
  find_path(${target}_INCLUDE ${header})
  if(NOT ${target}_INCLUDE)
    message(FATAL_ERROR "${header} not found: run sh cmake/install.sh, or install its package")
  endif()
  add_library(${target} INTERFACE)
  target_include_directories(${target} SYSTEM INTERFACE $<BUILD_INTERFACE:${${target}_INCLUDE}>)
  foreach(name ${ARGN})
    find_library(${target}_${name} ${name} REQUIRED)
    target_link_libraries(${target} INTERFACE ${${target}_${name}})
  endforeach()
endfunction()

firn_system_library(firn_cpuinfo cpuinfo.h cpuinfo)
firn_system_library(firn_pthreadpool pthreadpool.h pthreadpool)
firn_system_library(firn_xnnpack xnnpack.h XNNPACK)
target_link_libraries(firn_xnnpack INTERFACE firn_pthreadpool)
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
