// A disk in memory with a kernel in front of it, as far as durability can tell them apart: what was
// written is seen at once, and is on the medium only after a flush, or before it by chance. A power
// cut leaves any subset of what was not flushed: sectors of written pages, sizes, directory
// entries. One thread; deterministic.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "tests/sim/random.h"

namespace tidemark::sim {

inline constexpr uint64_t kPageBytes = 4096;

// What one world's disk is like.
struct DiskProfile {
  uint64_t sector_bytes = 512;    // what is written whole or not at all
  bool direct_refused = false;    // no O_DIRECT
  bool ordered_metadata = false;  // directory changes survive in order (as ext4's journal does)
  bool remembers = false;         // what its sectors held before: they may come back old
  uint64_t capacity_bytes = uint64_t{1} << 40;
};

enum class Death { none, power_cut, kill };

// What a sector may become without anybody being told.
enum class DamageKind {
  flipped_bit,
  zeroed,
  old,          // the last write to it never arrived
  misdirected,  // another sector's content, of this file or of one of its kind
};
const char* NameOf(DamageKind kind);
struct DamagedBytes {
  uint64_t begin = 0;
  uint64_t end = 0;
};

// A file or a directory. What it is for everybody to see, and what the medium holds of it.
struct Inode {
  bool directory = false;
  bool locked = false;
  uint64_t number = 0;
  int opened = 0;             // how often, just now
  uint64_t unkept_bytes = 0;  // of its size: of a file that nobody reads
  // What it takes on the disk, in whole blocks, for as long as it has a name or somebody has it
  // open; it is charged to the folder that has or had its name.
  bool named = false;
  uint64_t charged_bytes = 0;
  std::weak_ptr<Inode> folder;
  uint64_t bytes_in_folder = 0;  // of a directory: what is charged to it
  std::vector<std::byte> now;
  std::vector<std::byte> medium;
  std::set<uint64_t> dirty;  // pages that a flush has to write
  std::set<uint64_t> lost;   // pages that a failed flush has dropped: clean, and not on the medium
  uint64_t least_size = UINT64_MAX;                       // it was cut to, since the last flush
  std::map<uint64_t, std::vector<std::byte>> older;       // what pages of the medium held before
  std::map<std::string, std::shared_ptr<Inode>> entries;  // of a directory, now
  std::map<std::string, std::shared_ptr<Inode>> medium_entries;
};
using InodePointer = std::shared_ptr<Inode>;

// A fault that strikes once, after some more operations of its kind.
struct Fault {
  enum class Kind { none, write, flush, read };
  Kind kind = Kind::none;
  uint64_t after = 0;
};

class SimDisk {
 public:
  SimDisk(DiskProfile profile, Random& random);

  // --- Names. errno, 0: done. ---
  InodePointer Find(std::string_view path) const;
  int Create(const std::string& path, InodePointer* made, bool directory);
  int Rename(const std::string& from, const std::string& to);
  int Remove(const std::string& path);
  int FlushDirectory(const std::string& path);
  int FlushAll();

  // --- Files ---
  int Read(Inode& file, uint64_t offset, base::MutableByteSpan into, size_t* read);
  // `direct`: past the page cache, so that a failed flush leaves the bytes where a later one finds
  // them, or nowhere: what is read is what the device has.
  int Write(Inode& file, uint64_t offset, base::ByteSpan bytes, bool durable, bool direct);
  int Flush(Inode& file, bool direct);
  int Truncate(Inode& file, uint64_t size);
  int Allocate(Inode& file, uint64_t end);

  uint64_t used_bytes() const { return used_bytes_; }
  uint64_t free_bytes() const;
  DiskProfile& profile() { return profile_; }

  // --- What it holds, in whole blocks: files that are deleted and still open count, and a folder
  // takes one block. ---
  uint64_t block_bytes() const { return block_bytes_; }
  // Of the files in a folder; 0: there is none.
  uint64_t BytesInFolder(std::string_view path) const;
  // Called when a file has grown by a block at least.
  std::function<void()> on_growth = [] {};
  void NoteOpened(Inode& file, bool opened);
  // Somebody else's file, which stands on the medium at once, in a folder that is made if need be.
  void PutForeignFile(const std::string& folder, const std::string& name, uint64_t bytes);

