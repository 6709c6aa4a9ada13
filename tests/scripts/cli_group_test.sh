#!/bin/bash
# Cursors: tidemark consume --group goes on where the group has stopped, alone and beside a serve, and
# never passes over a record that was not printed, whoever is killed; tidemark group manages them.
source "$(dirname "$0")/cli_common.sh"

produce() { "$tidemark" produce --data "$data" "$@" 2>/dev/null; }
consume() { "$tidemark" consume --data "$data" "$@"; }
# offsets GROUP: "TOPIC-PARTITION=OFFSET ..." as describe tells them.
offsets() {
  "$tidemark" group describe --data "$data" "$1" |
    awk 'NR > 1 { printf "%s%s-%s=%s", sep, $1, $2, $3; sep = " " }'
}
# What the partitions hold, one behind the other: which of them is shown first is not promised.
by_partition() { consume "$@" -e -f '%p %s\n' | sort -s -n -k 1,1 | cut -d ' ' -f 2 | tr '\n' ' '; }
has_offsets() { [ "$(offsets "$1" 2>/dev/null)" = "$2" ]; }

goes_on_where_it_stopped() {
  "$tidemark" topic create --data "$data" t --partitions 2
  seq 0 9 | produce t -p 0
  seq 10 14 | produce t -p 1
  expect "0 1 2 3 " "$(consume t --group g -p 0 -c 4 -f '%s ')"
  expect "t-0=4" "$(offsets g)"
  expect "4 5 6 7 8 9 10 11 12 13 14 " "$(by_partition t --group g)"
  expect "t-0=10 t-1=5" "$(offsets g)"
  expect "" "$(consume t --group g -e -f '%s ')"
  expect "t-0=10 t-1=5" "$(offsets g)"
  # Another group, and none at all, begin where they are told to.
  expect "8 9 13 14 " "$(by_partition t --group late -o -2)"
  expect "0 1 " "$(consume t -p 0 -c 2 -f '%s ')"
  expect "g late" "$("$tidemark" group list --data "$data" | tr '\n' ' ' | sed 's/ $//')"
  expect '["g","late"]' "$("$tidemark" group list --data "$data" --json)"
}

is_managed() {
  seq 5 | produce t -p 0
  expect "15 10 5" "$("$tidemark" group describe --data "$data" g |
    awk '$1 == "t" && $2 == 0 { print $5, $3, $6 }')"
  "$tidemark" group describe --data "$data" g --json |
    grep -q '"topic":"t","partition":1,"offset":5,.*"log_start_offset":0,"durable_end_offset":5,"lag":0' ||
    fail "describe --json"
  "$tidemark" group reset --data "$data" g --topic t -p 1 -o beginning >/dev/null
  expect "t-0=10 t-1=0" "$(offsets g)"
  "$tidemark" group reset --data "$data" g --topic t -o -3 >/dev/null
  expect "t-0=12 t-1=2" "$(offsets g)"
  "$tidemark" group reset --data "$data" g --topic t -o s@0 >/dev/null
  expect "t-0=0 t-1=0" "$(offsets g)"
  "$tidemark" group reset --data "$data" g --topic t -o s@99999999999999 >/dev/null
  expect "t-0=15 t-1=5" "$(offsets g)"
  expect_error 1 "ends at 15" "$tidemark" group reset --data "$data" g --topic t -p 0 -o 16
  expect_error 1 "no partition 7" "$tidemark" group reset --data "$data" g --topic t -p 7 -o end
  expect_error 1 "there is no topic 'u'" "$tidemark" group reset --data "$data" g --topic u -o end
  expect_error 2 "not an offset" "$tidemark" group reset --data "$data" g --topic t -o soon
  expect_error 1 "there is no group 'nobody'" "$tidemark" group describe --data "$data" nobody
  expect_error 1 "there is no group 'nobody'" "$tidemark" group delete --data "$data" nobody
  expect_error 1 "control characters" "$tidemark" consume --data "$data" t --group $'a\tb' -e
  "$tidemark" group delete --data "$data" g --topic other
  expect "t-0=15 t-1=5" "$(offsets g)"
  "$tidemark" group delete --data "$data" g
  expect "late" "$("$tidemark" group list --data "$data")"
}

# What is committed may lie below what is still there.
resets_by_its_policy() {
  "$tidemark" topic create --data "$data" small --config segment.bytes=1024 \
    --config compression.type=none
  produce small < <(seq 10)
  consume small --group slow -c 3 >/dev/null
  "$tidemark" topic delete --data "$data" small
  "$tidemark" topic create --data "$data" small
  expect_error 1 "there is no group 'slow'" "$tidemark" group describe --data "$data" slow
  produce small < <(seq 3)
  expect "1 2 3 " "$(consume small --group slow -e -f '%s ')"
}

