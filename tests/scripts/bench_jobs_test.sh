#!/bin/bash
# Every job file of bench/jobs runs, in small: each job of it does what it says, without an error.
source "$(dirname "$0")/cli_common.sh"
jobs=$PWD/bench/jobs
cd "$work"

for file in "$jobs"/*.fio; do
  echo "-- $(basename "$file")"
  # What appends is done with the size long before its time is over. What reads takes all its time.
  runtime=5s
  [[ $file = */read*.fio ]] && runtime=1s
  "$tidemark" bench "$file" --runtime="$runtime" --ramp_time=0 --size=1m --rate=0 --linger_us=0 \
    --journal=8m --zstd_level=1 --output-format=json >out.json
  /usr/bin/python3 - "$file" out.json <<'END_PYTHON'
import json, re, sys
with open(sys.argv[1], encoding="utf-8") as file:
    sections = re.findall(r"^\[(.+)\]$", file.read(), re.MULTILINE)
sections.remove("global")
with open(sys.argv[2], encoding="utf-8") as file:
    jobs = json.load(file)["jobs"]
assert sections and [job["jobname"] for job in jobs] == sections, (sections, jobs)
for job in jobs:
    assert job["error"] is None, job
    done = {way: job[way]["records"] for way in ("append", "read", "write") if way in job}
    wanted = {"append": "append", "read": "read", "randread": "read", "timeread": "read",
              "tail": "read", "mixed": "read", "rawwrite": "write", "rawsync": "write"}
    assert done[wanted[job["job options"]["rw"]]] > 0, (job["jobname"], done)
END_PYTHON
done
ls -d tidemark-bench-* raw-* 2>/dev/null && fail "something is left"
exit 0
