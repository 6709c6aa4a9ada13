# Sourced by the cli_*_test.sh: a folder of the test's own, a `serve` to work beside, and checks.
# TIDEMARK_BIN names the command.
set -eEuo pipefail
trap 'echo "FAILED at line $LINENO: $BASH_COMMAND" >&2' ERR

tidemark=${TIDEMARK_BIN:-${TIDEMARK_BUILD:?}/tidemark}
work=$(mktemp -d)
serve_pid=
children=()

clean_up() {
  local status=$?
  [ -z "$serve_pid" ] || kill -KILL "$serve_pid" 2>/dev/null || true
  for child in "${children[@]}"; do kill -KILL "$child" 2>/dev/null || true; done
  wait 2>/dev/null || true
  if [ "$status" -ne 0 ]; then
    for log in "$work"/*.err; do
      [ -s "$log" ] && { echo "--- $(basename "$log")"; tail -n 20 "$log"; } >&2
    done
  fi
  rm -rf "$work"
  exit "$status"
}
trap clean_up EXIT

fail() {
  echo "FAILED (line ${BASH_LINENO[1]}): $*" >&2
  exit 1
}

# expect WHAT IS: both must be the same text.
expect() { [ "$2" = "$1" ] || fail "expected [$1], got [$2]"; }
# expect_code CODE COMMAND...: stdout and stderr go to $work/out and $work/err.
expect_code() {
  local wanted=$1 code=0
  shift
  "$@" >"$work/out" 2>"$work/err" </dev/null || code=$?
  [ "$code" -eq "$wanted" ] || fail "$* ended with $code, not $wanted: $(head -c 400 "$work/err")"
}
# expect_error CODE TEXT COMMAND...: one line on stderr, "tidemark: ...", that holds the text.
expect_error() {
  local wanted=$1 text=$2
  shift 2
  expect_code "$wanted" "$@"
  [ "$(wc -l <"$work/err")" -eq 1 ] || fail "$*: not one line of error: $(cat "$work/err")"
  grep -q '^tidemark: ' "$work/err" || fail "$*: $(cat "$work/err")"
  grep -qF -- "$text" "$work/err" || fail "$*: no '$text' in: $(cat "$work/err")"
}

# wait_for COMMAND...: until it succeeds. What is waited for must come; a minute (PATIENCE_S) means
# that it did not.
wait_for() {
  local deadline=$((SECONDS + ${PATIENCE_S:-60}))
  until "$@"; do
    [ $SECONDS -lt $deadline ] || fail "waited in vain for: $*"
    sleep 0.02
  done
}
lines_in() { [ -e "$1" ] && [ "$(wc -l <"$1")" -ge "$2" ]; }
is_gone() { ! kill -0 "$1" 2>/dev/null; }

# start_serve DATA [OPTION...]: sets serve_pid and mqtt_port.
start_serve() {
  local data=$1
  shift
  : >"$work/serve.err"
  # Through a pipe, so that a limit on serve's file sizes does not silence it.
  "$tidemark" serve --data "$data" --mqtt 127.0.0.1:0 "$@" >"$work/serve.out" \
    2> >(exec cat >>"$work/serve.err") &
  serve_pid=$!
  wait_for serve_is_ready_or_gone
  grep -q '^ready mqtt=' "$work/serve.err" || fail "serve did not start: $(cat "$work/serve.err")"
  mqtt_port=$(sed -n 's/^ready mqtt=.*:\([0-9]*\)$/\1/p' "$work/serve.err")
}
serve_is_ready_or_gone() { grep -q '^ready mqtt=' "$work/serve.err" || is_gone "$serve_pid"; }

# stop_serve [SIGNAL [CODE]]
stop_serve() {
  local code=0
  kill "-${1:-TERM}" "$serve_pid"
  wait "$serve_pid" 2>/dev/null || code=$?  # 2>: bash would tell that it was killed
  serve_pid=
  [ "$code" -eq "${2:-0}" ] || fail "serve ended with $code: $(tail -n 5 "$work/serve.err")"
}

# make_small_store DATA: a new store with the smallest journal, which is quick to make and to read.
make_small_store() {
  printf '[storage]\njournal_bytes = "4MiB"\n' >"$work/small.toml"
  start_serve "$1" --config "$work/small.toml"
  stop_serve
}

# Runs each of the functions twice: on a store that nobody has open, and beside a serve. They find its
# folder in $data.
alone_and_beside_serve() {
  data=$work/alone
  make_small_store "$data"
  for what in "$@"; do
    echo "-- $what, alone"
    "$what"
  done
  rm -rf "$data"
  data=$work/served
  make_small_store "$data"
  start_serve "$data"
  for what in "$@"; do
    echo "-- $what, beside serve"
    "$what"
  done
  stop_serve
  rm -rf "$data"
}
