// The app's secret key: read from where secrets live and kept out of logs (protocol §16).

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { inspect } from "node:util";

/** How long a command may take: a vault that does not answer must not keep an app from saying so. */
const COMMAND_LIMIT_MILLISECONDS = 30_000;
/** Longer than any secret key. */
const LONGEST_OUTPUT = 4096;

/** The secret key of an app, as the engine issued it. Printing it shows nothing. */
export class SecretKey {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text.trim();
  }

  /** For whoever has to present it. */
  expose(): string {
    return this.#text;
  }

  toString(): string {
    return "SecretKey(redacted)";
  }

  toJSON(): string {
    return "SecretKey(redacted)";
  }

  [inspect.custom](): string {
    return "SecretKey(redacted)";
  }
}

/** From an environment variable; surrounding white space is not part of it. */
export function fromEnv(variable: string): SecretKey {
  const text = process.env[variable];
  if (text === undefined) throw new Error(`the environment variable ${variable} is not set`);
  return new SecretKey(text);
}

/** From a file, such as systemd's `LoadCredential=` or a container's secret mount; surrounding white space is not part of it. */
export function fromFile(path: string): SecretKey {
  try {
    return new SecretKey(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new Error(`the secret key could not be read from ${path}`, { cause });
  }
}

/**
 * From what a command prints, such as a vault's client: `fromCommand(["vault", "kv", "get", "-field=key", "secret/pos"])`.
 * It is started directly, not by a shell, gets no input, and has 30 seconds. Waits for it: call it while the app starts.
 */
export function fromCommand(command: readonly string[]): SecretKey {
  const [program = "", ...words] = command;
  const refuse = (reason: string): never => {
    // Never anything that the command printed.
    throw new Error(`the secret key could not be read from the command ${program}: ${reason}`);
  };
  if (program === "") return refuse("it is empty");
  const ended = spawnSync(program, words, {
    stdio: ["ignore", "pipe", "inherit"],
    timeout: COMMAND_LIMIT_MILLISECONDS,
    killSignal: "SIGKILL",
    maxBuffer: LONGEST_OUTPUT,
  });
  if (ended.error) {
    const code = (ended.error as NodeJS.ErrnoException).code;
    if (code === "ENOBUFS") return refuse("it printed more than a secret key");
    if (code === "ETIMEDOUT") return refuse(`it took more than ${COMMAND_LIMIT_MILLISECONDS / 1000} seconds`);
    return refuse(code ?? "it could not be started");
  }
  if (ended.status !== 0) return refuse(ended.signal ? `ended by ${ended.signal}` : `exit status ${ended.status}`);
  return new SecretKey(ended.stdout.toString("utf8"));
}
