// A file of the machine's own file system: the only File that a real Loop accepts.
#pragma once

#include <string>

#include "base/bytes.h"
#include "io/file_system.h"

namespace tidemark::io {

class SystemFile final : public File {
 public:
  static Result<std::unique_ptr<File>> Open(const std::string& path, OpenOptions options);
  ~SystemFile() override;
  SystemFile(const SystemFile&) = delete;
  SystemFile& operator=(const SystemFile&) = delete;

  // `file` as what it is; aborts when it comes from another world, such as the simulator's.
  static SystemFile& From(File& file);

  Result<uint64_t> Size() override;
  Result<size_t> ReadAt(uint64_t offset, base::MutableByteSpan into) override;
  Status WriteAt(uint64_t offset, base::ByteSpan bytes, Durable durable) override;
  void StartWriteback(uint64_t offset, uint64_t length) override;
  Status Flush() override;
  Status Truncate(uint64_t size) override;
  Status Allocate(uint64_t offset, uint64_t length) override;
  Status Lock() override;

  int descriptor() const { return descriptor_; }
  // What offsets, lengths and addresses must be multiples of: 1 unless the file is direct.
  uint32_t unit_bytes() const { return direct() ? block_bytes() : 1; }
  // Aborts when a transfer on a direct file is not aligned: the kernel would refuse it with a bare
  // EINVAL, far from the mistake.
  void CheckAligned(uint64_t offset, base::ByteSpan memory) const;

 private:
  SystemFile(std::string path, bool direct, uint32_t block_bytes, int descriptor);

  Error Failed(int system_errno, const std::string& what) const;
  Status WriteZeros(uint64_t offset, uint64_t length);

  int descriptor_;
};

}  // namespace tidemark::io
