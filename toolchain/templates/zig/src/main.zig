//! `cyberos-skill-cli build` compiles this to dist/skill.wasm, and `fixtures` runs its cases. `cyberos` has the host's
//! functions, which a skill may call where allowed-tools in SKILL.md declares them.

const std = @import("std");
const cyberos = @import("cyberos");

const Input = struct {
    name: ?[]const u8 = null,
    language: []const u8 = "vi",
};

const Output = struct {
    greeting: []const u8,
};

pub fn run(allocator: std.mem.Allocator, text: []const u8) ![]const u8 {
    const input = std.json.parseFromSliceLeaky(Input, allocator, text, .{}) catch
        return cyberos.fail("input_invalid: the input is not as SKILL.md describes it", .{});
    const name = input.name orelse return cyberos.fail("input_invalid: the field \"name\" is missing", .{});
    const greeting = if (std.mem.eql(u8, input.language, "vi"))
        "Xin chào"
    else if (std.mem.eql(u8, input.language, "en"))
        "Hello"
    else
        return cyberos.fail("input_invalid: the field \"language\" must be one of \"vi\" and \"en\"", .{});
    const output = Output{ .greeting = try std.fmt.allocPrint(allocator, "{s} {s}", .{ greeting, name }) };
    return std.json.Stringify.valueAlloc(allocator, output, .{});
}
