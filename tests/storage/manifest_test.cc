// The manifest and what else a data folder holds besides the journal and segments: damage of one
// copy is harmless, of both it costs settings but no topic, and a newer version is never taken for
// damage.
#include "storage/manifest.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/hash.h"
#include "tests/io/temporary_directory.h"
#include "tests/support/recording_file_system.h"

namespace tidemark::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const base::Uuid kStoreId = base::Uuid::FromRandom(1, 2);
const base::Uuid kMqttId = base::Uuid::FromRandom(3, 4);
const base::Uuid kPlantId = base::Uuid::FromRandom(5, 6);

Manifest Example() {
  Manifest manifest;
  manifest.store_id = kStoreId;
  TopicDescription mqtt{kMqttId, "mqtt", 2, {}};
  mqtt.config.segment_bytes = 1 << 20;
  mqtt.config.durability = Durability::buffered;
  manifest.topics = {mqtt, {kPlantId, "plant-1", 1, {}}};
  return manifest;
}

// A manifest's text with another body and the checksum that belongs to it.
std::string WithChecksum(const std::string& body) {
  char line[32];
  std::snprintf(line, sizeof line, "xxh3 %016llx\n",
                static_cast<unsigned long long>(base::Xxh3(base::AsBytes(body))));
  return body + line;
}

