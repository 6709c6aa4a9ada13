#include "tools/config.h"

#include <string>

#include <gtest/gtest.h>

#include "tests/io/temporary_directory.h"

namespace tidemark::tools {
namespace {

std::string ErrorOf(const std::string& text) {
  const auto config = ParseConfig(text, "gateway.toml");
  EXPECT_FALSE(config.ok()) << text;
  return config.ok() ? std::string() : config.error().message();
}

TEST(Config, AnEmptyFileMeansTheDefaults) {
  const auto config = ParseConfig("", "gateway.toml");
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->storage.journal_bytes, EngineOptions().journal_bytes);
  EXPECT_EQ(config->mqtt_listen, std::vector<std::string>{"127.0.0.1:1883"});
  EXPECT_FALSE(config->mqtt_allow_anonymous);
  EXPECT_EQ(config->mqtt_default_route.log_topic, "mqtt");
  EXPECT_TRUE(config->topics.empty());
}

TEST(Config, TakesEveryKey) {
  const auto config = ParseConfig(R"(
[storage]
journal_bytes = "8MiB"
memory_bytes = 16777216
store_bytes = "1 GiB"
io_engine = "syscalls"
scrub_bytes_per_second = "64KiB"
scrub_interval_hours = 24
compaction_memory_bytes = "2MiB"
compaction_bytes_per_second = "512KiB"
[mqtt]
listen = ["127.0.0.1:0", "[::1]:1883"]
allow_anonymous = true
max_connections = 50
max_packet_bytes = 65536
topic = "rest"
key = "client"
[[mqtt.route]]
filter = "sensors/+/t"
topic = "temperatures"
key = "level 1"
[[mqtt.route]]
filter = "#"
[log]
level = "warning"
[[topic]]
name = "temperatures"
partitions = 4
settings = { "segment.bytes" = "4MiB", "compression.type" = "none" }
[[topic]]
name = "rest"
[topic.settings]
flush.ms = 500
durability = "buffered"
)",
                                  "gateway.toml");
  ASSERT_TRUE(config.ok()) << config.error().message();
  EXPECT_EQ(config->storage.journal_bytes, uint64_t{8} << 20);
  EXPECT_EQ(config->storage.memory_bytes, uint64_t{16} << 20);
  EXPECT_EQ(config->storage.store_bytes, uint64_t{1} << 30);
  EXPECT_EQ(config->storage.io_engine, IoEngine::syscalls);
  EXPECT_EQ(config->storage.scrub_bytes_per_second, uint64_t{64} << 10);
  EXPECT_EQ(config->storage.scrub_interval_hours, 24U);
  EXPECT_EQ(config->storage.compaction_memory_bytes, uint64_t{2} << 20);
  EXPECT_EQ(config->storage.compaction_bytes_per_second, uint64_t{512} << 10);
  EXPECT_EQ(config->mqtt_listen, (std::vector<std::string>{"127.0.0.1:0", "[::1]:1883"}));
  EXPECT_TRUE(config->mqtt_allow_anonymous);
  EXPECT_EQ(config->mqtt_max_connections, 50U);
  EXPECT_EQ(config->mqtt_max_packet_bytes, 65536U);
  EXPECT_EQ(config->mqtt_default_route.log_topic, "rest");
  EXPECT_EQ(config->mqtt_default_route.key, ingest::KeySource::client);
  ASSERT_EQ(config->mqtt_routes.size(), 2U);
  EXPECT_EQ(config->mqtt_routes[0].filter, "sensors/+/t");
  EXPECT_EQ(config->mqtt_routes[0].level, 1U);
  EXPECT_EQ(config->log_level, "warning");
  ASSERT_EQ(config->topics.size(), 2U);
  EXPECT_EQ(config->topics[0].partitions, 4);
  EXPECT_EQ(config->topics[0].config.segment_bytes, 4 << 20);
  EXPECT_EQ(config->topics[0].config.compression, Compression::none);
  EXPECT_EQ(config->topics[1].config.flush_ms, 500);
  EXPECT_EQ(config->topics[1].config.durability, Durability::buffered);
}

TEST(Config, AnUnknownKeyIsRefusedWithItsPlace) {
  EXPECT_EQ(ErrorOf("\n[storage]\njournal_byte = 1\n"),
            "gateway.toml:3: unknown key 'storage.journal_byte'");
  EXPECT_EQ(ErrorOf("speed = 1"), "gateway.toml:1: unknown key 'speed'");
  EXPECT_EQ(ErrorOf("[mqtt]\n[[mqtt.route]]\nfilte = \"#\""),
            "gateway.toml:3: unknown key 'mqtt.route.filte'");
  EXPECT_EQ(ErrorOf("[[topic]]\nname = \"a\"\n\nretention = 1"),
            "gateway.toml:4: unknown key 'topic.retention'");
}

