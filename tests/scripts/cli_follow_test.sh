#!/bin/bash
# tidemark consume without -e: follows live, tail included, across a serve that is stopped, killed and
# started again, and on a folder that nobody serves.
source "$(dirname "$0")/cli_common.sh"

data=$work/store
out=$work/follower.out

make_small_store "$data"
start_serve "$data"
"$tidemark" topic create --data "$data" t --partitions 2
"$tidemark" consume --data "$data" t -f '%p:%s\n' >"$out" 2>"$work/follower.err" &
follower=$!
children+=("$follower")

for i in $(seq 5); do
  echo "$i" | "$tidemark" produce --data "$data" t -p $((i % 2)) 2>/dev/null
  # The next one is only sent once this one was shown.
  wait_for grep -qx "$((i % 2)):$i" "$out"
done
if command -v mosquitto_pub >/dev/null; then
  "$tidemark" consume --data "$data" mqtt -o end -f '%k=%s\n' >"$work/mqtt.out" 2>/dev/null &
  children+=($!)
  wait_for mosquitto_pub -p "$mqtt_port" -q 1 -t sensors/a -m 21.5
  # The follower may have come after the first message; one of the next ones it must see.
  published_is_there() {
    mosquitto_pub -p "$mqtt_port" -q 1 -t sensors/a -m 22
    grep -q '^sensors/a=' "$work/mqtt.out"
  }
  wait_for published_is_there
fi

echo "-- the serve is killed, then stopped"
stop_serve KILL 137
start_serve "$data"
echo killed | "$tidemark" produce --data "$data" t 2>/dev/null
wait_for grep -qx "0:killed" "$out"
stop_serve
start_serve "$data"
echo stopped | "$tidemark" produce --data "$data" t 2>/dev/null
wait_for grep -qx "0:stopped" "$out"
stop_serve

echo "-- a stop signal ends the follower"
kill -TERM "$follower"
wait "$follower" || fail "the follower ended with $?"
expect "7" "$(sort "$out" | uniq | wc -l)"
expect "7" "$(wc -l <"$out")"

echo "-- partitions that are added meanwhile are followed, too"
start_serve "$data"
"$tidemark" topic create --data "$data" grows
: >"$out"
"$tidemark" consume --data "$data" grows -o end -f '%p:%s\n' >"$out" 2>"$work/follower.err" &
follower=$!
children+=("$follower")
first_is_there() {
  echo first | "$tidemark" produce --data "$data" grows -p 0 2>/dev/null
  grep -qx '0:first' "$out"
}
wait_for first_is_there
"$tidemark" topic alter --data "$data" grows --partitions 3
for partition in 1 2; do
  echo "to $partition" | "$tidemark" produce --data "$data" grows -p "$partition" 2>/dev/null
  wait_for grep -qx "$partition:to $partition" "$out"
done
kill -TERM "$follower"
wait "$follower" || fail "the follower ended with $?"
expect "1" "$(grep -c 'to 1' "$out")"
stop_serve

echo "-- a serve that goes before it has told where the topic begins"
/usr/bin/python3 - "$data/tidemark.sock" <<'END' &
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1] + ".new")
listener.listen()
os.rename(sys.argv[1] + ".new", sys.argv[1])
connection = listener.accept()[0]
connection.recv(65536)
connection.sendall(b'{"ok":true,"server":"half a serve","version":1,"process_id":1}\n')
connection.recv(65536)
os.unlink(sys.argv[1])
END
half_a_serve=$!
children+=("$half_a_serve")
wait_for [ -S "$data/tidemark.sock" ]
: >"$out"
"$tidemark" consume --data "$data" t -f '%p:%s\n' >"$out" 2>"$work/follower.err" &
follower=$!
children+=("$follower")
wait "$half_a_serve"
wait_for grep -q 'waiting for it to come back' "$work/follower.err"
start_serve "$data"
wait_for lines_in "$out" 7
kill -TERM "$follower"
wait "$follower" || fail "the follower ended with $?"
stop_serve

echo "-- without a serve"
: >"$out"
"$tidemark" consume --data "$data" t -o end >"$out" 2>"$work/follower.err" &
follower=$!
children+=("$follower")
# Its first opening must be over, or it would not be its end that it begins at.
wait_for [ -e "$data/.kafka_cleanshutdown" ]
alone_is_there() {
  echo alone | "$tidemark" produce --data "$data" t 2>/dev/null
  grep -q alone "$out"
}
wait_for alone_is_there
start_serve "$data"
echo served | "$tidemark" produce --data "$data" t 2>/dev/null
wait_for grep -qx served "$out"
kill -INT "$follower" 2>/dev/null || true  # bash starts children with SIGINT ignored
kill -TERM "$follower" 2>/dev/null || true
wait "$follower" || fail "the follower ended with $?"

echo "-- a reader that goes away ends the follower"
mkfifo "$work/pipe"
"$tidemark" consume --data "$data" t -o beginning >"$work/pipe" 2>"$work/follower.err" &
follower=$!
children+=("$follower")
head -n 1 "$work/pipe" >/dev/null
wait_for is_gone "$follower"

echo "-- a stop signal ends a follower whose reader takes nothing more"
"$tidemark" topic create --data "$data" much
seq -f '%0100.0f' 5000 >"$work/much"
"$tidemark" produce --data "$data" much <"$work/much" 2>/dev/null
is_ended_by_signal() {
  mkfifo "$work/full"
  exec 8<>"$work/full"
  "$tidemark" consume --data "$data" much --group "$1" >&8 2>"$work/follower.err" &
  follower=$!
  children+=("$follower")
  head -c 1 <&8 >"$work/shown"  # the pipe is full from then on
  kill -TERM "$follower"
  wait "$follower" || fail "the follower ended with $?"
  { echo && echo END; } >&8 &
  sed '/^END$/q' <&8 >>"$work/shown"
  wait $!
  exec 8<&-
  rm "$work/full"
  # What it was shown, and what the group is shown from then on, is all.
  "$tidemark" consume --data "$data" much --group "$1" -e >>"$work/shown"
  grep -E '^[0-9]{100}$' "$work/shown" | sort -u | cmp - "$work/much" || fail "something was passed over"
}
is_ended_by_signal beside
stop_serve
is_ended_by_signal alone
