#!/bin/bash
# bench_scale in small: stores are what was asked for, whatever holes they have, every opening is
# measured, and nothing is left behind.
#
#   TIDEMARK_BUILD=build/release tests/scripts/bench_scale_test.sh
source "$(dirname "$0")/bench_common.sh"
needs bench_scale

"$TIDEMARK_BUILD/bench_scale" --dir "$work" --partitions 20 --segments 3 --log-bytes 200MB \
  --log-partitions 2 --rounds 1 --tidemark "$TIDEMARK_BIN" --json >"$work/scale.json"
/usr/bin/python3 - "$work/scale.json" <<'END'
import json, sys
content = json.load(open(sys.argv[1]))
many, log = content["partitions"], content["log"]
assert many["store"]["segments"] == 20 * 4, many["store"]
assert [run["clean"] for run in many["runs"]] == [True, False], many["runs"]
for run in many["runs"]:
    assert run["open_ms"] > 0 and run["close_ms"] > 0, run
    assert 3 < run["open_files"] <= run["most_open_files_and_closing"], run
assert many["runs"][1]["records_replayed"] == 20, many["runs"][1]
store = log["store"]
# Holes: less is on the disk, the journal of 64 MiB included, than is read.
assert store["log_bytes"] > 200e6 > store["disk_bytes"], store
assert [run["stopped"] for run in log["runs"]] == ["clean", "SIGKILL"], log["runs"]
for run in log["runs"]:
    assert 0 < run["ready_ms"] < run["acknowledged_ms"], run
assert len(content["bars"]) == 4, content["bars"]
END
[ -z "$(find "$work" -maxdepth 1 -name 'tidemark-bench-*')" ] || fail "a scratch folder is left"

code=0
"$TIDEMARK_BUILD/bench_scale" --dir "$work" --partitions 0 --log-bytes 1MB --rounds 1 \
  --tidemark /bin/false >"$work/out" 2>&1 || code=$?
[ "$code" -eq 1 ] && grep -q '^benchmark: serve has not come to be ready' "$work/out" ||
  fail "a gateway that does not start gives $code: $(cat "$work/out")"
