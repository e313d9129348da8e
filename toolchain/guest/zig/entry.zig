//! What a component written in Zig exports: `run` of the skill's `main.zig`, by the canonical ABI.

const std = @import("std");
const cyberos = @import("cyberos");
const skill = @import("skill");

const Answer = extern struct { failed: u8, at: [*]const u8, length: usize };

var answer: Answer = undefined;

export fn cabi_realloc(old: ?[*]u8, old_length: usize, alignment: usize, length: usize) [*]u8 {
    const memory = cyberos.allocator.rawAlloc(length, .fromByteUnits(alignment), 0) orelse @trap();
    if (old) |bytes| @memcpy(memory[0..@min(old_length, length)], bytes[0..@min(old_length, length)]);
    return memory;
}

export fn run(at: [*]const u8, length: usize) *const Answer {
    if (skill.run(cyberos.allocator, at[0..length])) |text| {
        answer = .{ .failed = 0, .at = text.ptr, .length = text.len };
    } else |failure| {
        const text = cyberos.reason orelse @errorName(failure);
        answer = .{ .failed = 1, .at = text.ptr, .length = text.len };
    }
    return &answer;
}
