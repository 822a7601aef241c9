# SPDX-License-Identifier: Apache-2.0
# Toolchain file for 64-bit and 32-bit Arm on Linux, with Debian's cross compilers. cmake/test_arm.sh
# uses it. FIRN_ARM_TRIPLET: aarch64-linux-gnu or arm-linux-gnueabihf; FIRN_ARM_SYSROOT: a folder
# with the target's libraries; FIRN_ARM_CPU: what qemu runs tests as.
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES FIRN_ARM_TRIPLET FIRN_ARM_SYSROOT FIRN_ARM_CPU)
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_C_COMPILER ${FIRN_ARM_TRIPLET}-gcc)
set(CMAKE_CXX_COMPILER ${FIRN_ARM_TRIPLET}-g++)
set(CMAKE_LIBRARY_ARCHITECTURE ${FIRN_ARM_TRIPLET})
if(FIRN_ARM_TRIPLET MATCHES aarch64)
  set(CMAKE_SYSTEM_PROCESSOR aarch64)
  set(firn_qemu qemu-aarch64)
else()
  set(CMAKE_SYSTEM_PROCESSOR arm)
  set(CMAKE_CXX_FLAGS_INIT "-march=armv7-a -mfpu=neon")
  set(CMAKE_C_FLAGS_INIT "-march=armv7-a -mfpu=neon")
  set(firn_qemu qemu-arm)
endif()
set(CMAKE_FIND_ROOT_PATH ${FIRN_ARM_SYSROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(firn_libraries ${FIRN_ARM_SYSROOT}/usr/lib/${FIRN_ARM_TRIPLET})
set(CMAKE_EXE_LINKER_FLAGS_INIT "-Wl,-rpath-link,${firn_libraries}")
set(CMAKE_CROSSCOMPILING_EMULATOR
    ${firn_qemu} -cpu ${FIRN_ARM_CPU} -L /usr/${FIRN_ARM_TRIPLET}
    -E LD_LIBRARY_PATH=${firn_libraries}:/usr/${FIRN_ARM_TRIPLET}/lib)
