// What a skill written in C has: texts, memory, the host's functions, and the exports of schema/skill.wit by the
// canonical ABI. A skill is one file that includes this and defines `skill_run`.

#pragma once

typedef unsigned char byte;
typedef unsigned long size;

struct text {
  const byte *at;
  size length;
};

/// A text, or an error message.
struct answer {
  byte failed;
  struct text text;
};

/// A list of texts, or an error message in `at` and `length`.
struct answers {
  byte failed;
  union {
    const struct text *texts;
    const byte *message;
  } at;
  size length;
};

/// The skill: its input as JSON text, and its output.
struct answer skill_run(struct text input);

#define TEXT(literal) ((struct text){(const byte *)(literal), sizeof(literal) - 1})

static inline struct answer answer_with(struct text text) { return (struct answer){0, text}; }
static inline struct answer fail_with(struct text text) { return (struct answer){1, text}; }

// The host's functions. One that is never called is not imported; one that allowed-tools does not declare
// must not be called.
#define HOST_FUNCTION(name) __attribute__((import_module("cyberos:skill/host@0.1.0"), import_name(name))) extern

HOST_FUNCTION("read-file") void host_read_file(const byte *path, size length, struct answer *answer);
HOST_FUNCTION("write-file")
void host_write_file(const byte *path, size length, const byte *content, size content_length, struct answer *answer);
HOST_FUNCTION("list-dir") void host_list_dir(const byte *path, size length, struct answers *answers);
HOST_FUNCTION("fetch-url") void host_fetch_url(const byte *url, size length, struct answer *answer);
HOST_FUNCTION("get-secret") void host_get_secret(const byte *name, size length, struct answer *answer);
HOST_FUNCTION("read-env") void host_read_env(const byte *name, size length, struct answer *answer);
HOST_FUNCTION("recall-memory")
void host_recall_memory(const byte *query, size length, unsigned int limit, struct answers *answers);
HOST_FUNCTION("exec-command")
void host_exec_command(
  const byte *name, size length, const struct text *arguments, size count, struct answer *answer);
HOST_FUNCTION("log") void host_log(const byte *message, size length, struct answer *answer);

enum { CYBEROS_PAGE = 65536 };

extern byte __heap_base;

/// Memory that is never freed: every call has a store of its own.
__attribute__((export_name("cabi_realloc"))) void *
cabi_realloc(const void *old, size old_length, size alignment, size length) {
  static byte *heap = &__heap_base;
  byte *start = (byte *)(((size)heap + alignment - 1) & ~(alignment - 1));
  size end = (size)start + length;
  size room = (size)__builtin_wasm_memory_size(0) * CYBEROS_PAGE;
  if (end < length) __builtin_trap();
  if (end > room && __builtin_wasm_memory_grow(0, (end - room + CYBEROS_PAGE - 1) / CYBEROS_PAGE) == (size)-1)
    __builtin_trap();
  for (size index = 0; index < old_length && index < length; index += 1) start[index] = ((const byte *)old)[index];
  heap = (byte *)end;
  return start;
}

static inline byte *allocate(size length) { return cabi_realloc(0, 0, 8, length); }

__attribute__((export_name("run"))) struct answer *run(const byte *input, size length) {
  static struct answer answer;
  answer = skill_run((struct text){input, length});
  return &answer;
}
