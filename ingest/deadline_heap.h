// Deadlines of many connections, the earliest at hand; each can be moved or dropped without a
// search.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace tidemark::ingest {

// What an element derives from.
struct Deadline {
  static constexpr uint32_t kNone = UINT32_MAX;
  int64_t deadline_us = 0;
  uint32_t heap_index = kNone;  // the heap's own
};

class DeadlineHeap {
 public:
  bool empty() const { return heap_.empty(); }
  size_t size() const { return heap_.size(); }
  Deadline& front() const { return *heap_.front(); }

  // Adds the element or moves it.
  void Set(Deadline& element, int64_t deadline_us) {
    if (element.heap_index == Deadline::kNone) {
      element.heap_index = static_cast<uint32_t>(heap_.size());
      heap_.push_back(&element);
    }
    element.deadline_us = deadline_us;
    SiftDown(SiftUp(element.heap_index));
  }

  // Does nothing when the element is not there.
  void Remove(Deadline& element) {
    const uint32_t hole = element.heap_index;
    if (hole == Deadline::kNone) return;
    element.heap_index = Deadline::kNone;
    Deadline* last = heap_.back();
    heap_.pop_back();
    if (last == &element) return;
    Place(hole, last);
    SiftDown(SiftUp(hole));
  }

 private:
  void Place(size_t index, Deadline* element) {
    heap_[index] = element;
    element->heap_index = static_cast<uint32_t>(index);
  }
  void Swap(size_t a, size_t b) {
    Deadline* element = heap_[a];
    Place(a, heap_[b]);
    Place(b, element);
  }
  size_t SiftUp(size_t index) {
    while (index > 0 && heap_[index]->deadline_us < heap_[(index - 1) / 2]->deadline_us) {
      Swap(index, (index - 1) / 2);
      index = (index - 1) / 2;
    }
    return index;
  }
  void SiftDown(size_t index) {
    for (;;) {
      size_t least = index;
      for (size_t child = 2 * index + 1; child <= 2 * index + 2 && child < heap_.size(); ++child) {
        if (heap_[child]->deadline_us < heap_[least]->deadline_us) least = child;
      }
      if (least == index) return;
      Swap(index, least);
      index = least;
    }
  }

  std::vector<Deadline*> heap_;
};

}  // namespace tidemark::ingest