TEST(Config, ABadValueIsRefusedWithItsPlaceAndKey) {
  for (const auto& [text, begin] : std::vector<std::pair<std::string, std::string>>{
           {"[storage]\njournal_bytes = \"64 lumps\"", "gateway.toml:2: storage.journal_bytes: "},
           {"[storage]\njournal_bytes = 4096", "gateway.toml:2: storage.journal_bytes: "},
           {"[storage]\nmemory_bytes = -1", "gateway.toml:2: storage.memory_bytes: "},
           {"[storage]\nstore_bytes = \"1MiB\"", "gateway.toml:2: storage.store_bytes: "},
           {"[storage]\ncompaction_memory_bytes = \"17MiB\"\nio_engine = \"syscalls\"",
            "gateway.toml:2: storage.compaction_memory_bytes: "},
           {"[storage]\nio_engine = \"fast\"", "gateway.toml:2: storage.io_engine: "},
           {"[mqtt]\nlisten = []\ntopic = \"a/b\"", "gateway.toml:3: mqtt.topic: "},
           {"[[topic]]\npartitions = 2\nname = \"a/b\"", "gateway.toml:3: topic.name: "},
           {"[storage]\nscrub_interval_hours = -1",
            "gateway.toml:2: storage.scrub_interval_hours: "},
           {"[mqtt]\nlisten = 1883", "gateway.toml:2: mqtt.listen: "},
           {"[mqtt]\nlisten = [\"nowhere\"]", "gateway.toml:2: mqtt.listen: "},
           {"[mqtt]\nallow_anonymous = \"yes\"", "gateway.toml:2: mqtt.allow_anonymous: "},
           {"[mqtt]\nmax_connections = 0", "gateway.toml:2: mqtt.max_connections: "},
           {"[mqtt]\nmax_packet_bytes = 1.5", "gateway.toml:2: mqtt.max_packet_bytes: "},
           {"[mqtt]\nkey = \"device\"", "gateway.toml:2: mqtt.key: "},
           {"[[mqtt.route]]\nfilter = \"a/#/b\"", "gateway.toml:2: mqtt.route.filter: "},
           {"[log]\nlevel = \"loud\"", "gateway.toml:2: log.level: "},
           {"[[topic]]\nname = \"\"", "gateway.toml:2: topic.name: "},
           {"[[topic]]\nname = \"a\"\npartitions = 0", "gateway.toml:3: topic.partitions: "},
           {"topic = 1", "gateway.toml:1: topic: "},
           {"[[topic]]\npartitions = 1", "gateway.toml:1: topic.name is missing"},
       }) {
    EXPECT_EQ(ErrorOf(text).substr(0, begin.size()), begin) << text;
  }
}

TEST(Config, TopicSettingsAreTheEnginesOwn) {
  const std::string unknown =
      ErrorOf("[[topic]]\nname = \"a\"\n[topic.settings]\nsegment.size = 1");
  EXPECT_EQ(unknown.substr(0, 15), "gateway.toml:4:");
  EXPECT_NE(unknown.find("segment.size"), std::string::npos);
  const std::string too_small =
      ErrorOf("[[topic]]\nname = \"a\"\nsettings = { \"segment.bytes\" = 1 }");
  EXPECT_NE(too_small.find("segment.bytes"), std::string::npos);
  EXPECT_NE(ErrorOf("[[topic]]\nname = \"a\"\nsettings = { \"min.insync.replicas\" = 2 }")
                .find("min.insync.replicas"),
            std::string::npos);
  EXPECT_FALSE(ErrorOf("[[topic]]\nname = \"a\"\nsettings = 5").empty());
  EXPECT_FALSE(ErrorOf("[[topic]]\nname = \"a\"\nsettings = { \"flush.ms\" = true }").empty());
}

TEST(Config, TheSameTopicTwiceIsRefused) {
  EXPECT_EQ(ErrorOf("[[topic]]\nname = \"a\"\n[[topic]]\nname = \"a\""),
            "gateway.toml:3: topic 'a' is there twice");
}

TEST(Config, WhatIsNoTomlIsRefusedWithItsLine) {
  EXPECT_EQ(ErrorOf("[storage]\njournal_bytes = = 1").substr(0, 15), "gateway.toml:2:");
  for (const std::string& text :
       {std::string("[[["), std::string("\xff\xfe"), std::string("a = \"\x00\"", 7),
        std::string(10000, '['), "a = " + std::string(5000, '['), std::string("a.b.c = {")}) {
    EXPECT_EQ(ErrorOf(text).substr(0, 13), "gateway.toml:");
  }
}

TEST(Config, AFileThatCannotBeReadIsNamed) {
  io::TemporaryDirectory directory;
  const auto missing = ReadConfig(directory.File("none.toml"));
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.error().message().find("none.toml"), std::string::npos);
  EXPECT_FALSE(ReadConfig(directory.path()).ok());
}

}  // namespace
}  // namespace tidemark::tools
