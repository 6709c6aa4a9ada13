#include "tests/power/power_mount.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tidemark::power {
namespace {

// Nothing is cached by the kernel: after the cut every call has to fail.
constexpr double kCacheS = 0;
constexpr unsigned kNoReplace = RENAME_NOREPLACE;

using Listing = std::vector<std::pair<std::string, Attributes>>;

Mounted& MountedOf(fuse_req_t request) {
  return *static_cast<Mounted*>(fuse_req_userdata(request));
}

PowerDisk& DiskOf(fuse_req_t request) { return MountedOf(request).disk; }

struct stat StatOf(const Attributes& attributes) {
  struct stat about {};
  about.st_ino = attributes.number;
  about.st_mode = attributes.mode;
  about.st_nlink = attributes.links;
  about.st_size = static_cast<off_t>(attributes.size);
  about.st_blocks = static_cast<blkcnt_t>((attributes.size + 511) / 512);
  about.st_blksize = tidemark::power::kPageBytes;
  about.st_uid = geteuid();
  about.st_gid = getegid();
  return about;
}

// Kept with the open file, since a flush does not bring the flags of opening.
uint64_t HandleOf(int flags) { return (flags & O_DIRECT) != 0 ? 1 : 0; }

Access AccessOf(const fuse_file_info& file) {
  return file.fh != 0 ? Access::direct : Access::buffered;
}

// Past the page cache, whether opened with O_DIRECT or not: then each write comes as it is made.
// Returns 0 or errno.
int PrepareOpen(fuse_req_t request, fuse_file_info* file) {
  file->direct_io = 1;
  file->fh = HandleOf(file->flags);
  return file->fh != 0 && !MountedOf(request).direct ? EINVAL : 0;
}

// Calls `call` with the disk and the node; answers with its errno where there is no such node.
template <typename Call>
int WithNode(fuse_req_t request, fuse_ino_t number, Call call) {
  PowerDisk& disk = DiskOf(request);
  const NodePointer node = disk.Find(number);
  return node == nullptr ? ENOENT : call(disk, *node);
}

void ReplyAttributes(fuse_req_t request, PowerDisk& disk, Node& node) {
  Attributes attributes;
  const int failure = disk.Describe(node, &attributes);
  if (failure != 0) {
    fuse_reply_err(request, failure);
    return;
  }
  const struct stat about = StatOf(attributes);
  fuse_reply_attr(request, &about, kCacheS);
}

// False, and an error is answered: the disk is dead.
bool FillEntry(fuse_req_t request, PowerDisk& disk, Node& node, fuse_entry_param* entry) {
  Attributes attributes;
  const int failure = disk.Describe(node, &attributes);
  if (failure != 0) {
    fuse_reply_err(request, failure);
    return false;
  }
  entry->ino = attributes.number;
  entry->attr = StatOf(attributes);
  entry->attr_timeout = kCacheS;
  entry->entry_timeout = kCacheS;
  return true;
}

void ReplyEntry(fuse_req_t request, PowerDisk& disk, const NodePointer& node) {
  fuse_entry_param entry{};
  if (FillEntry(request, disk, *node, &entry)) fuse_reply_entry(request, &entry);
}

// --- Names ---------------------------------------------------------------------------------------

void Init(void*, fuse_conn_info* connection) {
  // Opening for truncation then comes as a call of its own.
  connection->want &= ~static_cast<unsigned>(FUSE_CAP_ATOMIC_O_TRUNC);
}

void LookUp(fuse_req_t request, fuse_ino_t parent, const char* name) {
  const int failure = WithNode(request, parent, [&](PowerDisk& disk, Node& directory) {
    NodePointer node;
    const int missing = disk.LookUp(directory, name, &node);
    if (missing == 0) ReplyEntry(request, disk, node);
    return missing;
  });
  if (failure != 0) fuse_reply_err(request, failure);
}

void Forget(fuse_req_t request, fuse_ino_t number, uint64_t times) {
  DiskOf(request).Forget(number, times);
  fuse_reply_none(request);
}

void ForgetMany(fuse_req_t request, size_t count, fuse_forget_data* forgets) {
  for (size_t i = 0; i < count; ++i) DiskOf(request).Forget(forgets[i].ino, forgets[i].nlookup);
  fuse_reply_none(request);
}

void MakeNode(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, dev_t) {
  const int failure = WithNode(request, parent, [&](PowerDisk& disk, Node& directory) {
    NodePointer node;
    const int refused = disk.Make(directory, name, mode, &node);
    if (refused == 0) ReplyEntry(request, disk, node);
    return refused;
  });
  if (failure != 0) fuse_reply_err(request, failure);
}

void MakeDirectory(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) {
  MakeNode(request, parent, name, mode | S_IFDIR, 0);
}

void Create(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode,
            fuse_file_info* file) {
  const int failure = WithNode(request, parent, [&](PowerDisk& disk, Node& directory) {
    NodePointer node;
    int refused = PrepareOpen(request, file);
    if (refused == 0) refused = disk.Make(directory, name, mode | S_IFREG, &node);
    fuse_entry_param entry{};
    if (refused == 0 && FillEntry(request, disk, *node, &entry)) {
      fuse_reply_create(request, &entry, file);
    }
    return refused;
  });
  if (failure != 0) fuse_reply_err(request, failure);
}

void Rename(fuse_req_t request, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
            const char* new_name, unsigned flags) {
  PowerDisk& disk = DiskOf(request);
  const NodePointer from = disk.Find(parent);
  const NodePointer to = disk.Find(new_parent);
  int failure = EINVAL;  // an exchange of two names
  if (from == nullptr || to == nullptr) {
    failure = ENOENT;
  } else if ((flags & ~kNoReplace) == 0) {
    failure = disk.Rename(*from, name, *to, new_name, (flags & kNoReplace) == 0);
  }
  fuse_reply_err(request, failure);
}

void Remove(fuse_req_t request, fuse_ino_t parent, const char* name) {
  fuse_reply_err(request, WithNode(request, parent, [&](PowerDisk& disk, Node& directory) {
                   return disk.Remove(directory, name, /*is_directory=*/false);
                 }));
}

void RemoveDirectory(fuse_req_t request, fuse_ino_t parent, const char* name) {
  fuse_reply_err(request, WithNode(request, parent, [&](PowerDisk& disk, Node& directory) {
                   return disk.Remove(directory, name, /*is_directory=*/true);
                 }));
}

void OpenDirectory(fuse_req_t request, fuse_ino_t number, fuse_file_info* file) {
  auto listing = std::make_unique<Listing>();
  const int failure = WithNode(request, number, [&](PowerDisk& disk, Node& directory) {
    return disk.List(directory, listing.get());
  });
  if (failure != 0) {
    fuse_reply_err(request, failure);
    return;
  }
  file->fh = reinterpret_cast<uintptr_t>(listing.release());
  fuse_reply_open(request, file);
}

void ReadDirectory(fuse_req_t request, fuse_ino_t, size_t room, off_t offset,
                   fuse_file_info* file) {
  const auto& listing = *reinterpret_cast<const Listing*>(file->fh);
  std::vector<char> answer(room);
  size_t used = 0;
  for (auto i = static_cast<size_t>(offset); i < listing.size(); ++i) {
    const struct stat about = StatOf(listing[i].second);
    const size_t more =
        fuse_add_direntry(request, answer.data() + used, room - used, listing[i].first.c_str(),
                          &about, static_cast<off_t>(i + 1));
    if (more > room - used) break;
    used += more;
  }
  fuse_reply_buf(request, answer.data(), used);
}

void ReleaseDirectory(fuse_req_t request, fuse_ino_t, fuse_file_info* file) {
  delete reinterpret_cast<Listing*>(file->fh);
  fuse_reply_err(request, 0);
}

void FlushDirectory(fuse_req_t request, fuse_ino_t number, int, fuse_file_info*) {
  fuse_reply_err(request, WithNode(request, number, [](PowerDisk& disk, Node& directory) {
                   return disk.FlushDirectory(directory);
                 }));
}

// --- Files ---------------------------------------------------------------------------------------

void GetAttributes(fuse_req_t request, fuse_ino_t number, fuse_file_info*) {
  const int failure = WithNode(request, number, [&](PowerDisk& disk, Node& node) {
    ReplyAttributes(request, disk, node);
    return 0;
  });
  if (failure != 0) fuse_reply_err(request, failure);
}

// Owners and times are taken and forgotten.
void SetAttributes(fuse_req_t request, fuse_ino_t number, struct stat* about, int which,
                   fuse_file_info*) {
  const int failure = WithNode(request, number, [&](PowerDisk& disk, Node& node) {
    int refused = 0;
    if ((which & FUSE_SET_ATTR_MODE) != 0) refused = disk.ChangeMode(node, about->st_mode);
    if (refused == 0 && (which & FUSE_SET_ATTR_SIZE) != 0) {
      refused = disk.Resize(node, static_cast<uint64_t>(about->st_size));
    }
    if (refused == 0) ReplyAttributes(request, disk, node);
    return refused;
  });
  if (failure != 0) fuse_reply_err(request, failure);
}

void Open(fuse_req_t request, fuse_ino_t number, fuse_file_info* file) {
  const int failure = WithNode(request, number, [&](PowerDisk& disk, Node& node) {
    Attributes attributes;
    int refused = disk.Describe(node, &attributes);
    if (refused == 0) refused = PrepareOpen(request, file);
    if (refused == 0) fuse_reply_open(request, file);
    return refused;
  });
  if (failure != 0) fuse_reply_err(request, failure);
}

void Read(fuse_req_t request, fuse_ino_t number, size_t length, off_t offset, fuse_file_info*) {
  std::vector<std::byte> answer(length);
  const int failure = WithNode(request, number, [&](PowerDisk& disk, Node& node) {
    size_t read = 0;
    const int refused = disk.Read(node, static_cast<uint64_t>(offset), answer, &read);
    if (refused == 0) {
      fuse_reply_buf(request, reinterpret_cast<const char*>(answer.data()), read);
    }
    return refused;
  });
  if (failure != 0) fuse_reply_err(request, failure);
}

// The flags are those of the very write: they hold O_DSYNC if the file was opened with it, and also
// if RWF_DSYNC was asked for.
void Write(fuse_req_t request, fuse_ino_t number, const char* data, size_t length, off_t offset,
           fuse_file_info* file) {
  const Durable durable = (file->flags & O_DSYNC) != 0 ? Durable::yes : Durable::no;
  const int failure = WithNode(request, number, [&](PowerDisk& disk, Node& node) {
    const int refused =
        disk.Write(node, static_cast<uint64_t>(offset), std::as_bytes(std::span(data, length)),
                   durable, AccessOf(*file));
    if (refused == 0) fuse_reply_write(request, length);
    return refused;
  });
  if (failure != 0) fuse_reply_err(request, failure);
}

void Flush(fuse_req_t request, fuse_ino_t number, int, fuse_file_info* file) {
  fuse_reply_err(request, WithNode(request, number, [&](PowerDisk& disk, Node& node) {
                   return disk.Flush(node, AccessOf(*file));
                 }));
}

void Allocate(fuse_req_t request, fuse_ino_t number, int mode, off_t offset, off_t length,
              fuse_file_info*) {
  fuse_reply_err(request, WithNode(request, number, [&](PowerDisk& disk, Node& node) {
                   if (mode != 0) return EOPNOTSUPP;
                   return disk.Allocate(node, static_cast<uint64_t>(offset + length));
                 }));
}

void Statistics(fuse_req_t request, fuse_ino_t) {
  struct statvfs about {};
  if (statvfs(MountedOf(request).image_folder.c_str(), &about) != 0) {
    fuse_reply_err(request, errno);
  } else {
    fuse_reply_statfs(request, &about);
  }
}

}  // namespace

fuse_lowlevel_ops MountOperations() {
  fuse_lowlevel_ops operations{};
  operations.init = Init;
  operations.lookup = LookUp;
  operations.forget = Forget;
  operations.forget_multi = ForgetMany;
  operations.mknod = MakeNode;
  operations.mkdir = MakeDirectory;
  operations.create = Create;
  operations.rename = Rename;
  operations.unlink = Remove;
  operations.rmdir = RemoveDirectory;
  operations.opendir = OpenDirectory;
  operations.readdir = ReadDirectory;
  operations.releasedir = ReleaseDirectory;
  operations.fsyncdir = FlushDirectory;
  operations.getattr = GetAttributes;
  operations.setattr = SetAttributes;
  operations.open = Open;
  operations.read = Read;
  operations.write = Write;
  operations.fsync = Flush;
  operations.fallocate = Allocate;
  operations.statfs = Statistics;
  return operations;
}

}  // namespace tidemark::power
