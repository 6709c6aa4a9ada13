// The small containers of the server: acknowledgements, packet identifiers, lists, deadlines, log
// lines.
#include <algorithm>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "ingest/ack_queue.h"
#include "ingest/deadline_heap.h"
#include "ingest/intrusive_list.h"
#include "ingest/notice_log.h"
#include "ingest/packet_id_set.h"

namespace tidemark::ingest {
namespace {

RC_GTEST_PROP(AckQueueProperty, IsAQueue, (const std::vector<bool>& pushes)) {
  AckPool pool;
  {
    AckQueue queue(pool);
    std::deque<uint16_t> model;
    uint16_t next = 0;
    for (const bool push : pushes) {
      // Many at once, so that chunks fill and empty.
      for (int i = 0; i < 30; ++i) {
        if (push) {
          queue.Push({{}, next, PacketType::puback});
          model.push_back(next++);
        } else if (!model.empty()) {
          RC_ASSERT(queue.front().packet_id == model.front());
          queue.Pop();
          model.pop_front();
        }
        RC_ASSERT(queue.size() == model.size());
      }
      if (queue.empty()) RC_ASSERT(pool.chunks_in_use() == 0U);
    }
  }
  RC_ASSERT(pool.chunks_in_use() == 0U);
}

TEST(AckPool, DoesNotHoardAfterABurst) {
  AckPool pool;
  AckQueue queue(pool);
  for (uint32_t i = 0; i < 1000 * AckChunk::kEntries; ++i) queue.Push({});
  EXPECT_EQ(pool.chunks_in_use(), 1000U);
  queue.Clear();
  EXPECT_EQ(pool.chunks_in_use(), 0U);
  EXPECT_LE(pool.chunks_spare(), 256U);
}

RC_GTEST_PROP(PacketIdSetProperty, IsASet,
              (const std::vector<std::pair<bool, uint16_t>>& changes)) {
  PacketIdSet set;
  std::set<uint16_t> model;
  // Enough to leave the small form, and back.
  for (uint16_t id = 1; id <= 100; ++id) {
    set.Insert(id);
    model.insert(id);
  }
  for (const auto& [insert, raw] : changes) {
    const auto id = static_cast<uint16_t>(raw % 200);
    if (insert) {
      set.Insert(id);
      model.insert(id);
    } else {
      RC_ASSERT(set.Erase(id) == (model.erase(id) == 1));
    }
    RC_ASSERT(set.size() == model.size());
    RC_ASSERT(set.Contains(id) == model.contains(id));
  }
  for (uint16_t id = 0; id < 201; ++id) RC_ASSERT(set.Contains(id) == model.contains(id));
}

RC_GTEST_PROP(DeadlineHeapProperty, FrontIsTheEarliest,
              (const std::vector<std::pair<uint8_t, uint8_t>>& changes)) {
  std::vector<Deadline> all(16);
  DeadlineHeap heap;
  std::set<size_t> in;
  for (const auto& [what, when] : changes) {
    const size_t i = what % all.size();
    if (what < 200) {
      heap.Set(all[i], when);
      in.insert(i);
    } else {
      heap.Remove(all[i]);
      in.erase(i);
    }
    RC_ASSERT(heap.size() == in.size());
    if (in.empty()) continue;
    const size_t least = *std::min_element(in.begin(), in.end(), [&](size_t a, size_t b) {
      return all[a].deadline_us < all[b].deadline_us;
    });
    RC_ASSERT(heap.front().deadline_us == all[least].deadline_us);
  }
}

struct Kind;
struct Element : ListHook<Kind> {
  explicit Element(int number) : value(number) {}
  int value;
};
using List = IntrusiveList<Element, Kind>;

std::vector<int> Drain(List* list) {
  std::vector<int> values;
  while (!list->empty()) values.push_back(list->PopFront().value);
  return values;
}

TEST(IntrusiveList, JoinsLeavesAndMoves) {
  Element a(1), b(2), c(3), d(4);
  List first, second;
  first.PushBack(a);
  first.PushBack(b);
  first.PushBack(a);  // is there already: stays where it is
  second.PushBack(c);
  second.PushBack(d);
  c.Unlink();
  c.Unlink();
  first.Append(&second);
  first.Append(&second);
  EXPECT_TRUE(second.empty());
  EXPECT_FALSE(c.linked());
  EXPECT_EQ(Drain(&first), (std::vector<int>{1, 2, 4}));
  EXPECT_FALSE(a.linked());
}

TEST(IntrusiveList, AnElementLeavesWhenItEnds) {
  List list;
  Element a(1);
  {
    Element b(2);
    list.PushBack(b);
    list.PushBack(a);
  }
  EXPECT_EQ(Drain(&list), std::vector<int>{1});
}

TEST(NoticeLog, SaysHowManyLinesWereLeftOut) {
  NoticeLog log("mqtt: ");
  for (int i = 0; i < 100; ++i) log.Add(1000, NoticeLevel::warning, "line");
  EXPECT_EQ(log.Take().size(), NoticeLog::kLinesPerWindow);
  EXPECT_TRUE(log.Take().empty());
  ASSERT_LT(log.NextDeadlineUs(), INT64_MAX);
  log.Advance(log.NextDeadlineUs() - 1);
  EXPECT_TRUE(log.Take().empty());
  log.Advance(log.NextDeadlineUs());
  const std::vector<Notice> lines = log.Take();
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0].text, "mqtt: 80 more such lines were left out");
  EXPECT_EQ(log.NextDeadlineUs(), INT64_MAX);
}

TEST(NoticeLog, IsBoundedWhenNobodyTakes) {
  NoticeLog log("");
  for (int64_t i = 0; i < 1000; ++i) log.Add(i * NoticeLog::kWindowUs, NoticeLevel::info, "line");
  EXPECT_EQ(log.Take().size(), NoticeLog::kMaxUntaken);
}

TEST(Quoted, IsSafeToPrint) {
  EXPECT_EQ(Quoted("thermo-17"), "\"thermo-17\"");
  EXPECT_EQ(Quoted("a\n\x1B[2J\"\xC3\xA4"), "\"a\\x0a\\x1b[2J\\x22\\xc3\\xa4\"");
  EXPECT_EQ(Quoted(std::string(100, 'x')), "\"" + std::string(64, 'x') + "...\"");
}

}  // namespace
}  // namespace tidemark::ingest
