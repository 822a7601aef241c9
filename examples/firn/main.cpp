// SPDX-License-Identifier: Apache-2.0
// The firn command-line tool: exit status 0 on success only, an error is one line on stderr.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <new>
#include <string>

#include "commands.h"
#include "text.h"

namespace firn::tool {
namespace {

enum ExitStatus { kSuccess = 0, kFailure = 1, kUsage = 2 };

int fail(ExitStatus status, const std::string& message) {
  std::fprintf(stderr, "firn: %s\n", one_line(message).c_str());
  return status;
}

int run(int argc, char** argv) {
  CLI::App app("Runs neural networks and quantizes them to int8.", "firn");
  app.set_version_flag("--version", "firn " FIRN_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(32);
  Action action;
  for (const auto add :
       {add_info, add_run, add_convert, add_calibrate, add_merge_calibration, add_quantize,
        add_compare, add_bench, add_profile, add_report, add_export_qdq}) {
    add(app, action);
  }
  app.footer("firn COMMAND --help says more about each.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    // CLI11 misses a command before it looks at what stands in its place.
    const bool unknown = app.get_subcommands().empty() && argc > 1 && argv[1][0] != '-';
    const std::string what = unknown ? std::string("no command '") + argv[1] + "'" : error.what();
    return fail(kUsage, what + " (see --help)");
  }
  if (const Status status = action(); !status.ok()) return fail(kFailure, status.message());
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    return fail(kFailure, "standard output cannot be written");
  }
  return kSuccess;
}

}  // namespace
}  // namespace firn::tool

int main(int argc, char** argv) {
  const char* problem = "an unknown error";
  try {
    return firn::tool::run(argc, argv);
  } catch (const std::bad_alloc&) {
    problem = "out of memory";
  } catch (const std::exception&) {
    problem = "an unexpected exception";
  } catch (...) {
  }
  std::fprintf(stderr, "firn: %s\n", problem);  // allocates nothing
  return firn::tool::kFailure;
}
