// Runs in processes of their own: their memory, processor time and threads are nobody else's.
#pragma once

#include <functional>
#include <string>

#include "bench/report.h"

namespace tidemark::bench {

// Runs `work` in a child process and returns what it returns. Gives up when it fails.
Json RunInChild(const std::function<Json()>& work);
// The same for one that ends by killing itself with SIGKILL.
void RunUntilKilled(const std::function<void()>& work);

// Binds this process, with the threads that it has and will make, to one processor.
void BindToProcessor(int processor);
// Threads that the kernel makes for a ring do not inherit: again, for those that are there by now.
void BindThreadsToProcessor(int processor);

// Memory of this process that no file is behind.
uint64_t AnonymousMemoryBytes();
// What the files below a folder take on the disk: holes in them do not count.
uint64_t DiskBytes(const std::string& folder);
void MakeFolder(const std::string& path);  // unless it is there
// Whether it was allowed. What was not written yet is written first.
bool DropPageCache();
// Reads every file below a folder once.
void WarmPageCache(const std::string& folder);

}  // namespace tidemark::bench
