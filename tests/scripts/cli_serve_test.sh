#!/bin/bash
# tidemark serve: start, stop, config, a second writer, recovery, memory.
source "$(dirname "$0")/cli_common.sh"

data=$work/store
make_small_store "$data"

echo "-- start and stop"
start_serve "$data"
expect 1 "$(grep -c '^ready mqtt=127.0.0.1:[0-9]*$' "$work/serve.err")"
[ ! -s "$work/serve.out" ] || fail "serve writes to stdout"
expect "600" "$(stat -c %a "$data/tidemark.sock")"
"$tidemark" topic list --data "$data" | grep -q '^mqtt ' || fail "there is no topic mqtt"
stop_serve TERM
[ ! -e "$data/tidemark.sock" ] || fail "the socket was left behind"
start_serve "$data"
grep -q 'stopped cleanly' "$work/serve.err" || fail "$(cat "$work/serve.err")"
stop_serve INT

echo "-- a second writer"
make_small_store "$work/other"
start_serve "$data"
expect_code 1 "$tidemark" serve --data "$data" --mqtt 127.0.0.1:0
grep -q "^tidemark: .*process $serve_pid " "$work/err" || fail "$(cat "$work/err")"
rm "$data/tidemark.sock"  # nobody can go through it now
expect_error 1 "process $serve_pid " "$tidemark" produce --data "$data" mqtt
expect_error 1 "process $serve_pid " "$tidemark" topic list --data "$data"
expect_code 1 "$tidemark" serve --data "$work/other" --mqtt "127.0.0.1:$mqtt_port"
grep -q "^tidemark: .*$mqtt_port" "$work/err" || fail "$(cat "$work/err")"
stop_serve

echo "-- a command that has the folder open for a while"
"$tidemark" topic create --data "$data" long
seq 30000 | "$tidemark" produce --data "$data" long 2>/dev/null
mkfifo "$work/slow"
# It has opened the store once its first line can be read, and cannot go on before the rest is.
"$tidemark" consume --data "$data" long -e -f '%s %k %h %T %s %s %s %s %s %s %s\n' >"$work/slow" &
children+=($!)
exec 5<"$work/slow"
read -r _ <&5
: >"$work/serve.err"
"$tidemark" serve --data "$data" --mqtt 127.0.0.1:0 2>"$work/serve.err" &
serve_pid=$!
wait_for grep -q "has this data folder open .*waiting" "$work/serve.err"
sleep 1.5  # longer than a moment
cat <&5 >"$work/read"
exec 5<&-
wait_for grep -q '^ready mqtt=' "$work/serve.err"
stop_serve

echo "-- after a kill"
start_serve "$data"
seq 1000 | "$tidemark" produce --data "$data" mqtt 2>/dev/null
stop_serve KILL 137
[ -e "$data/tidemark.sock" ] || fail "who removed the socket?"
start_serve "$data"
grep -q 'not stopped cleanly; replayed [0-9]* commits, [0-9]* records, [0-9]* journal bytes' \
  "$work/serve.err" || fail "$(cat "$work/serve.err")"
expect "1000" "$("$tidemark" consume --data "$data" mqtt -e | wc -l)"
stop_serve

echo "-- a port that is not free yet"
/usr/bin/python3 - "$work/held_port" <<'END' &
import os, signal, socket, sys
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
with open(sys.argv[1] + ".new", "w") as file:
    file.write(str(listener.getsockname()[1]))
os.rename(sys.argv[1] + ".new", sys.argv[1])
signal.pause()
END
holder=$!
children+=("$holder")
wait_for [ -e "$work/held_port" ]
: >"$work/serve.err"
"$tidemark" serve --data "$data" --mqtt "127.0.0.1:$(cat "$work/held_port")" 2>"$work/serve.err" &
serve_pid=$!
# It says so before it listens.
wait_for grep -q 'stopped cleanly before' "$work/serve.err"
kill "$holder"
wait_for serve_is_ready_or_gone
grep -q '^ready mqtt=' "$work/serve.err" || fail "serve did not wait for its port: $(cat "$work/serve.err")"
stop_serve

echo "-- after a failed write"
start_serve "$data"
seq 10 | "$tidemark" produce --data "$data" mqtt 2>/dev/null
prlimit --pid "$serve_pid" --fsize=0:0  # every write fails from now on
for attempt in 1 2; do
  code=0
  echo lost | "$tidemark" produce --data "$data" mqtt 2>"$work/err" || code=$?
  expect 1 "$code"
  grep -q '^tidemark: stopped: ' "$work/err" || fail "attempt $attempt: $(cat "$work/err")"
