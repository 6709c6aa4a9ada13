#!/bin/bash
# Builds a preset and runs every test of it: first with the I/O backend that Tidemark picks by
# itself, then those that do I/O once more with plain system calls.
#
#   tests/run.sh [PRESET [BACKEND...]]      (default: release automatic syscalls)
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
build=build/$preset
if [ $# -gt 1 ]; then
  backends=("${@:2}")
else
  backends=(automatic syscalls)
fi

bash tools/install_packages.sh build test

log=$(mktemp)
trap 'rm -f "$log"' EXIT
quietly() {
  if ! "$@" >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    echo "tests/run.sh: failed: $*" >&2
    return 1
  fi
}
quietly cmake --preset "$preset"
quietly cmake --build "$build" -j "$(nproc)"

export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1:strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1}

# Under a sanitizer everything takes several times as long: fewer rounds of kill -9, and more
# patience with what a test waits for.
if [ "$preset" = asan ] || [ "$preset" = tsan ]; then
  export ROUNDS=${ROUNDS:-5} PATIENCE_S=${PATIENCE_S:-300}
fi

# g++ 12's thread sanitizer does not know the memory layouts of a kernel that randomises more
# than 28 bits of addresses.
wrapper=()
if [ "$preset" = tsan ] && setarch "$(uname -m)" -R true 2>/dev/null; then
  wrapper=(setarch "$(uname -m)" -R)
fi

# Most tests wait for the disk or a timer for half of their time.
parallel=$((2 * $(nproc)))

# run_tests NAME CTEST_OPTION...
run_tests() {
  local name=$1
  shift
  echo "-- $preset, $name"
  if "${wrapper[@]}" ctest --test-dir "$build" -j "$parallel" --timeout 900 --no-tests=error \
    --output-on-failure "$@" >"$log" 2>&1 </dev/null; then
    grep -E '^ *[0-9]+% tests passed|^Total Test time|\*\*\*Skipped' "$log"
  else
    grep -vE '^ *[0-9]+/[0-9]+ Test +#.* Passed |^ +Start +[0-9]+: ' "$log" >&2 || true
    return 1
  fi
}

status=0
first=yes
for backend in "${backends[@]}"; do
  # What does no I/O need not run twice, nor under the sanitizer that looks at threads: it has one.
  only=(-L '^io$')
  if [ $first = yes ]; then
    only=()
    if [ "$preset" = tsan ]; then only=(-LE '^pure$'); fi
  fi
  first=no
  case $backend in
    automatic) (unset TIDEMARK_IO && run_tests "automatic I/O backend" "${only[@]}") || status=1 ;;
    syscalls) TIDEMARK_IO=syscalls run_tests "TIDEMARK_IO=syscalls" "${only[@]}" || status=1 ;;
    *)
      echo "tests/run.sh: no backend named '$backend'" >&2
      exit 2
      ;;
  esac
done
exit $status
