#!/usr/bin/env bash
# tidemark verify and repair: exit codes as fsck's, both outputs, nothing changed but by repair.
. "$(dirname "$0")/cli_common.sh"

data=$work/store
sums() { (cd "$data" && find . -type f -print0 | sort -z | xargs -0 sha256sum); }
# overwrite FILE POSITION BYTES...
overwrite() { printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

make_small_store "$data"
"$tidemark" topic create --data "$data" t --config compression.type=none --config segment.bytes=1MiB
seq 200000 | sed 's/.*/key-&:value &/' | "$tidemark" produce --data "$data" t -K : 2>/dev/null
sums >"$work/before"

echo "-- in order"
expect_code 0 "$tidemark" verify "$data"
grep -q 'all is in order$' "$work/out" || fail "$(cat "$work/out")"
[ ! -s "$work/err" ] || fail "$(cat "$work/err")"
expect_code 0 "$tidemark" verify --deep --json "$data"
python3 -c '
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
assert len(lines) == 1 and lines[0]["type"] == "summary", lines
assert lines[0]["in_order"] and lines[0]["records"] == 200000, lines' "$work/out"
expect_code 0 "$tidemark" repair "$data"
sums | cmp - "$work/before"

echo "-- beside a running serve"
start_serve "$data"
(for i in $(seq 20); do seq 2000; done | "$tidemark" produce --data "$data" t -k fresh 2>/dev/null) &
writer=$!
for i in $(seq 5); do expect_code 0 "$tidemark" verify "$data"; done
wait "$writer"
expect_error 8 "open for writing" "$tidemark" repair "$data"
stop_serve KILL 137
expect_code 0 "$tidemark" verify "$data"
"$tidemark" topic list --data "$data" >/dev/null
expect_code 0 "$tidemark" verify "$data"

echo "-- names that are no UTF-8, in JSON"
strange="$data/t-0/"$'ab\xff'
echo hi >"$strange"
for command in verify repair "repair --dry-run"; do
  expect_code 0 "$tidemark" $command --json "$data"
  /usr/bin/python3 -c 'import json, sys; [json.loads(line) for line in sys.stdin]' <"$work/out"
done
rm "$strange"

echo "-- damaged"
log=$(ls "$data"/t-0/*.log | head -n 1)
second=$("$tidemark" dump "$log" | sed -n 's/.* position: \([0-9]*\) CreateTime.*/\1/p' | sed -n 2p)
first_offset=$("$tidemark" dump "$log" | sed -n 's/^baseOffset: \([0-9]*\) .*/\1/p' | sed -n 2p)
overwrite "$log" $((second + 100)) 'XXXX'
sums >"$work/before"
expect_code 4 "$tidemark" verify "$data"
grep -q "^lost: t-0 offsets $first_offset to [0-9]*: $log at $second: " "$work/out" ||
  fail "$(cat "$work/out")"
expect_code 4 "$tidemark" verify --json "$data"
grep -q '"type":"lost"' "$work/out" || fail "$(cat "$work/out")"
expect_code 4 "$tidemark" repair --dry-run "$data"
grep -q '^would: ' "$work/out" || fail "$(cat "$work/out")"
sums | cmp - "$work/before"
printf '[storage]\nscrub_bytes_per_second = "64MiB"\n' >"$work/scrub.toml"
start_serve "$data" --config "$work/scrub.toml"
wait_for grep -q "error: scrub of t-0: lost: t-0 offsets $first_offset to [0-9]*: $log at $second: " "$work/serve.err"
stop_serve
cp "$log" "$work/log"
expect_code 1 "$tidemark" repair "$data"
grep -q '^done: ' "$work/out" || fail "$(cat "$work/out")"
cmp "$work/log" "$data"/quarantine/*-t-0-00000000000000000000.log
expect_code 0 "$tidemark" verify "$data"
expect_code 0 "$tidemark" repair "$data"

echo "-- a seal"
overwrite "${log%.log}.seal" 100 'X'
expect_code 4 "$tidemark" verify "$data"
grep -q "^fault: ${log%.log}.seal: seal: its checksum is wrong" "$work/out" || fail "$(cat "$work/out")"
expect_code 4 "$tidemark" repair --dry-run "$data"
grep -q "^would: ${log%.log}.seal: make it anew from the log" "$work/out" || fail "$(cat "$work/out")"
expect_code 1 "$tidemark" repair "$data"
grep -q "^done: ${log%.log}.seal: made anew from the log" "$work/out" || fail "$(cat "$work/out")"
rm "${log%.log}.seal"
expect_code 0 "$tidemark" verify "$data"

echo "-- an index"
printf 'abc' >>"${log%.log}.index"
expect_code 4 "$tidemark" verify "$data"
# check_repair done|planned EXIT_CODE: one action and the summary; what is left stands between them.
check_repair() {
  python3 -c '
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
done, code = sys.argv[2] == "done", int(sys.argv[3])
actions = [line for line in lines if line["type"] == "action"]
assert any(".index: " in line["what"] for line in actions), lines
assert all(line["done"] == done for line in actions), lines
summary = lines[-1]
assert summary["type"] == "summary" and summary["exit_code"] == code, lines
assert summary["repaired"] == done and summary["dry_run"] == (not done), lines
assert summary["in_order"] == done and any(l["type"] == "fault" for l in lines) == (not done), lines' \
    "$work/out" "$1" "$2"
}
expect_code 4 "$tidemark" repair --dry-run --json "$data"
check_repair planned 4
expect_code 1 "$tidemark" repair --json "$data"
check_repair done 1
expect_code 0 "$tidemark" repair --json "$data"
[ "$(wc -l <"$work/out")" = 1 ] || fail "$(cat "$work/out")"
expect_code 0 "$tidemark" verify "$data"

echo "-- no store, wrong usage"
expect_error 8 "no-such" "$tidemark" verify "$work/no-such"
expect_code 8 "$tidemark" repair "$work/no-such"
expect_code 16 "$tidemark" verify
expect_code 16 "$tidemark" verify "$data" --nonsense
expect_code 16 "$tidemark" repair
