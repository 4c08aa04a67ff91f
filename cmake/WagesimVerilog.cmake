# Designs as Verilator compiles them. WAGESIM_VERILATOR is false where it is missing.
find_program(WAGESIM_VERILATOR verilator)
find_path(WAGESIM_VERILATOR_INCLUDE verilated.cpp PATHS /usr/share/verilator/include)
if(NOT WAGESIM_VERILATOR_INCLUDE)
  set(WAGESIM_VERILATOR OFF)
endif()
set(WAGESIM_BUNDLE_VERILATED ${CMAKE_CURRENT_LIST_DIR}/bundle_verilated.cmake)
set(WAGESIM_VERILOG_DIR ${PROJECT_SOURCE_DIR}/rtl_model/verilog)
file(GLOB WAGESIM_VERILOG_FILES CONFIGURE_DEPENDS
  ${WAGESIM_VERILOG_DIR}/*.sv ${WAGESIM_VERILOG_DIR}/*.vlt)

# Verilator's own run-time library; nothing that isn't used is linked.
function(wagesim_verilated_runtime target)
  list(TRANSFORM ARGN PREPEND ${WAGESIM_VERILATOR_INCLUDE}/ OUTPUT_VARIABLE sources)
  add_library(${target} STATIC EXCLUDE_FROM_ALL ${sources})
  target_include_directories(${target} SYSTEM PUBLIC
    ${WAGESIM_VERILATOR_INCLUDE} ${WAGESIM_VERILATOR_INCLUDE}/vltstd)
  target_compile_options(${target} PRIVATE -w)
endfunction()

# wagesim_verilate(<target> TOP <module> RUNTIME <library> SOURCES ... [ARGUMENTS ...] [OPTIONS ...]):
# a static library with class V<module>. ARGUMENTS: of verilator; OPTIONS: of the C++ compiler.
function(wagesim_verilate target)
  cmake_parse_arguments(ARG "" "TOP;RUNTIME" "SOURCES;ARGUMENTS;OPTIONS" ${ARGN})
  set(directory ${CMAKE_CURRENT_BINARY_DIR}/${target})
  add_custom_command(OUTPUT ${directory}/fast.cpp ${directory}/slow.cpp
    COMMAND ${CMAKE_COMMAND} -E rm -rf ${directory}
    COMMAND ${WAGESIM_VERILATOR} --cc --Mdir ${directory} --prefix V${ARG_TOP}
      --top-module ${ARG_TOP} ${ARG_ARGUMENTS} ${WAGESIM_VERILOG_DIR}/verilator.vlt ${ARG_SOURCES}
      -y ${WAGESIM_VERILOG_DIR}
    COMMAND ${CMAKE_COMMAND} -DDIRECTORY=${directory} -P ${WAGESIM_BUNDLE_VERILATED}
    DEPENDS ${ARG_SOURCES} ${WAGESIM_VERILOG_FILES} ${WAGESIM_BUNDLE_VERILATED}
    COMMENT "Verilating ${target}"
    VERBATIM)
  add_library(${target} STATIC EXCLUDE_FROM_ALL ${directory}/fast.cpp ${directory}/slow.cpp)
  target_include_directories(${target} SYSTEM PUBLIC ${directory})
  target_link_libraries(${target} PUBLIC ${ARG_RUNTIME})
  target_compile_options(${target} PRIVATE -w -fno-sanitize=all)
  set_source_files_properties(${directory}/fast.cpp PROPERTIES COMPILE_OPTIONS "${ARG_OPTIONS}")
  # Runs once: not worth the compiler's time.
  set_source_files_properties(${directory}/slow.cpp PROPERTIES COMPILE_OPTIONS -O0)
endfunction()
