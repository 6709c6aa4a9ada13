// tidemark consume: records to stdout, as kcat does it.
#include <string>
#include <utility>

#include "tools/commands.h"
#include "tools/consumer.h"
#include "tools/group_committer.h"
#include "tools/output.h"
#include "tools/record_format.h"
#include "tools/stop_signal.h"
#include "tools/store_client.h"
#include "tools/store_watch.h"

namespace tidemark::tools {
namespace {

// What the options say, in the words of those who do it.
struct Plan {
  ConsumerOptions consumer;
  RecordFormat format;
};

Result<Plan> MakePlan(const ConsumeCommand& command) {
  const auto start = ParseStartOffset(command.offset);
  if (!start.ok()) return start.error();
  auto format = RecordFormat::Parse(command.format);
  if (!format.ok()) return format.error();
  Plan plan{{}, std::move(*format)};
  plan.consumer.topic = command.topic;
  plan.consumer.partition = command.partition;
  plan.consumer.group = command.group;
  plan.consumer.start = *start;
  plan.consumer.exit_at_end = command.exit_at_end;
  using Reset = ConsumerOptions::Reset;
  plan.consumer.reset = command.reset == "earliest" ? Reset::earliest
                        : command.reset == "latest" ? Reset::latest
                                                    : Reset::error;
  return plan;
}

// Whether the `serve` that said so will be there again, or have room for one more connection.
bool ComesAgain(const Error& error) {
  return ServeHasGone(error) || NobodyListens(error) || error.code() == ErrorCode::busy;
}

class ConsumeRun {
 public:
  ConsumeRun(const ConsumeCommand& command, Plan plan)
      : command_(command),
        format_(std::move(plan.format)),
        consumer_(std::move(plan.consumer),
                  [this](int32_t partition, const RecordView& record) {
                    return Write(partition, record);
                  }),
        committer_(command.data_dir, command.group, command.topic) {}

  int Run();

 private:
  bool Write(int32_t partition, const RecordView& record);
  void TellLost();
  int PatienceMs() const;
  Status CommitPrinted(StoreClient& client);
  Status CommitIfDue(StoreClient& client);
  Status CommitRest();
  // True: there may be more later, and it is wanted.
  Result<bool> PrepareAndReadAll(StoreClient& client);
  Result<bool> ReadAll(StoreClient& client);
  Result<bool> Follow(StoreClient& client);
  Result<std::unique_ptr<StoreClient>> WaitForStore(std::unique_ptr<StoreClient> client);

