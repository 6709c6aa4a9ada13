#!/bin/bash
# tidemark produce and consume, alone and beside a running serve.
source "$(dirname "$0")/cli_common.sh"

produce() { "$tidemark" produce --data "$data" "$@" 2>"$work/err"; }
consume() { "$tidemark" consume --data "$data" "$@"; }

lines() {
  "$tidemark" topic create --data "$data" t
  printf 'one\n\n\tthree \r\nfour' | produce t
  grep -q '4 records are durable' "$work/err" || fail "$(cat "$work/err")"
  expect $'0:one\n1:\n2:\tthree \r\n3:four' "$(consume t -e -f '%o:%s\n')"
  expect "0 4" "$(consume t -e -f '%p %S %K\n' | awk 'NR == 4 { print $1, $2 }')"
  expect "-1" "$(consume t -e -c 1 -f '%K')"
  printf 'a\0b\n\377\n' | produce t
  expect "3 1" "$(consume t -e -o 4 -f '%S ' | xargs)"
  expect "AGE/" "$(consume t -e -o 5 --json | python3 -c 'import json, sys, base64
v = json.loads(sys.stdin.readline())
assert "value" not in v and base64.b64decode(v["value_base64"]) == b"\xff", v
print("AGE/")')"
  produce t </dev/null
  grep -q '0 records are durable' "$work/err" || fail "$(cat "$work/err")"
}

keys() {
  "$tidemark" topic create --data "$data" k --partitions 4
  seq 100 | sed 's/.*/device-&:reading:&/' | produce k -K :
  expect "100" "$(consume k -e | wc -l)"
  expect "reading:17" "$(consume k -e -f '%k %s\n' | sed -n 's/^device-17 //p')"
  [ "$(consume k -e -f '%p\n' | sort -u | wc -l)" -eq 4 ] || fail "keys do not spread"
  # As Kafka's clients choose, by the hashes in Kafka's own tests of murmur2: -973932308, -790332482,
  # 479470107.
  for key in 21 foobar abc; do echo murmur | produce k -k $key; done
  expect "21 0 foobar 2 abc 3" "$(consume k -e -f '%s %k %p\n' | sed -n 's/^murmur //p' | sort -k2 |
    awk '{ partition[$1] = $2 } END { print "21", partition["21"], "foobar", partition["foobar"], "abc", partition["abc"] }')"
  seq 10 | produce k -k same
  expect "1" "$(consume k -e -f '%k %p\n' | awk '$1 == "same" { print $2 }' | sort -u | wc -l)"
  printf 'nokey\n' | produce k -K :
  expect "0 -1" "$(consume k -e -f '%s %p %K\n' | sed -n 's/^nokey //p')"
  printf 'here\n' | produce k -p 3
  expect "3" "$(consume k -e -f '%s %p\n' | sed -n 's/^here //p')"
  expect "here" "$(consume k -p 3 -o -1 -e)"
  code=0
  printf 'x\n' | produce k -p 4 || code=$?
  expect 1 "$code"
  grep -q 'no partition 4' "$work/err" || fail "$(cat "$work/err")"
  expect_error 1 "no partition 7" "$tidemark" consume --data "$data" k -p 7 -e
}

offsets() {
  "$tidemark" topic create --data "$data" o
  seq 0 999 | produce o
  expect "999 1000" "$(consume o -e | tail -n 1) $(consume o -e | wc -l)"
  expect "10" "$(consume o -e -o -10 | wc -l)"
  expect "990" "$(consume o -e -o -10 | head -n 1)"
  expect "500 501 502" "$(consume o -e -o 500 -c 3 | xargs)"
  expect "" "$(consume o -e -o end)"
  expect "" "$(consume o -e -c 0)"
  expect "1000" "$(consume o -e -o -5000 | wc -l)"
  expect "" "$(consume o -e -o 1000)"
  expect_error 1 "offset_out_of_range" "$tidemark" consume --data "$data" o -e -o 1001
  expect "0" "$(consume o -e -o 1001 --reset earliest | head -n 1)"
  expect "" "$(consume o -e -o 1001 --reset latest)"
  stamp=$(consume o -e -o 700 -c 1 -f '%T')
  first=$(consume o -e -o "s@$stamp" -c 1)
  [ "$first" -le 700 ] || fail "s@$stamp begins at $first"
  expect "0" "$(consume o -e -o s@0 -c 1)"
  expect "" "$(consume o -e -o s@99999999999999)"
  expect '{"topic":"o","partition":0,"offset":3' "$(consume o -e -o 3 -c 1 --json | cut -d, -f1-3)"
}

