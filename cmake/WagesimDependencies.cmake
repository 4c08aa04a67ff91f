# Everything from Debian 12's packages; nothing is downloaded at configure time.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
find_package(Boost 1.74 REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(CLI11 2 REQUIRED)
pkg_check_modules(libzip REQUIRED IMPORTED_TARGET libzip)
find_package(BLAS REQUIRED)

# Highway's headers only: its library is not needed (rtl_model/array/pe_kernels.cpp).
find_path(HIGHWAY_INCLUDE_DIR hwy/highway.h REQUIRED)
add_library(wagesim::highway INTERFACE IMPORTED)
target_include_directories(wagesim::highway SYSTEM INTERFACE ${HIGHWAY_INCLUDE_DIR})

# GTKWave's FST writer, as sources, where Debian's verilator has them.
find_path(WAGESIM_FSTAPI_DIR fstapi.c PATHS /usr/share/verilator/include PATH_SUFFIXES gtkwave)
if(NOT WAGESIM_FSTAPI_DIR)
  message(STATUS "fstapi.c (package verilator) not found: waves can be written as VCD only")
endif()

# SystemC: Debian ships only pkg-config files; upstream's CMake build ships a config package.
# An INTERFACE IMPORTED target, because an ALIAS does not survive into try_compile.
find_package(SystemCLanguage CONFIG QUIET)
if(NOT TARGET SystemC::systemc)
  pkg_check_modules(systemc REQUIRED IMPORTED_TARGET systemc>=2.3.3)
  add_library(SystemC::systemc INTERFACE IMPORTED)
  target_link_libraries(SystemC::systemc INTERFACE PkgConfig::systemc Threads::Threads)
endif()
# SystemC's headers warn under our flags.
get_target_property(systemc_includes SystemC::systemc INTERFACE_INCLUDE_DIRECTORIES)

if(NOT DEFINED WAGESIM_SYSTEMC_LINKS)
  file(WRITE ${CMAKE_BINARY_DIR}/systemc_check.cpp
    "#include <systemc>\nint sc_main(int, char**) { return 0; }\n")
  try_compile(WAGESIM_SYSTEMC_LINKS ${CMAKE_BINARY_DIR}/systemc_check
    SOURCES ${CMAKE_BINARY_DIR}/systemc_check.cpp
    LINK_LIBRARIES SystemC::systemc
    CXX_STANDARD 17 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS OFF
    OUTPUT_VARIABLE systemc_output)
  if(NOT WAGESIM_SYSTEMC_LINKS)
    unset(WAGESIM_SYSTEMC_LINKS CACHE)
    message(FATAL_ERROR "SystemC does not link as C++17. Debian's libsystemc is built as C++17 and "
      "links with no other standard; a SystemC built otherwise must be rebuilt with "
      "-DCMAKE_CXX_STANDARD=17.\n${systemc_output}")
  endif()
endif()
