#!/bin/bash
# Installs the Debian packages that the named groups need and that are missing.
#
#   tools/install_packages.sh build|demo|test|instructions|kafka|lint|coverage|peers...
#
# Silent and quick when there is nothing to do.
set -euo pipefail

packages_of() {
  case "$1" in
    build)
      echo g++ cmake ninja-build pkg-config liburing-dev libxxhash-dev libzstd-dev \
        zlib1g-dev liblz4-dev libsnappy-dev libcli11-dev libtomlplusplus-dev libspdlog-dev \
        libfmt-dev nlohmann-json3-dev
      ;;
    demo)
      echo mosquitto-clients python3 python3-paho-mqtt python3-vega-datasets
      ;;
    test)
      echo libgtest-dev libgmock-dev libbenchmark-dev librapidcheck-dev libmosquitto-dev \
        mosquitto-clients python3 python3-paho-mqtt libfuse3-dev fuse3
      ;;
    # For tests/instructions/run.py.
    instructions)
      echo valgrind python3
      ;;
    kafka)
      echo maven openjdk-17-jdk-headless python3
      ;;
    lint)
      echo clang-14 clang-format-14 clang-tidy-14 libclang-rt-14-dev python3
      ;;
    coverage)
      echo gcovr python3
      ;;
    # What bench/peers holds Tidemark against.
    peers)
      echo librocksdb-dev libleveldb-dev liblmdb-dev libsqlite3-dev mosquitto nats-server python3
      ;;
    *)
      echo "install_packages.sh: no group named '$1' (build, demo, test, instructions, kafka, lint," \
        "coverage, peers)" >&2
      return 2
      ;;
  esac
}

if [ $# -eq 0 ]; then
  echo "usage: tools/install_packages.sh build|demo|test|kafka|lint|coverage|peers..." >&2
  exit 2
fi

wanted=()
for group in "$@"; do
  names=$(packages_of "$group")
  read -r -a names <<<"$names"
  wanted+=("${names[@]}")
done

if ! command -v dpkg-query >/dev/null; then
  echo "install_packages.sh: not a Debian system; needed: ${wanted[*]}" >&2
  exit 1
fi

# dpkg-query exits 1 when it does not know a package at all, which is no error here.
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null |
  awk '$1 == "installed" { print $2 }') || true
missing=()
for package in "${wanted[@]}"; do
  if ! grep -qxF -- "$package" <<<"$installed" && [[ " ${missing[*]-} " != *" $package "* ]]; then
    missing+=("$package")
  fi
done
if [ ${#missing[@]} -eq 0 ]; then
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "install_packages.sh: run as root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi

echo "installing: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
  if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q "$@" \
    </dev/null >"$log" 2>&1; then
    cat "$log" >&2
    return 1
  fi
}
apt update
apt install -y --no-install-recommends "${missing[@]}"
