# wagesim_add_test(<layer> <unit> SOURCES ... LIBS ...): one test program, one CTest test per TEST.
find_package(GTest REQUIRED)
include(GoogleTest)

function(wagesim_add_test layer unit)
  cmake_parse_arguments(ARG "SYSTEMC" "" "SOURCES;LIBS;LABELS" ${ARGN})
  set(target ${layer}_${unit}_test)
  add_executable(${target} ${ARG_SOURCES})
  target_link_libraries(${target} PRIVATE ${ARG_LIBS} wagesim_warnings GTest::gtest)
  if(ARG_SYSTEMC)
    # libsystemc has main and calls sc_main; gtest_main would silently replace it.
    target_link_libraries(${target} PRIVATE wagesim_sc_test_main)
  else()
    target_link_libraries(${target} PRIVATE GTest::gtest_main)
  endif()
  gtest_discover_tests(${target} TEST_PREFIX ${layer}/ DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS "${layer};${ARG_LABELS}" TIMEOUT 600)
endfunction()
