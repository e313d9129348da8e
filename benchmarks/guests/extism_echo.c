/* The same skill for Extism: it answers with its input. Blocks of memory belong to the host and are named
   by 64-bit offsets (extism.org/docs/concepts/pdk); input and output are copied eight bytes at a time, as
   Extism's own C library does. */

typedef unsigned char byte;
typedef unsigned long long word;

#define HOST(name) __attribute__((import_module("extism:host/env"), import_name(name)))

HOST("input_length") extern word input_length(void);
HOST("input_load_u8") extern byte input_load_u8(word at);
HOST("input_load_u64") extern word input_load_u64(word at);
HOST("alloc") extern word allocate(word length);
HOST("store_u8") extern void store_u8(word at, byte value);
HOST("store_u64") extern void store_u64(word at, word value);
HOST("output_set") extern void output_set(word at, word length);

__attribute__((export_name("run")))
int run(void) {
  word length = input_length(), at = 0;
  word output = allocate(length);
  for (; at + sizeof(word) <= length; at += sizeof(word)) store_u64(output + at, input_load_u64(at));
  for (; at < length; at++) store_u8(output + at, input_load_u8(at));
  output_set(output, length);
  return 0;
}
