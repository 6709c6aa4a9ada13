#!/bin/bash
# tidemark dump: segments, indexes and the journal, intact and damaged; nothing is ever changed.
source "$(dirname "$0")/cli_common.sh"

data=$work/store
sums() { (cd "$data" && find . -type f -print0 | sort -z | xargs -0 sha256sum); }
# overwrite FILE POSITION BYTES...
overwrite() { printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

make_small_store "$data"
"$tidemark" topic create --data "$data" t --config compression.type=none --config segment.bytes=1MiB
seq 100000 | sed 's/.*/key-&:value &/' | "$tidemark" produce --data "$data" t -K : 2>/dev/null
sums >"$work/before"

echo "-- intact"
expect_code 0 "$tidemark" dump "$data"
[ ! -s "$work/err" ] || fail "$(cat "$work/err")"
grep -q "^Dumping $data/journal$" "$work/out" || fail "no journal"
grep -Eq '^superblock version: 1 ' "$work/out" || fail "no superblock"
grep -Eq '^checkpoint number: ' "$work/out" || fail "no checkpoint"
grep -Eq '^\| topic: t partition: 0 .*durableEnd: 100000' "$work/out" || fail "no checkpoint entry"
grep -Eq '^Log starting offset: 0$' "$work/out" || fail "no log"
grep -Eq '^baseOffset: 0 lastOffset: [0-9]+ count: [0-9]+ .*magic: 2 compresscodec: none crc: [0-9]+ isvalid: true$' \
  "$work/out" || fail "no batch"
grep -Eq '^offset: [0-9]+ position: [0-9]+$' "$work/out" || fail "no offset index"
grep -Eq '^timestamp: [0-9]+ offset: [0-9]+$' "$work/out" || fail "no time index"
grep -Eq '^seal version: 1 topicId: \S+ partition: 0 baseOffset: 0 endOffset: [0-9]+ batches: [0-9]+ records: [0-9]+ ' \
  "$work/out" || fail "no seal"
expect 100000 "$("$tidemark" dump "$data"/t-0/*.log --records | grep -c '^| offset: ')"
"$tidemark" dump "$data"/t-0/*.log --records | grep -q '| offset: 7 CreateTime: [0-9]* keySize: 5 valueSize: 7 headerKeys: \[\] key: key-8 payload: value 8$' ||
  fail "no record"
"$tidemark" dump "$data" --records --json | python3 -c '
import collections, json, os, sys
counts = collections.Counter()
records = 0
seals = []
for line in sys.stdin:
    entry = json.loads(line)
    counts[entry["type"]] += 1
    if entry["type"] == "seal": seals.append(entry)
    if entry["type"] == "batch":
        assert entry["valid"] and "/t-0/" in entry["file"], entry
        records += entry["count"]
assert records == counts["record"] == 100000, counts
assert counts["superblock"] == counts["checkpoint"] == 1, counts
assert counts["offset_index_entry"] and counts["time_index_entry"], counts
assert counts["seal"] and all(s["blocks"] and s["log_bytes"] == os.path.getsize(s["file"][:-5] + ".log") for s in seals), seals
assert not counts["damage"], counts'
set +o pipefail
"$tidemark" dump "$data" --records 2>"$work/err" | head -n 1 >/dev/null
set -o pipefail
[ ! -s "$work/err" ] || fail "a closed stdout is told: $(cat "$work/err")"
sums | cmp - "$work/before"

echo "-- beside a running serve"
start_serve "$data"
seq 1000 | "$tidemark" produce --data "$data" t -k fresh 2>/dev/null
expect_code 0 "$tidemark" dump "$data"
expect_code 0 "$tidemark" dump --records "$data/journal"
grep -Eq '^commit sequence: [0-9]+ .*state: intact$' "$work/out" || fail "no commit"
grep -Eq '^\| topic: t partition: 0 kind: records firstOffset: 100000 ' "$work/out" || fail "no frame"
grep -Eq '^\| \| offset: 100999 CreateTime: .* key: fresh payload: 1000$' "$work/out" || fail "no record"
stop_serve KILL 137
expect_code 0 "$tidemark" dump "$data"
"$tidemark" topic list --data "$data" >/dev/null
sums >"$work/before"

echo "-- damaged"
log=$(ls "$data"/t-0/*.log | head -n 1)
cp "$log" "$work/log"
second=$("$tidemark" dump "$log" | sed -n 's/.* position: \([0-9]*\) CreateTime.*/\1/p' | sed -n 2p)
batches=$("$tidemark" dump "$log" | grep -c '^baseOffset')

overwrite "$log" $((second + 100)) 'XXXX'
expect_code 1 "$tidemark" dump "$log"
expect "1" "$(grep -c 'isvalid: false' "$work/out")"
expect "$batches" "$(grep -c '^baseOffset' "$work/out")"
grep -q "^tidemark: $log at $second: " "$work/err" || fail "$(cat "$work/err")"

cp "$work/log" "$log"
overwrite "$log" $((second + 8)) '\xff\xff\xff\xff'  # a length that cannot be
expect_code 1 "$tidemark" dump "$log"
expect $((batches - 1)) "$(grep -c 'isvalid: true' "$work/out")"
grep -q "^tidemark: $log at $second: .*next intact batch" "$work/err" || fail "$(cat "$work/err")"

cp "$work/log" "$log"
overwrite "$log" $((second + 8)) '\x00\x00\x20\x00'  # one that is merely wrong
expect_code 1 "$tidemark" dump "$log"
expect $((batches - 1)) "$(grep -c 'isvalid: true' "$work/out")"

cp "$work/log" "$log"
truncate -s -1 "$log"
expect_code 1 "$tidemark" dump "$log"
grep -q 'cut off' "$work/err" || fail "$(cat "$work/err")"
expect $((batches - 1)) "$(grep -c 'isvalid: true' "$work/out")"

head -c 100000 /dev/zero >"$log"
expect_code 1 "$tidemark" dump --records "$log"
: >"$log"
expect_code 0 "$tidemark" dump --records "$log"
cp "$work/log" "$log"

index=${log%.log}.index
cp "$index" "$work/index"
printf 'abc' >>"$index"
expect_error 1 "3 bytes are left over" "$tidemark" dump "$index"
cp "$work/index" "$index"
head -c 64 /dev/zero >>"$index"
expect_code 1 "$tidemark" dump --json "$index"
grep -q '"type":"damage"' "$work/out" || fail "damage is not in the JSON"
cp "$work/index" "$index"

seal=${log%.log}.seal
cp "$seal" "$work/seal"
overwrite "$seal" 40 'X'
expect_error 1 "seal: its checksum is wrong" "$tidemark" dump "$seal"
head -c 20000 /dev/urandom >"$seal"
expect_code 1 "$tidemark" dump --json "$seal"
cp "$work/seal" "${log%/*}/00000000000000000077.seal"
expect_error 1 "another segment" "$tidemark" dump "${log%/*}/00000000000000000077.seal"
rm "${log%/*}/00000000000000000077.seal"
cp "$work/seal" "$seal"

cp "$data/journal" "$work/journal"
overwrite "$data/journal" 20 'XXXX'
expect_error 1 "copy of the superblock" "$tidemark" dump "$data/journal"
overwrite "$data/journal" 4116 'XXXX'
expect_code 1 "$tidemark" dump "$data/journal"
head -c 50000 /dev/urandom >"$data/journal"
expect_code 1 "$tidemark" dump "$data/journal"
: >"$data/journal"
expect_code 1 "$tidemark" dump "$data/journal"
cp "$work/journal" "$data/journal"
sums | cmp - "$work/before"

expect_error 1 "no-such" "$tidemark" dump "$data/no-such.log"
expect_error 1 "manifest" "$tidemark" dump "$data/manifest"
for i in $(seq 20); do
  python3 -c "import random, sys; random.seed($i); sys.stdout.buffer.write(random.randbytes(20000))" >"$work/$i.log"
  cp "$work/$i.log" "$work/$i.timeindex"
  expect_code 1 "$tidemark" dump --records "$work/$i.log" "$work/$i.timeindex"
done
