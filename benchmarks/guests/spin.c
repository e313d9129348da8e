/* A skill that computes for 10 to 20 ms before it answers with its input: long enough to be killed in. */

#include "skill.h"

enum { ROUNDS = 6000000 };

__attribute__((export_name("run")))
struct answer *run(const byte *input, size length) {
  for (volatile unsigned round = 0; round < ROUNDS; round++) {
  }
  return answer_with(input, length);
}
