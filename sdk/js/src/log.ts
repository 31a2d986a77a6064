// What the SDK says to operators: a sentence and a few facts, never a pass, a secret or a token (protocol §19).

/** Receives what the SDK has to say. */
export type Log = (
  level: "debug" | "info" | "warn" | "error",
  message: string,
  details: Readonly<Record<string, string | number | undefined>>,
) => void;

/** Warnings and errors, one line each on standard error; quoted, so that no path can begin a line of its own. */
export const logToStandardError: Log = (level, message, details) => {
  if (level !== "warn" && level !== "error") return;
  console.error(`hallpass ${level}: ${message} ${JSON.stringify(details)}`);
};
