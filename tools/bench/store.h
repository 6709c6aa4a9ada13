// The data folder of a job.
#pragma once

#include <functional>
#include <string>

#include "tidemark/engine.h"
#include "tools/bench/job.h"

namespace tidemark::tools {

EngineOptions EngineOptionsOf(const Job& job, const std::string& directory);

inline const std::string& TopicNameOf(const Job& job) {
  return job.topic.empty() ? job.name : job.topic;
}

// The job's topic: made when it is not there; else those of its settings that the job names become
// the job's when it appends, and its partitions must be as many as the job's.
Result<Topic*> PrepareTopic(Engine& engine, const Job& job);

// What a job reads must be there: a topic without records is filled with those of the job, `size`
// bytes of them, and the store closed again. `stop` is asked now and then.
Status LayOut(const Job& job, const std::string& directory, const std::function<bool()>& stop);

// The files' pages leave the page cache, so far as they are clean and nobody else holds them.
void DropFromPageCache(const std::string& directory);

EngineStats Added(const EngineStats& before, const EngineStats& after);

}  // namespace tidemark::tools
