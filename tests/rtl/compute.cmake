# The compute units as plain classes: no SystemC simulation runs in these.
foreach(unit gemm os_gemm drain vector batch_norm training cycles)
  wagesim_add_test(rtl compute_${unit} SYSTEMC SOURCES compute_${unit}_test.cpp
    LIBS wagesim::rtl Boost::headers)
  # g++ 12 sees the inactive member of cpp_int's small-size union as uninitialised, or freed.
  target_compile_options(rtl_compute_${unit}_test PRIVATE
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized;-Wno-free-nonheap-object>)
endforeach()
wagesim_add_test(rtl registers SYSTEMC SOURCES registers_test.cpp LIBS wagesim::rtl)
