# SPDX-License-Identifier: Apache-2.0
# Writes FILE's bytes as a C array NAME, and their count as NAME_size, to OUT.
file(READ ${FILE} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
file(WRITE ${OUT} "#include <stddef.h>
const unsigned char ${NAME}[] __attribute__((aligned(64))) = {${bytes}};
const size_t ${NAME}_size = sizeof ${NAME};
")
