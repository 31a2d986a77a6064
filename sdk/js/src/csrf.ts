// The synchronizer token (protocol §7; OWASP CSRF prevention) as a request presents it: header or form field. The engine, which
// made it, judges it.

import { type Asked, type Form, type HeaderLines, firstOf, valuesOf } from "./request.js";

/** Forms up to this size are looked into. */
export const LARGEST_FORM = 64 * 1024;

/** Where scripts put the token, and where forms put it. */
const HEADER = "x-csrf-token";
const FIELD = "csrf_token";
/** Printable, and no longer than any token. */
const TOKEN = /^[!-~]{1,512}$/;

/** No token; one; or something in its place that no page of ours sends. */
export type PresentedToken = { readonly kind: "absent" | "malformed" } | { readonly kind: "token"; readonly token: string };

/** Looks for a token; the body stays whole for the application. */
export async function presentedToken(asked: Asked): Promise<PresentedToken | "too_large"> {
  const values = valuesOf(asked.headers, HEADER);
  if (values.length > 0) return one(values);
  if (!isSmallForm(asked.headers)) return { kind: "absent" };
  const form = await asked.readForm(LARGEST_FORM);
  if (form === "too_large") return form;
  const fields = fieldValues(form, FIELD);
  return fields.length === 0 ? { kind: "absent" } : one(fields);
}

/** Every value of a form's field. */
export function fieldValues(form: Exclude<Form, "too_large">, name: string): string[] {
  return form.filter(([found]) => found === name).map(([, value]) => value);
}

function one(values: readonly string[]): PresentedToken {
  const [token, ...others] = values;
  if (token === undefined || others.length > 0 || !TOKEN.test(token)) return { kind: "malformed" };
  return { kind: "token", token };
}

function isSmallForm(headers: HeaderLines): boolean {
  const mediaType = firstOf(headers, "content-type")?.split(";", 1)[0]?.trim().toLowerCase();
  const length = firstOf(headers, "content-length") ?? "";
  // Without a length, or beyond ours, the body belongs to the application alone.
  const small = /^\d{1,9}$/.test(length) && Number(length) <= LARGEST_FORM;
  return mediaType === "application/x-www-form-urlencoded" && small && firstOf(headers, "content-encoding") === undefined;
}
