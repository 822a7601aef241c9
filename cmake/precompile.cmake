# SPDX-License-Identifier: Apache-2.0
# With FIRN_PRECOMPILE: each target compiles what most of its files include once, not in every file.
# A file that lacks an include compiles then, so that it is for checks beside a build without.
foreach(folder . examples test)
  get_property(targets DIRECTORY ${PROJECT_SOURCE_DIR}/${folder} PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target ${targets})
    get_target_property(type ${target} TYPE)
    if(type MATCHES "^(STATIC_LIBRARY|OBJECT_LIBRARY|EXECUTABLE)$")
      target_precompile_headers(${target} PRIVATE ${PROJECT_SOURCE_DIR}/cmake/precompiled.h)
    endif()
    if(target MATCHES "^test_")
      target_precompile_headers(${target} PRIVATE <doctest/doctest.h>)
    endif()
  endforeach()
endforeach()
if(TARGET firn_tool)
  target_precompile_headers(firn_tool PRIVATE <CLI/CLI.hpp>)
endif()
