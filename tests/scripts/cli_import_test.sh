#!/bin/bash
# tidemark import: what it says, and what it refuses. Folders that Kafka itself has written are
# tests/kafka's; here those of another store stand for them, whose format is the same.
source "$(dirname "$0")/cli_common.sh"

from=$work/from
data=$work/store
make_small_store "$from"
"$tidemark" topic create --data "$from" readings --partitions 2
seq 1000 | "$tidemark" produce --data "$from" readings -p 0 2>/dev/null
seq 500 | "$tidemark" produce --data "$from" readings -p 1 2>/dev/null
logs=$work/logs
mkdir "$logs"
cp -r "$from"/readings-0 "$from"/readings-1 "$logs"
sums() { (cd "$logs" && find . -type f -print0 | sort -z | xargs -0 sha256sum); }
sums >"$work/before"

echo "-- a broker's folder"
expect_code 0 "$tidemark" import --data "$data" "$logs"
expect "readings-0: offsets 0 to 1000, 1000 records in 1 batches
readings-1: offsets 0 to 500, 500 records in 1 batches" "$(cat "$work/out")"
[ ! -s "$work/err" ] || fail "$(cat "$work/err")"
expect "$(seq 1000)" "$("$tidemark" consume --data "$data" readings -p 0 -e)"
expect "$(seq 500)" "$("$tidemark" consume --data "$data" readings -p 1 -e)"
expect_code 0 "$tidemark" verify --deep "$data"
sums | cmp - "$work/before"

echo "-- what is refused"
expect_error 1 "topic readings exists" "$tidemark" import --data "$data" "$logs"
expect_error 1 "a store of Tidemark's own" "$tidemark" import --data "$data" "$from"
mkdir "$work/empty"
expect_error 1 "no partition" "$tidemark" import --data "$data" "$work/empty"
expect_error 1 "retention.hours" "$tidemark" import --data "$data" "$logs" --config retention.hours=1
expect_error 2 "PATH" "$tidemark" import --data "$data"
start_serve "$data"
expect_code 1 "$tidemark" import --data "$data" "$logs"
grep -q "has this data folder open" "$work/err" || fail "$(cat "$work/err")"
stop_serve

echo "-- one folder, settings, JSON"
expect_code 0 "$tidemark" import --data "$work/other" "$logs/readings-1/" --json \
  --config segment.bytes=1MiB --config compression.type=none
python3 - "$work/out" <<'END'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
assert len(lines) == 1, lines
line = lines[0]
assert line["bytes"] > 0 and line["batches"] == 1, line
del line["bytes"], line["batches"]
assert line == {"type": "partition", "topic": "readings", "partition": 1, "log_start_offset": 0,
                "end_offset": 500, "records": 500, "losses": []}, line
END
"$tidemark" topic describe --data "$work/other" readings >"$work/out"
grep -q "segment.bytes=1048576" "$work/out" || fail "$(cat "$work/out")"
expect "$(seq 500)" "$("$tidemark" consume --data "$work/other" readings -e)"

echo "-- damage, and a topic of Kafka's own"
printf 'XXXX' | dd of="$logs/readings-0/00000000000000000000.log" bs=1 seek=100 conv=notrunc status=none
cp -r "$logs/readings-1" "$logs/__consumer_offsets-0"
expect_code 1 "$tidemark" import --data "$work/damaged" "$logs"
grep -q "^tidemark: left out: $logs/__consumer_offsets-0: " "$work/err" || fail "$(cat "$work/err")"
grep -q "^tidemark: readings-0 offsets from 0 on are left out: $logs/readings-0/.*.log at 0: " \
  "$work/err" || fail "$(cat "$work/err")"
expect "$(seq 500)" "$("$tidemark" consume --data "$work/damaged" readings -p 1 -e)"
expect "" "$("$tidemark" consume --data "$work/damaged" readings -p 0 -e)"
