// The running `serve`: an engine, MQTT in front of it and the local socket beside it, on one loop
// and one thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <spdlog/logger.h>

#include "ingest/mqtt_server.h"
#include "io/environment.h"
#include "io/loop.h"
#include "io/socket.h"
#include "io/worker.h"
#include "tidemark/engine.h"
#include "tools/config.h"
#include "tools/local_server.h"

namespace tidemark::tools {

class Gateway {
 public:
  Gateway(ServeConfig config, spdlog::logger& log) : config_(std::move(config)), log_(log) {}
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;
  // Closes the store where Stop() was not come to.
  ~Gateway();

  // Opens the store, makes missing topics and listens. After an error there is nothing left to do
  // but the destructor. SIGINT and SIGTERM must be blocked: they are taken in by the loop from here
  // on.
  Status Start();
  // "127.0.0.1:1883", several with commas; "off" without MQTT.
  std::string mqtt_addresses() const;
  // Serves until SIGINT or SIGTERM comes. A second one ends the process at once.
  void Run();
  // Acknowledges what is on its way, makes everything durable and marks the stop as a clean one. An
  // error when the engine had stopped accepting.
  Status Stop();

 private:
  Status OpenStore();
  Status MakeTopics();
  Status MakeTopic(const TopicToCreate& topic);
  Result<std::unique_ptr<ingest::MqttServer>> StartServer(const ingest::MqttOptions& options);
  Status StartMqtt();
  Status WatchSignals();
  void Turn(int64_t max_wait_us);
  int64_t NextWaitUs() const;
  void TellNotices();
  void TellRecovery();

  ServeConfig config_;
  spdlog::logger& log_;

  // In the order in which they are needed by what stands below.
  std::unique_ptr<io::Loop> loop_;
  std::unique_ptr<io::Worker> worker_;
  std::unique_ptr<io::Environment> environment_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<LocalServer> local_;
  std::vector<std::unique_ptr<ingest::MqttServer>> mqtt_;

  io::Socket signals_;  // a signalfd
  io::Operation signal_watch_;
  bool signal_watched_ = false;
  bool stop_ = false;
};

}  // namespace tidemark::tools
