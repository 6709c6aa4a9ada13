#!/bin/bash
# Shows that the tests with a real process bite: builds `tidemark` with a deliberate fault
# (tests/sim/mutants/) in a copy of the source, and runs the test that must find it until it does.
#
#   TIDEMARK_BUILD=build/release tests/power/mutants.sh [NAME...]
#
# Without names: those below. ROUNDS (10) is the power cuts of a run, RUNS (5) the runs. Exit 1 when a
# fault is not found.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
work=$root/build/power-mutants

# Which test must find it.
test_of() {
  case $1 in
    acknowledge_failed_commit) echo failed_flush_journal_test.sh ;;
    go_on_after_failed_flush | retry_failed_flush) echo failed_flush_segment_test.sh ;;
    *) echo power_cut_test.sh ;;
  esac
}

find_fault() {
  local name=$1 run out
  patch -s -d "$work/source" -p1 <"tests/sim/mutants/$name.patch"
  local built=yes
  cmake --build "$work/build" --target tidemark_cli -j "$(nproc)" >"$work/log" 2>&1 || built=no
  patch -s -R -d "$work/source" -p1 <"tests/sim/mutants/$name.patch"
  [ $built = yes ] || { cat "$work/log" >&2; return 1; }
  for run in $(seq "${RUNS:-5}"); do
    if ! out=$(TIDEMARK_BIN=$work/build/tidemark ROUNDS=${ROUNDS:-10} "tests/scripts/$(test_of "$name")"); then
      grep -q '^FAILED' <<<"$out" || { echo "$name: $out"; return 1; }
      echo "$name: found in run $run: $(grep -m 1 '^FAILED' <<<"$out" | cut -c 1-160)"
      # What the failed test has kept is of no use.
      grep -o '/[^ ]*/tidemark-[a-z]*\.[^ /]*' <<<"$out" | xargs -r rm -rf
      return 0
    fi
  done
  echo "$name: NOT FOUND"
  return 1
}

names=("$@")
if [ ${#names[@]} -eq 0 ]; then
  names=(commit_not_durable drop_segment_flush skip_folder_flush acknowledge_failed_commit go_on_after_failed_flush)
fi
rm -rf "$work/source"
mkdir -p "$work/source"
cp -a CMakeLists.txt cmake LICENSE base docs include index ingest io record storage tools "$work/source"
cmake -S "$work/source" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DTIDEMARK_TESTS=OFF \
  -DTIDEMARK_BENCH=OFF ${CMAKE_CXX_COMPILER_LAUNCHER:+-DCMAKE_CXX_COMPILER_LAUNCHER="$CMAKE_CXX_COMPILER_LAUNCHER"} \
  >/dev/null
status=0
for name in "${names[@]}"; do
  find_fault "$name" || status=1
done
exit $status
