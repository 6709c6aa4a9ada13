#!/bin/bash
# Commands whose standard descriptors were closed by whoever started them, as a service manager or a
# cron job may do: no file of the store gets their number, and none is taken for stdin or stdout.
source "$(dirname "$0")/cli_common.sh"

data=$work/data
"$tidemark" topic create --data "$data" t >/dev/null
seq 5 | "$tidemark" produce --data "$data" t 2>/dev/null

echo "-- no stdin"
code=0
"$tidemark" produce --data "$data" t <&- 2>"$work/err" || code=$?
expect 1 "$code"
grep -qF "standard input cannot be read" "$work/err" || fail "$(cat "$work/err")"

echo "-- no stdout: nothing was printed, so that nothing is committed"
for stdin in /dev/null -; do
  code=0
  if [ $stdin = - ]; then
    "$tidemark" consume --data "$data" t -e --group g <&- >&- 2>"$work/err" || code=$?
  else
    "$tidemark" consume --data "$data" t -e --group g <$stdin >&- 2>"$work/err" || code=$?
  fi
  expect 1 "$code"
  grep -qF "standard output cannot be written" "$work/err" || fail "$(cat "$work/err")"
  expect_error 1 "there is no group 'g'" "$tidemark" group describe --data "$data" g
done

echo "-- none of the three: what serve logs goes nowhere"
"$tidemark" serve --data "$data" --mqtt 127.0.0.1:0 <&- >&- 2>&- &
serve_pid=$!
wait_for test -S "$data/tidemark.sock"
for descriptor in 0 1 2; do
  expect /dev/null "$(readlink "/proc/$serve_pid/fd/$descriptor")"
done
echo more | "$tidemark" produce --data "$data" t 2>/dev/null
kill -KILL "$serve_pid"
wait "$serve_pid" 2>/dev/null || true
serve_pid=
expect_code 0 "$tidemark" verify "$data"
expect 6 "$("$tidemark" consume --data "$data" t -e | wc -l)"
