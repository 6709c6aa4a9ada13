// The checksums beside memcpy of the same bytes: what looking at every byte once costs, and the
// least that it could. The argument is the number of bytes.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/hash.h"

namespace tidemark::base {
namespace {

constexpr int64_t kLeastBytes = 64;
constexpr int64_t kMostBytes = int64_t{1} << 20;
constexpr int kTimesFour = 4;

// Other than zeros, which no checksum may treat in a way of its own.
std::vector<std::byte> SomeBytes(const benchmark::State& state) {
  std::vector<std::byte> bytes(static_cast<size_t>(state.range(0)));
  uint32_t number = 1;
  for (std::byte& byte : bytes) {
    number = number * 1664525 + 1013904223;
    byte = static_cast<std::byte>(number >> 24);
  }
  return bytes;
}

void CountBytes(benchmark::State& state) {
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

// Where a copy goes stands apart from where it comes from within a page: with glibc 2.36 an AMD
// EPYC copies 20 times slower when it stands a few bytes behind that place (docs/benchmarks.md),
// which is where an allocator may put it.
void BM_Memcpy(benchmark::State& state) {
  constexpr size_t kPageBytes = 4096;
  const std::vector<std::byte> bytes = SomeBytes(state);
  std::vector<std::byte> room(bytes.size() + 2 * kPageBytes);
  const size_t from_place = reinterpret_cast<uintptr_t>(bytes.data()) % kPageBytes;
  const size_t place = reinterpret_cast<uintptr_t>(room.data()) % kPageBytes;
  std::byte* const to =
      room.data() + (from_place + kPageBytes / 4 + kPageBytes - place) % kPageBytes;
  for (auto _ : state) {
    std::memcpy(to, bytes.data(), bytes.size());
    benchmark::DoNotOptimize(to);
    benchmark::ClobberMemory();
  }
  CountBytes(state);
}

void BM_Crc32c(benchmark::State& state) {
  const std::vector<std::byte> bytes = SomeBytes(state);
  for (auto _ : state) benchmark::DoNotOptimize(Crc32c(bytes));
  CountBytes(state);
}

// What processors without the instruction have to do.
void BM_Crc32cPortable(benchmark::State& state) {
  const std::vector<std::byte> bytes = SomeBytes(state);
  for (auto _ : state) benchmark::DoNotOptimize(Crc32cPortable(bytes));
  CountBytes(state);
}

void BM_Xxh3(benchmark::State& state) {
  const std::vector<std::byte> bytes = SomeBytes(state);
  for (auto _ : state) benchmark::DoNotOptimize(Xxh3(bytes));
  CountBytes(state);
}

// As the journal does it: the commit's sequence number is the seed.
void BM_Xxh3Seeded(benchmark::State& state) {
  const std::vector<std::byte> bytes = SomeBytes(state);
  uint64_t seed = 1;
  for (auto _ : state) benchmark::DoNotOptimize(Xxh3(bytes, seed++));
  CountBytes(state);
}

// As a seal does it, piece by piece.
void BM_Xxh3Stream(benchmark::State& state) {
  const std::vector<std::byte> bytes = SomeBytes(state);
  Xxh3Stream stream;
  for (auto _ : state) {
    stream.Clear();
    stream.Add(bytes);
    benchmark::DoNotOptimize(stream.Sum());
  }
  CountBytes(state);
}

void Sizes(benchmark::internal::Benchmark* one) {
  one->RangeMultiplier(kTimesFour)->Range(kLeastBytes, kMostBytes)->ArgName("bytes");
}
BENCHMARK(BM_Memcpy)->Apply(Sizes);
BENCHMARK(BM_Crc32c)->Apply(Sizes);
BENCHMARK(BM_Crc32cPortable)->Apply(Sizes);
BENCHMARK(BM_Xxh3)->Apply(Sizes);
BENCHMARK(BM_Xxh3Seeded)->Apply(Sizes);
BENCHMARK(BM_Xxh3Stream)->Apply(Sizes);

}  // namespace
}  // namespace tidemark::base
