// Doubly linked lists whose links are part of the elements: joining and leaving cost no allocation,
// and an element can leave a list without a search. An element derives from one ListHook for each
// kind of list that it can be in, and is in at most one list of each kind.
#pragma once

#include <cstddef>

#include "base/check.h"

namespace tidemark::ingest {

template <typename Kind>
struct ListHook {
  ListHook() = default;
  ListHook(const ListHook&) = delete;
  ListHook& operator=(const ListHook&) = delete;
  ~ListHook() { Unlink(); }

  bool linked() const { return next != nullptr; }
  void Unlink() {
    if (!linked()) return;
    previous->next = next;
    next->previous = previous;
    previous = next = nullptr;
  }

  ListHook* previous = nullptr;
  ListHook* next = nullptr;
};

template <typename T, typename Kind>
class IntrusiveList {
 public:
  IntrusiveList() { end_.previous = end_.next = &end_; }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;

  bool empty() const { return end_.next == &end_; }
  T& front() { return static_cast<T&>(*end_.next); }

  // Does nothing when the element is in a list of this kind already.
  void PushBack(T& element) {
    ListHook<Kind>& hook = element;
    if (hook.linked()) return;
    hook.previous = end_.previous;
    hook.next = &end_;
    end_.previous->next = &hook;
    end_.previous = &hook;
  }

  T& PopFront() {
    TIDEMARK_CHECK(!empty());
    T& element = front();
    static_cast<ListHook<Kind>&>(element).Unlink();
    return element;
  }

  // Takes over all elements of `other`, in their order, behind those that are here.
  void Append(IntrusiveList* other) {
    if (other->empty()) return;
    other->end_.next->previous = end_.previous;
    end_.previous->next = other->end_.next;
    other->end_.previous->next = &end_;
    end_.previous = other->end_.previous;
    other->end_.previous = other->end_.next = &other->end_;
  }

 private:
  ListHook<Kind> end_;
};

}  // namespace tidemark::ingest
