# wagesim_warnings: linked PRIVATE by every target of ours.
add_library(wagesim_warnings INTERFACE)
target_compile_options(wagesim_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor
  -Woverloaded-virtual -Wcast-align -Wformat=2
  $<$<BOOL:${WAGESIM_WARNINGS_AS_ERRORS}>:-Werror>)
