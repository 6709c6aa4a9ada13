#!/usr/bin/env bash
# Shows that the simulator bites: each patch here is a small deliberate fault in the production
# source. It is applied to a copy, only what the simulator needs is compiled, and the simulator must
# find the fault within the number of seeds that the patch's first line states ("seeds: N").
#
#   tests/sim/mutants/run.sh [NAME...]   all, or those; exit 1 when one is not found or does not apply
#   tests/sim/mutants/run.sh --apply     only whether they apply
#
# "test: NAME" on the first line instead: nothing that is simulated leads to that fault, and the unit
# test of that name finds it.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
if [ "${1:-}" = --apply ]; then
  for patch in "$root"/tests/sim/mutants/*.patch; do
    patch -s -d "$root" -p1 --dry-run <"$patch" || { echo "$patch: does not apply"; exit 1; }
  done
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
compile=(${CMAKE_CXX_COMPILER_LAUNCHER:-} "${CXX:-g++}" -std=c++20 -O1 -w -I. -Iinclude)

cd "$work"
cp -r "$root"/{base,include,index,io,record,storage,tests} .
# Several sources at a time; sockets are not simulated.
ls {base,index,io,record,tests/sim}/*.cc | grep -Ev '(_test|socket)\.cc$' | split -l 12 - other.
ls storage/*.cc | split -l 12 - storage.
for batch in other.* storage.*; do
  sed 's/.*/#include "&"/' "$batch" >"$batch.cc"
  "${compile[@]}" -c "$batch.cc" -o "$batch.o"
done
"${compile[@]}" -c tests/programs/simulate.cc -o simulate.o
link() { "${compile[@]}" ./*.o -lxxhash -lzstd -llz4 -lsnappy -lz -luring -lpthread -o simulate; }
link
./simulate --runs 20 >/dev/null || { echo "the simulator finds a fault without a patch"; exit 1; }

names=("$@")
if [ $# -eq 0 ]; then names=($(ls "$root/tests/sim/mutants" | sed -n 's/\.patch$//p')); fi
failures=0
for name in "${names[@]}"; do
  patch="$root/tests/sim/mutants/$name.patch"
  seeds=$(sed -n '1s/^seeds: //p' "$patch")
  if [ -z "$seeds" ]; then
    echo "$name: left to $(sed -n '1s/^test: //p' "$patch")"
    continue
  fi
  rm -rf storage && cp -r "$root/storage" .
  if ! patch -s -p1 <"$patch"; then
    echo "$name: does not apply"
    failures=$((failures + 1))
    continue
  fi
  batch=$(grep -l "^$(sed -n 's/^+++ b\///p' "$patch")\$" storage.??)
  cp "$batch.o" intact
  "${compile[@]}" -c "$batch.cc" -o "$batch.o"
  link
  if ./simulate --runs "$seeds" --brief 1 >log 2>&1; then
    echo "$name: NOT FOUND within $seeds seeds"
    failures=$((failures + 1))
  else
    echo "$name: found: $(head -1 log | cut -c1-140)"
  fi
  mv intact "$batch.o"
done
exit $((failures > 0))
