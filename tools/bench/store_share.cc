#include "tools/bench/store_share.h"

#include <type_traits>

#include "tools/bench/store.h"

namespace tidemark::tools {
namespace {

// The part of a thread between the line and its end, with its processor time.
template <typename Work>
void RunFromTheLine(StartLine& line, Clone* clone, const Work& work) {
  line.ready.count_down();
  line.go.wait();
  if (line.called_off || !clone->outcome.ok()) return;
  const CpuUse before = ThreadCpu();
  clone->outcome = work();
  clone->cpu = ThreadCpu() - before;
}

template <typename Load>
Status RunWork(const Load& load, Clone& clone) {
  Meter* first = clone.meters.front().get();
  switch (load.job.rw) {
    case Work::append:
      return RunAppend(load, first);
    case Work::read:
      return RunRead(load, first);
    case Work::randread:
    case Work::timeread:
      return RunPointRead(load, first);
    default:
      break;
  }
  // The others are of the core alone (CheckJob).
  if constexpr (std::is_same_v<Load, CoreLoad>) {
    Meter* second = clone.meters.back().get();
    return load.job.rw == Work::tail ? RunTail(load, first, second) : RunMixed(load, first, second);
  }
  return Error(ErrorCode::unsupported, std::string("rw=") + NameOf(load.job.rw));
}

Status CloseTimed(StoreResult* result, const std::function<Status()>& close) {
  const int64_t begun_ns = NowNs();
  Status closed = close();
  result->close_ns = NowNs() - begun_ns;
  result->clean = closed.ok();
  return closed;
}

}  // namespace

Status StoreShare::OpenShared() {
  auto opened = ConcurrentEngine::Open(EngineOptionsOf(first_, directory()));
  if (!opened.ok()) return opened.error();
  shared_ = std::move(*opened);
  const auto stats = Stats();
  if (!stats.ok()) return stats.error();
  before_ = *stats;
  return {};
}

Result<EngineStats> StoreShare::Stats() {
  EngineStats stats;
  const Status ran = shared_->Run([&](Engine& engine) { stats = engine.stats(); });
  if (!ran.ok()) return ran.error();
  return stats;
}

Status StoreShare::Prepare(const Job& job) {
  Status prepared;
  const Status ran = shared_->Run([&](Engine& engine) {
    const auto topic = PrepareIn(engine, job);
    if (!topic.ok()) prepared = topic.error();
  });
  return ran.ok() ? prepared : ran;
}

Result<Topic*> StoreShare::PrepareIn(Engine& engine, const Job& job) {
  auto topic = PrepareTopic(engine, job);
  if (topic.ok()) topics_[TopicNameOf(job)] = (*topic)->config();
  return topic;
}

const TopicConfig* StoreShare::ConfigFor(const Job& job) const {
  const auto found = topics_.find(TopicNameOf(job));
  return found == topics_.end() ? nullptr : &found->second;
}

Status StoreShare::CloseShared() {
  // What the stop itself writes is not in these: nobody can be asked afterwards.
  const auto stats = Stats();
  if (stats.ok()) result_.stats = Added(before_, *stats);
  Status closed = CloseTimed(&result_, [&] { return shared_->Close(); });
  return stats.ok() ? closed : Status(stats.error());
}

void RunOnCore(StoreShare& store, const RunWindow& window, StartLine& line, Clone* clone) {
  const Job& job = *clone->job;
  std::unique_ptr<Engine> engine;
  Topic* topic = nullptr;
  auto records = RecordSource::Make(job, clone->seed());
  if (!records.ok()) clone->outcome = records.error();
  if (clone->outcome.ok()) {
    auto opened = Engine::Open(EngineOptionsOf(job, store.directory()));
    if (opened.ok()) engine = std::move(*opened);
    if (!opened.ok()) clone->outcome = opened.error();
  }
  if (engine) {
    const auto prepared = store.PrepareIn(*engine, job);
    if (prepared.ok()) topic = *prepared;
    if (!prepared.ok()) clone->outcome = prepared.error();
  }
  const EngineStats before = engine ? engine->stats() : EngineStats();
  RunFromTheLine(line, clone, [&] {
    return RunWork(CoreLoad{job, window, *engine, *topic, *records, clone->seed()}, *clone);
  });
  if (!engine) return;
  const Status closed = CloseTimed(&store.result(), [&] { return engine->Close(); });
  store.result().stats = Added(before, engine->stats());
  if (clone->outcome.ok()) clone->outcome = closed;
}

void RunShared(StoreShare& store, const RunWindow& window, StartLine& line, Clone* clone) {
  const Job& job = *clone->job;
  const std::string& topic = TopicNameOf(job);
  auto records = RecordSource::Make(job, clone->seed());
  if (!records.ok()) clone->outcome = records.error();
  RunFromTheLine(line, clone, [&] {
    return RunWork(ThreadLoad{job, window, *store.shared(), topic, *records, clone->seed()},
                   *clone);
  });
}

void RunOnDevice(const std::string& path, const RunWindow& window, StartLine& line, Clone* clone) {
  auto load = RawLoad::Open(*clone->job, path);
  if (!load.ok()) clone->outcome = load.error();
  RunFromTheLine(line, clone, [&] { return load->Run(window, clone->meters.front().get()); });
}

}  // namespace tidemark::tools
