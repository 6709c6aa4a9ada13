// `tidemark dump`, from the inside: one function for each kind of file. All of them only read, with
// bounded memory, say what is damaged and where, and go on behind it where they can.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "io/file_system.h"
#include "tidemark/record.h"
#include "tools/local_protocol.h"
#include "tools/output.h"

namespace tidemark::tools {

// Where the dump goes, and whether anything was damaged.
class DumpReport {
 public:
  DumpReport(bool json, bool with_records) : json_(json), with_records_(with_records) {}

  bool json() const { return json_; }
  bool with_records() const { return with_records_; }
  // What follows is about this file.
  void BeginFile(const std::string& path);
  // With --json a line of its own, "file" added; otherwise `text`.
  void Add(const Json& object, std::string_view text);
  // `timestamp_type` as Kafka calls it: "CreateTime" or "LogAppendTime".
  void AddRecord(const RecordView& record, std::string_view prefix,
                 std::string_view timestamp_type);
  // Damage at a position of the present file.
  void Damage(uint64_t position, std::string_view what);
  // Something worth saying that is no damage.
  void Note(std::string_view what);
  // A file that cannot be read at all.
  void Unreadable(const Error& error);

  bool damaged() const { return damaged_; }
  // Nobody reads the output any more.
  bool finished() const { return output_.finished(); }
  Output& output() { return output_; }

 private:
  const bool json_;
  const bool with_records_;
  Output output_;
  std::string path_;
  bool damaged_ = false;
};

// A file and what is known of the store around it.
struct DumpFile {
  std::string path;
  std::string folder;  // that the file is in
  std::string name;    // within the folder
  io::File* file = nullptr;
  uint64_t bytes = 0;
  // Somebody has the store open for writing: what is unfinished at the end is no damage.
  bool store_in_use = false;
};

void DumpLog(const DumpFile& file, DumpReport* report);
void DumpOffsetIndex(const DumpFile& file, DumpReport* report);
void DumpTimeIndex(const DumpFile& file, DumpReport* report);
void DumpSeal(const DumpFile& file, DumpReport* report);
void DumpJournal(const DumpFile& file, DumpReport* report);

// "00000000000000000042.index" -> 42; 0 for any other name.
int64_t BaseOffsetOf(const std::string& file_name);

}  // namespace tidemark::tools
