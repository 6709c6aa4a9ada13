// tidemark produce: records from stdin, a line each.
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <string>
#include <utility>

#include "base/clock.h"
#include "storage/cursor_format.h"
#include "tools/commands.h"
#include "tools/output.h"
#include "tools/record_sender.h"
#include "tools/stop_signal.h"
#include "tools/store_client.h"

namespace tidemark::tools {
namespace {

constexpr size_t kReadBytes = size_t{64} << 10;

enum class ReadResult { bytes, end, stopped };

class Producer {
 public:
  Producer(StoreClient& client, const ProduceCommand& command)
      : command_(command),
        sender_(client, {command.topic, command.partition, command.durability}) {}

  // Everything until stdin ends or a stop signal comes; ok only if all of it is durable.
  Status Run() {
    const Status read = ReadAll();
    const Status flushed = sender_.Flush();  // also after an error: to count what is durable
    return read.ok() ? flushed : read;
  }
  uint64_t durable_records() const { return sender_.durable_records(); }
  bool interrupted() const { return interrupted_; }

 private:
  Status ReadAll();
  Result<ReadResult> ReadSome();
  Status AddLines();
  Status AddLine(std::string_view line);

  const ProduceCommand& command_;
  RecordSender sender_;
  Progress progress_;
  std::string input_;
  bool interrupted_ = false;
};

Status Producer::AddLine(std::string_view line) {
  Record record;
  record.timestamp_ms = base::SystemClock().WallMs();
  record.value = line;
  if (command_.key) record.key = *command_.key;
  if (command_.separator) {
    const size_t at = line.find(*command_.separator);
    if (at != std::string_view::npos) {
      record.key = line.substr(0, at);
      record.value = line.substr(at + command_.separator->size());
    }
  }
  return sender_.Add(record);
}

// All whole lines of the input; what is left is the beginning of one.
Status Producer::AddLines() {
  size_t start = 0;
  for (;;) {
    const size_t end = input_.find('\n', start);
    if (end == std::string::npos) break;
    Status added = AddLine(std::string_view(input_).substr(start, end - start));
    if (!added.ok()) return added;
    start = end + 1;
  }
  input_.erase(0, start);
  if (input_.size() > kMaxRequestBodyBytes) {
    return Error(ErrorCode::record_too_large,
                 "a line is longer than " + std::to_string(kMaxRequestBodyBytes) + " bytes");
  }
  return {};
}

// Before it waits for more input, everything so far is made durable: nobody knows how long that
// takes.
Result<ReadResult> Producer::ReadSome() {
  if (WaitReadable(STDIN_FILENO, 0, false) == WaitResult::timeout) {
    const Status flushed = sender_.Flush();
    if (!flushed.ok()) return flushed.error();
    progress_.Update(durable_records(), "records are durable");
  }
  if (WaitReadable(STDIN_FILENO, -1, false) == WaitResult::stopped) return ReadResult::stopped;
  std::array<char, kReadBytes> chunk;
  const ssize_t got = ::read(STDIN_FILENO, chunk.data(), chunk.size());
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return ReadResult::bytes;
  if (got < 0) return Error(ErrorCode::io_error, "standard input cannot be read", errno);
  input_.append(chunk.data(), static_cast<size_t>(got));
  return got == 0 ? ReadResult::end : ReadResult::bytes;
}

Status Producer::ReadAll() {
  for (;;) {
    const auto read = ReadSome();
    if (!read.ok()) return read.error();
    if (*read == ReadResult::stopped) {
      interrupted_ = true;
      return {};
    }
    Status added = AddLines();
    if (!added.ok()) return added;
    progress_.Update(durable_records(), "records are durable");
    if (*read == ReadResult::end) break;
  }
  if (input_.empty()) return {};
  return AddLine(input_);  // a last line without an end
}

}  // namespace

int RunProduce(const ProduceCommand& command) {
  InstallStopSignals();
  const auto client = StoreClient::Open({command.data_dir, false, false});
  if (!client.ok()) {
    const Error& error = client.error();
    if (error.code() != ErrorCode::invalid_argument) return Fail(error);
    return Fail(error.message() +
                "; make a store with its first topic: tidemark topic create --data " +
                command.data_dir + " " + command.topic);
  }
  // Told before the first line is read, which may be long in coming.
  const auto topic = (*client)->Ask(Json{{"request", "describe_topic"}, {"topic", command.topic}});
  const bool can_be_made = command.topic != storage::kCursorTopic;
  if (!topic.ok() && topic.error().code() == ErrorCode::unknown_topic && can_be_made) {
    return Fail(topic.error().message() + "; make it with: tidemark topic create --data " +
                command.data_dir + " " + command.topic);
  }
  if (!topic.ok()) return Fail(topic.error());

  Status done;
  uint64_t records = 0;
  bool interrupted = false;
  {
    Producer producer(**client, command);
    done = producer.Run();
    records = producer.durable_records();
    interrupted = producer.interrupted();
  }
  const Status closed = (*client)->Close();
  if (done.ok() && !closed.ok()) done = closed;
  (void)std::fprintf(stderr, "tidemark: %llu records are durable\n",
                     static_cast<unsigned long long>(records));
  if (!done.ok()) return Fail(done.error());
  if (interrupted) return Fail("interrupted before the end of the input");
  return kExitDone;
}

}  // namespace tidemark::tools
