#!/bin/bash
# The example in README.md is docs/examples/embed.cc, builds against an installed tree by
# find_package(tidemark) and by pkg-config, and does what README.md says.
#
#   TIDEMARK_BUILD=build/release tests/scripts/embed_example_test.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
example=docs/examples/embed.cc

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
  echo "FAILED: $*" >&2
  exit 1
}
quietly() {
  if ! "$@" >"$work/log" 2>&1 </dev/null; then
    cat "$work/log" >&2
    fail "$*"
  fi
}

# The first block of C++ in README.md.
sed -n '/^```cpp$/,/^```$/p' README.md | sed '/^```$/q' | sed '1d;$d' >"$work/from_readme.cc"
diff -u "$example" "$work/from_readme.cc" >&2 || fail "README.md's example is not $example"

prefix=$work/prefix
quietly cmake --install "$TIDEMARK_BUILD" --prefix "$prefix"

# The program needs the sanitizers that the library was built with, and a library built as a shared one
# is found at run time.
cached() { sed -n "s/^$1:[A-Z]*=//p" "$TIDEMARK_BUILD/CMakeCache.txt"; }
compiler=$(cached CMAKE_CXX_COMPILER)
sanitize=$(cached TIDEMARK_SANITIZE)
flags=(-Wall -Wextra -Werror ${sanitize:+-fsanitize=$sanitize})
libraries=$(dirname "$(find "$prefix" -name 'libtidemark.*' -print -quit)")

# run_example PROGRAM: twice on the same folder; the second time the first one's readings are there.
run_example() {
  local folder=$work/readings
  rm -rf "$folder"
  LD_LIBRARY_PATH=$libraries "$1" "$folder" >"$work/first" || fail "$1 ended with $?"
  LD_LIBRARY_PATH=$libraries "$1" "$folder" >"$work/second" || fail "$1 ended with $?, the second time"
  diff - "$work/first" >&2 <<'END' || fail "$1: not what it should print"
durable: offset 0
durable: offset 1
durable: offset 2
kitchen 21.4
kitchen 21.5
kitchen 21.3
END
  diff - "$work/second" >&2 <<'END' || fail "$1: not what it should print the second time"
durable: offset 3
durable: offset 4
durable: offset 5
kitchen 21.4
kitchen 21.5
kitchen 21.3
kitchen 21.4
kitchen 21.5
kitchen 21.3
END
}

mkdir "$work/cmake"
cp "$example" "$work/cmake/embed.cc"
cat >"$work/cmake/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.16)
project(embed CXX)
find_package(tidemark REQUIRED)
add_executable(embed embed.cc)
target_link_libraries(embed tidemark::tidemark)
END
quietly cmake -S "$work/cmake" -B "$work/cmake/build" -DCMAKE_PREFIX_PATH="$prefix" \
  -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_CXX_FLAGS="${flags[*]}"
quietly cmake --build "$work/cmake/build"
run_example "$work/cmake/build/embed"

pc=$(dirname "$(find "$prefix" -name tidemark.pc)")
read -r -a package <<<"$(PKG_CONFIG_PATH=$pc pkg-config --static --cflags --libs tidemark)"
quietly "$compiler" -std=c++20 "${flags[@]}" "$example" -o "$work/embed" "${package[@]}"
run_example "$work/embed"
