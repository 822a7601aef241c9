// SPDX-License-Identifier: Apache-2.0
// The style and the script of the report page, which stand inside it.
#ifndef FIRN_EXAMPLES_FIRN_REPORT_ASSETS_H_
#define FIRN_EXAMPLES_FIRN_REPORT_ASSETS_H_

namespace firn::tool {

// Light and dark, from phones to desktops.
extern const char* const kReportStyle;
// Sorts and filters; without it the page shows everything in order.
extern const char* const kReportScript;

}  // namespace firn::tool

#endif  // FIRN_EXAMPLES_FIRN_REPORT_ASSETS_H_
