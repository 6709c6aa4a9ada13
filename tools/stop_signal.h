// SIGINT and SIGTERM as something that a waiting command notices: the first one asks it to stop in
// an orderly way, a second one ends it at once.
#pragma once

namespace tidemark::tools {

// Call once, before anything waits.
void InstallStopSignals();
bool StopRequested();

enum class WaitResult {
  ready,        // the descriptor can be read (or written), or its other end is gone
  stopped,      // StopRequested()
  output_gone,  // nobody reads our stdout any more
  timeout,
};
// Waits until `descriptor` can be read (-1: for nothing). A negative time waits for ever.
// `watch_stdout` also notices that the reader of our stdout has gone. Stop signals count only when
// installed.
WaitResult WaitReadable(int descriptor, int timeout_ms, bool watch_stdout);
// Waits until something can be written to `descriptor`. One that takes nothing ends the wait
// (`stopped`) only a second after a stop signal: a slow reader still gets what it was to get.
WaitResult WaitWritable(int descriptor);

}  // namespace tidemark::tools
