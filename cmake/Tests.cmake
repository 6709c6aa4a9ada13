#   tests/<folder>/*_test.cc    one executable, test_<folder> (with the folder's other sources)
#   tests/support/*.cc          tidemark_test_support, linked to all of them
#   tests/sim/                  the simulated disk: its sources other than *_test.cc are
#                               tidemark_test_sim, linked to what tests storage/ or above
#   tests/power/                the disk whose power can be cut: its sources other than *_test.cc are
#                               tidemark_test_power, linked to prog_power_disk (where fuse3 is found)
#   tests/programs/*.cc         one helper executable each, prog_<name>
#   tests/scripts/*_test.sh     one ctest test each, script.<name>
#   tests/fuzz/*_fuzz.cc        one libFuzzer executable each, <name>_fuzz (TIDEMARK_FUZZ)
#
# Tests find the build folder in the environment (TIDEMARK_BUILD; TIDEMARK_BIN is the command).
# The label "io" marks those whose result may depend on the I/O backend.
find_package(GTest REQUIRED)
find_package(rapidcheck REQUIRED)
pkg_check_modules(LIBMOSQUITTO REQUIRED IMPORTED_TARGET libmosquitto)
set(test_libs GTest::gmock GTest::gtest rapidcheck PkgConfig::LIBMOSQUITTO)
set(test_root "${PROJECT_SOURCE_DIR}/tests")

# Object files of a library that tests share, or only its dependencies when it has no source.
function(tidemark_test_library target)
  if(ARGN)
    add_library(${target} STATIC ${ARGN})
    tidemark_setup(${target})
    target_link_libraries(${target} PUBLIC ${test_libs} ${tidemark_core_libs})
  else()
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE ${test_libs} ${tidemark_core_libs})
  endif()
endfunction()

file(GLOB support_sources CONFIGURE_DEPENDS "${test_root}/support/*.cc")
tidemark_test_library(tidemark_test_support ${support_sources})
file(GLOB sim_sources CONFIGURE_DEPENDS "${test_root}/sim/*.cc")
list(FILTER sim_sources EXCLUDE REGEX "_test\\.cc$")
tidemark_test_library(tidemark_test_sim ${sim_sources})
file(GLOB power_sources CONFIGURE_DEPENDS "${test_root}/power/*.cc")
list(FILTER power_sources EXCLUDE REGEX "(_test|/power_mount)\\.cc$")
tidemark_test_library(tidemark_test_power ${power_sources})

if(TIDEMARK_FUZZ)
  file(GLOB fuzzers CONFIGURE_DEPENDS "${test_root}/fuzz/*_fuzz.cc")
  foreach(source IN LISTS fuzzers)
    get_filename_component(name "${source}" NAME_WE)
    add_executable(${name} "${source}")
    tidemark_setup(${name})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    target_link_libraries(${name} PRIVATE tidemark_test_sim tidemark_test_support
                                          ${tidemark_upper_libs} tidemark
                                          ${tidemark_core_libs})
  endforeach()
endif()
if(NOT TIDEMARK_TESTS)
  return()
endif()

enable_testing()
include(GoogleTest)
set(test_environment "TIDEMARK_BUILD=${PROJECT_BINARY_DIR}")

file(GLOB programs CONFIGURE_DEPENDS "${test_root}/programs/*.cc")
pkg_check_modules(FUSE3 IMPORTED_TARGET fuse3)
if(NOT FUSE3_FOUND)
  message(STATUS "fuse3 is missing: no prog_power_disk, and no tests that cut the power")
  list(FILTER programs EXCLUDE REGEX "/power_disk\\.cc$")
endif()
set(program_targets "")
foreach(source IN LISTS programs)
  get_filename_component(name "${source}" NAME_WE)
  add_executable(prog_${name} "${source}")
  tidemark_setup(prog_${name})
  target_link_libraries(prog_${name} PRIVATE tidemark_test_sim tidemark_test_support
                                             ${tidemark_upper_libs} tidemark
                                             ${tidemark_core_libs})
  list(APPEND program_targets prog_${name})
endforeach()
if(TARGET prog_power_disk)
  target_sources(prog_power_disk PRIVATE "${test_root}/power/power_mount.cc")
  target_link_libraries(prog_power_disk PRIVATE tidemark_test_power PkgConfig::FUSE3)
endif()

file(GLOB test_sources CONFIGURE_DEPENDS "${test_root}/*/*_test.cc")
set(test_folders "")
foreach(source IN LISTS test_sources)
  get_filename_component(folder "${source}" DIRECTORY)
  get_filename_component(folder "${folder}" NAME)
  list(APPEND test_folders ${folder})
endforeach()
list(REMOVE_DUPLICATES test_folders)
list(REMOVE_ITEM test_folders fuzz support programs scripts)

foreach(folder IN LISTS test_folders)
  if(folder STREQUAL "tools" AND NOT TIDEMARK_TOOLS)
    continue()
  endif()
  if(folder MATCHES "^(sim|power)$")
    file(GLOB sources CONFIGURE_DEPENDS "${test_root}/${folder}/*_test.cc")
  else()
    file(GLOB sources CONFIGURE_DEPENDS "${test_root}/${folder}/*.cc")
  endif()
  set(target test_${folder})
  add_executable(${target} ${sources})
  tidemark_setup(${target})

  # The tests of a low layer link that layer and what it may include, nothing above.
  set(label io)
  if(folder STREQUAL "base")
    set(label pure)
    set(libs tidemark_test_support tidemark_objects_base)
  elseif(folder MATCHES "^(record|index)$")
    set(label pure)
    set(libs tidemark_test_support tidemark_objects_${folder} tidemark_objects_base)
  elseif(folder STREQUAL "io")
    set(libs tidemark_test_support tidemark_objects_io tidemark_objects_base)
  else()
    set(libs tidemark_test_power tidemark_test_sim tidemark_test_support)
    if(folder STREQUAL "tools")
      list(APPEND libs tidemark_tools)
    elseif(folder MATCHES "^(sim|power)$")
      set(label pure)  # their disks are simulated, in one thread
    endif()
    list(APPEND libs ${tidemark_upper_libs} tidemark ${tidemark_core_libs})
    if(program_targets)
      add_dependencies(${target} ${program_targets})
    endif()
  endif()
  if(folder STREQUAL "tools" AND TARGET tidemark_cli)
    add_dependencies(${target} tidemark_cli)
  endif()
  target_link_libraries(${target} PRIVATE ${libs} GTest::gmock_main ${test_libs})
  gtest_discover_tests(
    ${target}
    TEST_PREFIX "${folder}."
    DISCOVERY_MODE PRE_TEST
    DISCOVERY_TIMEOUT 120
    PROPERTIES LABELS ${label} ENVIRONMENT "${test_environment}")
endforeach()

file(GLOB scripts CONFIGURE_DEPENDS "${test_root}/scripts/*_test.sh")
foreach(script IN LISTS scripts)
  get_filename_component(name "${script}" NAME_WE)
  string(REGEX REPLACE "_test$" "" name "${name}")
  add_test(NAME script.${name} COMMAND bash "${script}")
  # That the comparisons run, and that a stranger's program is built, has to be seen once.
  set(label io)
  if(name MATCHES "^(bench_peers|embed_example)$")
    set(label once)
  endif()
  # The longest tests are among these, so they begin first.
  set_tests_properties(
    script.${name}
    PROPERTIES LABELS ${label}
               COST 1000
               SKIP_RETURN_CODE 77
               WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
               ENVIRONMENT "${test_environment};TIDEMARK_BIN=${PROJECT_BINARY_DIR}/tidemark")
endforeach()
