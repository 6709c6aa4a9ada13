#include "storage/manifest.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "base/hash.h"

namespace tidemark::storage {
namespace {

// The first and the last line keep their form in every version, so that an old program can tell a
// newer manifest from a damaged one.
constexpr std::string_view kTitle = "tidemark-manifest ";
constexpr std::string_view kStore = "store ";
constexpr std::string_view kTopic = "topic ";
constexpr std::string_view kPartitions = " partitions ";
constexpr std::string_view kName = " name ";
constexpr std::string_view kConfig = "config ";
constexpr std::string_view kChecksum = "xxh3 ";
constexpr size_t kChecksumDigits = 16;

constexpr std::string_view kPrimary = "manifest";
constexpr std::string_view kBackup = "manifest.backup";
// Some 100,000 topics: against a file that is no manifest.
constexpr uint64_t kMaxManifestBytes = uint64_t{64} << 20;

constexpr std::string_view kTopicId = "topic_id: ";
constexpr uint64_t kMaxMetadataBytes = 4096;
constexpr size_t kMaxTopicNameLength = 249;

Error Damaged(const std::string& why) { return Error(ErrorCode::corrupt, "manifest: " + why); }

std::string ChecksumOf(std::string_view text) {
  return base::ChecksumText(base::Xxh3(base::AsBytes(text)));
}

// Strict: decimal digits only, nothing behind them.
std::optional<int32_t> ParseNumber(std::string_view text) {
  int32_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || failure != std::errc() || end != text.data() + text.size() || number < 0) {
    return std::nullopt;
  }
  return number;
}

// Takes the line that `text` begins with, without its end; nullopt when no line is left.
std::optional<std::string_view> TakeLine(std::string_view* text) {
  const size_t end = text->find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = text->substr(0, end);
  text->remove_prefix(end + 1);
  return line;
}

bool TakePrefix(std::string_view* text, std::string_view prefix) {
  if (!text->starts_with(prefix)) return false;
  text->remove_prefix(prefix.size());
  return true;
}

// The text before its checksum line, which must be the last and right.
Result<std::string_view> CheckedBody(std::string_view text) {
  const size_t line_bytes = kChecksum.size() + kChecksumDigits + 1;
  if (text.size() < line_bytes) return Damaged("too short");
  const std::string_view body = text.substr(0, text.size() - line_bytes);
  std::string expected(kChecksum);
  expected += ChecksumOf(body) + "\n";
  if (text.substr(body.size()) != expected) return Damaged("its checksum is wrong");
  return body;
}

// "topic ID partitions N name NAME", the prefix taken already.
Result<TopicDescription> DecodeTopicLine(std::string_view line) {
  const size_t id_end = line.find(kPartitions);
  const size_t count_end = line.find(kName);
  if (id_end == std::string_view::npos || count_end == std::string_view::npos ||
      count_end < id_end + kPartitions.size()) {
    return Damaged("a topic's line is not understood");
  }
  const size_t count_begin = id_end + kPartitions.size();
  const auto id = base::Uuid::FromBase64(line.substr(0, id_end));
  const auto partitions = ParseNumber(line.substr(count_begin, count_end - count_begin));
  const std::string_view name = line.substr(count_end + kName.size());
  if (!id || !partitions || *partitions < 1 || !CheckTopicName(name).ok()) {
    return Damaged("a topic's line is not understood");
  }
  TopicDescription topic;
  topic.id = *id;
  topic.name = std::string(name);
  topic.partitions = *partitions;
  return topic;
}

// "config KEY=VALUE", the prefix taken already. The checksum was right, so that a key that is not
// known was written by a newer program.
Status DecodeConfigLine(std::string_view line, TopicDescription* topic) {
  const size_t equals = line.find('=');
  if (equals == std::string_view::npos) return Damaged("a setting's line is not understood");
  const Status set = topic->config.Set(line.substr(0, equals), line.substr(equals + 1));
  if (set.ok()) return {};
  return Error(ErrorCode::unsupported,
               "manifest: topic " + topic->name +
                   " was given a setting by a newer version of Tidemark: " + set.error().message());
}

Result<std::vector<TopicDescription>> DecodeTopics(std::string_view body) {
  std::vector<TopicDescription> topics;
  while (auto line = TakeLine(&body)) {
    if (TakePrefix(&*line, kTopic)) {
      auto topic = DecodeTopicLine(*line);
      if (!topic) return topic.error();
      if (!topics.empty() && topics.back().name >= topic->name) {
        return Damaged("its topics are not in order");
      }
      topics.push_back(*std::move(topic));
    } else if (TakePrefix(&*line, kConfig) && !topics.empty()) {
      if (Status set = DecodeConfigLine(*line, &topics.back()); !set.ok()) return set.error();
    } else {
      return Damaged("a line is not understood");
    }
  }
  if (!body.empty()) return Damaged("its last line has no end");
  return topics;
}

Result<Manifest> ReadCopy(io::FileSystem& files, const std::string& path) {
  const auto text = io::ReadWholeFile(files, path, kMaxManifestBytes);
  if (!text) return text.error();
  return DecodeManifest(*text);
}

// --- Rebuilding from the partition folders ------------------------------------------------------

// Topics as their folders tell. A topic whose folders all lost their metadata stays unknown: its
// frames in the journal could not be told to be its own.
Status Rebuild(io::FileSystem& files, const std::string& data_dir, ManifestFound* found) {
  const auto exists = files.Exists(data_dir);
  if (!exists) return exists.error();
  if (!*exists) return {};
  const auto entries = files.List(data_dir);
  if (!entries) return entries.error();

  std::map<std::string, TopicDescription, std::less<>> topics;
  for (const io::DirectoryEntry& entry : *entries) {
    const auto name = ParsePartitionFolder(entry.name);
    if (!entry.is_directory || !name) continue;
    TopicDescription& topic = topics[std::string(name->topic)];
    topic.name = std::string(name->topic);
    topic.partitions = std::max(topic.partitions, name->partition + 1);
    const auto id = ReadTopicId(files, io::JoinPath(data_dir, entry.name));
    if (!id) {
      found->note += "; " + entry.name + " has no readable partition.metadata";
    } else if (topic.id.is_nil()) {
      topic.id = *id;
    } else if (topic.id != *id) {
      found->note += "; " + entry.name + " names another topic id than the folders before it";
    }
  }
  for (auto& [name, topic] : topics) {
    if (!topic.id.is_nil()) {
      found->manifest.topics.push_back(std::move(topic));
    } else {
      found->note += "; topic " + name + " is left out, since nothing tells its id";
    }
  }
  return {};
}

bool IsDiskFull(const Status& status) {
  return !status.ok() && status.error().code() == ErrorCode::disk_full;
}

Status RemoveIfThere(io::FileSystem& files, const std::string& path) {
  const auto exists = files.Exists(path);
  if (!exists) return exists.error();
  return *exists ? files.Remove(path) : Status();
}

// What became of one copy.
struct Copy {
  bool present = false;
  std::optional<Manifest> manifest;
  std::optional<Error> error;
};

Copy TryCopy(io::FileSystem& files, const std::string& path) {
  Copy copy;
  const auto exists = files.Exists(path);
  if (!exists) {
    copy.present = true;
    copy.error = exists.error();
    return copy;
  }
  copy.present = *exists;
  if (!copy.present) return copy;
  auto manifest = ReadCopy(files, path);
  if (manifest) {
    copy.manifest = *std::move(manifest);
  } else {
    copy.error = manifest.error();
  }
  return copy;
}

std::string NoteOn(std::string_view name, const Copy& copy) {
  return std::string(name) +
         (copy.error ? " is not readable: " + copy.error->ToString() : " is missing");
}

// Both copies unusable: damage, an I/O error that may pass, or a new store.
Result<ManifestFound> WithoutCopies(io::FileSystem& files, const std::string& data_dir,
                                    const Copy& primary, const Copy& backup) {
  // To go on with guesses because of, say, too many open files would lose every setting.
  for (const Copy* copy : {&primary, &backup}) {
    if (copy->error && copy->error->code() != ErrorCode::corrupt) return *copy->error;
  }
  ManifestFound found;
  found.note = NoteOn(kPrimary, primary) + ", " + NoteOn(kBackup, backup);
  if (Status status = Rebuild(files, data_dir, &found); !status.ok()) return status.error();
  found.repaired = primary.present || backup.present || !found.manifest.topics.empty();
  if (!found.repaired) {
    found.note.clear();
  } else {
    found.note += "; topics were taken from the partition folders, their settings are the defaults";
  }
  return found;
}

}  // namespace

