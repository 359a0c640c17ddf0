import assert from "node:assert/strict";
import test from "node:test";

const { slug } = await import(process.env.SLUG ?? "../src/slug.js");

test("words are joined", () => assert.equal(slug("Hello, world!"), "hello-world"));
test("accents go", () => assert.equal(slug("Größe & Ærø"), "grosse-aero"));
test("nothing is nothing", () => assert.equal(slug(" ?! "), ""));
