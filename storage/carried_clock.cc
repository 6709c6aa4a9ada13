#include "storage/carried_clock.h"

#include <charconv>

#include "base/hash.h"

namespace tidemark::storage {
namespace {

constexpr std::string_view kTitle = "tidemark-clock 1";
constexpr std::string_view kBoot = "boot ";
constexpr std::string_view kIncarnation = "incarnation ";
constexpr std::string_view kMonotonic = "monotonic_us ";
constexpr std::string_view kEngineClock = "engine_clock_ms ";
constexpr std::string_view kChecksum = "xxh3 ";
constexpr uint64_t kMaxClockBytes = 1024;

std::string ClockPath(const Context& context) {
  return io::JoinPath(context.options.data_dir, "clock");
}

std::string ChecksumLine(std::string_view body) {
  return std::string(kChecksum) + base::ChecksumText(base::Xxh3(base::AsBytes(body))) + "\n";
}

// What stands behind `name` in the line that `text` begins with.
std::optional<std::string_view> TakeValue(std::string_view* text, std::string_view name) {
  const size_t end = text->find('\n');
  if (end == std::string_view::npos || !text->starts_with(name)) return std::nullopt;
  const std::string_view value = text->substr(name.size(), end - name.size());
  text->remove_prefix(end + 1);
  return value;
}

template <typename Integer>
bool TakeNumber(std::string_view* text, std::string_view name, Integer* number) {
  const auto value = TakeValue(text, name);
  if (!value) return false;
  const auto [end, failure] =
      std::from_chars(value->data(), value->data() + value->size(), *number);
  return failure == std::errc() && end == value->data() + value->size();
}

}  // namespace

std::string EncodeCarriedClock(const CarriedClock& clock) {
  std::string text = std::string(kTitle) + "\n";
  text.append(kBoot).append(clock.boot).append("\n");
  text.append(kIncarnation).append(std::to_string(clock.incarnation)).append("\n");
  text.append(kMonotonic).append(std::to_string(clock.monotonic_us)).append("\n");
  text.append(kEngineClock).append(std::to_string(clock.engine_clock_ms)).append("\n");
  return text + ChecksumLine(text);
}

std::optional<CarriedClock> DecodeCarriedClock(std::string_view text) {
  const size_t checksum_at = text.rfind(kChecksum);
  if (checksum_at == std::string_view::npos) return std::nullopt;
  std::string_view body = text.substr(0, checksum_at);
  if (text.substr(checksum_at) != ChecksumLine(body)) return std::nullopt;
  CarriedClock clock;
  const auto title = TakeValue(&body, kTitle);
  if (!title || !title->empty()) return std::nullopt;
  const auto boot = TakeValue(&body, kBoot);
  if (!boot) return std::nullopt;
  clock.boot = *boot;
  const bool whole = TakeNumber(&body, kIncarnation, &clock.incarnation) &&
                     TakeNumber(&body, kMonotonic, &clock.monotonic_us) &&
                     TakeNumber(&body, kEngineClock, &clock.engine_clock_ms) && body.empty();
  return whole ? std::optional(clock) : std::nullopt;
}

std::optional<int64_t> CarriedEngineClockMs(Context& context, uint64_t last_incarnation) {
  const io::Environment& environment = context.environment;
  if (environment.boot.empty()) return std::nullopt;
  const auto text = io::ReadWholeFile(environment.files, ClockPath(context), kMaxClockBytes);
  if (!text) return std::nullopt;
  const auto clock = DecodeCarriedClock(*text);
  if (!clock || clock->boot != environment.boot || clock->incarnation != last_incarnation ||
      clock->monotonic_us > context.now_us)
    return std::nullopt;
  return clock->engine_clock_ms + (context.now_us - clock->monotonic_us) / 1000;
}

void CarryEngineClock(Context& context, uint64_t incarnation) {
  const io::Environment& environment = context.environment;
  if (environment.boot.empty()) return;
  const std::string text =
      EncodeCarriedClock({environment.boot, incarnation, context.now_us, context.EngineClockMs()});
  auto file =
      environment.files.Open(ClockPath(context), {.write = true, .create = true, .truncate = true});
  Status written = file ? (*file)->WriteAt(0, base::AsBytes(text), io::Durable::no) : file.error();
  if (!written) context.Tell(NoticeLevel::info, written.error().message());
}

}  // namespace tidemark::storage
