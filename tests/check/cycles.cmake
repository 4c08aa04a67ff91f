wagesim_add_test(check cycles
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/cycle_recurrence_test.cpp
  LIBS wagesim::cycles)
