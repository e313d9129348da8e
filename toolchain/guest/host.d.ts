// What a skill may import of the service, as schema/skill.wit has it. A call that is refused throws an Error whose
// `payload` is the service's text; it is meant for the skill, not for its caller.

declare module "cyberos:skill/host@0.1.0" {
  export function readFile(path: string): string;
  export function writeFile(path: string, content: string): void;
  export function listDir(path: string): string[];
  export function fetchUrl(url: string): string;
  export function getSecret(name: string): string;
  export function readEnv(name: string): string;
  export function recallMemory(query: string, limit: number): string[];
  export function execCommand(name: string, args: string[]): string;
  export function log(message: string): void;
}
