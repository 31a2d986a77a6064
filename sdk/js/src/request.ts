// What the rules need to know of a request, whatever server received it: method, target, headers, form (protocol §6).

/** A header's name in lower case and its value, one entry per line received, in order; each character stands for a byte. */
export type HeaderLines = ReadonlyArray<readonly [name: string, value: string]>;

/** The fields of a form, in order; or that it is larger than was asked for. */
export type Form = ReadonlyArray<readonly [name: string, value: string]> | "too_large";

/** One request. */
export interface Asked {
  readonly method: string;
  /** Path and query as the browser asked for them, also where a router has taken a prefix off; never the fragment. */
  readonly target: string;
  readonly headers: HeaderLines;
  /** Reads the body as `application/x-www-form-urlencoded`. Whoever handles the request afterwards still gets it whole. */
  readonly readForm: (limit: number) => Promise<Form>;
}

/** Every value that came under this name. */
export function valuesOf(headers: HeaderLines, name: string): string[] {
  return headers.filter(([found]) => found === name).map(([, value]) => value);
}

/** The first value that came under this name. */
export function firstOf(headers: HeaderLines, name: string): string | undefined {
  return headers.find(([found]) => found === name)?.[1];
}

/** Whether this is an inbound header that looks like identity, also to a CGI-style hop that turns `_` into `-` (advisory T38). */
export function isForgedIdentity(name: string): boolean {
  const plain = name.toLowerCase().replaceAll("_", "-");
  return plain === "x-hallpass" || plain.startsWith("x-hallpass-");
}

/** Path and query of a request target; an absolute one (RFC 9112 §3.2.2) loses its origin. */
export function pathAndQuery(target: string): string {
  const relative = target.replace(/^[A-Za-z][A-Za-z0-9+.-]*:\/\/[^/?#]*/, "").replace(/#.*$/s, "");
  if (relative === "" || relative.startsWith("?")) return `/${relative}`;
  return relative;
}

/** The fields of an urlencoded form (WHATWG URL §5.1). */
export function formFields(text: string): [string, string][] {
  // The parser drops one leading question mark, which belongs to the first field's name.
  return [...new URLSearchParams(text.startsWith("?") ? `&${text}` : text)];
}
