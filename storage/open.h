// Opening an engine on a given world: for a program that shares its loop with sockets (serve), and
// for the simulator. Engine::Open() is this with the machine's own world.
#pragma once

#include <memory>

#include "io/environment.h"
#include "tidemark/engine.h"

namespace tidemark::storage {

// `environment`'s parts must outlive the engine. Engine::Poll() then runs `environment.loop`,
// sockets and all.
Result<std::unique_ptr<Engine>> OpenEngine(const io::Environment& environment,
                                           const EngineOptions& options);

}  // namespace tidemark::storage
