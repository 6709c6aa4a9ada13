#include "storage/concurrent_reads.h"

#include <algorithm>
#include <string>
#include <utility>

#include "storage/concurrent_appends.h"

namespace tidemark::storage {
namespace {

// Readers kept between calls, so that reading on from where the last call stopped costs no search
// and no second decompression. Few, since each pins a batch.
constexpr size_t kIdleCursors = 4;

OwnedRecord Copy(const RecordView& view) {
  OwnedRecord record;
  record.offset = view.offset;
  record.timestamp_ms = view.timestamp_ms;
  if (view.key) record.key.emplace(*view.key);
  if (view.value) record.value.emplace(*view.value);
  for (const Header& header : view.headers) {
    std::optional<std::string> value;
    if (header.value) value.emplace(*header.value);
    record.headers.emplace_back(std::string(header.key), std::move(value));
  }
  return record;
}

// The offset of the first record at or after a time.
std::optional<int64_t> FirstFrom(const RecordRange& records, int64_t timestamp_ms) {
  for (const RecordView& record : records) {
    if (record.timestamp_ms >= timestamp_ms) return record.offset;
  }
  return std::nullopt;
}

}  // namespace

void ConcurrentReads::Start(ReadRequest* request) {
  Partition* const partition = FindPartition(engine_, request->topic, request->partition);
  if (partition == nullptr) {
    request->result = NoSuchPartition(request->topic, request->partition);
    answers_.Done(request);
    return;
  }
  auto cursor = TakeCursor(partition, request->offset);
  if (!cursor || request->max_records == 0) {
    if (!cursor) request->result = cursor.error();
    answers_.Done(request);
    return;
  }
  ActiveRead read;
  read.request = request;
  read.cursor = *std::move(cursor);
  reads_.push_back(std::move(read));
  ready_ = true;
}

void ConcurrentReads::Start(FindTimeRequest* request) {
  Partition* const partition = FindPartition(engine_, request->topic, request->partition);
  if (partition == nullptr) {
    request->result = NoSuchPartition(request->topic, request->partition);
    answers_.Done(request);
    return;
  }
  auto reader = engine_.OpenReader(*partition, partition->log_start_offset());
  const Status sought =
      reader ? (*reader)->SeekToTimestamp(request->timestamp_ms) : Status(reader.error());
  if (!sought.ok()) {
    request->result = sought.error();
    answers_.Done(request);
    return;
  }
  searches_.push_back({request, partition, *std::move(reader)});
  ready_ = true;
}

Result<ConcurrentReads::Cursor> ConcurrentReads::TakeCursor(Partition* partition, int64_t offset) {
  const auto kept = std::find_if(idle_.begin(), idle_.end(), [&](const Cursor& cursor) {
    return cursor.partition == partition && cursor.next_offset == offset;
  });
  Cursor cursor;
  if (kept != idle_.end()) {
    cursor = std::move(*kept);
    idle_.erase(kept);
    return cursor;
  }
  auto reader = engine_.OpenReader(*partition, offset);
  if (!reader) return reader.error();
  cursor.partition = partition;
  cursor.reader = *std::move(reader);
  cursor.next_offset = offset;
  return cursor;
}

void ConcurrentReads::KeepCursor(Cursor cursor) {
  if (idle_.size() == kIdleCursors) idle_.erase(idle_.begin());
  idle_.push_back(std::move(cursor));
}

void ConcurrentReads::Step() {
  ready_ = false;
  for (auto read = reads_.begin(); read != reads_.end();) {
    const Outcome outcome = StepRead(&*read);
    ready_ = ready_ || outcome == Outcome::again;
    read = outcome == Outcome::answered ? reads_.erase(read) : std::next(read);
  }
  for (auto search = searches_.begin(); search != searches_.end();) {
    const Outcome outcome = StepSearch(&*search);
    ready_ = ready_ || outcome == Outcome::again;
    search = outcome == Outcome::answered ? searches_.erase(search) : std::next(search);
  }
}

ConcurrentReads::Outcome ConcurrentReads::StepRead(ActiveRead* read) {
  Cursor& cursor = read->cursor;
  if (!cursor.in_batch) {
    const bool more = cursor.partition->durable_end_offset() > cursor.next_offset;
    if (read->live && !more) return EndOfLog(read);
    return NextBatch(read);
  }
  std::vector<OwnedRecord>& records = *read->request->result;
  for (; cursor.at != RecordRange::Iterator(); ++cursor.at) {
    if (records.size() == read->request->max_records) {
      cursor.next_offset = cursor.at->offset;
      return Answer(read);
    }
    records.push_back(Copy(*cursor.at));
  }
  cursor.in_batch = false;
  cursor.next_offset = cursor.reader->batch().next_offset;
  return records.size() == read->request->max_records ? Answer(read) : Outcome::again;
}

ConcurrentReads::Outcome ConcurrentReads::NextBatch(ActiveRead* read) {
  Cursor& cursor = read->cursor;
  const int64_t position = cursor.reader->position();
  const auto state = cursor.reader->Next();
  if (!state) {
    // Damaged records are passed over: the offsets of what follows tell that they are missing. To
    // fail here would keep the caller from ever getting past them.
    const bool passed = cursor.reader->position() > position;
    if (state.error().code() == ErrorCode::corrupt && passed) {
      static_cast<void>(cursor.reader->TakeLost());
      cursor.next_offset = cursor.reader->position();
      return Outcome::again;
    }
    if (read->request->result->empty()) read->request->result = state.error();
    answers_.Done(read->request);
    return Outcome::answered;
  }
  read->live = false;
  switch (*state) {
    case ReadState::batch:
      cursor.at = cursor.reader->batch().records.begin();
      cursor.in_batch = true;
      return Outcome::again;
    case ReadState::pending:
      return Outcome::wait;
    case ReadState::at_end:
      break;
  }
  return EndOfLog(read);
}

ConcurrentReads::Outcome ConcurrentReads::EndOfLog(ActiveRead* read) {
  if (!read->request->result->empty() ||
      std::chrono::steady_clock::now() >= read->request->deadline) {
    return Answer(read);
  }
  read->live = true;
  return Outcome::wait;
}

ConcurrentReads::Outcome ConcurrentReads::Answer(ActiveRead* read) {
  KeepCursor(std::move(read->cursor));
  answers_.Done(read->request);
  return Outcome::answered;
}

ConcurrentReads::Outcome ConcurrentReads::StepSearch(ActiveSearch* search) {
  const int64_t position = search->reader->position();
  const auto state = search->reader->Next();
  if (!state) {
    const bool passed = search->reader->position() > position;
    if (state.error().code() == ErrorCode::corrupt && passed) {
      static_cast<void>(search->reader->TakeLost());
      return Outcome::again;
    }
    search->request->result = state.error();
  } else if (*state == ReadState::pending) {
    return Outcome::wait;
  } else if (*state == ReadState::batch) {
    const auto found = FirstFrom(search->reader->batch().records, search->request->timestamp_ms);
    if (!found) return Outcome::again;
    search->request->result = *found;
  } else {
    search->request->result = search->partition->durable_end_offset();
  }
  answers_.Done(search->request);
  return Outcome::answered;
}

std::optional<SteadyTime> ConcurrentReads::NextDeadline() const {
  std::optional<SteadyTime> next;
  for (const ActiveRead& read : reads_) {
    if (read.live && (!next || read.request->deadline < *next)) next = read.request->deadline;
  }
  return next;
}

void ConcurrentReads::LookAgain() {
  idle_.clear();
  for (ActiveRead& read : reads_) read.live = false;
  ready_ = !reads_.empty();
}

void ConcurrentReads::EndAll(const Error& error) {
  for (ActiveRead& read : reads_) {
    if (read.request->result->empty()) read.request->result = error;
    answers_.Done(read.request);
  }
  for (ActiveSearch& search : searches_) {
    search.request->result = error;
    answers_.Done(search.request);
  }
  reads_.clear();
  searches_.clear();
  idle_.clear();
}

}  // namespace tidemark::storage
