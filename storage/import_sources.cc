// What there is to import: partition folders, named one by one or in Kafka's log.dirs.
#include <charconv>

#include "storage/import_partition.h"
#include "storage/kafka_names.h"

namespace tidemark::storage {
namespace {

constexpr uint64_t kMaxLogStartsBytes = uint64_t{64} << 20;
// Kafka's own topics: its metadata, transactions, cursors.
constexpr std::string_view kInternalPrefix = "__";

std::string_view NameOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Of the lines "TOPIC PARTITION OFFSET" that of one folder; nullopt: there is none.
std::optional<int64_t> LogStartIn(std::string_view text, std::string_view topic,
                                  int32_t partition) {
  const std::string wanted = std::string(topic) + " " + std::to_string(partition) + " ";
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (!line.starts_with(wanted)) continue;
    line.remove_prefix(wanted.size());
    int64_t offset = -1;
    const auto parsed = std::from_chars(line.data(), line.data() + line.size(), offset);
    if (parsed.ec == std::errc() && parsed.ptr == line.data() + line.size() && offset >= 0)
      return offset;
  }
  return std::nullopt;
}

class SourceSearch {
 public:
  SourceSearch(io::FileSystem& files, std::vector<std::string>* left_out)
      : files_(files), left_out_(*left_out) {}

  Status Add(std::string path);
  SourceTopics Take() { return std::move(topics_); }

 private:
  Status AddPartition(const std::string& folder, const PartitionName& name);
  Status AddLogDirectory(const std::string& path);
  Result<std::string> LogStartsOf(const std::string& log_directory);

  io::FileSystem& files_;
  std::vector<std::string>& left_out_;
  SourceTopics topics_;
};

Status SourceSearch::Add(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const auto name = ParsePartitionFolder(NameOf(path));
  if (name) {
    const auto segments = ListSegments(files_, path);
    if (!segments) return segments.error();
    if (!segments->empty()) return AddPartition(path, *name);
  }
  return AddLogDirectory(path);
}

Status SourceSearch::AddLogDirectory(const std::string& path) {
  const auto journal = files_.Exists(io::JoinPath(path, "journal"));
  if (!journal) return journal.error();
  if (*journal) {
    return Error(ErrorCode::invalid_argument,
                 path +
                     ": this is a store of Tidemark's own, whose journal may hold records that "
                     "no segment has");
  }
  const auto entries = files_.List(path);
  if (!entries) return entries.error();
  for (const io::DirectoryEntry& entry : *entries) {
    const auto name = ParsePartitionFolder(entry.name);
    if (!entry.is_directory || !name) continue;
    if (Status added = AddPartition(io::JoinPath(path, entry.name), *name); !added.ok())
      return added;
  }
  return {};
}

Status SourceSearch::AddPartition(const std::string& folder, const PartitionName& name) {
  if (name.topic.starts_with(kInternalPrefix)) {
    left_out_.push_back(folder + ": a topic of Kafka's own");
    return {};
  }
  const std::string topic_name(name.topic);
  SourceTopic& topic = topics_[topic_name];
  const auto id = ReadTopicId(files_, folder);
  if (id && topic.id && *id != *topic.id) {
    return Error(ErrorCode::invalid_argument,
                 folder + ": its topic has another id than that of another folder of this name");
  }
  if (id) topic.id = id;
  const auto log_starts = LogStartsOf(FolderOf(folder));
  if (!log_starts) return log_starts.error();
  SourcePartition source{folder, LogStartIn(*log_starts, topic_name, name.partition)};
  if (topic.partitions.emplace(name.partition, source).second) return {};
  return Error(ErrorCode::invalid_argument, folder + ": this partition is there twice");
}

// Empty: there is no such file.
Result<std::string> SourceSearch::LogStartsOf(const std::string& log_directory) {
  const std::string path = io::JoinPath(log_directory, kLogStarts);
  const auto exists = files_.Exists(path);
  if (!exists) return exists.error();
  if (!*exists) return std::string();
  return io::ReadWholeFile(files_, path, kMaxLogStartsBytes);
}

}  // namespace

Result<SourceTopics> FindSources(io::FileSystem& files, const std::vector<std::string>& paths,
                                 std::vector<std::string>* left_out) {
  SourceSearch search(files, left_out);
  for (const std::string& path : paths) {
    if (Status added = search.Add(path); !added.ok()) return added.error();
  }
  SourceTopics topics = search.Take();
  if (topics.empty())
    return Error(ErrorCode::invalid_argument, "there is no partition of a topic to import");
  return topics;
}

}  // namespace tidemark::storage
