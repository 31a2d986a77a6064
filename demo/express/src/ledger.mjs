// What can be bought, and what has happened since the start: the last few entries, in memory. Money is in hundredths.

/** Entries kept. */
const KEPT = 8;
/** The most that is refunded at once. */
const MOST = 100_000;

export const GOODS = [
  { key: "espresso", name: "Espresso", price: 220 },
  { key: "cappuccino", name: "Cappuccino", price: 340 },
  { key: "croissant", name: "Croissant", price: 190 },
  { key: "sandwich", name: "Sandwich", price: 580 },
  { key: "juice", name: "Orange juice", price: 410 },
  { key: "beans", name: "Beans, 250 g", price: 1250 },
];

/** Reads "12.50", "12,5" or "12"; undefined for anything else, for nothing, and for more than 1,000. */
export function parseAmount(text) {
  const [, whole, part = ""] = (typeof text === "string" && /^(\d{1,4})(?:[.,](\d{0,2}))?$/.exec(text.trim())) || [];
  const amount = Number(whole) * 100 + Number(part.padEnd(2, "0"));
  return amount > 0 && amount <= MOST ? amount : undefined;
}

/** As people write it. */
export function shown(amount) {
  return (amount / 100).toFixed(2);
}

/** What has happened, newest first. */
export class Ledger {
  #last = 0;
  #entries = [];

  /** Writes down that `by` did `what`, and gives its number. */
  add(userId, by, what) {
    this.#last += 1;
    this.#entries = [{ number: this.#last, userId, by, what }, ...this.#entries].slice(0, KEPT);
    return this.#last;
  }

  recent() {
    return this.#entries;
  }

  /** An entry of the last few, if it is that person's own. */
  find(number, userId) {
    return this.#entries.find((entry) => entry.number === number && entry.userId === userId);
  }
}
