// The codecs that other producers of Kafka use and Tidemark does not write: gzip, snappy and lz4,
// as they stand in a record batch. Each replaces `output` by the decompressed bytes; corrupt:
// malformed, cut off, followed by something, or more than `limit_bytes`. What `output` holds after
// an error is nobody's to read. Memory grows with what was really decompressed, not with what a
// header claims.
#pragma once

#include <cstddef>
#include <vector>

#include "base/bytes.h"
#include "tidemark/error.h"

namespace tidemark::record {

// One gzip member, or several behind each other.
Status DecompressGzip(base::ByteSpan input, size_t limit_bytes, std::vector<std::byte>* output);

// Blocks framed as snappy-java frames them, which is what Kafka's own producer writes, or one bare
// block, as some other clients do.
Status DecompressSnappy(base::ByteSpan input, size_t limit_bytes, std::vector<std::byte>* output);

// One LZ4 frame. Up to 8 MiB more are taken meanwhile, if its header asks for the largest blocks.
Status DecompressLz4(base::ByteSpan input, size_t limit_bytes, std::vector<std::byte>* output);

}  // namespace tidemark::record