  const ConsumeCommand& command_;
  RecordFormat format_;
  Consumer consumer_;
  GroupCommitter committer_;
  Output output_;
  Progress progress_;
  std::string text_;
  uint64_t written_ = 0;
  bool prepared_ = false;
  bool any_lost_ = false;
};

// False when no further record is wanted.
bool ConsumeRun::Write(int32_t partition, const RecordView& record) {
  text_.clear();
  if (command_.json) {
    AppendRecordJson(command_.topic, partition, record, &text_);
  } else {
    format_.Append(command_.topic, partition, record, &text_);
  }
  output_.Write(text_);
  ++written_;
  return !output_.finished() && (!command_.count || written_ < *command_.count);
}

void ConsumeRun::TellLost() {
  for (const std::string& text : consumer_.TakeLost()) {
    any_lost_ = true;
    progress_.Clear();
    PrintError(text);
  }
}

// How long an answer may be waited for: until something is to be committed.
int ConsumeRun::PatienceMs() const {
  return committer_.has_news(consumer_.positions()) ? committer_.ms_until_due() : -1;
}

// What was written reaches its reader first.
Status ConsumeRun::CommitPrinted(StoreClient& client) {
  const auto positions = consumer_.positions();
  if (!committer_.has_news(positions)) return {};
  const Status flushed = output_.Flush();
  if (!flushed.ok() || output_.finished()) return {};  // told at the end
  return committer_.Commit(client, positions);
}

// A commit that did not get through is made with the next one.
Status ConsumeRun::CommitIfDue(StoreClient& client) {
  if (committer_.ms_until_due() > 0) return {};
  Status committed = CommitPrinted(client);
  return !committed.ok() && ComesAgain(committed.error()) ? Status() : committed;
}

Result<bool> ConsumeRun::ReadAll(StoreClient& client) {
  if (command_.count && *command_.count == 0) return false;
  const bool wait = !command_.exit_at_end && client.beside_serve();
  for (;;) {
    const auto outcome = consumer_.Step(client, wait, PatienceMs());
    TellLost();
    if (!outcome.ok()) return outcome.error();
    // A follower's records must not stay behind in our buffer.
    if (!command_.exit_at_end || *outcome != Consumer::Outcome::progress) (void)output_.Flush();
    if (output_.finished()) return false;
    const Status committed = CommitIfDue(client);
    if (!committed.ok()) return committed.error();
    switch (*outcome) {
      case Consumer::Outcome::progress:
      case Consumer::Outcome::waiting:
        break;
      case Consumer::Outcome::at_end:
        return !command_.exit_at_end;
      case Consumer::Outcome::done:
      case Consumer::Outcome::gave_up:
        return false;
    }
    progress_.Update(written_, "records");
  }
}

Result<bool> ConsumeRun::PrepareAndReadAll(StoreClient& client) {
  if (!prepared_) {
    const Status prepared = consumer_.Prepare(client);
    if (!prepared.ok()) return prepared.error();
    committer_.set_committed(consumer_.cursors());
    prepared_ = true;
  }
  return ReadAll(client);
}

// That the serve stops is no error for who follows, whatever it was asked just then.
Result<bool> ConsumeRun::Follow(StoreClient& client) {
  auto more = PrepareAndReadAll(client);
  if (more.ok() || command_.exit_at_end || !ServeHasGone(more.error())) return more;
  (void)output_.Flush();
  progress_.Clear();
  PrintError("the serve that has the store open is gone; waiting for it to come back");
  return true;
}

// Nobody else can write while we have the folder open: at its end we close it, and wait for
// somebody to come. Where there was a serve, we wait for the next one and stay out of its way.
// nullptr: enough.
Result<std::unique_ptr<StoreClient>> ConsumeRun::WaitForStore(std::unique_ptr<StoreClient> client) {
  const bool served = client->beside_serve();
  StoreWatch watch(command_.data_dir);
  const Status closed = client->Close();
  if (!closed.ok() && !served) return closed.error();
  client.reset();
  if (!served) watch.Forget();
  WaitResult result = WaitResult::timeout;
  while (result == WaitResult::ready || result == WaitResult::timeout) {
    StoreOptions options;
    options.data_dir = command_.data_dir;
    options.connect_only = served || result == WaitResult::timeout;
    auto opened = StoreClient::Open(options);
    if (opened.ok()) return opened;
    const Error& error = opened.error();
    const bool patient =
        NobodyListens(error) || ServeHasGone(error) || error.code() == ErrorCode::locked;
    if (!patient) return error;
    result = watch.Wait();
  }
  return std::unique_ptr<StoreClient>();
}

// What could not be committed while the records were read, since the `serve` went away.
Status ConsumeRun::CommitRest() {
  if (!committer_.has_news(consumer_.positions()) || output_.finished()) return {};
  auto client = StoreClient::Open({command_.data_dir, false, false});
  if (!client.ok()) return client.error();
  Status committed = CommitPrinted(**client);
  Status closed = (*client)->Close();
  return committed.ok() ? closed : committed;
}

int ConsumeRun::Run() {
  auto client = StoreClient::Open({command_.data_dir, false, false});
  if (!client.ok()) return Fail(client.error());
  for (;;) {
    const auto more = Follow(**client);
    (void)output_.Flush();
    progress_.Clear();
    const Status committed = prepared_ ? CommitPrinted(**client) : Status();
    if (!more.ok()) return Fail(more.error());
    if (!committed.ok() && !ComesAgain(committed.error())) return Fail(committed.error());
    if (!*more) break;
    client = WaitForStore(std::move(*client));
    if (!client.ok()) return Fail(client.error());
    if (*client == nullptr) break;
  }
  Status closed = *client == nullptr ? Status() : (*client)->Close();
  client->reset();
  if (closed.ok()) closed = CommitRest();
  if (!closed.ok()) return Fail(closed.error());
  return Finish(output_, any_lost_ ? kExitFailed : kExitDone);
}

}  // namespace

int RunConsume(const ConsumeCommand& command) {
  auto plan = MakePlan(command);
  if (!plan.ok()) {
    PrintError(plan.error());
    return kExitUsage;
  }
  InstallStopSignals();
  return ConsumeRun(command, std::move(*plan)).Run();
}

}  // namespace tidemark::tools
