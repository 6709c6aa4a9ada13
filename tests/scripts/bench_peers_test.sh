#!/bin/bash
# The comparisons run: every work of bench_peers with every system that is here, in small; servers.py
# with the servers that are here, Apache Kafka among them where Maven can fetch it; and bench/report
# makes a page and tables of what they, and tidemark bench, have measured.
#
#   TIDEMARK_BUILD=build/release tests/scripts/bench_peers_test.sh
source "$(dirname "$0")/bench_common.sh"
needs bench_peers

echo "-- bench_peers"
"$TIDEMARK_BUILD/bench_peers" --dir "$work" --rounds 2 --seconds 0.3 --partitions 1,3 \
  --in-flight 8 --in-flight-partitions 1,4 --bulk-records 2000 --read-records 2000 \
  --log-bytes 1MiB --keep-page-cache --readings 20 --window-seconds 1 --readings-per-second 50 \
  --json "$work/peers.json" >"$work/table"
grep -q '^(a) 1 partition, records/s$' "$work/table" || fail "no table of work a"
/usr/bin/python3 - "$work/peers.json" <<'END'
import json, sys
content = json.load(open(sys.argv[1]))
rows = content["rows"]
works = {row["work"] for row in rows}
assert works == set("abcdefghi"), works
assert content["machine"]["processor"] and content["machine"]["file_system"]
systems = {row["system"] for row in rows}
assert {"Tidemark", "raw device"} <= systems, systems
for row in rows:
    assert len(row["samples"]) == 2, row
    # On a busy machine one round may be over before anything is done.
    assert max(row["samples"]) > 0 or row["work"] in "hi", row
    assert row["better"] in ("higher", "lower"), row
# Every system that can be asked for a work has a row of it.
for system in systems - {"raw device", "zstd itself"}:
    mine = {row["work"] for row in rows if row["system"] == system}
    assert mine == set("abcdefghi"), (system, mine)
ours = next(row for row in rows if row["system"] == "Tidemark" and row["work"] == "a")
assert ours["ratio_to_tidemark"] == 1 and ours["x"] == 1, ours
END
code=0
"$TIDEMARK_BUILD/bench_peers" --dir "$work" --system nobody >"$work/out" 2>&1 || code=$?
[ "$code" -eq 1 ] || fail "an unknown system gives $code"

echo "-- bench_mqtt_load and servers.py"
code=0
bench/peers/servers.py --build "$TIDEMARK_BUILD" --dir "$work" --server nobody >"$work/out" 2>&1 || code=$?
[ "$code" -eq 2 ] || fail "an unknown server gives $code"
bench/peers/servers.py --build "$TIDEMARK_BUILD" --dir "$work" --rounds 1 --seconds 2 \
  --connections 1,3 --server "tidemark,mosquitto,nats jetstream" --json "$work/servers.json" \
  >"$work/table"
/usr/bin/python3 - "$work/servers.json" <<'END'
import json, sys
rows = json.load(open(sys.argv[1]))["rows"]
cases = {row["case"] for row in rows if row["system"] == "Tidemark" and row["work"] == "j"}
assert cases == {f"QoS {qos}, {count}" for qos in (0, 1)
                 for count in ("1 connection", "3 connections")}, cases
assert all(row["median"] > 0 for row in rows), rows
assert {row["work"] for row in rows} == set("abcgij")
END

# With Maven's help; without it the comparison goes on, and says so.
echo "-- Apache Kafka"
fetched=0
timeout 200 bash tests/kafka/fetch.sh >"$work/fetch" 2>&1 && fetched=1
bench/peers/servers.py --build "$TIDEMARK_BUILD" --dir "$work" --rounds 1 --seconds 0.5 \
  --work b,i --server "tidemark,apache kafka" --json "$work/kafka.json" \
  >"$work/table" 2>"$work/err" || fail "$(cat "$work/err")"
if [ "$fetched" -eq 1 ]; then
  /usr/bin/python3 - "$work/kafka.json" <<'END'
import json, sys
content = json.load(open(sys.argv[1]))
rows = [row for row in content["rows"] if row["system"] == "Apache Kafka"]
# Default and durable, in each case and unit.
assert len({row["setting"] for row in rows}) == 2 and len(rows) == 8, rows
assert all(row["median"] > 0 and row["ratio_to_tidemark"] > 0 for row in rows), rows
assert content["machine"]["versions"]["Apache Kafka"], content["machine"]
END
else
  tail -n 1 "$work/fetch"
  # (or it could, this time)
  grep -q '^Apache Kafka is not here, and Maven could not fetch it: left out$' "$work/err" ||
    cmp -s tests/kafka/pom.xml build/kafka/pom.xml ||
    fail "nobody says that Kafka is left out: $(cat "$work/err")"
fi
[ -z "$(find "$work" -maxdepth 1 -name 'servers-*')" ] || fail "servers.py leaves folders behind"

echo "-- what the load generator counts is what the server has"
mkdir "$work/store"
"$TIDEMARK_BIN" serve --data "$work/store" --mqtt 127.0.0.1:0 2>"$work/serve.err" &
serve_pid=$!
trap 'kill -9 "$serve_pid" 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 600); do
  grep -q '^ready mqtt=' "$work/serve.err" && break
  kill -0 "$serve_pid" || fail "$(cat "$work/serve.err")"
  sleep 0.05
