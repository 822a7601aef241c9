// SPDX-License-Identifier: Apache-2.0
// The tool as a user meets it: help, and one line on standard error for every mistake.
#include <doctest/doctest.h>
#include <algorithm>
#include <string>

#include "test/tool/tool.h"

namespace firn::tool {
namespace {

const char* const kCommands[] = {
    "info",    "run",   "convert", "calibrate", "merge-calibration", "quantize",
    "compare", "bench", "profile", "report",    "export-qdq"};

TEST_CASE("help and version succeed, and every command shows an example") {
  const Outcome all = firn("--help");
  CHECK(all.status == 0);
  CHECK(firn("--version").out.starts_with("firn "));
  for (const std::string command : kCommands) {
    CAPTURE(command);
    CHECK(all.out.find("  " + command) != std::string::npos);
    const Outcome help = firn(command + " --help");
    CHECK(help.status == 0);
    CHECK(help.err.empty());
    CHECK(std::ranges::all_of(help.out, [](char c) { return c >= ' ' || c == '\n'; }));
    CHECK(help.out.find("Example:\n  firn " + command + " ") != std::string::npos);
  }
}

TEST_CASE("a command line that makes no sense is a usage error") {
  CHECK(failed_with(firn(""), "subcommand is required"));
  CHECK(failed_with(firn("melt"), "melt"));
  for (const std::string command : kCommands) {
    CAPTURE(command);
    CHECK(failed_with(firn(command), "required"));
    CHECK(firn(command).status == 2);
    CHECK(failed_with(firn(command + " a.onnx b.onnx --wrong"), "--"));
  }
  CHECK(failed_with(firn("bench m.onnx --threads 0"), "--threads"));
  CHECK(failed_with(firn("bench m.onnx --threads many"), "--threads"));
  CHECK(failed_with(firn("bench m.onnx --runs 0"), "--runs"));
  CHECK(failed_with(firn("run m.onnx --top 0"), "--top"));
  CHECK(failed_with(firn("calibrate m.onnx -o t --data d --skip -1"), "--skip"));
  CHECK(failed_with(firn("calibrate m.onnx -o t --data d --limit 0"), "--limit"));
  CHECK(failed_with(firn("calibrate m.onnx -o t --data d --pixel YUV"), "--pixel"));
  CHECK(failed_with(firn("calibrate m.onnx -o t --data d --resize fit"), "--resize"));
  CHECK(failed_with(firn("calibrate m.onnx -o t --data d --std 1 --norm 1"), "--norm"));
  CHECK(failed_with(firn("calibrate m.onnx -o t --data d --method best"), "best"));
  CHECK(failed_with(firn("quantize m.onnx -o o --method best --data d"), "best"));
  CHECK(failed_with(firn("quantize m.onnx -o o --weight-scale best --data d"), "best"));
  CHECK(failed_with(firn("quantize m.onnx -o o --table t --state s"), "--table"));
  CHECK(failed_with(firn("calibrate m.onnx -o t --format csv --data d"),
                    "--format: expected firn|ncnn, got csv"));
  CHECK(failed_with(firn("quantize m.onnx -o o --rounding up --data d"),
                    "--rounding: expected nearest|fast|thorough, got up"));
  CHECK(failed_with(firn("quantize m.onnx -o o --bias-correction all --data d"),
                    "--bias-correction: expected none|analytic|frames, got all"));
  CHECK(failed_with(firn("calibrate m.onnx --data d"), "--state"));
}

TEST_CASE("missing and foreign files are named") {
  const TempFolder folder;
  for (const std::string command : {"info", "bench", "profile"}) {
    CAPTURE(command);
    CHECK(failed_with(firn(command + " no-such.onnx"), "no-such.onnx"));
    CHECK(failed_with(firn(command + " " + folder.path()), folder.path()));
    CHECK(failed_with(firn(command + " " + folder.write("empty.onnx", "")), "empty.onnx"));
    CHECK(failed_with(firn(command + " " + folder.write("text.onnx", "no model\n")), "text.onnx"));
  }
  const std::string odd = folder.write("two\nlines.onnx", "x");
  CHECK(failed_with(firn("info '" + odd + "'"), "two\\x0alines.onnx"));
}

}  // namespace
}  // namespace firn::tool
