import {
  execCommand,
  fetchUrl,
  getSecret,
  listDir,
  log,
  readEnv,
  readFile,
  recallMemory,
  writeFile,
} from "cyberos:skill/host@0.1.0";

type Call = [name: string, ...parameters: unknown[]];

// eslint-disable-next-line @typescript-eslint/no-explicit-any
const FUNCTIONS: Record<string, (...parameters: any[]) => unknown> = {
  read_file: readFile,
  write_file: writeFile,
  list_dir: listDir,
  fetch_url: fetchUrl,
  get_secret: getSecret,
  read_env: readEnv,
  recall_memory: recallMemory,
  exec_command: execCommand,
  log: log,
};

function outcome([name, ...parameters]: Call): { ok: unknown } | { err: string } {
  try {
    return { ok: FUNCTIONS[name](...parameters) ?? null };
  } catch (error) {
    const { payload, message } = error as { payload?: string; message?: string };
    return { err: String(payload ?? message ?? error) };
  }
}

export function run(input: string): string {
  const { calls } = JSON.parse(input) as { calls: Call[] };
  return JSON.stringify(calls.map(outcome));
}
