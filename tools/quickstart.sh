#!/bin/bash
# Tidemark's promise, shown on this machine with real data: a gateway takes in a year of temperatures
# over MQTT, is killed with SIGKILL in the middle, starts again, and has lost nothing it acknowledged.
#
#   bash tools/quickstart.sh [--keep]
#
#   --keep   leave the data folder where it is, to look at
#
# Needs Debian 12; installs the packages it misses. Exit 0 only if nothing acknowledged is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8

keep=no
case "${1-}" in
  "") ;;
  --keep) keep=yes ;;
  *)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac

tidemark=build/release/tidemark
topic=mqtt # where MQTT goes unless the config says otherwise
bold="" plain=""
if [ -t 1 ]; then
  bold=$'\e[1m' plain=$'\e[0m'
fi
section() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
say() { printf '   %s\n' "$*"; }
fail() {
  printf '\nquickstart.sh: %s\n' "$*" >&2
  exit 1
}
number() { sed ':again; s/\B[0-9]\{3\}\>/,&/; t again' <<<"$1"; }
# 1000000ths of a second: bash has no fractions.
now_us() { echo "${EPOCHREALTIME/./}"; }
ms() { printf '%d.%01d ms' $(($1 / 1000)) $(($1 % 1000 / 100)); }

work="" gateway="" publisher=""
cleanup() {
  local status=$?
  trap - EXIT
  for process in $gateway $publisher; do
    kill -KILL "$process" 2>/dev/null || true
  done
  if [ -n "$work" ]; then
    if [ "$status" -eq 0 ] && [ $keep = no ]; then
      rm -rf "$work"
    else
      echo
      echo "The data folder is $work/data, what the gateway said is in $work/serve.log"
    fi
  fi
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# ---------------------------------------------------------------------------------------------
section "1. Packages and build"
began=$(now_us)
bash tools/install_packages.sh build demo </dev/null
work=$(mktemp -d "${TMPDIR:-/tmp}/tidemark-quickstart.XXXXXX")
quietly() {
  if ! "$@" >"$work/build.log" 2>&1 </dev/null; then
    cat "$work/build.log" >&2
    fail "failed: $*"
  fi
}
if [ ! -x $tidemark ]; then
  say "compiling, which takes a minute or two"
fi
if [ ! -e build/release/build.ninja ]; then
  quietly cmake --preset release -DTIDEMARK_TESTS=OFF -DTIDEMARK_BENCH=OFF
fi
quietly cmake --build build/release --target tidemark_cli
say "$tidemark is ready ($((($(now_us) - began) / 1000000)) s)"

csv=$(dpkg -L python3-vega-datasets | grep -m 1 '/seattle-temps\.csv$') ||
  fail "Debian's python3-vega-datasets has no seattle-temps.csv"
data=$work/data
mkfifo "$work/stderr"

# start_gateway ADDR:PORT: runs `tidemark serve`, and returns when it accepts connections.
# Sets gateway, ready_line, recovery_line and ready_us (how long that took).
start_gateway() {
  local line begin
  ready_line="" recovery_line=""
  say "\$ $tidemark serve --data $data --mqtt $1"
  begin=$(now_us)
  $tidemark serve --data "$data" --mqtt "$1" 2>"$work/stderr" </dev/null &
  gateway=$!
  exec {lines}<"$work/stderr"
  while [ -z "$ready_line" ] && read -r -t 60 line <&"$lines"; do
    ready_us=$(($(now_us) - begin))
    printf '%s\n' "$line" >>"$work/serve.log"
    case "$line" in
      "ready mqtt="*) ready_line=$line ;;
      *": store "*) recovery_line=${line#*: store *: } ;;
    esac
  done
  [ -n "$ready_line" ] || fail "the gateway has not started: $(tail -n 5 "$work/serve.log" 2>/dev/null)"
  cat <&"$lines" >>"$work/serve.log" & # whatever it says from now on
  exec {lines}<&-
  say "$ready_line"
}

