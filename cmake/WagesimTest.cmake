# wagesim_add_test(<layer> <unit> [SYSTEMC] [SLOW] SOURCES ... LIBS ...): one test program, one CTest
# test per TEST. SLOW: left out of the quick suite (label slow).
find_package(GTest REQUIRED)
include(GoogleTest)

function(wagesim_add_test layer unit)
  cmake_parse_arguments(ARG "SYSTEMC;SLOW" "" "SOURCES;LIBS" ${ARGN})
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
    PROPERTIES LABELS ${layer} TIMEOUT 600)
  if(ARG_SLOW)
    # gtest_discover_tests flattens lists, so a second label comes when CTest has read the tests.
    file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/${target}_labels.cmake
      "set_tests_properties(\${${target}_TESTS} PROPERTIES LABELS \"${layer};slow\")\n")
    set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES
      ${CMAKE_CURRENT_BINARY_DIR}/${target}_labels.cmake)
  endif()
endfunction()