class ManifestTest : public ::testing::Test {
 protected:
  std::string Path(const std::string& name) const { return directory_.File(name); }
  std::string Read(const std::string& name) const {
    std::ifstream file(Path(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void Write(const std::string& name, const std::string& content) const {
    std::ofstream(Path(name), std::ios::binary | std::ios::trunc) << content;
  }
  static void ExpectOk(const Status& status) {
    EXPECT_TRUE(status.ok()) << status.error().ToString();
  }
  ManifestFound ReadIt() {
    auto found = ReadManifest(files_, directory_.path());
    EXPECT_TRUE(found.ok()) << found.error().ToString();
    return *std::move(found);
  }
  void MakeFolder(const std::string& name, const base::Uuid& id) {
    ExpectOk(MakePartitionFolder(files_, Path(name), id));
  }

  io::TemporaryDirectory directory_;
  test_support::RecordingFileSystem files_;
};

// --- Text
// ---------------------------------------------------------------------------------------------

TEST_F(ManifestTest, IsTextForPeopleToo) {
  const std::string text = EncodeManifest(Example());
  EXPECT_TRUE(text.starts_with("tidemark-manifest 1\nstore " + kStoreId.ToBase64() + "\n"));
  EXPECT_THAT(text, HasSubstr("\ntopic " + kMqttId.ToBase64() + " partitions 2 name mqtt\n"));
  EXPECT_THAT(text, HasSubstr("\nconfig segment.bytes=1048576\n"));
  EXPECT_EQ(text.rfind("\nxxh3 "), text.size() - 23);
}

TEST_F(ManifestTest, DecodesWhatItEncodes) {
  for (const Manifest& manifest : {Example(), Manifest{kStoreId, {}}, Manifest{}}) {
    const auto decoded = DecodeManifest(EncodeManifest(manifest));
    ASSERT_TRUE(decoded.ok()) << decoded.error().ToString();
    EXPECT_EQ(*decoded, manifest);
  }
}

TEST_F(ManifestTest, TopicsAreWrittenByName) {
  Manifest manifest = Example();
  std::swap(manifest.topics[0], manifest.topics[1]);
  EXPECT_EQ(*DecodeManifest(EncodeManifest(manifest)), Example());
}

TEST_F(ManifestTest, AnyDamagedByteIsSeen) {
  const std::string text = EncodeManifest(Example());
  for (size_t i = 0; i < text.size(); ++i) {
    std::string damaged = text;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    const auto decoded = DecodeManifest(damaged);
    ASSERT_FALSE(decoded.ok()) << i;
    EXPECT_EQ(decoded.error().code(), ErrorCode::corrupt) << i;
  }
  for (size_t i = 0; i < text.size(); ++i) {
    EXPECT_EQ(DecodeManifest(text.substr(0, i)).error().code(), ErrorCode::corrupt) << i;
  }
  EXPECT_EQ(DecodeManifest(text + "\n").error().code(), ErrorCode::corrupt);
}

TEST_F(ManifestTest, ANewerVersionIsNotTakenForDamage) {
  const auto decoded = DecodeManifest(WithChecksum("tidemark-manifest 2\nwhatever it says\n"));
  EXPECT_EQ(decoded.error().code(), ErrorCode::unsupported);
  EXPECT_THAT(decoded.error().message(), HasSubstr("version 2"));
}

TEST_F(ManifestTest, ASettingOfANewerVersionIsNotTakenForDamage) {
  const auto decoded = DecodeManifest(
      WithChecksum("tidemark-manifest 1\nstore " + kStoreId.ToBase64() + "\ntopic " +
                   kMqttId.ToBase64() + " partitions 1 name mqtt\nconfig preallocate=1\n"));
  EXPECT_EQ(decoded.error().code(), ErrorCode::unsupported);
  EXPECT_THAT(decoded.error().message(), HasSubstr("preallocate"));
}

TEST_F(ManifestTest, LinesThatMakeNoSenseAreDamageDespiteTheirChecksum) {
  const std::string head = "tidemark-manifest 1\nstore " + kStoreId.ToBase64() + "\n";
  const std::string topic = "topic " + kMqttId.ToBase64();
  const std::string topic_a = topic + " partitions 1 name a\n";
  const std::string topic_b = topic + " partitions 1 name b\n";
  for (const std::string& body :
       {std::string(), std::string("tidemark-manifest 1\n"), std::string("tidemark-manifest x\n"),
        std::string("tidemark-manifest 0\n"), head + "config segment.bytes=4096\n",
        head + topic + " partitions 0 name a\n", head + topic + " partitions 1 name \n",
        head + topic + " partitions 1 name a/b\n", head + topic + " name a partitions 1\n",
        head + "topic xyz partitions 1 name a\n", head + "hello\n", head + "\n",
        head + topic_b + topic_a, head + topic_a + topic_a,
        head + topic + " partitions 1 name a\nconfig segment.bytes\n", head + "torn"}) {
    EXPECT_EQ(DecodeManifest(WithChecksum(body)).error().code(), ErrorCode::corrupt) << body;
  }
}

// --- Two copies
// ---------------------------------------------------------------------------------------

TEST_F(ManifestTest, ReadsWhatItWrites) {
  ExpectOk(WriteManifest(files_, directory_.path(), Example()));
  const ManifestFound found = ReadIt();
  EXPECT_EQ(found.manifest, Example());
  EXPECT_FALSE(found.repaired);
  EXPECT_THAT(found.note, IsEmpty());
}

TEST_F(ManifestTest, ANewStoreHasNone) {
  const ManifestFound found = ReadIt();
  EXPECT_EQ(found.manifest, Manifest());
  EXPECT_FALSE(found.repaired);
  EXPECT_EQ(ReadManifest(files_, Path("not/there"))->manifest, Manifest());
}

TEST_F(ManifestTest, EitherCopyAloneIsEnough) {
  for (const std::string name : {"manifest", "manifest.backup"}) {
    ExpectOk(WriteManifest(files_, directory_.path(), Example()));
    std::filesystem::remove(Path(name));
    ManifestFound found = ReadIt();
    EXPECT_EQ(found.manifest, Example());
    EXPECT_TRUE(found.repaired);
    EXPECT_THAT(found.note, HasSubstr(name + " is missing"));

    Write(name, "zeros?");
    found = ReadIt();
    EXPECT_EQ(found.manifest, Example());
    EXPECT_TRUE(found.repaired);
    EXPECT_THAT(found.note, HasSubstr(name + " is not readable"));
  }
}

TEST_F(ManifestTest, AfterACrashBetweenTheCopiesTheNewOneCounts) {
  ExpectOk(WriteManifest(files_, directory_.path(), Manifest{kStoreId, {}}));
  files_.fails = [](const std::string& operation) { return operation == "rename manifest.backup"; };
  EXPECT_FALSE(WriteManifest(files_, directory_.path(), Example()).ok());
  const ManifestFound found = ReadIt();
  EXPECT_EQ(found.manifest, Example());
  EXPECT_TRUE(found.repaired);
}

TEST_F(ManifestTest, EachCopyIsFlushedBeforeTheOtherIsTouched) {
  ExpectOk(WriteManifest(files_, directory_.path(), Example()));
  files_.log.clear();
  ExpectOk(WriteManifest(files_, directory_.path(), Example()));
  const std::string folder = directory_.path().substr(directory_.path().rfind('/') + 1);
  EXPECT_THAT(files_.log, ElementsAre("create manifest.new", "write manifest.new",
                                      "flush manifest.new", "rename manifest",
                                      "flush-directory " + folder, "create manifest.backup.new",
                                      "write manifest.backup.new", "flush manifest.backup.new",
                                      "rename manifest.backup", "flush-directory " + folder));
}

TEST_F(ManifestTest, ANewerVersionInEitherCopyIsRefused) {
  for (const std::string name : {"manifest", "manifest.backup"}) {
    ExpectOk(WriteManifest(files_, directory_.path(), Example()));
    Write(name, WithChecksum("tidemark-manifest 9\n"));
    const auto found = ReadManifest(files_, directory_.path());
    EXPECT_EQ(found.error().code(), ErrorCode::unsupported);
  }
}

// --- Both copies lost
// ---------------------------------------------------------------------------------

TEST_F(ManifestTest, TopicsAreRebuiltFromTheirFolders) {
  MakeFolder("mqtt-0", kMqttId);
  MakeFolder("mqtt-11", kMqttId);
  MakeFolder("plant-1-0", kPlantId);
  std::filesystem::create_directory(Path("quarantine"));
  std::filesystem::create_directory(Path("mqtt-02"));             // no name that we would write
  std::filesystem::create_directory(Path("mqtt-0.uuid-delete"));  // Kafka's, to be deleted
  Write("other-0", "a file");
  Write("manifest", "damaged");
  Write("manifest.backup", "damaged");

  const ManifestFound found = ReadIt();
  EXPECT_TRUE(found.repaired);
  EXPECT_TRUE(found.manifest.store_id.is_nil());
  EXPECT_THAT(found.manifest.topics, ElementsAre(TopicDescription{kMqttId, "mqtt", 12, {}},
                                                 TopicDescription{kPlantId, "plant-1", 1, {}}));
  EXPECT_THAT(found.note, HasSubstr("settings are the defaults"));
}

TEST_F(ManifestTest, ATopicWithoutAnyReadableIdIsNamed) {
  MakeFolder("mqtt-0", kMqttId);
  MakeFolder("mqtt-1", kMqttId);
  Write("mqtt-0/partition.metadata", "damaged");
  std::filesystem::create_directory(Path("lost-0"));
  const ManifestFound found = ReadIt();
  EXPECT_TRUE(found.repaired);
  EXPECT_THAT(found.manifest.topics, ElementsAre(TopicDescription{kMqttId, "mqtt", 2, {}}));
  EXPECT_THAT(found.note, HasSubstr("lost"));
  EXPECT_THAT(found.note, HasSubstr("mqtt-0 has no readable partition.metadata"));
}

TEST_F(ManifestTest, FilesThatKafkaWroteAreUnderstood) {
  std::filesystem::create_directory(Path("k-0"));
  Write("k-0/partition.metadata", "version: 0\ntopic_id: " + kMqttId.ToBase64() + "\n");
  EXPECT_THAT(ReadIt().manifest.topics, ElementsAre(TopicDescription{kMqttId, "k", 1, {}}));
}

TEST_F(ManifestTest, AnErrorThatMayPassDoesNotCostTheSettings) {
  ExpectOk(WriteManifest(files_, directory_.path(), Example()));
  MakeFolder("mqtt-0", kMqttId);
  // Neither can be opened now: directories stand in their place.
  for (const std::string name : {"manifest", "manifest.backup"}) {
    std::filesystem::remove(Path(name));
    std::filesystem::create_directory(Path(name));
  }
  const auto found = ReadManifest(files_, directory_.path());
  EXPECT_EQ(found.error().code(), ErrorCode::io_error);
}

// --- Names and folders
// --------------------------------------------------------------------------------

TEST_F(ManifestTest, TopicNamesFollowKafkasRule) {
  for (const std::string& name :
       {std::string("mqtt"), std::string("a.b_c-D9"), std::string("..."), std::string(249, 'x')}) {
    ExpectOk(CheckTopicName(name));
  }
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("a/b"), std::string("a b"),
        std::string("\xc3\xa4"), std::string("a\0b", 3), std::string(250, 'x')}) {
    EXPECT_EQ(CheckTopicName(name).error().code(), ErrorCode::invalid_argument) << name;
  }
}

TEST_F(ManifestTest, PartitionFoldersAreKafkas) {
  EXPECT_EQ(PartitionFolder("data", "a-b", 7), "data/a-b-7");
  MakeFolder("t-0", kMqttId);
  EXPECT_EQ(Read("t-0/partition.metadata"), "version: 0\ntopic_id: " + kMqttId.ToBase64());
  EXPECT_EQ(Read("t-0/leader-epoch-checkpoint"), "0\n1\n0 0\n");
  EXPECT_EQ(files_.log.back(), "flush-directory t-0");
}

TEST_F(ManifestTest, MakingAFolderAgainMendsItAndLeavesTheRest) {
  MakeFolder("t-0", kMqttId);
  Write("t-0/00000000000000000000.log", "data");
  Write("t-0/partition.metadata", "torn");
  MakeFolder("t-0", kMqttId);
  EXPECT_EQ(Read("t-0/partition.metadata"), "version: 0\ntopic_id: " + kMqttId.ToBase64());
  EXPECT_EQ(Read("t-0/00000000000000000000.log"), "data");
}

// --- Kafka's exports
// ----------------------------------------------------------------------------------

TEST_F(ManifestTest, ExportsAreKafkasCheckpointFiles) {
  ExpectOk(WriteKafkaExports(files_, directory_.path(),
                             {{"mqtt", 0, 5, 120, 60}, {"mqtt", 1, 0, 0}, {"plant-1", 0, 7, 7}}));
  EXPECT_EQ(Read("recovery-point-offset-checkpoint"), "0\n3\nmqtt 0 120\nmqtt 1 0\nplant-1 0 7\n");
  EXPECT_EQ(Read("replication-offset-checkpoint"), "0\n3\nmqtt 0 120\nmqtt 1 0\nplant-1 0 7\n");
  EXPECT_EQ(Read("log-start-offset-checkpoint"), "0\n3\nmqtt 0 5\nmqtt 1 0\nplant-1 0 7\n");
  EXPECT_EQ(Read("cleaner-offset-checkpoint"), "0\n1\nmqtt 0 60\n");
  EXPECT_EQ(Read(".kafka_cleanshutdown"), R"({"version":0,"brokerEpoch":-1})");
}

TEST_F(ManifestTest, TheMarkOfACleanStopIsWrittenLastAndRemovedFirst) {
  ExpectOk(WriteKafkaExports(files_, directory_.path(), {}));
  EXPECT_EQ(files_.log.at(files_.log.size() - 2), "rename .kafka_cleanshutdown");
  files_.log.clear();
  ExpectOk(RemoveKafkaExports(files_, directory_.path()));
  EXPECT_EQ(files_.log.front(), "remove .kafka_cleanshutdown");
  EXPECT_THAT(files_.log.back(), HasSubstr("flush-directory"));
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
  files_.log.clear();
  ExpectOk(RemoveKafkaExports(files_, directory_.path()));
  EXPECT_THAT(files_.log, SizeIs(0));  // nothing there: nothing to flush
}

}  // namespace
}  // namespace tidemark::storage
