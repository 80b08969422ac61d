/**
 * Parses JavaScript files and prints one JSON object per line: {path, line, message} for each that cannot be
 * parsed, {path, unchecked: true} for each that nothing here can parse, and {end: true}. Nothing is run.
 *
 * Usage: node --experimental-vm-modules check_syntax.mjs REQUEST.json
 * The request names the `files`, and as `parser` a file of the parser espree, or null.
 */
import { readFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import vm from "node:vm";

const request = JSON.parse(readFileSync(process.argv[2], "utf8"));
const espree = request.parser === null ? null : createRequire(request.parser)(request.parser);

function parse(path, text) {
  if (espree !== null) {
    const options = { ecmaVersion: "latest", ecmaFeatures: { jsx: true, globalReturn: path.endsWith(".cjs") } };
    try {
      espree.parse(text, { ...options, sourceType: path.endsWith(".cjs") ? "commonjs" : "module" });
    } catch (error) {
      if (path.endsWith(".js") === false) throw error;
      espree.parse(text, { ...options, sourceType: "script" });
    }
    return true;
  }
  if (path.endsWith(".jsx")) return false;
  try {
    new vm.SourceTextModule(text, { identifier: path });
  } catch (error) {
    if (path.endsWith(".mjs")) throw error;
    new vm.Script(`(function () {${text}\n})`, { filename: path });
  }
  return true;
}

for (const path of request.files) {
  let record = null;
  try {
    if (!parse(path, readFileSync(path, "utf8"))) record = { path, unchecked: true };
  } catch (error) {
    const inStack = /:(\d+)\n/.exec(String(error.stack));
    record = { path, line: error.lineNumber ?? (inStack ? Number(inStack[1]) : null), message: String(error.message).slice(0, 300) };
  }
  if (record !== null) writeSync(1, `${JSON.stringify(record)}\n`);
}
writeSync(1, `${JSON.stringify({ end: true })}\n`);
