// Waits for somebody else to do something to a data folder: start a `serve`, or append to it and
// close it. For a consumer that follows a folder which nobody has open.
#pragma once

#include <string>

#include "io/socket.h"
#include "tools/stop_signal.h"

namespace tidemark::tools {

class StoreWatch {
 public:
  // From here on changes count.
  explicit StoreWatch(const std::string& data_dir);
  // Forgets what has happened so far: our own closing of the folder.
  void Forget();
  // `ready` when something has happened, `timeout` when it is time to look without a reason, for
  // the kernel does not tell of everything.
  WaitResult Wait();

 private:
  // Reads what the kernel has to say; whether any of it is of interest.
  bool Drain();
  io::Socket events_;  // an inotify descriptor; closed where there are none to be had
};

}  // namespace tidemark::tools
