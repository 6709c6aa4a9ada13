// A queue of operations, strung together by Operation::loop.next: no memory of its own.
#pragma once

#include "io/loop.h"

namespace tidemark::io {

class OperationList {
 public:
  bool empty() const { return first_ == nullptr; }

  void PushBack(Operation* operation) {
    operation->loop.next = nullptr;
    (first_ == nullptr ? first_ : last_->loop.next) = operation;
    last_ = operation;
  }

  // nullptr when there is none.
  Operation* PopFront() {
    Operation* const front = first_;
    if (front != nullptr) first_ = front->loop.next;
    return front;
  }

  // Moves all of `other` to the end of this one.
  void Append(OperationList* other) {
    if (other->empty()) return;
    (first_ == nullptr ? first_ : last_->loop.next) = other->first_;
    last_ = other->last_;
    other->first_ = nullptr;
  }

 private:
  Operation* first_ = nullptr;
  Operation* last_ = nullptr;  // means something only when first_ is not null
};

}  // namespace tidemark::io
