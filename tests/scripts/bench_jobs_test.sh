#!/bin/bash
# Every job file of bench/jobs runs, in small: each job of it does what it says, without an error.
source "$(dirname "$0")/cli_common.sh"
jobs=$PWD/bench/jobs
cd "$work"

# check FILE: each of its jobs has done something, without an error.
check() {
  /usr/bin/python3 - "$1" out.json <<'END_PYTHON'
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
}
# run FILE RUNTIME
run() {
  "$tidemark" bench "$1" --runtime="$2" --ramp_time=0 --size=1m --rate=0 --linger_us=0 \
    --journal=8m --zstd_level=1 --output-format=json >out.json &&
    check "$1"
}

for file in "$jobs"/*.fio; do
  echo "-- $(basename "$file")"
  # What appends is done with the size long before its time is over. What reads takes all its time;
  # on a busy disk a second of that may be over before the first read is.
  if [[ $file = */read*.fio ]]; then
    run "$file" 1s || run "$file" 10s
  else
    run "$file" 5s
  fi
done
ls -d tidemark-bench-* raw-* 2>/dev/null && fail "something is left"
exit 0