  // --- Trouble ---
  // The world ends within the operation that is so many away; from then on all calls fail with EIO
  // and change nothing, until Restart().
  void DieIn(uint64_t operations, Death death);
  bool dead() const { return death_happened_ != Death::none; }
  Death death() const { return death_happened_; }
  // At that moment: what is in flight reaches the disk, or part of it does.
  std::function<void(Death death)> on_death = [](Death) {};
  void DieNow(Death death);
  // What is left when the machine or the process starts anew.
  void Restart();

  void Arm(Fault fault) { fault_ = fault; }
  uint64_t faults_struck() const { return faults_struck_; }
  uint64_t operations() const { return operations_; }
  // How often there was trouble of each kind.
  const std::map<std::string, uint64_t>& trouble() const { return trouble_; }
  // Of a file at rest, of which no page waits to be written: changes a sector, or a bit. nullopt:
  // nothing was changed.
  std::optional<DamagedBytes> DamageAt(Inode& file, const Inode& source, DamageKind kind,
                                       uint64_t position, Random& random);
  // The same of a number in an index; `sealed`: the index's segment has a seal. False:
  // nothing was changed.
  bool ForgeAt(Inode& file, uint64_t position, int32_t value, bool sealed);
  // A sector of what a read brings is not what is there; once, after so many reads.
  void ArmWrongRead(uint64_t after, uint64_t seed);
  void DisarmWrongRead() { wrong_read_armed_ = false; }
  uint64_t wrong_reads() const { return wrong_reads_; }
  // Bytes that some write in flight leaves behind: any of its pages.
  void WriteInPart(Inode& file, uint64_t offset, base::ByteSpan bytes);
  // Written as if by somebody else, whatever state this disk is in.
  void WriteNow(Inode& file, uint64_t offset, base::ByteSpan bytes);
  // Called for each thing that happens, for a readable history. Empty: nobody listens.
  std::function<void(const std::string&)> tell;

 private:
  enum class ChangeKind { link, unlink, rename };
  // A change of directory entries that is not on the medium yet.
  struct Change {
    ChangeKind kind;
    InodePointer directory;
    std::string name;
    InodePointer target;
    InodePointer to_directory;  // of a rename
    std::string to_name;
  };
  struct Place {
    InodePointer directory;
    std::string name;
  };

  Place Resolve(std::string_view path) const;
  // Before each operation that changes something. False: the world ends with this one.
  bool Tick();
  bool Strikes(Fault::Kind kind);
  bool Spoil(const Inode& file, const Inode& source, DamageKind kind, uint64_t begin,
             base::MutableByteSpan sector, Random& random) const;
  void MaybeSpoilRead(const Inode& file, uint64_t offset, base::MutableByteSpan bytes);
  void WriteBack();
  void FlushPages(Inode& file, bool all);
  void Resize(Inode& file, uint64_t size);
  void Charge(Inode& file);
  void SetName(const InodePointer& inode, const InodePointer& folder);
  void WritePage(Inode& file, uint64_t page) const;
  void LosePages(Inode& file);
  void Apply(const Change& change);
  void CutPower();
  void CutFile(Inode& file);
  void ForEachFile(const std::function<void(Inode&)>& visit);

  DiskProfile profile_;
  Random& random_;
  InodePointer root_;
  std::vector<std::weak_ptr<Inode>> files_;
  std::vector<Change> changes_;
  uint64_t next_inode_ = 1;
  uint64_t used_bytes_ = 0;
  uint64_t block_bytes_ = 0;
  uint64_t operations_ = 0;
  uint64_t death_in_ = 0;  // 0: not armed
  Death death_armed_ = Death::none;
  Death death_happened_ = Death::none;
  Fault fault_;
  uint64_t faults_struck_ = 0;
  std::map<std::string, uint64_t> trouble_;
  bool wrong_read_armed_ = false;
  uint64_t wrong_read_after_ = 0;
  Random wrong_read_random_{0};
  uint64_t wrong_reads_ = 0;
};

}  // namespace tidemark::sim
