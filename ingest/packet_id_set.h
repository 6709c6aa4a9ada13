// A set of MQTT packet identifiers: QoS 2 publishes that were received and not yet released. A
// client has a few of them at a time as a rule, and 65,535 at most.
#pragma once

#include <algorithm>
#include <bitset>
#include <cstdint>
#include <memory>
#include <vector>

namespace tidemark::ingest {

class PacketIdSet {
 public:
  bool empty() const { return size() == 0; }
  size_t size() const { return few_.size() + many_size_; }

  bool Contains(uint16_t id) const {
    if (many_ != nullptr && many_->test(id)) return true;
    return std::find(few_.begin(), few_.end(), id) != few_.end();
  }

  void Insert(uint16_t id) {
    if (Contains(id)) return;
    if (few_.size() < kFew) {
      few_.push_back(id);
      return;
    }
    if (many_ == nullptr) many_ = std::make_unique<std::bitset<kIds>>();
    many_->set(id);
    ++many_size_;
  }

  // Whether it was there.
  bool Erase(uint16_t id) {
    if (many_ != nullptr && many_->test(id)) {
      many_->reset(id);
      if (--many_size_ == 0) many_.reset();
      return true;
    }
    const auto found = std::find(few_.begin(), few_.end(), id);
    if (found == few_.end()) return false;
    *found = few_.back();
    few_.pop_back();
    return true;
  }

 private:
  static constexpr size_t kIds = 65'536;
  static constexpr size_t kFew = 64;  // a search through so many costs less than 8 KiB of bits
  std::vector<uint16_t> few_;
  std::unique_ptr<std::bitset<kIds>> many_;  // the others, while there are any
  size_t many_size_ = 0;
};

}  // namespace tidemark::ingest