std::optional<PartitionName> ParsePartitionFolder(std::string_view name) {
  const size_t dash = name.rfind('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const std::string_view digits = name.substr(dash + 1);
  const auto partition = ParseNumber(digits);
  if (!partition || *partition == INT32_MAX || std::to_string(*partition) != digits) {
    return std::nullopt;
  }
  const std::string_view topic = name.substr(0, dash);
  if (!CheckTopicName(topic).ok()) return std::nullopt;
  return PartitionName{topic, *partition};
}

std::optional<base::Uuid> ReadTopicId(io::FileSystem& files, const std::string& folder) {
  const auto text =
      io::ReadWholeFile(files, io::JoinPath(folder, kPartitionMetadataName), kMaxMetadataBytes);
  if (!text) return std::nullopt;
  const size_t begin = text->find(kTopicId);
  if (begin == std::string::npos) return std::nullopt;
  std::string_view id = std::string_view(*text).substr(begin + kTopicId.size());
  id = id.substr(0, id.find_first_of("\r\n"));
  return base::Uuid::FromBase64(id);
}

std::string EncodeManifest(const Manifest& manifest) {
  std::string text(kTitle);
  text += std::to_string(kManifestVersion) + "\n";
  text += std::string(kStore) + manifest.store_id.ToBase64() + "\n";
  std::vector<const TopicDescription*> topics;
  for (const TopicDescription& topic : manifest.topics) topics.push_back(&topic);
  std::sort(topics.begin(), topics.end(),
            [](const auto* left, const auto* right) { return left->name < right->name; });
  for (const TopicDescription* topic : topics) {
    text += std::string(kTopic) + topic->id.ToBase64();
    text += std::string(kPartitions) + std::to_string(topic->partitions);
    text += std::string(kName) + topic->name + "\n";
    for (const auto& [key, value] : topic->config.ToPairs()) {
      text.append(kConfig).append(key).append("=").append(value).append("\n");
    }
  }
  const std::string checksum = ChecksumOf(text);
  return text + std::string(kChecksum) + checksum + "\n";
}

Result<Manifest> DecodeManifest(std::string_view text) {
  const auto checked = CheckedBody(text);
  if (!checked) return checked.error();
  std::string_view body = *checked;
  auto title = TakeLine(&body);
  if (!title || !TakePrefix(&*title, kTitle)) return Damaged("its first line is not understood");
  const auto version = ParseNumber(*title);
  if (!version || *version < 1) return Damaged("its version is not understood");
  if (*version > kManifestVersion) {
    return Error(ErrorCode::unsupported,
                 "manifest: version " + std::to_string(*version) +
                     " was written by a newer Tidemark; this one reads up to version " +
                     std::to_string(kManifestVersion));
  }
  auto store = TakeLine(&body);
  if (!store || !TakePrefix(&*store, kStore)) return Damaged("its store line is not understood");
  const auto store_id = base::Uuid::FromBase64(*store);
  if (!store_id) return Damaged("its store id is not understood");
  auto topics = DecodeTopics(body);
  if (!topics) return topics.error();
  return Manifest{*store_id, *std::move(topics)};
}

Result<ManifestFound> ReadManifest(io::FileSystem& files, const std::string& data_dir) {
  Copy primary = TryCopy(files, io::JoinPath(data_dir, kPrimary));
  Copy backup = TryCopy(files, io::JoinPath(data_dir, kBackup));
  for (const Copy* copy : {&primary, &backup}) {
    if (copy->error && copy->error->code() == ErrorCode::unsupported) return *copy->error;
  }
  ManifestFound found;
  if (primary.manifest) {
    if (!backup.manifest) {
      found.note = NoteOn(kBackup, backup);
    } else if (*backup.manifest != *primary.manifest) {
      found.note = std::string(kBackup) + " is older than " + std::string(kPrimary);
    }
    found.manifest = *std::move(primary.manifest);
  } else if (backup.manifest) {
    found.note = NoteOn(kPrimary, primary);
    found.manifest = *std::move(backup.manifest);
  } else {
    return WithoutCopies(files, data_dir, primary, backup);
  }
  found.repaired = !found.note.empty();
  return found;
}

Status WriteManifest(io::FileSystem& files, const std::string& data_dir, const Manifest& manifest) {
  const std::string text = EncodeManifest(manifest);
  const std::string primary_path = io::JoinPath(data_dir, kPrimary);
  const std::string backup_path = io::JoinPath(data_dir, kBackup);
  Status primary = io::ReplaceFile(files, primary_path, text);
  if (IsDiskFull(primary) && ReadCopy(files, primary_path).ok()) {
    // A deletion must not need new space: the backup gives up its own for as long as the first copy
    // is being replaced.
    if (Status removed = RemoveIfThere(files, backup_path); !removed.ok()) return removed;
    primary = io::ReplaceFile(files, primary_path, text);
    if (IsDiskFull(primary)) EnsureManifestBackup(files, data_dir);  // removed in vain
  }
  if (!primary.ok()) return primary;
  Status backup = io::ReplaceFile(files, backup_path, text);
  if (!IsDiskFull(backup)) return backup;
  // The change is durable, and the older copy would contradict it.
  if (Status removed = RemoveIfThere(files, backup_path); !removed.ok()) return removed;
  backup = io::ReplaceFile(files, backup_path, text);
  return IsDiskFull(backup) ? files.FlushDirectory(data_dir) : backup;
}

void EnsureManifestBackup(io::FileSystem& files, const std::string& data_dir) {
  const std::string backup = io::JoinPath(data_dir, kBackup);
  const auto exists = files.Exists(backup);
  if (!exists || *exists) return;
  const auto text = io::ReadWholeFile(files, io::JoinPath(data_dir, kPrimary), kMaxManifestBytes);
  if (text) static_cast<void>(io::ReplaceFile(files, backup, *text));
}

Status CheckTopicName(std::string_view name) {
  const auto allowed = [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
           (letter >= '0' && letter <= '9') || letter == '.' || letter == '_' || letter == '-';
  };
  if (!name.empty() && name.size() <= kMaxTopicNameLength && name != "." && name != ".." &&
      std::all_of(name.begin(), name.end(), allowed)) {
    return {};
  }
  return Error(ErrorCode::invalid_argument,
               "'" + std::string(name.substr(0, kMaxTopicNameLength)) +
                   "' is not a topic name: letters, digits, '.', '_' and '-', 1 to 249 of them, "
                   "and not '.' or '..'");
}

std::string PartitionFolder(const std::string& data_dir, std::string_view topic,
                            int32_t partition) {
  return io::JoinPath(data_dir, std::string(topic) + "-" + std::to_string(partition));
}

}  // namespace tidemark::storage
