#!/bin/bash
# A store with a budget of 64 MiB, on a file system of its own, is fed ten times its size. What is
# checked stands in budget.py.
#
#   TIDEMARK_BUILD=build/release tests/scripts/budget_test.sh
#
# ROUNDS (10), how many times its budget each store is fed, and SEED (a fresh one) may be set; the
# seed is printed. Skipped (77) where no tmpfs can be mounted.
set -euo pipefail
# The mount is seen by nobody else, and goes with the last process that sees it.
for namespace in "unshare --mount" "unshare --user --map-root-user --mount"; do
  if $namespace true 2>/dev/null; then
    exec $namespace /usr/bin/python3 "$(dirname "$0")/budget.py" --rounds "${ROUNDS:-10}" ${SEED:+--seed "$SEED"}
  fi
done
echo "skipped: a process gets no mount namespace of its own here"
exit 77