durability() {
  "$tidemark" topic create --data "$data" d --config flush.ms=20
  seq 500 | produce d --durability buffered
  grep -q '500 records are durable' "$work/err" || fail "$(cat "$work/err")"
  seq 500 | produce d --durability durable
  expect "1000" "$(consume d -e | wc -l)"
}

limits() {
  "$tidemark" topic create --data "$data" l
  head -c 700000 /dev/zero | tr '\0' x | produce l
  expect "700000" "$(consume l -e -f '%S')"
  code=0
  { echo before; head -c 2000000 /dev/zero | tr '\0' x; } | produce l || code=$?
  expect 1 "$code"
  grep -q 'record_too_large' "$work/err" || fail "$(cat "$work/err")"
  code=0
  head -c 7000000 /dev/zero | tr '\0' x | produce l || code=$?
  expect 1 "$code"
  # More than the engine's memory at once.
  seq 1000000 | sed 's/$/ and some more bytes to be written, to make it so many that room runs out/' >"$work/many"
  produce l <"$work/many"
  consume l -e -o -1000000 | cmp - "$work/many"
}

closed_stdout() {
  "$tidemark" topic create --data "$data" c
  seq 100000 | produce c
  set +o pipefail
  expect "1" "$(consume c 2>"$work/err" | head -n 1)"
  expect "1" "$(consume c -e 2>"$work/err" | head -n 1)"
  set -o pipefail
  [ ! -s "$work/err" ] || fail "a closed stdout is told: $(cat "$work/err")"
}

alone_and_beside_serve lines keys offsets durability limits closed_stdout

data=$work/store
make_small_store "$data"
"$tidemark" topic create --data "$data" t
expect_error 1 "topic create" "$tidemark" produce --data "$data" other
expect_error 1 "unknown_topic" "$tidemark" consume --data "$data" other -e

# Two at once on a folder that nobody serves: the second waits for the first.
for i in 1 2; do
  seq 200 | "$tidemark" produce --data "$data" t 2>"$work/producer$i.err" &
  children+=($!)
done
for child in "${children[@]}"; do wait "$child"; done
expect "400" "$("$tidemark" consume --data "$data" t -e | wc -l)"

# What is old goes; who wants it is told so, or goes on where they have said.
start_serve "$data"
"$tidemark" topic create --data "$data" r --config segment.ms=1000 --config retention.bytes=0
seq 1000 | "$tidemark" produce --data "$data" r 2>"$work/err"
is_given_up() {
  "$tidemark" topic describe --data "$data" r --json | grep -q '"log_start_offset": *1000'
}
wait_for is_given_up
"$tidemark" topic alter --data "$data" r --config retention.bytes=-1
expect_error 1 "offset_out_of_range" "$tidemark" consume --data "$data" r -e -o 0
echo new | "$tidemark" produce --data "$data" r 2>"$work/err"
expect "1000 new" "$("$tidemark" consume --data "$data" r -e -o 0 --reset earliest -f '%o %s\n')"
expect "" "$("$tidemark" consume --data "$data" r -e -o 0 --reset latest)"
expect "new" "$("$tidemark" consume --data "$data" r -e)"
stop_serve

# A record that is refused in the middle: those before it are durable, and counted.
for beside in no yes; do
  [ $beside = no ] || start_serve "$data"
  "$tidemark" topic create --data "$data" "compacted-$beside" --config cleanup.policy=compact >/dev/null
  code=0
  printf 'a:1\nb:2\nno key\nc:3\n' |
    "$tidemark" produce --data "$data" "compacted-$beside" -K : 2>"$work/err" || code=$?
  expect 1 "$code"
  grep -qx "tidemark: 2 records are durable" "$work/err" || fail "$(cat "$work/err")"
  expect "a=1 b=2" "$("$tidemark" consume --data "$data" "compacted-$beside" -e -f '%k=%s\n' | paste -sd ' ')"
  [ $beside = no ] || stop_serve
done
