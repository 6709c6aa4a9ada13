#include "tools/group_committer.h"

#include <algorithm>

#include "base/clock.h"

namespace tidemark::tools {
namespace {

constexpr int64_t kCommitIntervalUs = 1'000'000;

}  // namespace

int GroupCommitter::ms_until_due() const {
  return static_cast<int>(
      std::max<int64_t>(0, (due_us_ - base::SystemClock().MonotonicUs() + 999) / 1000));
}

Json GroupCommitter::MakeRequest(const Positions& positions) const {
  Json request;
  request["request"] = "commit_cursors";
  request["group"] = group_;
  Json& entries = request["positions"] = Json::array();
  for (const auto& [partition, offset] : positions) {
    const auto before = committed_.find(partition);
    if (before != committed_.end() && before->second == offset) continue;
    entries.push_back(Json{{"topic", topic_}, {"partition", partition}, {"offset", offset}});
  }
  return request;
}

Status GroupCommitter::Commit(StoreClient& client, const Positions& positions) {
  if (!has_news(positions)) return {};
  due_us_ = base::SystemClock().MonotonicUs() + kCommitIntervalUs;
  if (client.beside_serve() && own_client_ == nullptr) {
    auto opened = StoreClient::Open({data_dir_, false, true});
    if (!opened.ok()) return opened.error();
    own_client_ = std::move(*opened);
  }
  StoreClient& through = client.beside_serve() ? *own_client_ : client;
  const auto answer = through.Ask(MakeRequest(positions));
  if (!answer.ok()) {
    own_client_.reset();  // its `serve` may be gone
    return answer.error();
  }
  committed_ = positions;
  return {};
}

}  // namespace tidemark::tools
