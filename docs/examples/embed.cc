// Appends three readings, each on the disk for good when Append() returns, and reads the log back.
#include <tidemark/concurrent_engine.h>

#include <cstdio>

static int Fail(const tidemark::Error& error) {
  std::fprintf(stderr, "%s\n", error.ToString().c_str());
  return 1;
}

int main(int argc, char** argv) {
  tidemark::EngineOptions options;
  options.data_dir = argc > 1 ? argv[1] : "readings";
  auto engine = tidemark::ConcurrentEngine::Open(options);
  if (!engine) return Fail(engine.error());
  tidemark::ConcurrentEngine& log = **engine;
  if (auto made = log.EnsureTopic("temperatures", 1); !made) return Fail(made.error());

  for (const char* reading : {"21.4", "21.5", "21.3"}) {
    tidemark::Record record;
    record.key = "kitchen";
    record.value = reading;
    auto offset = log.Append("temperatures", 0, record);
    if (!offset) return Fail(offset.error());
    std::printf("durable: offset %lld\n", static_cast<long long>(*offset));
  }

  auto records = log.Read("temperatures", 0, /*offset=*/0, /*max_records=*/100);
  if (!records) return Fail(records.error());
  for (const tidemark::OwnedRecord& record : *records)
    std::printf("%s %s\n", record.key->c_str(), record.value->c_str());
  auto closed = log.Close();
  return closed ? 0 : Fail(closed.error());
}
