#!/bin/bash
# Exit codes and messages of wrong usage; --help and --version.
source "$(dirname "$0")/cli_common.sh"

for command in "" serve topic "topic create" "topic list" "topic describe" "topic alter" \
  "topic delete" produce consume dump datagen; do
  # shellcheck disable=SC2086
  expect_code 0 "$tidemark" $command --help
  [ -s "$work/out" ] || fail "'$command --help' says nothing"
  [ ! -s "$work/err" ] || fail "'$command --help' writes to stderr"
done
expect_code 0 "$tidemark" --version
grep -Eq '^tidemark [0-9]+\.[0-9]+\.[0-9]+$' "$work/out" || fail "version: $(cat "$work/out")"

data=$work/store
expect_error 2 "" "$tidemark"
expect_error 2 "fly" "$tidemark" fly
expect_error 2 "--data" "$tidemark" serve
expect_error 2 "--speed" "$tidemark" serve --data "$data" --speed 5
expect_error 2 "nowhere" "$tidemark" serve --data "$data" --mqtt nowhere
expect_error 2 "" "$tidemark" topic --data "$data"
expect_error 2 "" "$tidemark" topic create --data "$data"
expect_error 2 "" "$tidemark" topic create --data "$data" t --partitions 0
expect_error 2 "" "$tidemark" topic create --data "$data" t --partitions many
expect_error 2 "segment.bytes" "$tidemark" topic create --data "$data" t --config segment.bytes
expect_error 2 "" "$tidemark" topic alter --data "$data" t
expect_error 2 "--data" "$tidemark" produce t
expect_error 2 "" "$tidemark" produce --data "$data"
expect_error 2 "" "$tidemark" produce --data "$data" t -k a -K :
expect_error 2 "" "$tidemark" produce --data "$data" t -K ""
expect_error 2 "" "$tidemark" produce --data "$data" t --durability maybe
expect_error 2 "" "$tidemark" produce --data "$data" t -p first
expect_error 2 "yesterday" "$tidemark" consume --data "$data" t -o yesterday
expect_error 2 "%q" "$tidemark" consume --data "$data" t -f '%q'
expect_error 2 "" "$tidemark" consume --data "$data" t -f '%s' --json
expect_error 2 "" "$tidemark" consume --data "$data" t --reset sometimes
expect_error 2 "" "$tidemark" consume --data "$data" t -c -1
expect_error 2 "" "$tidemark" dump
expect_error 2 "" "$tidemark" datagen
expect_error 2 "" "$tidemark" datagen windmills
expect_error 2 "" "$tidemark" datagen thermometers --data "$data"
expect_error 2 "" "$tidemark" datagen thermometers --devices 0
expect_error 2 "" "$tidemark" datagen thermometers --rate -5
[ ! -e "$data" ] || fail "wrong usage has made a data folder"

# Right usage that must fail.
expect_error 1 "topic create" "$tidemark" produce --data "$data" t
expect_error 1 "" "$tidemark" consume --data "$data" t
expect_error 1 "" "$tidemark" topic list --data "$data"
expect_error 1 "" "$tidemark" dump "$data"
expect_error 1 "" "$tidemark" datagen thermometers --data "$data" --topic t
[ ! -e "$data" ] || fail "a command that only reads has made a data folder"
