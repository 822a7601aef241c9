// SPDX-License-Identifier: Apache-2.0
// An app that ships a frozen model: frozen MODEL.firn.
#include "run.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  firn::Result<firn::Model> model = firn::Model::load_firn(argv[1]);
  if (!model.ok()) {
    std::fprintf(stderr, "%s\n", model.status().message().c_str());
    return 1;
  }
  firn::Result<firn::Session> session = firn::Session::create(*model);
  return session.ok() ? print_run(*session) : 1;
}
