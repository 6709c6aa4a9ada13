#!/bin/bash
# tidemark topic, alone and beside a running serve.
source "$(dirname "$0")/cli_common.sh"

topics() {
  "$tidemark" topic create --data "$data" meters --partitions 3 --config segment.bytes=1MiB \
    --config compression.type=none
  "$tidemark" topic create --data "$data" doors
  expect_error 1 "topic_exists" "$tidemark" topic create --data "$data" doors
  expect_error 1 "" "$tidemark" topic create --data "$data" ../doors
  expect_error 1 "segment.size" "$tidemark" topic create --data "$data" x --config segment.size=5
  expect_error 1 "segment.bytes" "$tidemark" topic create --data "$data" x --config segment.bytes=5
  expect_error 1 "min.insync.replicas" \
    "$tidemark" topic create --data "$data" x --config min.insync.replicas=2

  expect "doors meters" "$("$tidemark" topic list --data "$data" | awk 'NR > 1 && $1 != "mqtt" { print $1 }' | xargs)"
  "$tidemark" topic list --data "$data" --json |
    python3 -c 'import json, sys; t = {x["topic"]: x for x in json.load(sys.stdin)}
assert t["meters"]["partitions"] == 3 and t["meters"]["records"] == 0, t'

  "$tidemark" topic alter --data "$data" meters --config flush.ms=250
  expect_error 1 "unknown_topic" "$tidemark" topic alter --data "$data" none --config flush.ms=250
  expect_error 1 "flush.ms" "$tidemark" topic alter --data "$data" meters --config flush.ms=-1
  "$tidemark" topic describe --data "$data" meters --json >"$work/meters.json"
  python3 - "$work/meters.json" <<'PYTHON'
import json, sys
topic = json.load(open(sys.argv[1]))
assert topic["topic"] == "meters" and len(topic["partitions"]) == 3, topic
config = topic["config"]
assert config["segment.bytes"] == "1048576" and config["flush.ms"] == "250", config
assert config["compression.type"] in ("none", "uncompressed"), config
PYTHON
  "$tidemark" topic describe --data "$data" meters >"$work/text"
  grep -q 'flush.ms=250' "$work/text" || fail "$(cat "$work/text")"
  "$tidemark" topic describe --data "$data" >"$work/text"
  grep -q 'doors' "$work/text" || fail "describe without a name shows all"

  "$tidemark" topic alter --data "$data" doors --partitions 3 --config flush.ms=100
  "$tidemark" topic describe --data "$data" doors >"$work/text"
  expect "3" "$(grep -c '^ *[0-9]' "$work/text")"
  grep -q 'flush.ms=100' "$work/text" || fail "$(cat "$work/text")"
  expect_error 1 "only grow" "$tidemark" topic alter --data "$data" doors --partitions 2 --config flush.ms=5
  "$tidemark" topic describe --data "$data" doors | grep -q 'flush.ms=100' || fail "half of it was done"
  expect_code 2 "$tidemark" topic alter --data "$data" doors
  echo two | "$tidemark" produce --data "$data" doors -p 2 2>/dev/null
  expect "2 0 two" "$("$tidemark" consume --data "$data" doors -e -f '%p %o %s\n')"

  echo reading | "$tidemark" produce --data "$data" doors 2>/dev/null
  "$tidemark" topic delete --data "$data" doors
  expect_error 1 "unknown_topic" "$tidemark" topic delete --data "$data" doors
  expect_error 1 "unknown_topic" "$tidemark" topic describe --data "$data" doors
  # A new topic of that name has nothing of the old one.
  "$tidemark" topic create --data "$data" doors
  expect "" "$("$tidemark" consume --data "$data" doors -e)"
}

alone_and_beside_serve topics

# Creating a topic makes the store.
"$tidemark" topic create --data "$work/new" first
expect "first" "$("$tidemark" topic list --data "$work/new" | awk 'NR > 1 { print $1 }')"

# A deletion is answered when it is done, however busy the gateway is: a topic of the same name can
# be made at once.
again_and_again() {
  "$tidemark" topic create --data "$data" again --partitions 20
  echo reading | "$tidemark" produce --data "$data" again 2>/dev/null
  "$tidemark" topic delete --data "$data" again
}
make_small_store "$work/served"
start_serve "$work/served"
data=$work/served
"$tidemark" topic create --data "$data" load
"$tidemark" datagen thermometers --data "$data" --topic load --rate 0 --count 400000 2>/dev/null &
load=$!
for _ in $(seq 15); do again_and_again; done
wait "$load" || fail "the load has failed"
stop_serve

# What was done beside a serve is there when that was killed.
make_small_store "$work/killed"
"$tidemark" topic create --data "$work/killed" removed
start_serve "$work/killed"
"$tidemark" topic create --data "$work/killed" kept --partitions 2
"$tidemark" topic delete --data "$work/killed" removed
stop_serve KILL 137
expect "2" "$("$tidemark" topic list --data "$work/killed" | awk '$1 == "kept" { print $2 }')"
expect "" "$("$tidemark" topic list --data "$work/killed" | awk '$1 == "removed" { print $2 }')"
