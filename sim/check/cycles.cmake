# wagesim::cycles: the independent cycle model. Knows programs and settings, not the machine.
add_library(wagesim_cycles STATIC ${CMAKE_CURRENT_LIST_DIR}/check/cycle_recurrence.cpp)
add_library(wagesim::cycles ALIAS wagesim_cycles)
target_include_directories(wagesim_cycles PUBLIC ${CMAKE_CURRENT_LIST_DIR})
target_link_libraries(wagesim_cycles PUBLIC wagesim::format PRIVATE wagesim_warnings)
