#include "tools/record_format.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/tools/record_bytes.h"

namespace tidemark::tools {
namespace {

// The text of the batch's only record.
std::string Format(const std::string& format, const TestRecord& test) {
  const std::string bytes = MakeBatch({test});
  record::Compressor compressor;
  std::vector<std::byte> buffer;
  const auto batch = record::OpenBatch(base::AsBytes(bytes), bytes.size(), &compressor, &buffer);
  EXPECT_TRUE(batch.ok());
  const auto parsed = RecordFormat::Parse(format);
  EXPECT_TRUE(parsed.ok()) << format;
  std::string text;
  for (const RecordView& record : RecordRange(batch->encoded())) {
    parsed->Append("mqtt", 3, record, &text);
  }
  return text;
}

std::string FormatJson(const TestRecord& test) {
  const std::string bytes = MakeBatch({test});
  record::Compressor compressor;
  std::vector<std::byte> buffer;
  const auto batch = record::OpenBatch(base::AsBytes(bytes), bytes.size(), &compressor, &buffer);
  std::string text;
  for (const RecordView& record : RecordRange(batch->encoded())) {
    AppendRecordJson("mqtt", 3, record, &text);
  }
  return text;
}

TEST(RecordFormat, WritesEveryToken) {
  const TestRecord record{"k", "value", {{"a", "1"}, {"b", std::nullopt}}};
  EXPECT_EQ(Format("%t %p %o %T %k %s %K %S %h %%\\n", record),
            "mqtt 3 0 1000 k value 1 5 a=1,b= %\n");
}

TEST(RecordFormat, NullIsEmptyAndMinusOneLong) {
  EXPECT_EQ(Format("[%k|%K|%s|%S|%h]", {std::nullopt, std::nullopt}), "[|-1||-1|]");
  EXPECT_EQ(Format("[%k|%K|%s|%S]", {"", ""}), "[|0||0]");
}

TEST(RecordFormat, KnowsEscapes) {
  EXPECT_EQ(Format("\\t\\r\\x41\\x7a\\\\%s\\x0a", {std::nullopt, "v"}), "\t\rAz\\v\n");
  EXPECT_EQ(Format("a\\0b", {}), std::string("a\0b", 3));
  EXPECT_EQ(Format("", {}), "");
}

TEST(RecordFormat, KeepsAnyByteOfKeyAndValue) {
  const std::string bytes("\x00\xff\n%", 4);
  EXPECT_EQ(Format("%k%s", {bytes, bytes}), bytes + bytes);
}

TEST(RecordFormat, RefusesWhatItDoesNotKnowByName) {
  for (const char* format : {"%", "%x", "abc%", "\\", "\\q", "\\x1", "\\xg0", "%s\\x"}) {
    EXPECT_FALSE(RecordFormat::Parse(format).ok()) << format;
  }
  EXPECT_NE(RecordFormat::Parse("%z").error().message().find("'%z'"), std::string::npos);
}

TEST(RecordJson, IsOneObjectALine) {
  EXPECT_EQ(
      FormatJson({"k", "{\"t\":1}\n", {{"mqtt.qos", "1"}}}),
      "{\"topic\":\"mqtt\",\"partition\":3,\"offset\":0,\"timestamp\":1000,\"key\":\"k\","
      "\"value\":\"{\\\"t\\\":1}\\n\",\"headers\":[{\"key\":\"mqtt.qos\",\"value\":\"1\"}]}\n");
}

TEST(RecordJson, TellsNullFromEmptyAndWritesOtherBytesAsBase64) {
  const auto line = nlohmann::json::parse(FormatJson({std::nullopt, "\xff\x01", {{"h", {}}}}));
  EXPECT_TRUE(line["key"].is_null());
  EXPECT_EQ(line["value_base64"], "/wE=");
  EXPECT_FALSE(line.contains("value"));
  EXPECT_TRUE(line["headers"][0]["value"].is_null());
  EXPECT_EQ(nlohmann::json::parse(FormatJson({"", ""}))["key"], "");
}

}  // namespace
}  // namespace tidemark::tools
