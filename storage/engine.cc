// The public classes: each call goes to the core behind it.
#include "tidemark/engine.h"

#include "storage/engine_core.h"
#include "storage/open.h"
#include "storage/partitioner.h"

namespace tidemark {

const Topic& Partition::topic() const { return core_->topic().handle(); }
int32_t Partition::index() const { return core_->index(); }
Result<int64_t> Partition::Append(const Record& record, Durability durability) {
  if (core_->topic().internal()) return storage::IsInternal(topic().name());
  return core_->Append(record, durability);
}
Result<int64_t> Partition::Append(const Record& record) {
  return Append(record, core_->topic().config().durability);
}
Status Partition::DeleteRecords(int64_t before_offset) {
  if (core_->topic().internal()) return storage::IsInternal(topic().name());
  return core_->DeleteRecords(before_offset);
}
int64_t Partition::log_start_offset() const { return core_->log_start_offset(); }
int64_t Partition::durable_end_offset() const { return core_->durable_end_offset(); }
int64_t Partition::end_offset() const { return core_->end_offset(); }

const std::string& Topic::name() const { return core_->description().name; }
const std::string& Topic::id() const { return core_->id_text(); }
const TopicConfig& Topic::config() const { return core_->config(); }
bool Topic::internal() const { return core_->internal(); }
int32_t Topic::partition_count() const { return static_cast<int32_t>(core_->partitions().size()); }
Partition* Topic::partition(int32_t index) const {
  if (index < 0 || index >= partition_count()) return nullptr;
  return &core_->partitions()[static_cast<size_t>(index)]->handle();
}
Partition* Topic::PartitionForKey(Bytes key) const {
  return partition(storage::PartitionForKey(key, partition_count()));
}

Reader::Reader(std::unique_ptr<storage::ReaderCore> core) : core_(std::move(core)) {}
Reader::~Reader() = default;
Result<ReadState> Reader::Next() { return core_->Next(); }
const Batch& Reader::batch() const { return core_->batch(); }
int64_t Reader::position() const { return core_->position(); }
Status Reader::Seek(int64_t offset) { return core_->Seek(offset); }
Status Reader::SeekToTimestamp(int64_t timestamp_ms) {
  return core_->SeekToTimestamp(timestamp_ms);
}
std::vector<LostRange> Reader::TakeLost() { return core_->TakeLost(); }

Engine::Engine(std::unique_ptr<storage::EngineCore> core) : core_(std::move(core)) {}
Engine::~Engine() = default;

Result<std::unique_ptr<Engine>> Engine::Open(const EngineOptions& options) {
  io::LoopKind kind = io::LoopKind::automatic;
  if (options.io_engine == IoEngine::io_uring) kind = io::LoopKind::io_uring;
  if (options.io_engine == IoEngine::syscalls) kind = io::LoopKind::syscalls;
  auto loop = io::MakeLoop(kind);
  if (!loop) return loop.error();
  storage::OwnWorld world;
  world.loop = std::move(*loop);
  world.worker = io::MakeThreadWorker(*world.loop);
  const io::Environment environment{io::SystemFiles(),   *world.loop,
                                    *world.worker,       base::SystemClock(),
                                    &io::SystemRandom64, io::CurrentProcessId(),
                                    io::CurrentBoot()};
  return storage::EngineCore::Open(environment, options, std::move(world));
}

Status Engine::Close() { return core_->Close(); }
std::span<Partition* const> Engine::Poll(std::chrono::microseconds max_wait) {
  return core_->Poll(max_wait);
}
void Engine::Wake() { core_->Wake(); }

Result<Topic*> Engine::CreateTopic(std::string_view name, int32_t partitions,
                                   const TopicConfig& config) {
  return core_->CreateTopic(name, partitions, config);
}
Status Engine::AlterTopic(std::string_view name, const TopicConfig& config) {
  return core_->AlterTopic(name, config);
}

Status Engine::AddPartitions(std::string_view name, int32_t count) {
  return core_->AddPartitions(name, count);
}
Status Engine::DeleteTopic(std::string_view name) { return core_->DeleteTopic(name); }
bool Engine::deletions_pending() const { return core_->deletions_pending(); }
Topic* Engine::FindTopic(std::string_view name) const { return core_->FindTopic(name); }
std::vector<Topic*> Engine::Topics() const { return core_->Topics(); }

Result<std::unique_ptr<Reader>> Engine::OpenReader(Partition& partition, int64_t offset) {
  auto reader = core_->OpenReader(*partition.core_, offset);
  if (!reader) return reader.error();
  return std::unique_ptr<Reader>(new Reader(std::move(*reader)));
}

bool CursorTicket::durable() const {
  return partition == nullptr || partition->durable_end_offset() > offset;
}

Result<CursorTicket> Engine::CommitCursors(std::string_view group,
                                           std::span<const CursorPosition> positions) {
  return core_->cursors().Commit(group, positions);
}
Result<CursorTicket> Engine::DeleteCursors(std::string_view group,
                                           std::optional<std::string_view> topic) {
  return core_->cursors().Delete(group, topic);
}
Result<std::vector<Cursor>> Engine::Cursors(std::string_view group) {
  return core_->cursors().Of(group);
}
Result<std::vector<std::string>> Engine::CursorGroups() { return core_->cursors().Groups(); }

const RecoveryReport& Engine::recovery() const { return core_->recovery(); }
EngineStats Engine::stats() const { return core_->stats(); }
Status Engine::health() const { return core_->health(); }
std::vector<Notice> Engine::TakeNotices() { return core_->TakeNotices(); }

namespace storage {

Result<std::unique_ptr<Engine>> OpenEngine(const io::Environment& environment,
                                           const EngineOptions& options) {
  return EngineCore::Open(environment, options, OwnWorld{});
}

}  // namespace storage
}  // namespace tidemark
