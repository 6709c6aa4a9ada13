# Sourced by the bench_*_test.sh of single programs: a folder of the test's own, and checks. They run
# in the project's folder.
set -euo pipefail
cd "$(dirname "$0")/../.."
TIDEMARK_BUILD=$(realpath "${TIDEMARK_BUILD:?the folder of a build}")
TIDEMARK_BIN=${TIDEMARK_BIN:-$TIDEMARK_BUILD/tidemark}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# needs PROGRAM: one of bench/. The sanitizers' builds have none.
needs() {
  [ -x "$TIDEMARK_BUILD/$1" ] || { echo "no benchmarks are built here"; exit 77; }
}
