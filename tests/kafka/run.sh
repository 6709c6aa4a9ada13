#!/bin/bash
# Holds Tidemark against Apache Kafka itself: Kafka's tools and broker over what Tidemark has
# written, and Tidemark over what the broker has written.
#
#   tests/kafka/run.sh
#
# The release of Kafka that pom.xml names is fetched by Maven into build/kafka at the first run.
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

# Complete only when the stamp is there and of this pom.xml.
if ! cmp -s tests/kafka/pom.xml build/kafka/pom.xml; then
  rm -rf build/kafka
  mkdir -p build/kafka
  # A registry may fail for a moment.
  fetch() {
    mvn -B -f tests/kafka/pom.xml dependency:copy-dependencies \
      -DoutputDirectory="$PWD/build/kafka/libs"
  }
  quietly fetch || { sleep 5 && quietly fetch; }
  cp tests/kafka/pom.xml build/kafka/pom.xml
fi

exec /usr/bin/python3 tests/kafka/run.py
