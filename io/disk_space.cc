#include "io/disk_space.h"

#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "io/system_error.h"

namespace tidemark::io {
namespace {

struct Known {
  uint32_t magic;
  const char* name;
  bool copy_on_write = false;
  // Its sync_fs writes everything, waits, and has the device flush its cache; what it could not
  // write it tells. Where that was not looked up, it does not count: fuse does nothing for syncfs.
  bool syncs_all = false;
};

constexpr uint32_t kOverlayMagic = 0x794c7630;

// From statfs(2), linux/magic.h and, for those outside the kernel's tree, their own sources.
constexpr std::array kKnown = std::to_array<Known>({
    {0x0000ef53, "ext4", false, true},  // ext2 and ext3 too: ext4's driver serves them
    {0x58465342, "xfs", false, true},
    {0x9123683e, "btrfs", true, true},
    {0xf2f52010, "f2fs", false, true},
    {0x01021994, "tmpfs", false, true},
    {0x2fc12fc1, "zfs", true},
    {0xca451a4e, "bcachefs", true},
    {0x00003434, "nilfs2", true},
    {0x858458f6, "ramfs"},
    {0x00004d44, "vfat"},
    {0x2011bab0, "exfat"},
    {0x7366746e, "ntfs3"},
    {0x24051905, "ubifs"},
    {0x000072b6, "jffs2"},
    {0x3153464a, "jfs"},
    {0x52654973, "reiserfs"},
    {0x00006969, "nfs"},
    {0xff534d42, "cifs"},
    {0xfe534d42, "smb2"},
    {0x01021997, "9p"},
    {0x65735546, "fuse"},
    {0x00c36400, "ceph"},
    {kOverlayMagic, "overlay"},
});

const Known* Find(uint32_t magic) {
  for (const Known& known : kKnown) {
    if (known.magic == magic) return &known;
  }
  return nullptr;
}

// Overlay itself writes in place once a file is in its upper directory; whether blocks are
// overwritten is then up to the file system below. Where that cannot be seen (inside most
// containers), the answer is no.
bool OverlayCopiesOnWrite(const std::string& directory) {
  struct stat about {};
  if (stat(directory.c_str(), &about) != 0) return false;
  const std::string device =
      std::to_string(major(about.st_dev)) + ":" + std::to_string(minor(about.st_dev));
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    // "36 35 98:0 /root /mnt rw,noatime master:1 - overlay overlay rw,lowerdir=...,upperdir=..."
    std::istringstream fields(line);
    std::string id, parent, mounted, skipped, options;
    fields >> id >> parent >> mounted;
    if (mounted != device) continue;
    while (fields >> skipped && skipped != "-") {
    }
    fields >> skipped >> skipped >> options;
    struct statfs upper {};
    if (statfs(OverlayUpperDirectory(options).c_str(), &upper) != 0) return false;
    const Known* const known = Find(static_cast<uint32_t>(upper.f_type));
    return known != nullptr && known->copy_on_write;
  }
  return false;
}

// Since Linux 5.8 syncfs(2) tells of data that could not be written.
bool SyncfsTells() {
  utsname about{};
  if (uname(&about) != 0) return false;
  char* end = nullptr;  // "6.1.0-13-amd64"
  const auto major = std::strtol(static_cast<const char*>(about.release), &end, 10);
  if (*end != '.') return false;
  const auto minor = std::strtol(end + 1, nullptr, 10);
  return major > 5 || (major == 5 && minor >= 8);
}

}  // namespace

std::string OverlayUpperDirectory(std::string_view mount_options) {
  constexpr std::string_view kKey = "upperdir=";
  size_t at = mount_options.starts_with(kKey) ? 0 : mount_options.find(",upperdir=");
  if (at == std::string_view::npos) return {};
  at = mount_options.find('=', at) + 1;
  std::string path;
  for (; at < mount_options.size() && mount_options[at] != ','; ++at) {
    if (mount_options[at] == '\\' && at + 1 < mount_options.size()) ++at;
    path += mount_options[at];
  }
  return path;
}

Result<DiskSpace> ReadDiskSpace(const std::string& directory) {
  struct statfs about {};
  while (statfs(directory.c_str(), &about) != 0) {
    if (errno != EINTR) return SystemError(errno, directory + ": statfs failed");
  }
  const auto unit = static_cast<uint64_t>(about.f_frsize != 0 ? about.f_frsize : about.f_bsize);
  DiskSpace space;
  space.free_bytes = about.f_bavail * unit;
  space.total_bytes = about.f_blocks * unit;
  const auto magic = static_cast<uint32_t>(about.f_type);  // sign-extended on some machines
  if (const Known* const known = Find(magic)) {
    space.type = known->name;
    space.flush_all_counts = known->syncs_all && SyncfsTells();
    space.copy_on_write =
        known->copy_on_write || (magic == kOverlayMagic && OverlayCopiesOnWrite(directory));
  } else {
    std::array<char, 11> text{};  // "0x" and eight digits
    std::snprintf(text.data(), text.size(), "0x%08x", magic);
    space.type = text.data();
  }
  return space;
}

}  // namespace tidemark::io
