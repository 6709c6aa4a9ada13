#!/bin/bash
# tidemark datagen: the same seed gives the same readings, wherever they go.
source "$(dirname "$0")/cli_common.sh"

"$tidemark" datagen thermometers --count 500 --seed 7 >"$work/readings" 2>"$work/err"
grep -q '500 readings are written' "$work/err" || fail "$(cat "$work/err")"
expect 500 "$(wc -l <"$work/readings")"
"$tidemark" datagen thermometers --count 500 --seed 7 2>/dev/null | cmp - "$work/readings"
! "$tidemark" datagen thermometers --count 500 --seed 8 2>/dev/null | cmp -s - "$work/readings" ||
  fail "the seed does not matter"
grep -Evq $'^sensors/thermo-00[0-9]{2}\t\\{"device":"thermo-00[0-9]{2}","t":-?[0-9]+\\.[0-9]{2},"h":[0-9]+\\.[0-9],"ts":[0-9]{13}\\}$' \
  "$work/readings" && fail "not a reading: $(head -n 1 "$work/readings")"
expect 5 "$("$tidemark" datagen thermometers --devices 5 --count 500 2>/dev/null | cut -f1 | sort -u | wc -l)"
for rate in nan inf -1 much; do
  expect_code 2 "$tidemark" datagen thermometers --count 1 --rate "$rate"
done
expect 20 "$("$tidemark" datagen thermometers --count 20 --rate 200 2>/dev/null | wc -l)"
set +o pipefail
expect 1 "$("$tidemark" datagen thermometers 2>"$work/err" | head -n 1 | wc -l)"
set -o pipefail

to_the_store() {
  "$tidemark" topic create --data "$data" t
  "$tidemark" datagen thermometers --count 500 --seed 7 --data "$data" --topic t 2>"$work/err"
  grep -q '500 readings are durable' "$work/err" || fail "$(cat "$work/err")"
  "$tidemark" consume --data "$data" t -e -f '%k\t%s\n' | cmp - "$work/readings"
  device=$(head -n 1 "$work/readings" | sed 's/^sensors.\([^\t]*\)\t.*/\1/')
  expect "mqtt.client=$device,mqtt.qos=1" "$("$tidemark" consume --data "$data" t -e -c 1 -f '%h')"
  expect_error 1 "unknown_topic" \
    "$tidemark" datagen thermometers --count 1 --data "$data" --topic other
}
alone_and_beside_serve to_the_store

echo "-- to an MQTT server"
start_serve "$work/mqtt"
"$tidemark" datagen thermometers --count 500 --seed 7 --mqtt "127.0.0.1:$mqtt_port" 2>"$work/err"
grep -q '500 readings are acknowledged' "$work/err" || fail "$(cat "$work/err")"
"$tidemark" datagen thermometers --count 100 --seed 7 --inflight 1 --mqtt "127.0.0.1:$mqtt_port" 2>/dev/null
"$tidemark" consume --data "$work/mqtt" mqtt -e -c 500 -f '%k\t%s\n' | cmp - "$work/readings"
expect 600 "$("$tidemark" consume --data "$work/mqtt" mqtt -e | wc -l)"
stop_serve
expect_code 1 "$tidemark" datagen thermometers --count 1 --mqtt "127.0.0.1:$mqtt_port"
grep -q "127.0.0.1:$mqtt_port" "$work/err" || fail "$(cat "$work/err")"
