#!/bin/bash
# SIGKILL of `tidemark serve` at random moments under load from stock MQTT clients, again and again on
# the same data folder. What is checked stands in kill_under_load.py.
#
#   TIDEMARK_BUILD=build/release tests/scripts/kill_under_load_test.sh
#
# ROUNDS (20) and SEED (a fresh one) may be set; the seed is printed.
set -euo pipefail
exec /usr/bin/python3 "$(dirname "$0")/kill_under_load.py" --rounds "${ROUNDS:-20}" ${SEED:+--seed "$SEED"}
