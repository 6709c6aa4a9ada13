#!/bin/bash
# Holds Tidemark against Apache Kafka itself: Kafka's tools and broker over what Tidemark has
# written, and Tidemark over what the broker has written.
#
#   tests/kafka/run.sh
#
# The release of Kafka that pom.xml names is fetched at the first run (fetch.sh).
# TIDEMARK_BUILD names a build folder that is up to date; without it build/release is built.
set -euo pipefail
cd "$(dirname "$0")/../.."

bash tools/install_packages.sh build test kafka

# Prints what a command says only if it fails.
quietly() {
  local log
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1; then
    cat "$log"
    rm -f "$log"
    echo "failed: $*"
    return 1
  fi
  rm -f "$log"
}

if [ -z "${TIDEMARK_BUILD:-}" ]; then
  TIDEMARK_BUILD=build/release
  quietly cmake --preset release
  quietly cmake --build build/release -j "$(nproc)" --target tidemark_cli prog_kafka_shapes
fi
export TIDEMARK_BUILD

bash tests/kafka/fetch.sh

exec /usr/bin/python3 tests/kafka/run.py
