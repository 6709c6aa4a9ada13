#include "ingest/route.h"

#include <string>

#include <gtest/gtest.h>

namespace tidemark::ingest {
namespace {

TEST(TopicFilter, MatchesAsTheStandardSays) {
  // The examples of sections 4.7.1 and 4.7.2.
  EXPECT_TRUE(TopicMatches("sport/tennis/player1/#", "sport/tennis/player1"));
  EXPECT_TRUE(TopicMatches("sport/tennis/player1/#", "sport/tennis/player1/ranking"));
  EXPECT_TRUE(TopicMatches("sport/#", "sport"));
  EXPECT_TRUE(TopicMatches("#", "anything/at/all"));
  EXPECT_TRUE(TopicMatches("sport/tennis/+", "sport/tennis/player1"));
  EXPECT_FALSE(TopicMatches("sport/tennis/+", "sport/tennis/player1/ranking"));
  EXPECT_FALSE(TopicMatches("sport/+", "sport"));
  EXPECT_TRUE(TopicMatches("sport/+", "sport/"));
  EXPECT_TRUE(TopicMatches("+/+", "/finance"));
  EXPECT_TRUE(TopicMatches("/+", "/finance"));
  EXPECT_FALSE(TopicMatches("+", "/finance"));
  EXPECT_FALSE(TopicMatches("#", "$SYS/uptime"));
  EXPECT_FALSE(TopicMatches("+/uptime", "$SYS/uptime"));
  EXPECT_TRUE(TopicMatches("$SYS/#", "$SYS/uptime"));
  EXPECT_TRUE(TopicMatches("a/$b/#", "a/$b/c"));
  EXPECT_FALSE(TopicMatches("sport", "sport/"));
  EXPECT_FALSE(TopicMatches("Sport", "sport"));
  EXPECT_FALSE(TopicMatches("a/b", "a"));
}

TEST(TopicFilter, Checks) {
  for (const char* good : {"#", "+", "a", "/", "a/#", "+/a/+", "a//b", "/#", "$SYS/#"}) {
    EXPECT_TRUE(CheckTopicFilter(good).ok()) << good;
  }
  for (const char* bad : {"", "a#", "a/#/b", "#/", "a+", "+a", "a/b+/c", "##", "\xFF"}) {
    EXPECT_FALSE(CheckTopicFilter(bad).ok()) << bad;
  }
  EXPECT_FALSE(CheckTopicFilter(std::string(65'536, 'a')).ok());
}

TEST(RouteKey, Parses) {
  Route route;
  ASSERT_TRUE(ParseRouteKey("level 2", &route).ok());
  EXPECT_EQ(route.key, KeySource::level);
  EXPECT_EQ(route.level, 2U);
  ASSERT_TRUE(ParseRouteKey("client", &route).ok());
  EXPECT_EQ(route.key, KeySource::client);
  ASSERT_TRUE(ParseRouteKey("topic", &route).ok());
  EXPECT_EQ(route.key, KeySource::topic);
  for (const char* bad : {"", "level", "level ", "level x", "level 1x", "level -1", "Topic"}) {
    EXPECT_FALSE(ParseRouteKey(bad, &route).ok()) << bad;
  }
}

TEST(RouteTable, FirstMatchWinsAndTheDefaultTakesTheRest) {
  std::vector<Route> routes;
  routes.push_back({"sensors/+/temp", "temperatures", KeySource::level, 1});
  routes.push_back({"sensors/#", "sensors", KeySource::client, 0});
  auto table = RouteTable::Make(routes, {});
  ASSERT_TRUE(table.ok());

  RouteTable::Match match = table->Find("sensors/kitchen/temp", "thermo-17");
  EXPECT_EQ(match.route, 0U);
  EXPECT_EQ(match.key, "kitchen");
  match = table->Find("sensors/kitchen", "thermo-17");
  EXPECT_EQ(match.route, 1U);
  EXPECT_EQ(match.key, "thermo-17");
  match = table->Find("other", "thermo-17");
  EXPECT_EQ(match.route, 2U);
  EXPECT_EQ(match.key, "other");
  EXPECT_EQ(table->routes()[match.route].log_topic, "mqtt");
  // The default takes what starts with $, too: filters do not.
  EXPECT_EQ(table->Find("$SYS/x", "c").route, 2U);
}

TEST(RouteTable, AMissingLevelFallsBackToTheTopic) {
  auto table = RouteTable::Make({}, {"#", "mqtt", KeySource::level, 2});
  ASSERT_TRUE(table.ok());
  EXPECT_EQ(table->Find("a/b", "c").key, "a/b");
  EXPECT_EQ(table->Find("a/b/", "c").key, "");
  EXPECT_EQ(table->Find("a/b/d/e", "c").key, "d");
}

TEST(RouteTable, NamesTheBadRoute) {
  std::vector<Route> routes(2);
  routes[1].filter = "a/#/b";
  auto table = RouteTable::Make(routes, {});
  ASSERT_FALSE(table.ok());
  EXPECT_NE(table.error().message().find("route 2"), std::string::npos);

  for (const char* name : {"", ".", "..", "a b", "a/b"}) {
    Route fallback;
    fallback.log_topic = name;
    table = RouteTable::Make({}, fallback);
    ASSERT_FALSE(table.ok()) << name;
    EXPECT_NE(table.error().message().find("default route"), std::string::npos);
  }
}

}  // namespace
}  // namespace tidemark::ingest
