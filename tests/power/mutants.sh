#!/bin/bash
# Shows that the tests with a real process bite: puts a deliberate fault (tests/sim/mutants/) into
# `tidemark`, and runs the test that must find it until it does.
#
#   TIDEMARK_BUILD=build/release tests/power/mutants.sh [NAME...]
#
# Only the faulty source is compiled; the rest is what the build folder has. Without names: those
# below. ROUNDS (10) is the power cuts of a run, RUNS (5) the runs. Exit 1 when a fault is not found.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Which test must find it.
test_of() {
  case $1 in
    acknowledge_failed_commit) echo failed_flush_journal_test.sh ;;
    go_on_after_failed_flush | retry_failed_flush) echo failed_flush_segment_test.sh ;;
    *) echo power_cut_test.sh ;;
  esac
}

# Makes $work/tidemark. The linker takes the faulty object for the one in the library.
build() {
  local patch=tests/sim/mutants/$1.patch source link
  source=$(sed -n 's|^+++ b/||p' "$patch")
  mkdir -p "$work/$(dirname "$source")"
  cp "$source" "$work/$source"
  patch -s -d "$work" -p1 <"$patch"
  "${CXX:-g++}" -std=c++20 -O2 -w -I. -Iinclude -c "$work/$source" -o "$work/faulty.o"
  link=$(ninja -C "$TIDEMARK_BUILD" -t commands tidemark | tail -n 1)
  (cd "$TIDEMARK_BUILD" && bash -c "${link/ -o tidemark / $work/faulty.o -o $work/tidemark }")
}

find_fault() {
  local run out
  for run in $(seq "${RUNS:-5}"); do
    if ! out=$(TIDEMARK_BIN=$work/tidemark ROUNDS=${ROUNDS:-10} "tests/scripts/$(test_of "$1")"); then
      if ! grep -q '^FAILED' <<<"$out"; then
        echo "$1: $out"
        return 1
      fi
      echo "$1: found in run $run: $(grep -m 1 '^FAILED' <<<"$out" | cut -c 1-200)"
      # What the failed test has kept is of no use.
      sed -n 's/.* kept.*: \(\/[^ ]*\)$/\1/p' <<<"$out" | xargs -r rm -rf
      return 0
    fi
  done
  echo "$1: NOT FOUND"
  return 1
}

names=("$@")
if [ ${#names[@]} -eq 0 ]; then
  names=(commit_not_durable drop_segment_flush skip_folder_flush acknowledge_failed_commit
    go_on_after_failed_flush)
fi
status=0
for name in "${names[@]}"; do
  build "$name"
  find_fault "$name" || status=1
done
exit $status
