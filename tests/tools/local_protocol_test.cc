#include "tools/local_protocol.h"

#include <string>

#include <gtest/gtest.h>

#include "tools/workload.h"

namespace tidemark::tools {
namespace {

using Limits = MessageParser::Limits;

TEST(MessageParser, TakesMessagesInPiecesOfAnySize) {
  std::string stream;
  AppendMessage(Json{{"request", "list_topics"}}, {}, &stream);
  AppendMessage(Json{{"request", "produce"}}, std::string("\0\n{}\xff", 5), &stream);
  AppendMessage(Json{{"request", "fetch"}, {"wait", true}}, {}, &stream);
  for (size_t piece = 1; piece <= stream.size(); ++piece) {
    MessageParser parser(MessageParser::kRequestLimits);
    std::vector<Message> messages;
    for (size_t at = 0; at < stream.size(); at += piece) {
      parser.Append(std::string_view(stream).substr(at, piece));
      for (;;) {
        auto message = parser.Next();
        ASSERT_TRUE(message.ok());
        if (!*message) break;
        messages.push_back(std::move(**message));
      }
    }
    ASSERT_EQ(messages.size(), 3U);
    EXPECT_EQ(messages[0].head["request"], "list_topics");
    EXPECT_EQ(messages[1].body, std::string("\0\n{}\xff", 5));
    EXPECT_EQ(messages[2].head["wait"], true);
    EXPECT_EQ(parser.buffered_bytes(), 0U);
  }
}

TEST(MessageParser, RefusesGarbage) {
  for (const std::string& line :
       std::vector<std::string>{"", "hello", "[1,2]", "17", "{\"a\":", "{\"bytes\":-1}",
                                "{\"bytes\":\"5\"}", "{\"bytes\":1e3}", "{\"bytes\":99999999999}",
                                "{\"bytes\":18446744073709551615}", "{\"a\":\"\xff\"}", "{} {}"}) {
    MessageParser parser(MessageParser::kRequestLimits);
    parser.Append(line + "\n");
    EXPECT_FALSE(parser.Next().ok()) << line;
  }
}

TEST(MessageParser, RefusesALineWithoutEndBeforeItHasGrownLong) {
  MessageParser parser(Limits{100, 100});
  parser.Append(std::string(100, ' '));
  EXPECT_TRUE(parser.Next().ok());
  parser.Append(" ");
  EXPECT_FALSE(parser.Next().ok());
}

TEST(MessageParser, DeepNestingIsNoTrouble) {
  MessageParser parser(MessageParser::kRequestLimits);
  std::string line = "{\"a\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}\n";
  parser.Append(line);
  const auto message = parser.Next();
  ASSERT_TRUE(message.ok());
  EXPECT_TRUE(message->has_value());
}

TEST(MessageParser, SurvivesRandomBytes) {
  SeededRandom random(5);
  for (int round = 0; round < 2000; ++round) {
    MessageParser parser(Limits{64, 64});
    for (int step = 0; step < 20; ++step) {
      std::string bytes;
      for (uint64_t left = random.Below(40); left > 0; --left) {
        constexpr std::string_view kLikely = "{}[]\":,\n0123456789bytes ";
        bytes += random.Below(4) == 0 ? static_cast<char>(random.Below(256))
                                      : kLikely[random.Below(kLikely.size())];
      }
      parser.Append(bytes);
      const auto message = parser.Next();
      if (!message.ok()) break;
    }
  }
}

TEST(Fields, SayWhichOneIsWrong) {
  const Json object =
      Json::parse(R"({"n":5,"t":"x","b":true,"big":18446744073709551615,"z":null})");
  EXPECT_EQ(**OptionalInteger(object, "n"), 5);
  EXPECT_FALSE(OptionalInteger(object, "none")->has_value());
  EXPECT_FALSE(OptionalInteger(object, "z")->has_value());
  EXPECT_FALSE(OptionalInteger(object, "t").ok());
  EXPECT_FALSE(OptionalInteger(object, "big").ok());
  EXPECT_FALSE(OptionalText(object, "n").ok());
  EXPECT_FALSE(OptionalBool(object, "n").ok());
  EXPECT_EQ(RequiredInteger(object, "none").error().message(), "the field 'none' is missing");
  EXPECT_EQ(*RequiredText(object, "t"), "x");
  EXPECT_TRUE(CheckFields(object, {"n", "t", "b", "big", "z"}).ok());
  EXPECT_FALSE(CheckFields(object, {"n", "t", "b", "big"}).ok());
}

TEST(Errors, GoOverTheWireAndBack) {
  const Error error(ErrorCode::disk_full, "no room", 28);
  const Status back = CheckResponse(ErrorResponse(error));
  ASSERT_FALSE(back.ok());
  EXPECT_EQ(back.error().code(), ErrorCode::disk_full);
  EXPECT_EQ(back.error().message(), "no room");
  EXPECT_EQ(back.error().system_errno(), 28);
  EXPECT_TRUE(CheckResponse(Json{{"ok", true}}).ok());
  for (const char* line : {"{}", "{\"ok\":1}", "{\"ok\":false}", "{\"ok\":false,\"error\":5}"}) {
    EXPECT_EQ(CheckResponse(Json::parse(line)).error().code(), ErrorCode::corrupt) << line;
  }
  const Status newer = CheckResponse(Json::parse(R"({"ok":false,"error":"fenced","message":"m"})"));
  EXPECT_EQ(newer.error().message(), "m");
}

}  // namespace
}  // namespace tidemark::tools
