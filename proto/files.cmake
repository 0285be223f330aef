# cmake -D DIR=D -D "SETS=D/a.proto.set;..." -D OUT=F -P files.cmake: write F, the table of proto/proto_files.h. Each
# set is one FileDescriptorSet with one file in it, as protoc writes it without --include_imports.
set(_arrays "")
set(_table "")
set(_i 0)
foreach(_s ${SETS})
  file(RELATIVE_PATH _name ${DIR} ${_s})
  string(REGEX REPLACE "\\.set$" "" _name ${_name})
  file(READ ${_s} _hex HEX)
  # Tag of the field `file`, and its length: the rest is the FileDescriptorProto.
  string(REGEX MATCH "^0a([89a-f][0-9a-f])*[0-7][0-9a-f]" _head "${_hex}")
  string(LENGTH "${_head}" _n)
  string(SUBSTRING "${_hex}" ${_n} -1 _file)
  if(_n EQUAL 0 OR _file STREQUAL "")
    message(FATAL_ERROR "${_s} is not a FileDescriptorSet of one file")
  endif()
  string(REGEX REPLACE "(..)" "0x\\1," _bytes "${_file}")
  string(APPEND _arrays "static const unsigned char f${_i}[] = { ${_bytes} };\n")
  string(APPEND _table "\t{ \"${_name}\", f${_i}, sizeof(f${_i}) },\n")
  math(EXPR _i "${_i} + 1")
endforeach()
file(WRITE ${OUT} "/* Made by proto/files.cmake. */\n#include \"proto/proto_files.h\"\n${_arrays}"
  "const struct mf_proto_file mf_proto_files[] = {\n${_table}};\nconst size_t mf_proto_files_n = ${_i};\n")
