#!/bin/bash
# How fast `tidemark verify` reads a store, as a share of what `cat` needs for the same files in the
# same run: by turns, the page cache dropped before each. Needs root for that, and BYTES of disk.
#
#   bench/verify_speed.sh [FOLDER]
#
# Settings: BYTES (of log, 5 GB), ROUNDS (5), TIDEMARK_BUILD (build/release), KEEP=1 keeps the store
# and uses one that is there.
set -euo pipefail
cd "$(dirname "$0")/.."
tidemark=${TIDEMARK_BUILD:-build/release}/tidemark
bytes=${BYTES:-5000000000}
rounds=${ROUNDS:-5}
partitions=4
store=${1:-.}/verify_speed.store

if [ ! -d "$store" ]; then
  "$tidemark" topic create --data "$store" readings --partitions $partitions \
    --config compression.type=none >/dev/null
  # Lines of 1,000 characters that no compression shortens.
  lines=$(mktemp -p "${1:-.}")
  trap 'rm -f "$lines"; [ "${KEEP:-0}" = 1 ] || rm -rf "$store"' EXIT
  openssl enc -aes-128-ctr -pass pass:tidemark -nosalt -md sha256 -in /dev/zero 2>/dev/null |
    base64 -w 1000 | head -c $((bytes / partitions)) >"$lines" || true # head ends the others
  for partition in $(seq 0 $((partitions - 1))); do
    "$tidemark" produce --data "$store" readings -p "$partition" --durability buffered <"$lines" 2>&1 |
      tail -n 1 >&2
  done
  rm "$lines"
fi

# seconds COMMAND...: how long it takes from a cold cache.
seconds() {
  sync
  echo 3 >/proc/sys/vm/drop_caches
  local begin=$EPOCHREALTIME
  "$@" >/dev/null
  awk -v begin="$begin" -v end="$EPOCHREALTIME" 'BEGIN { printf "%.3f\n", end - begin }'
}
read_all() {
  find "$store" -type f -print0 | sort -z | xargs -0 cat >/dev/null
}
median() {
  printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

cat_s=()
verify_s=()
for _ in $(seq "$rounds"); do
  cat_s+=("$(seconds read_all)")
  verify_s+=("$(seconds "$tidemark" verify "$store")")
done
size=$(du -sb "$store" | cut -f 1)
echo "cat:    ${cat_s[*]} s"
echo "verify: ${verify_s[*]} s"
awk -v size="$size" -v cat="$(median "${cat_s[@]}")" -v verify="$(median "${verify_s[@]}")" 'BEGIN {
  printf "%.2f GB; medians: cat %.2f s (%.2f GB/s), verify %.2f s (%.2f GB/s): %.2f of the speed of cat (the bar: 0.7)\n",
    size / 1e9, cat, size / cat / 1e9, verify, size / verify / 1e9, cat / verify
  exit verify > 0 && cat / verify < 0.7
}'
