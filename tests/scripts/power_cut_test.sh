#!/bin/bash
# The power is cut below a running `tidemark serve` at random moments under load from stock MQTT
# clients, again and again on what the cut before has left. What is checked stands in power_cut.py.
#
#   TIDEMARK_BUILD=build/release tests/scripts/power_cut_test.sh
#
# ROUNDS (5) and SEED (a fresh one) may be set; the seed is printed. Skipped (77) where no FUSE file
# system can be mounted.
set -euo pipefail
exec /usr/bin/python3 "$(dirname "$0")/power_cut.py" --rounds "${ROUNDS:-5}" ${SEED:+--seed "$SEED"}