internal_topic_is_left_alone() {
  expect "1" "$("$tidemark" topic list --data "$data" | grep -c '^__consumer_offsets ')"
  "$tidemark" topic list --data "$data" --json | grep -q '"topic":"__consumer_offsets".*"internal":true' ||
    fail "it is not marked as internal"
  expect "0" "$("$tidemark" topic list --data "$data" --exclude-internal | grep -c __consumer)" || true
  for command in "topic delete" "topic create" "topic alter --config retention.ms=1000"; do
    # shellcheck disable=SC2086
    expect_error 1 "internal" "$tidemark" $command --data "$data" __consumer_offsets
  done
  echo x >"$work/line"
  local code=0
  produce __consumer_offsets <"$work/line" || code=$?
  expect 1 "$code"
}

# A follower commits about once a second, and when it is stopped.
follower_commits() {
  "$tidemark" topic create --data "$data" followed
  seq 3 | produce followed
  "$tidemark" consume --data "$data" followed --group f >"$work/followed" 2>"$work/followed.err" &
  local follower=$!
  children+=("$follower")
  wait_for lines_in "$work/followed" 3
  wait_for has_offsets f followed-0=3
  seq 4 5 | produce followed
  wait_for lines_in "$work/followed" 5
  kill -TERM "$follower"
  wait "$follower" || fail "the follower ended with $?: $(cat "$work/followed.err")"
  expect "followed-0=5" "$(offsets f)"
  expect "1 2 3 4 5" "$(tr '\n' ' ' <"$work/followed" | sed 's/ $//')"
}

# What did not get through to the reader of stdout is not committed.
closed_output_is_not_committed() {
  "$tidemark" topic create --data "$data" piped
  seq -f '%0.f some text so that the pipe is soon full' 20000 | produce piped
  consume piped --group p -e | head -n 5 >/dev/null || true
  # Not the end: what is committed was written, and the rest is there.
  local committed
  committed=$({ offsets p || true; } 2>/dev/null | sed 's/.*=//')
  [ "${committed:-0}" -lt 20000 ] || fail "committed up to $committed"
  consume piped --group p -e >"$work/rest"
  expect "20000" "$((${committed:-0} + $(wc -l <"$work/rest")))"
  # A full disk under stdout.
  "$tidemark" group reset --data "$data" p --topic piped -o beginning >/dev/null
  expect_code 1 bash -c "'$tidemark' consume --data '$data' piped --group p -e >/dev/full"
  expect "piped-0=0" "$(offsets p)"
}

alone_and_beside_serve goes_on_where_it_stopped is_managed resets_by_its_policy \
  internal_topic_is_left_alone follower_commits closed_output_is_not_committed

echo "-- consumers and serves are killed, and no record is passed over"
data=$work/killed
make_small_store "$data"
"$tidemark" topic create --data "$data" k --partitions 2
start_serve "$data"
: >"$work/printed"
total=0
for round in $(seq 8); do
  "$tidemark" consume --data "$data" k --group g -f '%p:%o\n' >>"$work/printed" 2>>"$work/consumer.err" &
  consumer=$!
  children+=("$consumer")
  for partition in 0 1; do
    seq $((round * 50)) | produce k -p "$partition"
    total=$((total + round * 50))
  done
  if [ $((round % 2)) -eq 0 ]; then
    stop_serve KILL 137
    start_serve "$data"
  fi
  # Somewhere in the middle of what it prints; sometimes it has not begun.
  [ $((round % 3)) -eq 0 ] || wait_for lines_in "$work/printed" $((total / 3))
  kill -KILL "$consumer"
  wait "$consumer" 2>/dev/null || true
  echo >>"$work/printed"  # a line that was cut off ends here
done
consume k --group g -e -f '%p:%o\n' >>"$work/printed"
# A line may be cut off where a consumer was killed in the middle of its write; it is printed again.
expect "$total" "$(grep -E '^[01]:[0-9]+$' "$work/printed" | sort -u |
  awk -F: '$2 < 1800' | wc -l)"
expect "k-0=1800 k-1=1800" "$(offsets g)"
expect "" "$(consume k --group g -e)"
stop_serve
expect "k-0=1800 k-1=1800" "$(offsets g)"

echo "-- a follower outlives its serve, and commits to the next one"
start_serve "$data"
"$tidemark" consume --data "$data" k --group g -f '%p:%o\n' >"$work/outlives" 2>"$work/outlives.err" &
consumer=$!
children+=("$consumer")
echo one | produce k -p 0
wait_for lines_in "$work/outlives" 1
stop_serve
start_serve "$data"
echo two | produce k -p 0
wait_for lines_in "$work/outlives" 2
wait_for has_offsets g "k-0=1802 k-1=1800"
# Its serve is gone when it is stopped: it commits by itself.
echo three | produce k -p 0
wait_for lines_in "$work/outlives" 3
stop_serve KILL 137
kill -TERM "$consumer"
wait "$consumer" || fail "the consumer ended with $?: $(cat "$work/outlives.err")"
expect "k-0=1803 k-1=1800" "$(offsets g)"
expect "3" "$(wc -l <"$work/outlives")"
