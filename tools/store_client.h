// A data folder as a command sees it: reached through the `serve` that has it open, or opened by
// the command itself. Both speak the local protocol, so that a command is written once.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tidemark/error.h"
#include "tools/local_protocol.h"

namespace tidemark::tools {

// One conversation: requests go out, answers come back in the same order. Blocks.
class Channel {
 public:
  virtual ~Channel() = default;
  virtual Status Send(Json head, std::string_view body) = 0;
  // The next answer. `give_up_early`: nullopt when a stop signal comes, or nobody reads our stdout
  // any more.
  virtual Result<std::optional<Message>> Receive(bool give_up_early) = 0;
  // False when nothing has come for so long; true: Receive() has something, or a reason to give up.
  virtual bool WaitForAnswer(int timeout_ms) = 0;
  // Ends it in an orderly way.
  virtual Status Close() = 0;
};

struct StoreOptions {
  std::string data_dir;
  bool create_if_missing = false;
  bool connect_only = false;  // never open the folder: a `serve` may be about to
};

class StoreClient {
 public:
  // Connects to the `serve` of the folder; opens the folder when there is none. When some other
  // process has it open for a moment (another command, a `serve` that is just starting), waits for
  // some seconds.
  static Result<std::unique_ptr<StoreClient>> Open(const StoreOptions& options);

  // Through a `serve`? Then others may append meanwhile, and waiting for records makes sense.
  bool beside_serve() const { return beside_serve_; }

  // One request and its answer; an answer that is an error becomes one.
  Result<Json> Ask(Json request);

  Status Send(Json head, std::string_view body) { return channel_->Send(std::move(head), body); }
  Result<std::optional<Message>> Receive(bool give_up_early) {
    return channel_->Receive(give_up_early);
  }
  bool WaitForAnswer(int timeout_ms) { return channel_->WaitForAnswer(timeout_ms); }
  Status Close() { return channel_->Close(); }

 private:
  StoreClient(std::unique_ptr<Channel> channel, bool beside_serve)
      : channel_(std::move(channel)), beside_serve_(beside_serve) {}
  static Result<std::unique_ptr<StoreClient>> Connect(const std::string& socket_path);
  static Result<std::unique_ptr<StoreClient>> OpenFolder(const StoreOptions& options);
  Status Greet();

  std::unique_ptr<Channel> channel_;
  bool beside_serve_;
};

// Opens the store, acts on it, and closes it: what a command that does one thing returns.
int RunOnStore(const StoreOptions& options, const std::function<int(StoreClient&)>& act);

// An answer without what every `serve` tells: it is of another version, or none of ours.
Error StrangeAnswer(const char* what);
// Whether connecting failed because nobody listens: no socket, or one that a killed process left.
bool NobodyListens(const Error& error);
// Whether the `serve` at the other end has stopped or was killed.
bool ServeHasGone(const Error& error);

}  // namespace tidemark::tools
