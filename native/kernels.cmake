# Phase I of the core: its sources, and for the kernels among them the instruction set each is compiled for.
# dispatch.cpp chooses one kernel at run time; it lists the CPU features that the options here stand for.
#
# Defines PARASYNC_KERNEL_SOURCES (absolute paths). Include it from the directory that builds the target:
# CMake keeps the properties of sources per directory.

set(_src ${CMAKE_CURRENT_LIST_DIR}/src)
set(PARASYNC_KERNEL_SOURCES
  ${_src}/blake3.cpp
  ${_src}/blake3_portable.cpp
  ${_src}/crc32c.cpp
  ${_src}/crc32c_portable.cpp
  ${_src}/dispatch.cpp
  ${_src}/fingerprint.cpp
  ${_src}/fingerprint_portable.cpp
  ${_src}/merger.cpp
  ${_src}/scan.cpp
  ${_src}/scan_portable.cpp
  ${_src}/segment.cpp
)

set(_isas)
if(CMAKE_SIZEOF_VOID_P EQUAL 8 AND CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    set(_isas ssse3 avx2 avx2_vpclmul avx512)
    set(_family PARASYNC_X86_KERNELS)
    set(_options_ssse3 -mssse3 -msse4.1 -msse4.2 -mpclmul)
    set(_options_avx2 -mavx2 -mbmi -mpclmul)
    set(_options_avx2_vpclmul -mavx2 -mbmi -mpclmul -mvpclmulqdq)
    set(_options_avx512 -mavx512f -mavx512bw -mavx512cd -mavx512vl -mbmi -mgfni -mpclmul -mvpclmulqdq)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
      # The compiler's own headers set vectors to themselves where their value does not matter, and it complains.
      list(APPEND _options_avx512 -Wno-uninitialized -Wno-maybe-uninitialized)
    endif()
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$" AND CMAKE_SYSTEM_NAME STREQUAL "Linux")
    set(_isas neon)
    set(_family PARASYNC_ARM_KERNELS)
    set(_options_neon -march=armv8-a+crypto)
  endif()
endif()

foreach(_isa IN LISTS _isas)
  foreach(_part blake3 crc32c fingerprint scan)
    set(_file ${_src}/${_part}_${_isa}.cpp)
    if(EXISTS ${_file})  # one kernel may share a part with another
      set_source_files_properties(${_file} PROPERTIES COMPILE_OPTIONS "${_options_${_isa}}")
      list(APPEND PARASYNC_KERNEL_SOURCES ${_file})
    endif()
  endforeach()
endforeach()
if(_isas)
  set_source_files_properties(${PARASYNC_KERNEL_SOURCES} PROPERTIES COMPILE_DEFINITIONS ${_family})
endif()