done
expect "1010" "$("$tidemark" consume --data "$data" mqtt -e | wc -l)"
wait_for grep -q 'error: nothing is accepted until a restart' "$work/serve.err"
stop_serve TERM 1
expect 1 "$(grep -c 'error: nothing is accepted' "$work/serve.err")"
expect "1010" "$("$tidemark" consume --data "$data" mqtt -e | grep -cv lost)"

echo "-- config"
cat >"$work/gateway.toml" <<'TOML'
[storage]
journal_bytes = "4MiB"
[mqtt]
listen = ["127.0.0.1:0", "127.0.0.1:0"]
topic = "readings"
[[mqtt.route]]
filter = "doors/#"
topic = "doors"
key = "client"
[[topic]]
name = "doors"
partitions = 2
settings = { "segment.bytes" = "1MiB" }
TOML
: >"$work/serve.err"  # what an earlier one said would be taken for this one's
"$tidemark" serve --data "$work/configured" --config "$work/gateway.toml" 2>"$work/serve.err" &
serve_pid=$!
wait_for serve_is_ready_or_gone
grep -Eq '^ready mqtt=127.0.0.1:[0-9]+,127.0.0.1:[0-9]+$' "$work/serve.err" || fail "two listeners"
expect "doors readings" "$("$tidemark" topic list --data "$work/configured" | awk 'NR > 1 { print $1 }' | xargs)"
expect "4194304" "$(stat -c %s "$work/configured/journal")"
if command -v mosquitto_pub >/dev/null; then
  port=$(sed -n 's/^ready mqtt=.*:\([0-9]*\)$/\1/p' "$work/serve.err")
  mosquitto_pub -p "$port" -i janitor -q 1 -t doors/front -m open
  mosquitto_pub -p "$port" -i other -q 2 -t sensors/x -m 5
  expect "janitor open" "$("$tidemark" consume --data "$work/configured" doors -e -f '%k %s')"
  expect "sensors/x 5 mqtt.client=other,mqtt.qos=2" \
    "$("$tidemark" consume --data "$work/configured" readings -e -f '%k %s %h')"
fi
stop_serve
for garbage in 'journal_bytes = 1' '[storage]\njournal_byte = 1' '[[[' '\xff\xfe\x00' \
  '[mqtt]\nlisten = "0.0.0.0:0"' '[mqtt]\nlisten = "nowhere"' '[[topic]]\nname = "a/b"'; do
  printf "$garbage" >"$work/bad.toml"
  expect_code 1 "$tidemark" serve --data "$work/configured" --config "$work/bad.toml"
  grep -q '^tidemark: ' "$work/err" || fail "$garbage: $(cat "$work/err")"
done
printf '\n[storage]\njournal_byte = 1\n' >"$work/bad.toml"
expect_error 1 "bad.toml:3: unknown key 'storage.journal_byte'" \
  "$tidemark" serve --data "$work/configured" --config "$work/bad.toml"
expect_error 1 "none.toml" "$tidemark" serve --data "$work/configured" --config "$work/none.toml"

echo "-- garbage on the local socket"
start_serve "$data"
python3 - "$data/tidemark.sock" <<'PYTHON'
import json, random, socket, sys
random.seed(1)
for body in [b"\n", b"GET / HTTP/1.1\r\n\r\n", b"{}\n", b"[" * 300000, bytes(range(256)) * 64] + \
        [random.randbytes(random.randrange(2000)) + b"\n" for _ in range(50)]:
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect(sys.argv[1])
        try:
            s.sendall(body)
            s.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = b""
        try:
            while chunk := s.recv(65536):
                answer += chunk
        except ConnectionResetError:
            pass
        for line in answer.splitlines():
            assert json.loads(line)["ok"] is False, line
PYTHON
"$tidemark" topic list --data "$data" >/dev/null
stop_serve

echo "-- memory with 100 topics"
data=$work/many
make_small_store "$data"
start_serve "$data"
for i in $(seq 99); do "$tidemark" topic create --data "$data" "topic-$i"; done
stop_serve
start_serve "$data"
if ! grep -Eq 'lib(a|t|ub)san' "/proc/$serve_pid/maps"; then
  kib_of() { awk -v field="$1:" '$1 == field { print $2 }' "/proc/$serve_pid/status"; }
  own_kib=$(kib_of RssAnon)
  [ "$own_kib" -lt $((2 * 1024)) ] || fail "an idle serve has $own_kib KiB of its own"
  # With it the pages of the program and its libraries, as the kernel likes to map them.
  rss_kib=$(kib_of VmRSS)
  [ "$rss_kib" -lt $((12 * 1024)) ] || fail "an idle serve takes $rss_kib KiB"
fi
stop_serve
