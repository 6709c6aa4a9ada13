#include "tidemark/concurrent_engine.h"

#include <algorithm>
#include <utility>

#include "storage/engine_thread.h"

namespace tidemark {
namespace {

using storage::AppendRequest;
using storage::AsyncAppend;
using storage::CallRequest;
using storage::CloseRequest;
using storage::CursorCall;
using storage::CursorRequest;
using storage::EngineThread;
using storage::FindTimeRequest;
using storage::ReadRequest;

// Longer waits are as good as for ever, and must not overflow the clock.
constexpr std::chrono::milliseconds kLongestWait = std::chrono::hours(24 * 365);

Error Closed() { return Error(ErrorCode::stopped, "the engine is closed"); }

Error WouldWaitForItself() {
  return Error(
      ErrorCode::invalid_argument,
      "a call that waits for the engine's thread was made on that thread, from a callback");
}

}  // namespace

struct ConcurrentEngine::State {
  // Shared by the calls under way: when the engine is destroyed while some still wait, they find
  // their answers here.
  std::shared_ptr<EngineThread> thread;

  // For a call that waits.
  Result<std::shared_ptr<EngineThread>> Enter() const {
    if (thread->IsCurrent()) return WouldWaitForItself();
    return thread;
  }
  Status Ask(CursorCall call) const {
    const auto entered = Enter();
    if (!entered) return entered.error();
    CursorRequest request(std::move(call));
    if (!(*entered)->Ask(&request)) return Closed();
    return request.result;
  }
};

ConcurrentEngine::ConcurrentEngine(std::unique_ptr<State> state) : state_(std::move(state)) {}

ConcurrentEngine::~ConcurrentEngine() { state_->thread->Stop(); }

Result<std::unique_ptr<ConcurrentEngine>> ConcurrentEngine::Open(const EngineOptions& options) {
  auto state = std::make_unique<State>();
  state->thread = std::make_shared<EngineThread>(options);
  const Status started = state->thread->Start();
  if (!started.ok()) return started.error();
  return std::unique_ptr<ConcurrentEngine>(new ConcurrentEngine(std::move(state)));
}

Status ConcurrentEngine::Close() {
  const auto thread = state_->Enter();
  if (!thread) return thread.error();
  CloseRequest request;
  if (!(*thread)->Ask(&request)) return Closed();
  return request.result;
}

Status ConcurrentEngine::EnsureTopic(std::string_view name, int32_t partitions,
                                     const TopicConfig& config) {
  Status ensured;
  const Status ran = Run([&](Engine& engine) {
    if (engine.FindTopic(name) != nullptr) return;
    const auto created = engine.CreateTopic(name, partitions, config);
    if (!created) ensured = created.error();
  });
  return ran.ok() ? ensured : ran;
}

Result<int64_t> ConcurrentEngine::Append(std::string_view topic, int32_t partition,
                                         const Record& record, Durability durability) {
  const auto thread = state_->Enter();
  if (!thread) return thread.error();
  AppendRequest request;
  request.topic = topic;
  request.partition = partition;
  request.record = &record;
  request.durability = durability;
  if (!(*thread)->Ask(&request)) return Closed();
  return std::move(request.result);
}

Status ConcurrentEngine::AppendAsync(std::string_view topic, int32_t partition,
                                     const Record& record, Durability durability,
                                     std::function<void(const Result<int64_t>&)> done) {
  const std::shared_ptr<EngineThread> thread = state_->thread;
  auto append = std::make_unique<AsyncAppend>(topic, record);
  append->partition = partition;
  append->durability = durability;
  append->callback = std::move(done);
  return thread->Send(std::move(append));
}

Result<std::vector<OwnedRecord>> ConcurrentEngine::Read(std::string_view topic, int32_t partition,
                                                        int64_t offset, size_t max_records,
                                                        std::chrono::milliseconds max_wait) {
  const auto thread = state_->Enter();
  if (!thread) return thread.error();
  ReadRequest request;
  request.topic = topic;
  request.partition = partition;
  request.offset = offset;
  request.max_records = max_records;
  request.deadline = std::chrono::steady_clock::now() + std::min(max_wait, kLongestWait);
  if (!(*thread)->Ask(&request)) return Closed();
  return std::move(request.result);
}

Result<int64_t> ConcurrentEngine::OffsetForTimestamp(std::string_view topic, int32_t partition,
                                                     int64_t timestamp_ms) {
  const auto thread = state_->Enter();
  if (!thread) return thread.error();
  FindTimeRequest request;
  request.topic = topic;
  request.partition = partition;
  request.timestamp_ms = timestamp_ms;
  if (!(*thread)->Ask(&request)) return Closed();
  return std::move(request.result);
}

Status ConcurrentEngine::CommitCursors(std::string_view group,
                                       std::span<const CursorPosition> positions) {
  return state_->Ask([&](Engine& engine) { return engine.CommitCursors(group, positions); });
}

Status ConcurrentEngine::DeleteCursors(std::string_view group,
                                       std::optional<std::string_view> topic) {
  return state_->Ask([&](Engine& engine) { return engine.DeleteCursors(group, topic); });
}

Result<std::vector<Cursor>> ConcurrentEngine::Cursors(std::string_view group) {
  std::vector<Cursor> cursors;
  const Status read = state_->Ask([&](Engine& engine) -> Result<CursorTicket> {
    auto found = engine.Cursors(group);
    if (!found) return found.error();
    cursors = *std::move(found);
    return CursorTicket{};
  });
  if (!read.ok()) return read.error();
  return cursors;
}

Result<std::vector<std::string>> ConcurrentEngine::CursorGroups() {
  std::vector<std::string> groups;
  const Status read = state_->Ask([&](Engine& engine) -> Result<CursorTicket> {
    auto found = engine.CursorGroups();
    if (!found) return found.error();
    groups = *std::move(found);
    return CursorTicket{};
  });
  if (!read.ok()) return read.error();
  return groups;
}

Status ConcurrentEngine::Run(const std::function<void(Engine&)>& call) {
  const auto thread = state_->Enter();
  if (!thread) return thread.error();
  CallRequest request(call);
  if (!(*thread)->Ask(&request)) return Closed();
  return std::move(request.result);
}

}  // namespace tidemark
