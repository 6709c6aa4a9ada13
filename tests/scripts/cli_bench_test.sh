#!/bin/bash
# tidemark bench: every kind of work runs, counts what it says, and leaves nothing behind.
source "$(dirname "$0")/cli_common.sh"
cd "$work"

# A field of the JSON on standard input.
field() {
  /usr/bin/python3 -c 'import json, sys; print(eval("json.load(sys.stdin)" + sys.argv[1]))' "$1"
}

echo "-- appends are counted to the record"
"$tidemark" bench --rw=append --size=10000 --iodepth=16 --partitions=4 --output-format=json >out
expect 100 "$(field '["jobs"][0]["append"]["records"]' <out)"
expect 10000 "$(field '["jobs"][0]["append"]["bytes"]' <out)"
expect 100 "$(field '["jobs"][0]["append"]["clat_ns"]["N"]' <out)"
expect 100 "$(field '["groups"][0]["stores"][0]["records_appended"]' <out)"
expect None "$(field '["jobs"][0]["error"]' <out)"
expect core "$(field '["jobs"][0]["through"]' <out)"
ls tidemark-bench-* 2>/dev/null && fail "a scratch folder is left"

echo "-- a store that was asked for stays, and holds what was appended"
# 12 bytes of key and 50 of value each.
"$tidemark" bench --size=5000 --recordsize=50 --keys=7 --directory=store --name=t --thread=1 >out
grep -q 'RPS=' out || fail "$(cat out)"
expect 81 "$("$tidemark" consume --data store t -e -f '%o %K %S\n' | grep -c ' 12 50$')"
"$tidemark" verify store

echo "-- a topic that is there keeps its settings, but for those that the job names"
settings() {
  "$tidemark" topic describe --data store kept --json | /usr/bin/python3 -c '
import json, sys
config = json.load(sys.stdin)["config"]
print(*[config[key] for key in sys.argv[1:]])' "$@"
}
"$tidemark" topic create --data store kept --config retention.bytes=1MiB --config cleanup.policy=compact,delete \
  --config compression.type=none --config durability=buffered >out
"$tidemark" bench --size=5000 --keys=7 --directory=store --topic=kept >out
expect "1048576 compact,delete none buffered" "$(settings retention.bytes cleanup.policy compression.type durability)"
for thread in 0 1; do
  "$tidemark" bench --size=5000 --keys=7 --directory=store --topic=kept --thread=$thread --output-format=json >out
  expect none "$(field '["jobs"][0]["job options"]["compression"]' <out)"
done
"$tidemark" bench --size=5000 --keys=7 --directory=store --topic=kept --segment=2m \
  --config="retention.ms=60000 when.full=drop_oldest" >out
expect "2097152 60000 drop_oldest 1048576 none" \
  "$(settings segment.bytes retention.ms when.full retention.bytes compression.type)"

echo "-- each kind of reading"
for rw in read randread timeread; do
  for thread in 0 1; do
    "$tidemark" bench --rw=$rw --size=100k --workload=skew --thread=$thread --output-format=json >out
    (($(field '["jobs"][0]["read"]["bytes"]' <out) >= 100000)) || fail "$rw: $(cat out)"
    expect "$([ $thread = 1 ] && echo threads || echo core)" "$(field '["jobs"][0]["through"]' <out)"
  done
done
for rw in tail mixed; do
  "$tidemark" bench --rw=$rw --size=100k --iodepth=8 --partitions=3 --output-format=json >out
  (($(field '["jobs"][0]["read"]["records"]' <out) > 0)) || fail "$rw: $(cat out)"
  expect 1024 "$(field '["jobs"][0]["append"]["records"]' <out)"
done
expect 1024 "$("$tidemark" bench --rw=tail --size=100k --output-format=json |
  field '["jobs"][0]["read"]["records"]')"

echo "-- the device"
for rw in rawwrite rawsync; do
  "$tidemark" bench --rw=$rw --recordsize=4k --size=64k --iodepth=2 --output-format=json >out ||
    fail "$rw"
  expect 16 "$(field '["jobs"][0]["write"]["records"]' <out)"
done
ls raw-* 2>/dev/null && fail "a file is left"

echo "-- a job file: two jobs together on one store, and one after them"
cat >jobs.fio <<'END'
[global]
directory=shared
size=20k
[one]
numjobs=2
[two]
topic=one
[after]
stonewall
rw=read
topic=one
END
"$tidemark" bench jobs.fio --output-format=json >out
expect 410 "$(field '["jobs"][0]["append"]["records"]' <out)"
expect 205 "$(field '["jobs"][1]["append"]["records"]' <out)"
expect "0 0 1" "$(field '["jobs"]' <out | /usr/bin/python3 -c '
import ast, sys
print(*[job["groupid"] for job in ast.literal_eval(sys.stdin.read())])')"
# Reading is by the batch: all that stands in the one that reaches the size.
expect 615 "$(field '["jobs"][2]["read"]["records"]' <out)"
"$tidemark" bench jobs.fio --section after --output-format=json | field '["jobs"].__len__()' |
  grep -qx 1 || fail "--section"

echo "-- a rate, a time, and what goes before"
"$tidemark" bench --rate=100 --iodepth=64 --runtime=2 --ramp_time=200ms --output-format=json >out
records=$(field '["jobs"][0]["append"]["records"]' <out)
# What a stall of the disk held back in the ramp comes after it.
((records > 100 && records <= 230)) || fail "$records records in two seconds at a rate of 100"

echo "-- what is wrong is told"
expect_error 2 "rw: 'write' must be one of" "$tidemark" bench --rw=write
expect_error 2 "no workload 'weather'" "$tidemark" bench --workload=weather
expect_error 2 "retention.bite" "$tidemark" bench --config="retention.bite=1"
expect_error 2 "config: 'retention.bytes'" "$tidemark" bench --config="retention.bytes 1"
expect_error 2 "unknown argument" "$tidemark" bench --iodept=1
expect_error 1 "nowhere.fio" "$tidemark" bench nowhere.fio
expect_error 2 "no job 'other'" "$tidemark" bench jobs.fio --section other
expect_error 1 "has 1 partitions, not 3" "$tidemark" bench --directory=shared --topic=one --partitions=3 --size=1k
expect_error 2 "jobs.fio:2" bash -c 'printf "[a]\nspeed=1\n" >jobs.fio; exec "$0" bench jobs.fio' "$tidemark"
printf 'garbage' >file
expect_code 1 "$tidemark" bench --directory=file --size=1k
ls -d tidemark-bench-* 2>/dev/null && fail "a scratch folder is left"
exit 0
