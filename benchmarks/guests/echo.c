/* The small benchmark skill: it answers with its input. */

#include "cyberos.h"

struct answer skill_run(struct text input) { return answer_with(input); }
