// What both servers of the federation tests do: say where they listen, and stop with their parent.

/** Print the line that the tests wait for, and stop `server` when standard input closes. */
export function ready(server, url) {
  process.stdin.resume();
  process.stdin.on("close", async () => {
    await server.stop();
    process.exit(0);
  });
  console.log(`ready ${url}`);
}

/** A free port on loopback alone. */
export const LISTEN = { host: "127.0.0.1", port: 0 };
