#include "storage/store_files.h"

#include <algorithm>
#include <cerrno>
#include <limits>

#include "storage/quarantine.h"

namespace tidemark::storage {
namespace {

constexpr uint64_t kMaxOwnerBytes = 64;

std::string OwnerPath(const std::string& data_dir) { return io::JoinPath(data_dir, "owner"); }

Result<bool> HasPartitionFolders(io::FileSystem& files, const std::string& data_dir) {
  auto entries = files.List(data_dir);
  if (!entries) return entries.error();
  for (const io::DirectoryEntry& entry : *entries) {
    if (!entry.is_directory) continue;
    auto exists =
        files.Exists(io::JoinPath(io::JoinPath(data_dir, entry.name), "partition.metadata"));
    if (!exists) return exists.error();
    if (*exists) return true;
  }
  return false;
}

uint64_t NewJournalBytes(const EngineOptions& options) {
  constexpr uint64_t kBudgetShare = 8;
  if (options.store_bytes == 0) return options.journal_bytes;
  return std::min(options.journal_bytes,
                  std::max(kMinJournalBytes, options.store_bytes / kBudgetShare));
}

// The folder may be as new as the journal: its own entry, and those of parents that were made for
// this store, must be on the device, too. FUSE file systems do nothing for syncfs, so the two
// folders that always matter come first; a parent that we may not open is left to syncfs.
Status FlushNewFolders(Context& context) {
  io::FileSystem& files = context.environment.files;
  const std::string& folder = context.options.data_dir;
  Status flushed = files.FlushDirectory(folder);
  if (flushed) flushed = files.FlushDirectory(io::JoinPath(folder, ".."));
  if (flushed || flushed.error().system_errno() == EACCES) flushed = files.FlushAll(folder);
  return flushed;
}

Result<std::unique_ptr<Journal>> MakeJournal(Context& context, const std::string& path,
                                             const base::Uuid& store_id) {
  auto journal =
      Journal::Create(context.environment, path, NewJournalBytes(context.options), store_id);
  if (!journal && journal.error().code() == ErrorCode::disk_full) {
    return Error(ErrorCode::disk_full,
                 journal.error().message() + "; a smaller journal can be asked for (journal_bytes)",
                 journal.error().system_errno());
  }
  if (!journal) return journal.error();
  return journal;
}

base::Uuid RandomId(Context& context) {
  return base::Uuid::FromRandom(context.environment.random64(), context.environment.random64());
}

// A journal that cannot be this store's is kept aside, never thrown away.
Status PutJournalAside(Context& context, const std::string& path, const std::string& cause) {
  context.Tell(NoticeLevel::error,
               path + ": " + cause +
                   "; it was moved to quarantine/ and a new one made. Records that only it held "
                   "are lost; the segments stay readable");
  Quarantine quarantine(context.environment, context.options.data_dir);
  return quarantine.Move(path, "journal", cause);
}

}  // namespace

Error LockedError(io::FileSystem& files, const std::string& data_dir, int system_errno) {
  auto owner = io::ReadWholeFile(files, OwnerPath(data_dir), kMaxOwnerBytes);
  std::string who = owner ? *owner : std::string("unknown");
  std::erase(who, '\n');
  return Error(
      ErrorCode::locked,
      data_dir + ": process " + who +
          " has this data folder open for writing; stop it first, or go through its local socket",
      system_errno);
}

Result<StoreFiles> OpenStoreFiles(Context& context) {
  io::FileSystem& files = context.environment.files;
  const std::string& data_dir = context.options.data_dir;
  const std::string path = io::JoinPath(data_dir, "journal");
  auto exists = files.Exists(path);
  if (!exists) return exists.error();
  StoreFiles store;
  std::string journal_fault;
  if (*exists) {
    auto journal = Journal::Open(context.environment, path);
    if (journal) {
      store.journal = std::move(*journal);
    } else if (journal.error().code() == ErrorCode::locked) {
      return LockedError(context.environment.files, context.options.data_dir,
                         journal.error().system_errno());
    } else if (journal.error().code() == ErrorCode::corrupt) {
      journal_fault = journal.error().message();
    } else {
      return journal.error();
    }
  }
  // Only now, under the lock, is the manifest nobody else's to change.
  auto found = ReadManifest(files, data_dir);
  if (!found) return found.error();
  store.manifest = found->manifest;
  if (found->repaired) context.Tell(NoticeLevel::warning, found->note);
  const base::Uuid manifest_id = store.manifest.store_id;
  if (store.journal && !manifest_id.is_nil() &&
      store.journal->superblock().store_id != manifest_id) {
    journal_fault = "this journal belongs to another store";
    store.journal.reset();
  }
  if (!journal_fault.empty()) {
    if (manifest_id.is_nil()) {
      return Error(ErrorCode::corrupt,
                   path + ": " + journal_fault +
                       ", and the manifest does not say either which store this is. Put one "
                       "of the two back from a copy. The segments in the topic folders are intact "
                       "as they are: "
                       "`tidemark dump` reads them");
    }
    if (Status aside = PutJournalAside(context, path, journal_fault); !aside) return aside.error();
  }
  if (!store.journal) {
    auto folders = HasPartitionFolders(files, data_dir);
    if (!folders) return folders.error();
    const bool beside_data = *folders || !store.manifest.topics.empty();
    if (beside_data && manifest_id.is_nil()) {
      return Error(ErrorCode::corrupt, data_dir +
                                           ": there are topic folders, but neither a journal nor a "
                                           "manifest says which store they "
                                           "belong to. Put one of the two back from a copy. "
                                           "`tidemark dump` reads the segments as they are");
    }
    if (!beside_data && journal_fault.empty() && manifest_id.is_nil() &&
        !context.options.create_if_missing) {
      return Error(ErrorCode::invalid_argument,
                   data_dir + ": there is no Tidemark store in this folder");
    }
    store.created = !beside_data;
    store.journal_lost = beside_data;
    if (store.journal_lost && journal_fault.empty()) {
      context.Tell(NoticeLevel::error,
                   path +
                       ": the journal is missing; a new one was made. Records that only it "
                       "held are lost; the segments stay readable");
    }
    auto journal =
        MakeJournal(context, path, manifest_id.is_nil() ? RandomId(context) : manifest_id);
    if (!journal) return journal.error();
    store.journal = std::move(*journal);
  }
  const bool made_anew = store.created || store.journal_lost;
  // Whoever made it may have been killed before it came so far; or behind a rename, which is seen
  // and may not be on the device: both copies of the manifest must be what is served from now on.
  Status flushed =
      made_anew || manifest_id.is_nil() ? FlushNewFolders(context) : files.FlushDirectory(data_dir);
  if (!flushed) return flushed.error();
  if (store.manifest.store_id != store.journal->superblock().store_id || found->repaired) {
    store.manifest.store_id = store.journal->superblock().store_id;
    Status written = WriteManifest(files, data_dir, store.manifest);
    // A full disk keeps nobody from opening a store that has one good copy.
    const bool can_wait =
        !manifest_id.is_nil() && !written.ok() && written.error().code() == ErrorCode::disk_full;
    if (can_wait) {
      context.Tell(NoticeLevel::warning, written.error().message());
    } else if (!written.ok()) {
      return written.error();
    }
  }
  // A hint for whoever finds the folder locked; not worth a flush.
  auto owner = files.Open(OwnerPath(context.options.data_dir),
                          {.write = true, .create = true, .truncate = true});
  if (owner) {
    const std::string text = std::to_string(context.environment.process_id) + "\n";
    if (Status written = (*owner)->WriteAt(0, base::AsBytes(text), io::Durable::no); !written) {
      context.Tell(NoticeLevel::info, written.error().message());
    }
  }
  return store;
}

Result<uint64_t> BytesBelow(io::FileSystem& files, std::vector<std::string> folders) {
  uint64_t used = 0;
  while (!folders.empty()) {
    const std::string folder = std::move(folders.back());
    folders.pop_back();
    auto entries = files.List(folder);
    if (!entries) return entries.error();
    for (const io::DirectoryEntry& entry : *entries) {
      const std::string path = io::JoinPath(folder, entry.name);
      if (entry.is_directory) {
        folders.push_back(path);
        continue;
      }
      const auto size = io::SizeOf(files, path);
      if (size) used += *size + kFileSlackBytes;  // a socket, or gone again: takes nothing
    }
  }
  return used;
}

int64_t RoomInBudget(uint64_t budget_bytes, uint64_t used_bytes) {
  // For folders, for the copies of a manifest that is being replaced, and for the blocks of
  // segments that are just being made.
  constexpr uint64_t kMarginShare = 64;
  budget_bytes = std::min<uint64_t>(budget_bytes, std::numeric_limits<int64_t>::max());
  return static_cast<int64_t>(budget_bytes - budget_bytes / kMarginShare) -
         static_cast<int64_t>(used_bytes);
}

}  // namespace tidemark::storage