# ---------------------------------------------------------------------------------------------
section "2. The gateway starts"
start_gateway 127.0.0.1:0
port=${ready_line##*:}

# ---------------------------------------------------------------------------------------------
section "3. A sensor publishes a year of Seattle's hourly temperatures; the gateway is killed"
tail -n +2 "$csv" | cut -d, -f1 | sed '/^$/d' >"$work/published"
readings=$(wc -l <"$work/published")
kill_after=$((readings / 3 + SRANDOM % (readings / 3)))
: >"$work/acknowledged"
/usr/bin/python3 tools/quickstart_publish.py "$csv" --port "$port" \
  --acknowledged "$work/acknowledged" --kill $gateway --kill-after $kill_after </dev/null &
publisher=$!
# Whichever ends first: the gateway by the signal, or the publisher by a failure.
{ wait -n $gateway $publisher; } 2>/dev/null || true
if kill -0 $gateway 2>/dev/null; then
  fail "the publisher has failed"
fi
status=0
{ wait $gateway; } 2>/dev/null || status=$?
gateway=""
[ $status -eq 137 ] || fail "the gateway ended by itself with status $status, before it was killed"

# ---------------------------------------------------------------------------------------------
section "4. It starts again, on what the kill has left"
start_gateway "127.0.0.1:$port"
restart_ms=$(date +%s%3N)
recovery_us=$ready_us
say "recovery: ${recovery_line:-?}"
say "the sensor connects again, sends again what was not acknowledged, and goes on"
wait $publisher || fail "the publisher has failed"
publisher=""

# ---------------------------------------------------------------------------------------------
section "5. The log is read back, while the gateway runs"
format='%o  %T  %k  %s\n'
# show OPTION...: runs consume, with the command shown.
show() {
  local words=""
  for word in "$@"; do
    case "$word" in
      *[!a-zA-Z0-9@._-]*) words+=" '$word'" ;;
      *) words+=" $word" ;;
    esac
  done
  say "\$ $tidemark consume --data $data $topic$words"
  $tidemark consume --data "$data" $topic "$@" | sed 's/^/   /'
}
say "from offset $kill_after, around the kill (offset, arrival in ms, key, value):"
show -o $kill_after -c 3 -f "$format"
echo
say "from a timestamp, the moment after the restart:"
show -o s@"$restart_ms" -c 3 -f "$format"
echo
say "everything, for the check below: consume ... -e"
$tidemark consume --data "$data" $topic -e -f '%s\n' |
  sed -n 's/^{"time":"\([^"]*\)".*/\1/p' >"$work/found"

# ---------------------------------------------------------------------------------------------
section "6. It stops cleanly"
kill -TERM $gateway
wait $gateway || fail "the gateway ended with status $?: $(tail -n 5 "$work/serve.log")"
gateway=""
say "SIGTERM, exit 0: everything is packed into segments in $data/$topic-0"

# ---------------------------------------------------------------------------------------------
sort -u "$work/acknowledged" >"$work/acknowledged.sorted"
sort -u "$work/found" >"$work/found.sorted"
comm -23 "$work/acknowledged.sorted" "$work/found.sorted" >"$work/missing"
awk '!seen[$0]++' "$work/found" >"$work/found.once"
acknowledged=$(wc -l <"$work/acknowledged.sorted")
found=$(wc -l <"$work/found.sorted")
duplicates=$(($(wc -l <"$work/found") - found))
missing=$(wc -l <"$work/missing")
segment_bytes=$(stat -c %s "$data/$topic"-*/*.log | awk '{ sum += $1 } END { print sum }')
each=$(awk -v bytes="$segment_bytes" -v count=$((found + duplicates)) \
  'BEGIN { printf "%.1f", bytes / count }')

section "Result"
say "acknowledged   $(number "$acknowledged") readings"
say "found          $(number "$found") readings, $(number $duplicates) of them twice: sent again after the kill"
say "missing        $(number "$missing")"
say "on disk        $(number "$segment_bytes") bytes of segments, $each bytes a reading"
say "recovery       $(ms "$recovery_us") from the start of the process to its first connection"
if [ "$missing" -ne 0 ]; then
  echo
  echo "MISSING, though acknowledged:"
  sed 's/^/   /' "$work/missing"
  exit 1
fi
[ "$acknowledged" -eq "$readings" ] || fail "only $acknowledged of $readings readings were acknowledged"
cmp -s "$work/found.once" "$work/published" || fail "the readings are not in the order they were published in"
say "Nothing that was acknowledged is missing, and all of it is in order."
