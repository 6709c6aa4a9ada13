#!/bin/bash
# bench_compaction in small: a pass removes what it should, commits are measured without it and during
# it, in each round, and nothing is left behind.
#
#   TIDEMARK_BUILD=build/release tests/scripts/bench_compaction_test.sh
source "$(dirname "$0")/bench_common.sh"
needs bench_compaction

# A finished segment of 16 MiB at least, or there is nothing to compact.
"$TIDEMARK_BUILD/bench_compaction" --dir "$work" --records 300000 --keys 1000 --compression none \
  --rounds 2 --quiet-seconds 0.2 --json >"$work/compaction.json"
/usr/bin/python3 - "$work/compaction.json" <<'END'
import json, sys
content = json.load(open(sys.argv[1]))
assert content["passes"] == 2, content
assert 2 * 100_000 < content["records_removed"] < 2 * 300_000, content
assert content["log_bytes_after"] < content["log_bytes_before"], content
assert content["bytes_read_and_written"] > content["log_bytes_before"] - content["log_bytes_after"], content
rounds = content["commits_by_round"]
assert len(rounds) == 2, rounds
for both in [content["commits"], *rounds]:
    for part in ("without", "during"):
        assert 0 < both[part]["p50_us"] <= both[part]["p99_us"] <= both[part]["p999_us"], both
    assert abs(both["times_p99"] - both["during"]["p99_us"] / both["without"]["p99_us"]) < 1e-6, both
assert len(content["bars"]) == 1, content["bars"]
END
[ -z "$(find "$work" -maxdepth 1 -name 'tidemark-bench-*')" ] || fail "a scratch folder is left"
