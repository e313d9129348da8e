/* The small benchmark skill: it answers with its input. */

#include "skill.h"

__attribute__((export_name("run")))
struct answer *run(const byte *input, size length) {
  return answer_with(input, length);
}
