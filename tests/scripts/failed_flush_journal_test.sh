#!/bin/bash
# A flush of the journal fails below a running `tidemark serve`. What must hold stands in failed_flush.py.
#
#   TIDEMARK_BUILD=build/release tests/scripts/failed_flush_journal_test.sh
#
# SEED (a fresh one) may be set; the seed is printed. Skipped (77) where no FUSE file system can be mounted.
set -euo pipefail
exec /usr/bin/python3 "$(dirname "$0")/failed_flush.py" journal ${SEED:+--seed "$SEED"}
