# SPDX-License-Identifier: Apache-2.0
# XNNPACK from source, with the pthreadpool and cpuinfo that its own build brings: targets XNNPACK,
# pthreadpool, cpuinfo. FETCHCONTENT_SOURCE_DIR_XNNPACK, PTHREADPOOL_SOURCE_DIR, FXDIV_SOURCE_DIR and
# CPUINFO_SOURCE_DIR name folders to take instead of the network. Its build scripts need Python.
include(FetchContent)

# A function, so that what is set for these builds is not set for ours.
function(firn_fetch_xnnpack)
  foreach(option XNNPACK_BUILD_TESTS XNNPACK_BUILD_BENCHMARKS XNNPACK_BUILD_ALL_MICROKERNELS)
    set(${option} OFF)
  endforeach()
  # Only the float operators are used; g++ 12 crashes on this one.
  option(XNNPACK_ENABLE_KLEIDIAI "Arm's KleidiAI in XNNPACK" OFF)
  foreach(package XNNPACK PTHREADPOOL CPUINFO)
    set(${package}_LIBRARY_TYPE static CACHE STRING "static: it becomes part of firn")
  endforeach()
  set(CMAKE_C_VISIBILITY_PRESET hidden)
  set(CMAKE_EXPORT_COMPILE_COMMANDS OFF)
  FetchContent_Declare(XNNPACK
    GIT_REPOSITORY https://github.com/google/XNNPACK.git
    GIT_TAG 75db3c093b6d74fe90b8df82670cd8a01102ba38  # 2026-08-21
    GIT_SHALLOW OFF)
  FetchContent_MakeAvailable(XNNPACK)
endfunction()
