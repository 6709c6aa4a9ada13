// Job files and their keys.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/bench/job_file.h"

namespace tidemark::tools {
namespace {

using ::testing::HasSubstr;

std::vector<Job> ParsedJobs(std::string_view text) {
  auto jobs = ParseJobFile("jobs.fio", text);
  EXPECT_TRUE(jobs.ok()) << jobs.error().ToString();
  return jobs.ok() ? *jobs : std::vector<Job>();
}

std::string ParseFailure(std::string_view text) {
  const auto jobs = ParseJobFile("jobs.fio", text);
  return jobs.ok() ? "" : jobs.error().message();
}

TEST(BenchJobFile, SectionsBeginWithWhatIsGlobal) {
  const auto jobs = ParsedJobs(
      "# comment\n"
      "[global]\n"
      "runtime = 500ms\r\n"
      "recordsize=1k-4k\n"
      "\n"
      "[first]\n"
      "; another\n"
      "rw=randread\n"
      "stonewall\n"
      "[second]\n"
      "recordsize=64\n"
      "iodepth=4k");
  ASSERT_EQ(jobs.size(), 2U);
  EXPECT_EQ(jobs[0].name, "first");
  EXPECT_EQ(jobs[0].rw, Work::randread);
  EXPECT_EQ(jobs[0].runtime_ns, 500'000'000);
  EXPECT_EQ(jobs[0].record_size, (SizeRange{1024, 4096}));
  EXPECT_TRUE(jobs[0].stonewall);
  EXPECT_EQ(jobs[1].name, "second");
  EXPECT_EQ(jobs[1].rw, Work::append);
  EXPECT_EQ(jobs[1].runtime_ns, 500'000'000);
  EXPECT_EQ(jobs[1].record_size, (SizeRange{64, 64}));
  EXPECT_EQ(jobs[1].iodepth, 4000U);
  EXPECT_FALSE(jobs[1].stonewall);
}

TEST(BenchJobFile, ErrorsNameFileAndLine) {
  EXPECT_THAT(ParseFailure("[a]\nrw=append\niodept=1\n"), HasSubstr("jobs.fio:3: there is no key"));
  EXPECT_THAT(ParseFailure("[a]\nrw=write\n"), HasSubstr("jobs.fio:2: rw: 'write' must be one of"));
  EXPECT_THAT(ParseFailure("rw=append\n"), HasSubstr("jobs.fio:1: a key before"));
  EXPECT_THAT(ParseFailure("[a\n"), HasSubstr("jobs.fio:1:"));
  EXPECT_THAT(ParseFailure("[ ]\n"), HasSubstr("needs a name"));
  EXPECT_THAT(ParseFailure("[a]\n[b]\n[a]\n"), HasSubstr("jobs.fio:3: there is a job named 'a'"));
  EXPECT_THAT(ParseFailure("[global]\nrw=append\n"), HasSubstr("there is no job"));
  EXPECT_THAT(ParseFailure(""), HasSubstr("there is no job"));
  EXPECT_THAT(ParseFailure("[a]\nname=b\n"), HasSubstr("title of its section"));
}

TEST(BenchJob, UnitsAreThoseOfFio) {
  Job job;
  EXPECT_TRUE(SetKey(job, "size", "1.5g").ok());
  EXPECT_EQ(job.size_bytes, uint64_t{3} << 29);
  EXPECT_TRUE(SetKey(job, "memory", "64MiB").ok());
  EXPECT_EQ(job.memory_bytes, uint64_t{64} << 20);
  EXPECT_TRUE(SetKey(job, "runtime", "2m").ok());
  EXPECT_EQ(job.runtime_ns, int64_t{120} * 1'000'000'000);
  EXPECT_TRUE(SetKey(job, "ramp_time", "3").ok());
  EXPECT_EQ(job.ramp_time_ns, 3'000'000'000);
  EXPECT_TRUE(SetKey(job, "rate", "2.5k").ok());
  EXPECT_EQ(job.rate, 2500);
}

TEST(BenchJob, WrongValuesNameTheirKey) {
  Job job;
  for (const auto& [key, value] : std::vector<std::pair<const char*, const char*>>{
           {"size", "many"},         {"size", "-1"},        {"size", "1x"},
           {"size", "1e300"},        {"size", "nan"},       {"runtime", "5y"},
           {"iodepth", "0"},         {"iodepth", "1.5"},    {"numjobs", "5000"},
           {"partitions", "0"},      {"recordsize", "9-3"}, {"thread", "maybe"},
           {"linger_us", "1500"},    {"zstd_level", "99"},  {"durability", "yes"},
           {"rwmixread", "100"},     {"segment", "1"},      {"config", "segment.bytes"},
           {"config", "log.dirs=/"}, {"compression", ""}}) {
    const Status set = SetKey(job, key, value);
    ASSERT_FALSE(set.ok()) << key << "=" << value;
    EXPECT_EQ(set.error().code(), ErrorCode::invalid_argument);
    EXPECT_THAT(set.error().message(), HasSubstr(key)) << value;
  }
}

// What a job says of itself sets another one up in the same way.
TEST(BenchJob, KeysCanBeReadBack) {
  for (const JobKey& key : JobKeys()) {
    const Job job;
    const std::string value = key.get(job);
    if (value.empty()) continue;
    Job other;
    EXPECT_TRUE(key.set(other, value).ok()) << key.name << "=" << value;
    EXPECT_EQ(key.get(other), value) << key.name;
  }
}

TEST(BenchJob, OfTheTopicIsSetWhatAJobNames) {
  TopicConfig there;
  there.compression = Compression::none;
  there.retention_bytes = 5;
  there.when_full = WhenFull::drop_oldest;
  EXPECT_EQ(Job().topic_settings.Over(there), there);

  Job job;
  ASSERT_TRUE(SetKey(job, "segment", "2m").ok());
  ASSERT_TRUE(SetKey(job, "linger_us", "5000").ok());
  ASSERT_TRUE(SetKey(job, "config", "retention.bytes=7KiB  retention.ms=9").ok());
  EXPECT_FALSE(SetKey(job, "config", "retention.bytes=8 retention.ms=never").ok());
  ASSERT_TRUE(SetKey(job, "segment", "4m").ok());
  TopicConfig wanted = there;
  wanted.segment_bytes = int64_t{4} << 20;
  wanted.commit_linger_ms = 5;
  wanted.retention_bytes = 7 << 10;
  wanted.retention_ms = 9;
  EXPECT_EQ(job.topic_settings.Over(there), wanted);

  // Whatever was said in which order: what differs from the defaults.
  ASSERT_TRUE(SetKey(job, "config", "cleanup.policy=compact segment.bytes=16MiB").ok());
  EXPECT_EQ(job.topic_settings.Text(),
            "commit.linger.ms=5 retention.ms=9 retention.bytes=7168 cleanup.policy=compact");
  EXPECT_EQ(TopicSettings(wanted).Over({}), wanted);
}

TEST(BenchJob, WhatDoesNotGoTogetherIsRefused) {
  const auto refused = [](const std::function<void(Job&)>& change) {
    Job job;
    job.runtime_ns = 1;
    change(job);
    return !CheckJob(job).ok();
  };
  EXPECT_FALSE(refused([](Job&) {}));
  EXPECT_TRUE(refused([](Job& job) { job.runtime_ns = 0; }));
  EXPECT_TRUE(refused([](Job& job) {
    job.runtime_ns.reset();
    job.size_bytes = 10;
    job.record_size = {0, 0};
  }));
  EXPECT_TRUE(refused([](Job& job) {
    job.runtime_ns.reset();
    job.time_based = true;
  }));
  EXPECT_TRUE(refused([](Job& job) {
    job.workload = "plant";
    job.keys = 3;
  }));
  EXPECT_TRUE(refused([](Job& job) {
    job.rw = Work::tail;
    job.numjobs = 2;
  }));
  EXPECT_TRUE(refused([](Job& job) { job.rw = Work::rawsync; }));  // 100 bytes are no block
}

}  // namespace
}  // namespace tidemark::tools
