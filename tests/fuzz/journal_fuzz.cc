// Any bytes as each structure of the journal, and as a whole journal: an Error or a value, nothing
// else. Then journals that were written properly and damaged afterwards: whatever a scan delivers
// is what was written.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "storage/journal_format.h"
#include "storage/journal_scan.h"
#include "tests/support/journal_image.h"
#include "tests/support/memory_file.h"

namespace tidemark::storage {
namespace {

using test_support::JournalImage;
using test_support::MemoryFile;

constexpr uint64_t kBlock = JournalImage::kBlock;

// What the fuzzer decides, a number at a time; zeros when it has said everything.
class Choices {
 public:
  explicit Choices(base::ByteSpan bytes) : bytes_(bytes) {}

  bool empty() const { return bytes_.empty(); }
  template <typename T>
  T Take() {
    T value{};
    const size_t length = std::min(sizeof value, bytes_.size());
    if (length > 0) std::memcpy(&value, bytes_.data(), length);
    bytes_ = bytes_.subspan(length);
    return value;
  }
  uint64_t Below(uint64_t limit) { return Take<uint16_t>() % limit; }
  base::ByteSpan Rest() const { return bytes_; }

 private:
  base::ByteSpan bytes_;
};

// --- structures ----------------------------------------------------------------------------------

void TrySuperblock(base::ByteSpan bytes) {
  const auto decoded = DecodeSuperblock(bytes);
  if (!decoded.ok()) return;
  std::vector<std::byte> again(kSuperblockBytes);
  EncodeSuperblock(*decoded, again.data());
  TIDEMARK_CHECK(base::AsText(again) == base::AsText(bytes.first(kSuperblockBytes)));
  TIDEMARK_CHECK(decoded->ring_begin + decoded->ring_bytes() == decoded->journal_bytes);
}

void TryCheckpoint(base::ByteSpan bytes) {
  const auto decoded = DecodeCheckpoint(bytes);
  if (!decoded.ok()) return;
  const size_t length = CheckpointBytes(decoded->entries.size());
  TIDEMARK_CHECK(PeekCheckpointBytes(bytes) == length);
  std::vector<std::byte> again(length);
  EncodeCheckpoint(*decoded, again.data());
  TIDEMARK_CHECK(base::AsText(again) == base::AsText(bytes.first(length)));
}

void TryCommitHeader(base::ByteSpan bytes) {
  constexpr uint64_t kRoom = 1 << 20;
  auto decoded = DecodeCommitHeader(bytes, kRoom);
  if (!decoded) return;
  TIDEMARK_CHECK(decoded->unpadded_bytes() <= kRoom);
  std::vector<std::byte> again(kCommitHeaderBytes);
  EncodeCommitHeader(&*decoded, again.data());
  TIDEMARK_CHECK(base::AsText(again) == base::AsText(bytes.first(kCommitHeaderBytes)));
}

void TryDirectory(base::ByteSpan bytes) {
  const auto decoded = DecodeDirectory(bytes, UINT32_MAX);
  if (!decoded.ok()) return;
  DirectoryEncoder encoder;
  uint64_t data_bytes = 0;
  for (const DirectoryEntry& entry : *decoded) {
    TIDEMARK_CHECK(entry.first_offset >= 0 && entry.end_offset >= entry.first_offset);
    data_bytes += entry.data_bytes;
    encoder.Add(entry);
  }
  TIDEMARK_CHECK(data_bytes <= UINT32_MAX);
  const auto again = DecodeDirectory(encoder.bytes(), data_bytes);
  TIDEMARK_CHECK(again.ok() && *again == *decoded);
}

// With magic and checksum made right the fuzzer reaches what lies behind them.
std::vector<std::byte> Sealed(base::ByteSpan bytes, std::string_view magic, size_t length) {
  std::vector<std::byte> sealed(bytes.begin(), bytes.end());
  sealed.resize(length);
  std::copy_n(base::AsBytes(magic).begin(), magic.size(), sealed.begin());
  const size_t covered = length - sizeof(uint64_t);
  base::StoreLittle(&sealed[covered], base::Xxh3({sealed.data(), covered}));
  return sealed;
}

std::vector<std::byte> SealedCheckpoint(base::ByteSpan bytes) {
  std::vector<std::byte> sealed(bytes.begin(), bytes.end());
  sealed.resize(std::max(sealed.size(), kCheckpointHeaderBytes));
  const size_t room = (sealed.size() - kCheckpointHeaderBytes) / kCheckpointEntryBytes;
  const auto entries = static_cast<uint32_t>(room);
  std::copy_n(base::AsBytes("TMCHECK1").begin(), 8, sealed.begin());
  base::StoreLittle(&sealed[96], entries);
  const size_t length = CheckpointBytes(entries) - kCheckpointHeaderBytes;
  const uint64_t seed = base::Xxh3({sealed.data(), 104});
  base::StoreLittle(&sealed[104],
                    base::Xxh3({sealed.data() + kCheckpointHeaderBytes, length}, seed));
  return sealed;
}

// --- whole journals ------------------------------------------------------------------------------

// Scans, and holds the scan to what it promises for any bytes: commits without gaps, in the ring.
JournalEnd Scan(const JournalImage& image, const Checkpoint* checkpoint) {
  MemoryFile file(image.bytes);
  uint64_t next = checkpoint != nullptr ? checkpoint->start_sequence : 0;
  const auto end = ScanJournal(
      file, image.superblock, checkpoint,
      [&](const FoundCommit& commit, base::ByteSpan data) -> Status {
        using State = FoundCommit::State;
        if (next == 0) next = commit.sequence;
        TIDEMARK_CHECK(commit.sequence == next);
        TIDEMARK_CHECK((commit.unknown_count > 0) == (commit.state == State::unknown));
        next += std::max<uint64_t>(commit.unknown_count, 1);
        TIDEMARK_CHECK(commit.position % kBlock == 0 && commit.total_bytes % kBlock == 0);
        TIDEMARK_CHECK(commit.position + commit.total_bytes <= image.superblock.journal_bytes);
        const bool intact = commit.state == State::intact;
        TIDEMARK_CHECK(data.size() == (intact ? commit.header.data_bytes : 0));
        TIDEMARK_CHECK(!intact || base::Xxh3(data, commit.sequence) == commit.header.data_checksum);
        return {};
      });
  TIDEMARK_CHECK(end.ok());
  TIDEMARK_CHECK(next == 0 || end->next_sequence == next);
  TIDEMARK_CHECK(end->next_position >= image.superblock.ring_begin);
  TIDEMARK_CHECK(end->next_position <= image.superblock.journal_bytes);
  return *end;
}

// The ring, the slots and the superblocks hold whatever the fuzzer says.
void TryFile(base::ByteSpan bytes) {
  JournalImage image(8);
  Choices choices(bytes);
  const uint64_t at = choices.Below(image.bytes.size());
  const base::ByteSpan rest = choices.Rest();
  const size_t length = std::min<size_t>(rest.size(), image.bytes.size() - at);
  std::copy_n(rest.begin(), length, image.bytes.begin() + static_cast<std::ptrdiff_t>(at));
  MemoryFile file(image.bytes);
  const auto superblock = ReadSuperblock(file);
  if (!superblock.ok()) return;
  const auto slots = ReadCheckpoints(file, *superblock);
  TIDEMARK_CHECK(slots.ok());
  if (slots->newest) Scan(image, &*slots->newest);
  Scan(image, nullptr);
}

// Headers with right checksums and any numbers, at any block: only that it neither fails nor hangs.
void TryForgedHeaders(base::ByteSpan bytes) {
  JournalImage image(12);
  Choices choices(bytes);
  for (int i = 0; i < 4; ++i) image.AppendBlocks(2);
  image.StartAt(choices.Below(4) + 1);
  while (!choices.empty()) {
    CommitHeader header = image.At(choices.Below(4) + 1).header;
    header.incarnation = choices.Take<uint8_t>();
    header.sequence = choices.Below(20);
    header.durable_sequence = choices.Below(20);
    header.data_bytes = choices.Take<uint16_t>();
    header.directory_bytes = choices.Take<uint8_t>();
    if (choices.Below(4) == 0) header.sequence = choices.Take<uint64_t>();
    if (choices.Below(4) == 0) header.previous_checksum = choices.Take<uint64_t>();
    const uint64_t at = image.superblock.ring_begin + choices.Below(12) * kBlock;
    EncodeCommitHeader(&header, &image.bytes[at]);
  }
  Scan(image, &image.checkpoint);
  Scan(image, nullptr);
}

// A record that holds a piece of the journal, at a block's beginning.
void AppendCopy(JournalImage* image, uint64_t block) {
  if (!image->HasRoom(3)) return;
  const std::vector<std::byte> copy = image->bytes;
  const uint64_t from = std::min(block * kBlock, copy.size() - 2 * kBlock);
  image->AppendBlocks(3);
  image->Plant(1, base::ByteSpan(copy).subspan(from, kBlock + kBlock / 2));
}

// A journal's life. Damage only ever destroys: what comes back must have been written.
void TryDamage(base::ByteSpan bytes) {
  JournalImage image(12);
  Choices choices(bytes);
  for (int step = 0; step < 40 && !choices.empty(); ++step) {
    const uint64_t blocks = choices.Below(3) + 1;
    const uint64_t block = choices.Below(image.bytes.size() / kBlock);
    switch (choices.Take<uint8_t>() % 8) {
      case 0:
      case 1:
        if (image.HasRoom(blocks)) image.AppendBlocks(blocks);
        break;
      case 2:
        if (image.HasRoom(1)) image.AppendEmpty();
        break;
      case 3: {  // what is not needed any more is released
        const uint64_t start = image.checkpoint.start_sequence;
        image.StartAt(start + choices.Below(image.next_sequence() - start + 1));
        break;
      }
      case 4:  // a few bytes become what no structure has there
        image.Fill(block * kBlock + choices.Below(kBlock), blocks, std::byte{0xee});
        break;
      case 5:
        image.Zero(block * kBlock, blocks * kBlock);
        break;
      case 6:
        AppendCopy(&image, block);
        break;
      default:
        image.Reopen(Scan(image, &image.checkpoint));
        break;
    }
    const std::string text = image.ScanNow().text;
    TIDEMARK_CHECK(text.find("WRONG") == std::string::npos);
  }
  Scan(image, nullptr);
}

void TryOne(uint8_t what, base::ByteSpan bytes) {
  switch (what % 11) {
    case 0:
      return TrySuperblock(bytes);
    case 1:
      return TrySuperblock(Sealed(bytes, "TMJOURN1", kSuperblockBytes));
    case 2:
      return TryCheckpoint(bytes);
    case 3:
      return TryCheckpoint(SealedCheckpoint(bytes));
    case 4:
      return TryCommitHeader(bytes);
    case 5:
      return TryCommitHeader(Sealed(bytes, "TMCOMMIT", kCommitHeaderBytes));
    case 6:
      return TryDirectory(bytes);
    case 7:
      static_cast<void>(DecodeRecordsFrameHeader(bytes).ok());
      return;
    case 8:
      return TryFile(bytes);
    case 9:
      return TryForgedHeaders(bytes);
    default:
      return TryDamage(bytes);
  }
}

}  // namespace
}  // namespace tidemark::storage

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  tidemark::storage::TryOne(data[0], std::as_bytes(std::span(data, size)).subspan(1));
  return 0;
}
