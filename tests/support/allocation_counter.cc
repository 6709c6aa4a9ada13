#include "tests/support/allocation_counter.h"

#include <cstdlib>
#include <new>

namespace tidemark {
namespace {

thread_local uint64_t allocations = 0;

}  // namespace

uint64_t AllocationsOfThisThread() { return allocations; }

}  // namespace tidemark

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void* operator new(std::size_t size) {
  ++tidemark::allocations;
  void* const memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) std::abort();
  return memory;
}
void* operator new[](std::size_t size) { return operator new(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
#endif
