// Sectors that are not what was written, without anybody being told.
#include <algorithm>
#include <cstring>

#include "tests/sim/sim_disk.h"

namespace tidemark::sim {
namespace {

constexpr uint64_t kSmallSectorBytes = 512;

}  // namespace

const char* NameOf(DamageKind kind) {
  switch (kind) {
    case DamageKind::flipped_bit:
      return "flipped bits";
    case DamageKind::zeroed:
      return "zeroed sectors";
    case DamageKind::old:
      return "old sectors";
    case DamageKind::misdirected:
      return "misdirected sectors";
  }
  return "";
}

// What the sector of `file` at `begin` becomes. False: there is no such damage to do.
bool SimDisk::Spoil(const Inode& file, const Inode& source, DamageKind kind, uint64_t begin,
                    base::MutableByteSpan sector, Random& random) const {
  const std::vector<std::byte> before(sector.begin(), sector.end());
  switch (kind) {
    case DamageKind::flipped_bit:
      sector[random.Below(sector.size())] ^= static_cast<std::byte>(1 << random.Below(8));
      break;
    case DamageKind::zeroed:
      std::fill(sector.begin(), sector.end(), std::byte{0});
      break;
    case DamageKind::old: {
      const auto found = file.older.find(begin / kPageBytes);
      if (found == file.older.end()) return false;
      const uint64_t at = begin % kPageBytes;
      for (uint64_t i = 0; i < sector.size(); ++i)
        sector[i] = at + i < found->second.size() ? found->second[at + i] : std::byte{0};
      break;
    }
    case DamageKind::misdirected: {
      const uint64_t sectors = source.now.size() / sector.size();
      if (sectors == 0) return false;
      const uint64_t from = random.Below(sectors) * sector.size();
      std::memcpy(sector.data(), source.now.data() + from, sector.size());
      break;
    }
  }
  return !std::equal(sector.begin(), sector.end(), before.begin());
}

std::optional<DamagedBytes> SimDisk::DamageAt(Inode& file, const Inode& source, DamageKind kind,
                                              uint64_t position, Random& random) {
  if (position >= file.now.size()) return std::nullopt;
  const uint64_t unit = random.OneIn(2) ? kSmallSectorBytes : kPageBytes;
  uint64_t begin = kind == DamageKind::flipped_bit ? position : position / unit * unit;
  uint64_t end = kind == DamageKind::flipped_bit ? position + 1 : begin + unit;
  end = std::min<uint64_t>({end, file.now.size(), file.medium.size()});
  if (begin >= end) return std::nullopt;
  std::vector<std::byte> sector(file.now.begin() + static_cast<std::ptrdiff_t>(begin),
                                file.now.begin() + static_cast<std::ptrdiff_t>(end));
  if (!Spoil(file, source, kind, begin, sector, random)) return std::nullopt;
  std::memcpy(file.now.data() + begin, sector.data(), sector.size());
  std::memcpy(file.medium.data() + begin, sector.data(), sector.size());
  ++trouble_[NameOf(kind)];
  return DamagedBytes{begin, end};
}

bool SimDisk::ForgeAt(Inode& file, uint64_t position, int32_t value, bool sealed) {
  if (position + sizeof(value) > std::min(file.now.size(), file.medium.size())) return false;
  base::StoreBig(file.now.data() + position, value);
  base::StoreBig(file.medium.data() + position, value);
  ++trouble_[sealed ? "forged entries of sealed indexes" : "forged entries of unsealed indexes"];
  return true;
}

void SimDisk::ArmWrongRead(uint64_t after, uint64_t seed) {
  wrong_read_armed_ = true;
  wrong_read_after_ = after;
  wrong_read_random_ = Random(seed);
}

// One sector of what a read has brought.
void SimDisk::MaybeSpoilRead(const Inode& file, uint64_t offset, base::MutableByteSpan bytes) {
  if (!wrong_read_armed_ || bytes.empty() || wrong_read_after_-- > 0) return;
  wrong_read_armed_ = false;
  Random& random = wrong_read_random_;
  constexpr DamageKind kKinds[] = {DamageKind::flipped_bit, DamageKind::zeroed, DamageKind::old,
                                   DamageKind::misdirected};
  const DamageKind kind = kKinds[random.Below(std::size(kKinds))];
  const uint64_t begin = std::max(
      offset, (offset + random.Below(bytes.size())) / kSmallSectorBytes * kSmallSectorBytes);
  const uint64_t end = std::min(offset + bytes.size(),
                                begin / kSmallSectorBytes * kSmallSectorBytes + kSmallSectorBytes);
  if (!Spoil(file, file, kind, begin, bytes.subspan(begin - offset, end - begin), random)) return;
  ++wrong_reads_;
  ++trouble_["wrong reads"];
  if (tell) tell(std::string("a read is wrong: ") + NameOf(kind));
}

}  // namespace tidemark::sim
