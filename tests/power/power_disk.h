// A disk that loses what was not flushed when its power is cut, for a real process to write on.
//
// What is written is seen at once (`now`); the medium has it after a flush, or before it by chance,
// as when a kernel writes pages back. Cut() leaves any subset of the rest: sectors or pages of
// written files, sizes, directory entries. A flush takes its time, so that there is always
// something in flight to be torn. What a file's flush makes durable is the file, not its name: that
// takes a flush of the directory.
//
// Any thread may call anything. All calls return 0 or errno; after Cut() all fail with EIO.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "tests/power/content.h"
#include "tests/sim/random.h"

namespace tidemark::power {

inline constexpr uint64_t kSectorBytes = 512;

enum class Access { buffered, direct };
enum class Durable { no, yes };

struct Node;
using NodePointer = std::shared_ptr<Node>;
using Entries = std::map<std::string, NodePointer>;

// A file, a directory or a socket. The disk's lock guards all but `number` and `flushing`.
struct Node {
  uint64_t number = 0;
  mode_t mode = 0;   // kind and permissions
  std::string name;  // the last one that it got
  uint64_t links = 0;
  uint64_t looked_up = 0;  // by the kernel, and not forgotten
  Content now;
  Content medium;
  std::set<uint64_t> dirty;  // pages that a flush has to write
  Entries entries;
  Entries medium_entries;
  std::mutex flushing;  // one flush at a time: an older one must not undo a newer one's work
};

struct Attributes {
  uint64_t number = 0;
  mode_t mode = 0;
  uint64_t size = 0;
  uint64_t links = 0;
};

// What a cut has cost.
struct CutReport {
  uint64_t units = 0;  // sectors or pages that were not flushed
  uint64_t units_lost = 0;
  uint64_t unit_bytes = 0;
  uint64_t sizes = 0;  // files whose length was not flushed
  uint64_t sizes_lost = 0;
  uint64_t names = 0;  // changes of directory entries that were not flushed
  uint64_t names_lost = 0;
};

class PowerDisk {
 public:
  // A flush takes up to twice `latency`.
  PowerDisk(uint64_t seed, std::chrono::microseconds latency);

  // What the medium holds to begin with.
  NodePointer Put(Node& directory, const std::string& name, mode_t mode, const Content& content);

  // --- Names ---
  const NodePointer& root() const { return root_; }
  // Of a node that the kernel has looked up.
  NodePointer Find(uint64_t number);
  int LookUp(Node& directory, const std::string& name, NodePointer* found);
  int Make(Node& directory, const std::string& name, mode_t mode, NodePointer* made);
  int Rename(Node& from, const std::string& name, Node& to, const std::string& new_name,
             bool replace);
  int Remove(Node& directory, const std::string& name, bool is_directory);
  int List(Node& directory, std::vector<std::pair<std::string, Attributes>>* entries);
  int FlushDirectory(Node& directory);
  // The kernel will not ask for it by its number any more, `times` less.
  void Forget(uint64_t number, uint64_t times);

  // --- Files ---
  int Describe(Node& node, Attributes* attributes);
  int ChangeMode(Node& node, mode_t permissions);
  int Resize(Node& file, uint64_t size);
  int Allocate(Node& file, uint64_t end);
  int Read(Node& file, uint64_t offset, base::MutableByteSpan into, size_t* read);
  // `access`: how it was opened; makes a difference only to what a failed flush leaves.
  int Write(Node& file, uint64_t offset, base::ByteSpan bytes, Durable durable, Access access);
  int Flush(Node& file, Access access);

  // --- Trouble ---
  // The next flush of a file whose name ends so fails with EIO, and what it was to write is
  // dropped: still there to read, and never on the medium unless it is written again.
  void FailNextFlush(const std::string& name_ending);
  uint64_t failed_flushes() const { return failed_flushes_; }
  // From now on nothing changes; what is left stands in every node's `medium` and `medium_entries`.
  CutReport Cut();

  // How often it was asked to make something durable, so that a test can see that the kernel hands
  // such requests through.
  uint64_t durable_writes() const { return durable_writes_; }
  uint64_t flushes() const { return flushes_; }
  uint64_t directory_flushes() const { return directory_flushes_; }

 private:
  enum class ChangeKind { link, unlink, rename };
  // Of directory entries, not on the medium yet.
  struct Change {
    ChangeKind kind;
    NodePointer directory;
    std::string name;
    NodePointer target;
    NodePointer to_directory;  // of a rename
    std::string to_name;
  };
  using PagesInFlight = std::vector<std::pair<uint64_t, PagePointer>>;

  static void Apply(const Change& change);
  void MarkDirty(Node& file, uint64_t begin, uint64_t end);
  void WriteBackByChance();
  void WriteBack(Node& file, uint64_t page);
  int FlushRange(Node& file, uint64_t begin, uint64_t end, Access access);
  void Drop(Node& file, const PagesInFlight& in_flight, Access access);
  void Complete(Node& file, const PagesInFlight& in_flight, uint64_t medium_size);
  void WaitForTheDevice();
  bool FlushFails(const Node& node);
  void CutNames(CutReport* report);
  void CutTree(Node& directory, uint64_t survive_in_eight, CutReport* report);
  void CutFile(Node& file, uint64_t survive_in_eight, CutReport* report);

  mutable std::mutex lock_;
  sim::Random random_;
  const std::chrono::microseconds latency_;
  NodePointer root_;
  uint64_t next_number_ = 2;
  std::map<uint64_t, NodePointer> nodes_;  // those that the kernel knows, or that have a name
  std::map<uint64_t, NodePointer> dirty_files_;
  std::vector<Change> changes_;
  bool cut_ = false;
  std::string failing_ending_;  // empty: no flush fails
  std::atomic<uint64_t> failed_flushes_{0};
  std::atomic<uint64_t> durable_writes_{0};
  std::atomic<uint64_t> flushes_{0};
  std::atomic<uint64_t> directory_flushes_{0};
};

}  // namespace tidemark::power
