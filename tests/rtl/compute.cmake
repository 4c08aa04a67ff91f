# The compute units as plain classes: no SystemC simulation runs in these.
foreach(unit gemm os_gemm drain vector batch_norm training cycles)
  wagesim_add_test(rtl compute_${unit} SYSTEMC SOURCES compute_${unit}_test.cpp
    LIBS wagesim::rtl Boost::headers)
endforeach()
wagesim_add_test(rtl registers SYSTEMC SOURCES registers_test.cpp LIBS wagesim::rtl)
