// Seals small values under the app's secret key and fingerprints what must not be kept: HKDF (RFC 5869), AES-256-GCM, SHA-256.

import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from "node:crypto";

import type { SecretKey } from "./secret.js";

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Seals with the first key, opens with all. The purpose is associated data: a value sealed for one does not open for another. */
export interface Sealer {
  readonly keys: readonly Buffer[];
}

/** What {@link open} found. */
export interface Opened {
  readonly plaintext: Buffer;
  /** Sealed under a previous secret: to be sealed again before that secret is retired. */
  readonly byPrevious: boolean;
}

/** Derives a key of its own from each secret; the first is the current one. */
export function makeSealer(appKey: string, secrets: readonly SecretKey[]): Sealer {
  const derive = (secret: SecretKey): Buffer =>
    Buffer.from(hkdfSync("sha256", secret.expose(), "hallpass-client sealing key", appKey, 32));
  return { keys: secrets.map(derive) };
}

/** base64url of `nonce ‖ ciphertext ‖ tag`. */
export function seal(sealer: Sealer, plaintext: string, purpose: string): string {
  const [key] = sealer.keys;
  if (!key) throw new Error("a sealer has a key");
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(Buffer.from(purpose));
  const sealed = Buffer.concat([nonce, cipher.update(plaintext, "utf8"), cipher.final(), cipher.getAuthTag()]);
  return sealed.toString("base64url");
}

/** The plaintext, or undefined if one bit of the value, the key or the purpose differs. */
export function open(sealer: Sealer, text: string, purpose: string): Opened | undefined {
  const sealed = Buffer.from(text, "base64url");
  // The decoder passes over what is not base64url; a value is good in one spelling only.
  if (sealed.toString("base64url") !== text || sealed.length < NONCE_BYTES + TAG_BYTES) return undefined;
  for (const [index, key] of sealer.keys.entries()) {
    const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
    decipher.setAAD(Buffer.from(purpose));
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    try {
      const plaintext = Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
      return { plaintext, byPrevious: index > 0 };
    } catch {
      // Not by this key.
    }
  }
  return undefined;
}

/** SHA-256 of `parts` in hex, each preceded by its length so that no two lists of parts hash the same bytes. */
export function fingerprint(parts: readonly string[]): string {
  const hash = createHash("sha256");
  for (const part of parts) {
    const bytes = Buffer.from(part, "utf8");
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(bytes.length));
    hash.update(length).update(bytes);
  }
  return hash.digest("hex");
}
