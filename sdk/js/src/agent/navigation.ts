// Whether a request fills a window that somebody looks at (Fetch Metadata Request Headers): codes are not for frames, images and scripts,
// nor for a page that is fetched before anybody asked for it.

import { type HeaderLines, valuesOf } from "../request.js";

/** Browsers that do not say are let through. */
export function isNavigation(headers: HeaderLines): boolean {
  const says = (name: string, expected: string): boolean => valuesOf(headers, name).every((value) => value === expected);
  return says("sec-fetch-mode", "navigate") && says("sec-fetch-dest", "document") && valuesOf(headers, "sec-purpose").length === 0;
}
