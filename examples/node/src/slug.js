import { fold } from "./fold.js";

/** Turns a title into a piece of an address. */
export function slug(title) {
  return fold(title).match(/[a-z0-9]+/g)?.join("-") ?? "";
}
