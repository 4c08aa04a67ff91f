# Run with cmake -P. MODE sources: no floating-point type or literal outside comments and strings
# in FILES. MODE objects: no floating-point instruction (x86-64, aarch64) in the object FILES.
foreach(file IN LISTS FILES)
  if(MODE STREQUAL "sources")
    file(READ ${file} text)
    string(REGEX REPLACE "\"[^\"\n]*\"" "\"\"" text "${text}")
    string(REGEX REPLACE "//[^\n]*" "" text "${text}")
    string(REGEX MATCH
      "(^|[^A-Za-z0-9_])(float|double|[0-9]+\\.[0-9]*|\\.[0-9]+|[0-9]+[eE][-+]?[0-9]+)([^A-Za-z0-9_]|$)"
      found "${text}")
  else()
    execute_process(COMMAND ${OBJDUMP} -d --no-show-raw-insn ${file}
      OUTPUT_VARIABLE text RESULT_VARIABLE status)
    if(NOT status EQUAL 0 OR text STREQUAL "")
      message(FATAL_ERROR "cannot disassemble ${file}")
    endif()
    set(sse "v?(add|sub|mul|div|sqrt|min|max|addsub|hadd|hsub|round|rcp|rsqrt|dp|u?comi|cmp[a-z]*)(ss|sd|ps|pd)")
    set(convert "v?cvt[a-z0-9]+")
    set(x87 "f(i?ld[a-z0-9]*|i?add[a-z]*|i?sub[a-z]*|i?mul[a-z]*|i?div[a-z]*|sqrt|i?st[a-z]*|u?comi?[a-z]*|madd|msub|cvt[a-z]*|cmp)")
    string(REGEX MATCH "\t(${sse}|${convert}|vf[a-z]+[0-9]+[sp][sd]|${x87}|[su]cvtf)[ \t\n][^\n]*"
      found "${text}")
  endif()
  if(NOT found STREQUAL "")
    string(STRIP "${found}" found)
    message("floating point in ${file}: ${found}")  # unwrapped, unlike an error's text
    set(failed TRUE)
  endif()
endforeach()
list(LENGTH FILES count)
message("${count} files looked at")
if(failed OR count EQUAL 0)
  message(FATAL_ERROR "floating point found, or no files given")
endif()