done
port=$(sed -n 's/^ready mqtt=.*:\([0-9]*\)$/\1/p' "$work/serve.err")
total=0
for qos in 0 1; do
  "$TIDEMARK_BUILD/bench_mqtt_load" --port "$port" --qos "$qos" --connections 5 --window 3 \
    --seconds 0.5 >"$work/load.json"
  published=$(/usr/bin/python3 -c \
    'import json, sys; print(json.load(open(sys.argv[1]))["published"])' "$work/load.json")
  [ "$published" -gt 0 ] || fail "nothing was published with QoS $qos"
  total=$((total + published))
done
kill "$serve_pid"
wait "$serve_pid"
stored=$("$TIDEMARK_BIN" consume --data "$work/store" mqtt -e -f '%o\n' | wc -l)
[ "$stored" -eq "$total" ] || fail "published $total, stored $stored"

echo "-- bench/report"
bench/report --output "$work/page.html" "$work/peers.json" "$work/servers.json"
/usr/bin/python3 - "$work/page.html" <<'END'
import html.parser, re, sys
page = open(sys.argv[1], encoding="utf-8").read()
assert "<svg" in page and "Goals" in page and "prefers-color-scheme" in page
assert not re.search(r'(src|href)="|url\(|@import|nan', page), "the page needs something else"
class Balance(html.parser.HTMLParser):
    open_tags = []
    def handle_starttag(self, tag, attributes):
        if tag in ("svg", "g", "figure", "table", "details", "div"):
            self.open_tags.append(tag)
    def handle_endtag(self, tag):
        if tag in ("svg", "g", "figure", "table", "details", "div"):
            assert self.open_tags.pop() == tag, tag
parser = Balance()
parser.feed(page)
assert not parser.open_tags, parser.open_tags
END
# Jobs of tidemark bench: those that differ in one way alone make a chart along it, others stand alone.
for i in 1 2; do
  (cd "$work" && "$TIDEMARK_BIN" bench "$OLDPWD/bench/jobs/partitions.fio" --runtime=300ms \
    --ramp_time=0 --journal=8m --compression=none --output-format=json) >"$work/jobs-$i.json"
done
(cd "$work" && "$TIDEMARK_BIN" bench --rw=rawsync --recordsize=4k --name=device --runtime=20ms \
  --output-format=json) >"$work/jobs-3.json"
bench/report --output "$work/page.html" "$work"/jobs-?.json
for text in 'aria-label="records/s by partitions"' 'aria-label="ms, p99 (append) by partitions"' \
  '<title>1k partitions; Tidemark' '<h3>device</h3>'; do
  grep -qF "$text" "$work/page.html" || fail "the page lacks $text"
done
/usr/bin/python3 - "$work"/jobs-?.json <<'END'
import json, sys
sys.path.insert(0, "bench")
sys.dont_write_bytecode = True
import report_rows
rows, _ = report_rows.load(sys.argv[1:])
swept = [row for row in rows if row["unit"] == "records/s"]
assert [row["x"] for row in swept] == [1, 4, 16, 64, 256, 1000], swept
assert len({row["setting"] for row in swept}) == 1, swept
assert all(len(row["samples"]) == 2 for row in swept), swept
wanted = json.load(open(sys.argv[2]))["jobs"][3]["append"]["records_per_s"]
assert swept[3]["case"] == "64 partitions" and swept[3]["samples"][1] == wanted, swept[3]
END

# Two files with the same rows: medians over the samples of both, ratios pair by pair.
for i in 1 2; do
  cat >"$work/$i.json" <<END
{"rows": [
 {"work": "c", "case": "bulk", "system": "Tidemark", "setting": "s", "unit": "records/s",
  "better": "higher", "samples": [$((i * 100)), $((i * 100))]},
 {"work": "c", "case": "bulk", "system": "LMDB", "setting": "a|b", "unit": "records/s",
  "better": "higher", "samples": [$((i * 25)), $((i * 50))]}]}
END
done
bench/report --markdown "$work/1.json" "$work/2.json" >"$work/tables.md"
grep -qxF '| LMDB: a/b | 50; 0.375 (0.25 to 0.5) |' "$work/tables.md" ||
  fail "$(cat "$work/tables.md")"
grep -qF '| (c) bulk ingest, by the best embedded peer'"'"'s: LMDB (a/b)' "$work/tables.md" ||
  fail "no goal: $(cat "$work/tables.md")"
grep -qF '| **missed** |' "$work/tables.md" || fail "a goal that is missed is not told"
for broken in '{"rows": [{}]}' '{"rows": 1}' 'nonsense' '{"tidemark version": "1", "jobs": [1]}'; do
  echo "$broken" >"$work/broken.json"
  code=0
  bench/report "$work/broken.json" >"$work/out" 2>"$work/err" || code=$?
  [ "$code" -eq 1 ] && grep -q '^report: .*broken.json' "$work/err" || fail "$broken gives $code"
done
