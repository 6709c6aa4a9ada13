// tidemark serve: the gateway.
#include <malloc.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include "io/socket.h"
#include "tools/commands.h"
#include "tools/config.h"
#include "tools/gateway.h"
#include "tools/output.h"

namespace tidemark::tools {
namespace {

// An idle gateway is to stay small. More arenas than one are for many threads that allocate at
// once, of which there are none here; and large buffers are to go back to the system when they are
// freed.
void KeepMemorySmall() {
  constexpr int kLargeBytes = 128 << 10;
  (void)::mallopt(M_ARENA_MAX, 1);
  (void)::mallopt(M_MMAP_THRESHOLD, kLargeBytes);
  (void)::mallopt(M_TRIM_THRESHOLD, kLargeBytes);
}

// Before any thread is started, which then has them blocked, too.
void BlockStopSignals() {
  sigset_t signals;
  (void)sigemptyset(&signals);
  (void)sigaddset(&signals, SIGINT);
  (void)sigaddset(&signals, SIGTERM);
  (void)::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

// The config file, and what the command line says instead.
Result<ServeConfig> MakeConfig(const ServeCommand& command) {
  ServeConfig config;
  if (!command.config_file.empty()) {
    auto read = ReadConfig(command.config_file);
    if (!read.ok()) return read.error();
    config = std::move(*read);
  }
  config.storage.data_dir = command.data_dir;
  if (!command.mqtt.empty()) config.mqtt_listen = command.mqtt;
  return config;
}

std::shared_ptr<spdlog::logger> MakeLog(const std::string& level) {
  auto log =
      std::make_shared<spdlog::logger>("serve", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  log->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l: %v");
  log->set_level(spdlog::level::from_str(level));
  return log;
}

}  // namespace

int RunServe(const ServeCommand& command) {
  KeepMemorySmall();
  for (const std::string& text : command.mqtt) {
    const auto address = io::ParseAddress(text);
    if (address.ok()) continue;
    PrintError("--mqtt: " + address.error().message());
    return kExitUsage;
  }
  auto config = MakeConfig(command);
  if (!config.ok()) return Fail(config.error());
  const auto log = MakeLog(config->log_level);
  BlockStopSignals();

  Gateway gateway(std::move(*config), *log);
  const Status started = gateway.Start();
  if (!started.ok()) return Fail(started.error());
  (void)::malloc_trim(0);  // what reading the config and recovering have left
  (void)std::fprintf(stderr, "ready mqtt=%s\n", gateway.mqtt_addresses().c_str());
  gateway.Run();
  const Status stopped = gateway.Stop();
  return stopped.ok() ? kExitDone : Fail(stopped.error());
}

}  // namespace tidemark::tools
