// The files that a Kafka broker keeps at the top of a log directory. Source: Kafka's own code, as
// docs/formats.md says.
#pragma once

#include <array>
#include <string_view>

namespace tidemark::storage {

inline constexpr std::string_view kCleanShutdown = ".kafka_cleanshutdown";
inline constexpr std::string_view kRecoveryPoints = "recovery-point-offset-checkpoint";
inline constexpr std::string_view kLogStarts = "log-start-offset-checkpoint";
inline constexpr std::string_view kHighWatermarks = "replication-offset-checkpoint";
inline constexpr std::string_view kCleanEnds = "cleaner-offset-checkpoint";

// The one that vouches for the others first.
inline constexpr std::array kKafkaFiles = {kCleanShutdown, kRecoveryPoints, kHighWatermarks,
                                           kLogStarts, kCleanEnds};

}  // namespace tidemark::storage
