# SPDX-License-Identifier: Apache-2.0
# Compiler flags of the kernels, from the suffix of the file's name.
set(firn_flags_avx2 -mavx2 -mfma -mno-avx512f)
set(firn_flags_avxvnni -mavx2 -mfma -mavxvnni)
set(firn_flags_avx512vnni
    -mavx2 -mfma -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vbmi -mavx512vnni)
set(firn_flags_amxint8 ${firn_flags_avx512vnni} -mamx-tile -mamx-int8)
set(firn_flags_neon "")
set(firn_flags_neondot -march=armv8.2-a+dotprod)
set(firn_flags_neoni8mm -march=armv8.2-a+dotprod+i8mm)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Scheduling before register allocation keeps more alive than there are registers.
  foreach(isa neon neondot neoni8mm)
    list(APPEND firn_flags_${isa} -fno-schedule-insns)
  endforeach()
  # Accumulators stay where they are from one loop to the next inside it: with regions of their own
  # loops of 24 of them get copies at their edges, and some in each step.
  foreach(isa avx2 avxvnni avx512vnni amxint8)
    list(APPEND firn_flags_${isa} -fira-region=all)
  endforeach()
  # Tuned for no CPU in particular, g++ 12 moves pointers to vectors' registers and back, and spills
  # more where sums become output: 3 to 6 % of short products and of depthwise.
  list(APPEND firn_flags_avx512vnni -mtune=skylake-avx512)
endif()
# Its inner loops take up to a tenth longer where they begin anywhere in a line of the cache (Zen 3).
set(firn_flags_of_gemm_s8_avx2 -falign-loops=64)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(firn_isa_folder x86)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64|arm")
  set(firn_isa_folder arm)
endif()

# The architecture's kernel files, each with its flags.
function(firn_isa_sources out)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/${firn_isa_folder}/*.cpp)
  if(firn_isa_folder STREQUAL "arm" AND CMAKE_SIZEOF_VOID_P EQUAL 4)
    list(FILTER sources INCLUDE REGEX "_neon\\.cpp$")
  endif()
  foreach(source ${sources})
    string(REGEX MATCH "_([a-z0-9]+)\\.cpp$" suffix ${source})
    if(NOT DEFINED firn_flags_${CMAKE_MATCH_1})
      message(FATAL_ERROR "${source}: no flags are known for _${CMAKE_MATCH_1}")
    endif()
    # g++ 12's own intrinsics trip this one (GCC bug 105593).
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
      list(APPEND firn_flags_${CMAKE_MATCH_1} -Wno-maybe-uninitialized -Wno-uninitialized)
    endif()
    get_filename_component(name ${source} NAME_WE)
    set_source_files_properties(${source} PROPERTIES
      COMPILE_OPTIONS "${firn_flags_${CMAKE_MATCH_1}};${firn_flags_of_${name}}"
      SKIP_PRECOMPILE_HEADERS ON)
  endforeach()
  set(${out} ${sources} PARENT_SCOPE)
endfunction()
