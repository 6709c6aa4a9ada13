# The library, its public headers, a CMake package, a pkg-config file and the command.
include(CMakePackageConfigHelpers)
set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/tidemark")

# Static linking needs the libraries that the shared library brings along by itself.
if(BUILD_SHARED_LIBS)
  set(TIDEMARK_STATIC OFF)
else()
  set(TIDEMARK_STATIC ON)
endif()

install(TARGETS tidemark EXPORT tidemark)
install(EXPORT tidemark FILE tidemarkTargets.cmake NAMESPACE tidemark:: DESTINATION ${package_dir})
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/tidemark" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        OPTIONAL FILES_MATCHING PATTERN "*.h")
configure_package_config_file(cmake/tidemarkConfig.cmake.in tidemarkConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(tidemarkConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/tidemarkConfig.cmake"
              "${CMAKE_CURRENT_BINARY_DIR}/tidemarkConfigVersion.cmake" DESTINATION ${package_dir})

# The prefix is found from the file's own place: an installed tree can be moved.
file(RELATIVE_PATH pc_prefix "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
string(REGEX REPLACE "/$" "" pc_prefix "${pc_prefix}")
configure_file(cmake/tidemark.pc.in tidemark.pc @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/tidemark.pc"
        DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

if(TARGET tidemark_cli)
  install(TARGETS tidemark_cli)
endif()
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" "${PROJECT_SOURCE_DIR}/README.md"
        DESTINATION ${CMAKE_INSTALL_DOCDIR} OPTIONAL)
