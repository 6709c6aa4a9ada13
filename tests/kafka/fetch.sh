#!/bin/bash
# Fetches the release of Apache Kafka that pom.xml names, by Maven, into build/kafka/libs, unless it is
# there already: for tests/kafka/run.sh and bench/peers/servers.py.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Complete only when the stamp is there and of this pom.xml.
if cmp -s tests/kafka/pom.xml build/kafka/pom.xml; then
  exit 0
fi
rm -rf build/kafka
mkdir -p build/kafka
log=$(mktemp)
trap 'rm -f "$log"' EXIT
fetch() {
  mvn -B -f tests/kafka/pom.xml dependency:copy-dependencies \
    -DoutputDirectory="$PWD/build/kafka/libs" >"$log" 2>&1 </dev/null
}
# A registry may fail for a moment.
if ! fetch && ! { sleep 5 && fetch; }; then
  cat "$log" >&2
  echo "failed: Maven could not fetch Apache Kafka" >&2
  exit 1
fi
cp tests/kafka/pom.xml build/kafka/pom.xml
