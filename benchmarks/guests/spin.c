/* A skill that computes for 10 to 20 ms before it answers with its input: long enough to be killed in. */

#include "cyberos.h"

enum { ROUNDS = 6000000 };

struct answer skill_run(struct text input) {
  for (volatile unsigned round = 0; round < ROUNDS; round++) {
  }
  return answer_with(input);
}
