// tidemark dump: what is in the files of a data folder.
#include "tools/dump.h"

#include <memory>
#include <optional>
#include <utility>

#include "storage/segment.h"
#include "tools/commands.h"
#include "tools/record_format.h"
#include "tools/text.h"

namespace tidemark::tools {
namespace {

constexpr std::string_view kJournalName = "journal";

using DumpFunction = void (*)(const DumpFile& file, DumpReport* report);

// What dumps files of this name; nullptr: nothing does.
DumpFunction FunctionFor(std::string_view name) {
  if (name == kJournalName) return DumpJournal;
  if (name.ends_with(".log")) return DumpLog;
  if (name.ends_with(".index")) return DumpOffsetIndex;
  if (name.ends_with(".timeindex")) return DumpTimeIndex;
  if (name.ends_with(".seal")) return DumpSeal;
  return nullptr;
}

// "a/b" -> "a", "b"; "b" -> ".", "b"
std::pair<std::string, std::string> SplitPath(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

class DumpRun {
 public:
  explicit DumpRun(const DumpCommand& command) : report_(command.json, command.records) {}
  void DumpPath(const std::string& path);
  int Finish() {
    return tools::Finish(report_.output(), report_.damaged() ? kExitFailed : kExitDone);
  }
  bool finished() const { return report_.finished(); }

 private:
  void DumpFolder(const std::string& folder);
  void DumpOneFile(const std::string& path, DumpFunction function);
  bool StoreInUse(const std::string& folder);
  bool JournalIsLocked(const std::string& folder);

  io::FileSystem& files_ = io::SystemFiles();
  DumpReport report_;
  std::string asked_folder_;  // of which the answer is known
  bool asked_in_use_ = false;
};

// The lock is flock(2) on the journal; that of a moment here does not disturb a `serve`, which has
// it already, and one that is just starting tries again.
bool DumpRun::JournalIsLocked(const std::string& folder) {
  const auto journal = files_.Open(io::JoinPath(folder, kJournalName), {});
  if (!journal.ok()) return false;
  const Status locked = (*journal)->Lock();
  return !locked.ok() && locked.error().code() == ErrorCode::locked;
}

// Files of the store itself, or of a partition in it.
bool DumpRun::StoreInUse(const std::string& folder) {
  if (folder != asked_folder_) {
    asked_folder_ = folder;
    asked_in_use_ = JournalIsLocked(folder) || JournalIsLocked(io::JoinPath(folder, ".."));
  }
  return asked_in_use_;
}

void DumpRun::DumpOneFile(const std::string& path, DumpFunction function) {
  const auto file = files_.Open(path, {});
  if (!file.ok()) return report_.Unreadable(file.error());
  const auto bytes = (*file)->Size();
  if (!bytes.ok()) return report_.Unreadable(bytes.error());
  const auto [folder, name] = SplitPath(path);
  report_.BeginFile(path);
  function({path, folder, name, file->get(), *bytes, StoreInUse(folder)}, &report_);
}

void DumpRun::DumpFolder(const std::string& folder) {
  const auto entries = files_.List(folder);
  if (!entries.ok()) return report_.Unreadable(entries.error());
  for (const io::DirectoryEntry& entry : *entries) {
    if (report_.finished()) return;
    const std::string path = io::JoinPath(folder, entry.name);
    if (entry.is_directory) {
      DumpFolder(path);
    } else if (const DumpFunction function = FunctionFor(entry.name)) {
      DumpOneFile(path, function);
    }
  }
}

void DumpRun::DumpPath(const std::string& path) {
  if (const auto entries = files_.List(path); entries.ok()) return DumpFolder(path);
  const DumpFunction function = FunctionFor(SplitPath(path).second);
  if (function == nullptr) {
    return report_.Unreadable(
        Error(ErrorCode::invalid_argument,
              path + ": not a folder, nor named like a file that dump knows (*.log, *.index, "
                     "*.timeindex, *.seal, journal)"));
  }
  DumpOneFile(path, function);
}

std::string ByteText(const std::optional<Bytes>& bytes) {
  if (!bytes) return {};
  return IsUtf8(*bytes) ? OneLine(*bytes) : "base64:" + Base64(*bytes);
}

}  // namespace

void DumpReport::BeginFile(const std::string& path) {
  path_ = path;
  if (!json_) output_.Write("Dumping " + path + "\n");
}

void DumpReport::Add(const Json& object, std::string_view text) {
  if (json_) {
    Json line;
    line["file"] = path_;
    line.update(object);
    output_.Write(JsonText(line) + "\n");
  } else {
    output_.Write(text);
    output_.Write("\n");
  }
}

void DumpReport::AddRecord(const RecordView& record, std::string_view prefix,
                           std::string_view timestamp_type) {
  if (json_) {
    Json object;
    object["type"] = "record";
    tools::AddRecord(record, &object);
    return Add(object, {});
  }
  std::string header_keys;
  for (const Header& header : record.headers) {
    header_keys += (header_keys.empty() ? "" : ",") + OneLine(header.key);
  }
  const auto size_of = [](const std::optional<Bytes>& bytes) {
    return bytes ? std::to_string(bytes->size()) : "-1";
  };
  std::string text = std::string(prefix) + "offset: " + std::to_string(record.offset) + " " +
                     std::string(timestamp_type) + ": " + std::to_string(record.timestamp_ms) +
                     " keySize: " + size_of(record.key) + " valueSize: " + size_of(record.value) +
                     " headerKeys: [" + header_keys + "]";
  if (record.key) text += " key: " + ByteText(record.key);
  if (record.value) text += " payload: " + ByteText(record.value);
  Add({}, text);
}

void DumpReport::Damage(uint64_t position, std::string_view what) {
  damaged_ = true;
  if (json_) {
    Json object;
    object["type"] = "damage";
    object["position"] = position;
    object["what"] = what;
    Add(object, {});
  }
  (void)output_.Flush();  // so that on a terminal it stands where it belongs
  PrintError(path_ + " at " + std::to_string(position) + ": " + std::string(what));
}

void DumpReport::Note(std::string_view what) {
  Json object;
  object["type"] = "note";
  object["what"] = what;
  Add(object, "(" + std::string(what) + ")");
}

void DumpReport::Unreadable(const Error& error) {
  damaged_ = true;
  (void)output_.Flush();
  PrintError(error);
}

int64_t BaseOffsetOf(const std::string& file_name) {
  const std::string stem = file_name.substr(0, file_name.find('.'));
  return storage::ParseLogName(stem + ".log").value_or(0);
}

int RunDump(const DumpCommand& command) {
  DumpRun run(command);
  for (const std::string& path : command.paths) {
    if (!run.finished()) run.DumpPath(path);
  }
  return run.Finish();
}

}  // namespace tidemark::tools
