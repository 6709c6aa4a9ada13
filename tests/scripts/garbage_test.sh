#!/bin/bash
# Garbage wherever `tidemark` takes something in: on the MQTT port, in the config, on the command line,
# and in place of each file of the data folder. What is checked stands in garbage.py.
#
#   TIDEMARK_BUILD=build/release tests/scripts/garbage_test.sh
#
# SEED may be set (1); ONLY=TEXT runs the cases whose names contain TEXT.
set -euo pipefail
exec /usr/bin/python3 "$(dirname "$0")/garbage.py" --seed "${SEED:-1}" --only "${ONLY:-}"
