// Commits how far a consumer has come, about once a second: what was written to its output, after
// it was. A record may be printed twice after a crash, and none is passed over.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "tools/store_client.h"

namespace tidemark::tools {

class GroupCommitter {
 public:
  using Positions = std::map<int32_t, int64_t>;  // by partition

  // An empty group: nothing is ever committed.
  GroupCommitter(std::string data_dir, std::string group, std::string topic)
      : data_dir_(std::move(data_dir)), group_(std::move(group)), topic_(std::move(topic)) {}

  void set_committed(Positions positions) { committed_ = std::move(positions); }
  // Whether `positions` hold something that is not committed yet.
  bool has_news(const Positions& positions) const {
    return !group_.empty() && positions != committed_;
  }
  // How long Commit() of that can wait.
  int ms_until_due() const;

  // Everything below `positions` was printed. Beside a `serve` it goes through a connection of its
  // own: that of `client` may be waiting for records.
  Status Commit(StoreClient& client, const Positions& positions);

 private:
  Json MakeRequest(const Positions& positions) const;

  std::string data_dir_;
  std::string group_;
  std::string topic_;
  Positions committed_;
  int64_t due_us_ = 0;
  std::unique_ptr<StoreClient> own_client_;
};

}  // namespace tidemark::tools
