#include "storage/journal.h"

#include <algorithm>

#include "base/check.h"
#include "base/hash.h"

namespace tidemark::storage {
namespace {

// A commit larger than this would make the ones behind it wait for longer than it saves flushes: 2
// MiB take about 1.5 ms on the development machine's disk.
constexpr uint64_t kLargestCommitBytes = uint64_t{2} << 20;
// No commit takes more of the ring than this share, so that there is always room for one once what
// is older than the last one was released.
constexpr uint64_t kCommitsInRing = 4;
// A directory takes at most this share of a commit: its copy in the next commit must leave room
// there.
constexpr uint64_t kDirectoryShare = 8;
constexpr uint64_t kZeroChunkBytes = uint64_t{1} << 20;

Status WriteZeros(io::File& file, uint64_t bytes) {
  const uint64_t chunk = std::min(bytes, kZeroChunkBytes);
  io::AlignedBuffer zeros = io::AllocateAligned(chunk, file.block_bytes());
  for (uint64_t at = 0; at < bytes; at += chunk) {
    const uint64_t length = std::min(chunk, bytes - at);
    if (Status written = file.WriteAt(at, {zeros.get(), length}, io::Durable::no); !written)
      return written;
  }
  return {};
}

Status WriteSuperblocks(io::File& file, const Superblock& superblock) {
  io::AlignedBuffer block = io::AllocateAligned(superblock.block_bytes, superblock.block_bytes);
  EncodeSuperblock(superblock, block.get());
  for (uint64_t copy = 0; copy < 2; ++copy) {
    Status written = file.WriteAt(copy * superblock.block_bytes,
                                  {block.get(), superblock.block_bytes}, io::Durable::yes);
    if (!written) return written;
  }
  return {};
}

// O_DIRECT where the file system has it, else through the page cache with a flush a commit.
Result<std::unique_ptr<io::File>> OpenForCommits(io::FileSystem& files, const std::string& path,
                                                 bool create) {
  io::OpenOptions options;
  options.write = true;
  options.create = create;
  options.direct = true;
  auto file = files.Open(path, options);
  if (!file && file.error().code() == ErrorCode::unsupported) {
    options.direct = false;
    file = files.Open(path, options);
  }
  return file;
}

}  // namespace

uint64_t MaxCommitBytes(const Superblock& superblock) {
  const uint64_t share = superblock.ring_bytes() / kCommitsInRing;
  return std::min(kLargestCommitBytes, share / superblock.block_bytes * superblock.block_bytes);
}

Result<std::unique_ptr<Journal>> Journal::Create(const io::Environment& environment,
                                                 const std::string& path, uint64_t journal_bytes,
                                                 const base::Uuid& store_id) {
  const std::string draft = path + ".new";
  auto file = OpenForCommits(environment.files, draft, /*create=*/true);
  if (!file) return file.error();
  if (Status locked = (*file)->Lock(); !locked) return locked.error();
  // Somebody may have finished the same work between our look and the lock.
  auto exists = environment.files.Exists(path);
  if (!exists) return exists.error();
  if (*exists)
    return Error(ErrorCode::locked, path + ": was just made by another process; open it again");

  Superblock superblock = PlanJournal(journal_bytes, (*file)->block_bytes());
  superblock.store_id = store_id;
  superblock.journal_id = base::Uuid::FromRandom(environment.random64(), environment.random64());
  superblock.created_ms = environment.clock.WallMs();
  if (Status cut = (*file)->Truncate(0); !cut) return cut.error();
  if (Status room = (*file)->Allocate(0, superblock.journal_bytes); !room) return room.error();
  if (Status zeroed = WriteZeros(**file, superblock.journal_bytes); !zeroed) return zeroed.error();
  if (Status written = WriteSuperblocks(**file, superblock); !written) return written.error();
  if (Status flushed = (*file)->Flush(); !flushed) return flushed.error();
  if (Status renamed = environment.files.Rename(draft, path); !renamed) return renamed.error();
  // Opened anew under its own name, which errors will tell. Whoever takes the lock in between has a
  // store.
  file->reset();
  return Open(environment, path);
}

Result<std::unique_ptr<Journal>> Journal::Open(const io::Environment& environment,
                                               const std::string& path) {
  auto file = OpenForCommits(environment.files, path, /*create=*/false);
  if (!file) return file.error();
  if (Status locked = (*file)->Lock(); !locked) return locked.error();
  auto superblock = ReadSuperblock(**file);
  if (!superblock) return superblock.error();
  if ((*file)->block_bytes() > superblock->block_bytes) {
    return Error(ErrorCode::unsupported,
                 path + ": this disk needs blocks of " + std::to_string((*file)->block_bytes()) +
                     " bytes, the journal was made with " +
                     std::to_string(superblock->block_bytes) +
                     "; stop it cleanly where it was made, then remove the journal there");
  }
  auto size = (*file)->Size();
  if (!size) return size.error();
  std::unique_ptr<Journal> journal(new Journal(std::move(*file), *superblock));
  journal->was_cut_short_ = *size < superblock->journal_bytes;
  return journal;
}

Status Journal::RestoreLength() {
  if (!was_cut_short_) return {};
  if (Status room = file_->Allocate(0, superblock_.journal_bytes); !room) return room;
  return file_->Flush();
}

Journal::Journal(std::unique_ptr<io::File> file, const Superblock& superblock)
    : file_(std::move(file)),
      superblock_(superblock),
      max_commit_bytes_(MaxCommitBytes(superblock)),
      buffer_(io::AllocateAligned(max_commit_bytes_, superblock.block_bytes)),
      head_(superblock.ring_begin) {}

void Journal::Continue(const JournalEnd& end, std::deque<LiveCommit> live, uint64_t incarnation,
                       LastCheckpoint checkpoint) {
  live_ = std::move(live);
  head_ = end.next_position;
  next_sequence_ = end.next_sequence;
  durable_sequence_ = end.next_sequence - 1;
  previous_checksum_ = end.previous_checksum;
  previous_directory_ = end.last_directory;
  previous_directory_checksum_ = end.last_directory_checksum;
  last_is_empty_ = end.last_is_empty;
  incarnation_ = incarnation;
  incarnation_first_sequence_ = end.next_sequence;
  checkpoint_number_ = checkpoint.number;
  spare_slot_ = checkpoint.spare_slot;
}

uint64_t Journal::GatheredBytes(size_t more_frames, uint64_t more_record_bytes) const {
  const uint64_t frames = frames_.size() + more_frames;
  const uint64_t unpadded = kCommitHeaderBytes + frames * DirectoryEncoder::kMaxEntryBytes +
                            previous_directory_.size() + frame_data_bytes_ +
                            more_frames * kRecordsFrameHeaderBytes + more_record_bytes;
  return base::RoundUp(unpadded, superblock_.block_bytes);
}

bool Journal::Fits(size_t frames, uint64_t record_bytes) const {
  const uint64_t directory = (frames_.size() + frames) * DirectoryEncoder::kMaxEntryBytes;
  if (directory > max_commit_bytes_ / kDirectoryShare) return false;
  const uint64_t total = GatheredBytes(frames, record_bytes);
  return total <= max_commit_bytes_ && FindPlace(total).fits;
}

bool Journal::HasRoomForWitness() const { return Fits(0, 0); }

uint64_t Journal::max_frame_bytes() const {
  // Two directories at their largest and the header stand beside it.
  return max_commit_bytes_ / kDirectoryShare * (kDirectoryShare - 2) - kMinBlockBytes;
}

void Journal::Gather(const Frame& frame) {
  frames_.push_back(frame);
  Frame& gathered = frames_.back();
  gathered.entry.data_bytes =
      frame.entry.kind == FrameKind::records ? kRecordsFrameHeaderBytes + frame.records.size() : 0;
  frame_data_bytes_ += gathered.entry.data_bytes;
}

Journal::Place Journal::FindPlace(uint64_t total_bytes) const {
  const uint64_t end = superblock_.journal_bytes;
  // Never up to the oldest live commit's first byte: a full ring must not look like an empty one.
  if (live_.empty()) {
    if (head_ + total_bytes <= end) return {head_, true};
    return {superblock_.ring_begin, superblock_.ring_begin + total_bytes <= end};
  }
  const uint64_t oldest = live_.front().position;
  if (head_ < oldest) return {head_, head_ + total_bytes < oldest};
  if (head_ + total_bytes <= end) return {head_, true};
  return {superblock_.ring_begin, superblock_.ring_begin + total_bytes < oldest};
}

uint64_t Journal::used_bytes() const {
  if (live_.empty()) return 0;
  const uint64_t oldest = live_.front().position;
  return head_ > oldest ? head_ - oldest : ring_bytes() - (oldest - head_);
}

uint64_t Journal::SequenceToReach(uint64_t bytes) const {
  uint64_t to_release = used_bytes() > bytes ? used_bytes() - bytes : 0;
  for (const LiveCommit& commit : live_) {
    if (to_release <= commit.total_bytes) return commit.sequence + 1;
    to_release -= commit.total_bytes;
  }
  return next_sequence_;
}

size_t Journal::max_partitions() const {
  return (superblock_.slot_bytes - kCheckpointHeaderBytes) / kCheckpointEntryBytes;
}

uint64_t Journal::StartCommit(io::Loop& loop, int64_t engine_clock_ms, io::Operation* operation) {
  TIDEMARK_CHECK(!in_flight_);
  directory_.Clear();
  for (const Frame& frame : frames_) directory_.Add(frame.entry);
  const auto& directory = directory_.bytes();

  CommitHeader header;
  header.journal_id = superblock_.journal_id;
  header.incarnation = incarnation_;
  header.sequence = next_sequence_;
  header.previous_checksum = previous_checksum_;
  header.durable_sequence = durable_sequence_;
  header.engine_clock_ms = engine_clock_ms;
  header.checkpoint_number = checkpoint_number_;
  header.directory_bytes = static_cast<uint32_t>(directory.size());
  header.previous_directory_bytes = static_cast<uint32_t>(previous_directory_.size());
  header.data_bytes = frame_data_bytes_;

  std::byte* to = buffer_.get() + kCommitHeaderBytes;
  to = std::copy(directory.begin(), directory.end(), to);
  to = std::copy(previous_directory_.begin(), previous_directory_.end(), to);
  std::byte* const data = to;
  for (const Frame& frame : frames_) {
    if (frame.entry.kind != FrameKind::records) continue;
    EncodeRecordsFrameHeader(frame.header, to);
    to = std::copy(frame.records.begin(), frame.records.end(), to + kRecordsFrameHeaderBytes);
  }
  const uint64_t total = header.total_bytes(superblock_.block_bytes);
  std::fill(to, buffer_.get() + total, std::byte{0});

  header.directory_checksum = base::Xxh3(directory, header.sequence);
  header.previous_directory_checksum = previous_directory_checksum_;
  header.data_checksum = base::Xxh3({data, frame_data_bytes_}, header.sequence);
  EncodeCommitHeader(&header, buffer_.get());

  const Place place = FindPlace(total);
  TIDEMARK_CHECK(place.fits);
  live_.push_back({header.sequence, place.position, total, previous_checksum_});
  head_ = place.position + total;
  previous_checksum_ = header.checksum;
  previous_directory_ = directory;
  previous_directory_checksum_ = header.directory_checksum;
  last_is_empty_ = frames_.empty();
  ++next_sequence_;
  frames_.clear();
  frame_data_bytes_ = 0;

  in_flight_ = true;
  in_flight_bytes_ = total;
  loop.Write(*file_, place.position, {buffer_.get(), total}, io::Durable::yes, operation);
  return header.sequence;
}

bool Journal::FinishCommit(const io::Operation& operation) {
  in_flight_ = false;
  if (operation.result != static_cast<int64_t>(in_flight_bytes_)) return false;
  durable_sequence_ = next_sequence_ - 1;
  bytes_written_ += in_flight_bytes_;
  return true;
}

void Journal::PlanCheckpoint(uint64_t start_sequence, Checkpoint* checkpoint) const {
  checkpoint->number = checkpoint_number_ + 1;
  checkpoint->journal_id = superblock_.journal_id;
  checkpoint->incarnation = incarnation_;
  checkpoint->incarnation_first_sequence = incarnation_first_sequence_;
  checkpoint->start_sequence = start_sequence;
  checkpoint->start_position = head_;
  checkpoint->previous_checksum = previous_checksum_;
  for (const LiveCommit& commit : live_) {
    if (commit.sequence < start_sequence) continue;
    checkpoint->start_sequence = commit.sequence;
    checkpoint->start_position = commit.position;
    checkpoint->previous_checksum = commit.previous_checksum;
    break;
  }
}

Status Journal::WriteCheckpoint(const Checkpoint& checkpoint) {
  const size_t bytes =
      base::RoundUp(CheckpointBytes(checkpoint.entries.size()), superblock_.block_bytes);
  TIDEMARK_CHECK(bytes <= superblock_.slot_bytes);
  io::AlignedBuffer buffer = io::AllocateAligned(bytes, superblock_.block_bytes);
  EncodeCheckpoint(checkpoint, buffer.get());
  for (const int slot : {spare_slot_, 1 - spare_slot_}) {
    Status written =
        file_->WriteAt(superblock_.slot_position(slot), {buffer.get(), bytes}, io::Durable::yes);
    if (!written) return written;
  }
  return {};
}

void Journal::Release(const Checkpoint& checkpoint) {
  checkpoint_number_ = checkpoint.number;
  while (!live_.empty() && live_.front().sequence < checkpoint.start_sequence) live_.pop_front();
  bytes_written_ +=
      2 * base::RoundUp(CheckpointBytes(checkpoint.entries.size()), superblock_.block_bytes);
}

}  // namespace tidemark::storage
