// Writes a module and all that it imports into one file: node scripts/bundle.js ENTRY BUNDLE
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";

const [entry, bundle] = process.argv.slice(2);
const seen = new Set();

function modules(path) {
  if (seen.has(path)) return "";
  seen.add(path);
  let before = "";
  const own = readFileSync(path, "utf8").replace(/^import .* from "(\..*)";\n+/gm, (_, other) => {
    before += modules(resolve(dirname(path), other));
    return "";
  });
  return before + (path === resolve(entry) ? own : own.replace(/^export /gm, "")) + "\n";
}

writeFileSync(bundle, modules(resolve(entry)).trimEnd() + "\n");
