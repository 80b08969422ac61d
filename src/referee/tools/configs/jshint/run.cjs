/**
 * Checks the files of a request with JSHint and prints one JSON object per line.
 *
 * Usage: node run.cjs REQUEST.json, with the app as working folder. The request holds `files` and
 * `options`; a file that imports or exports is read as a module. Nothing of the app is looked up: no
 * `.jshintrc`, no `.jshintignore`, no `jshintConfig` of a package.json.
 *
 * Each file is read twice: with its JSHint comments made ineffective, which gives the findings, and as
 * it stands, which tells which of them its comments hide. Only code, line, column, kind and reason are
 * printed, and at most 200 characters of a reason: JSHint's own report repeats the source line, which
 * for a file of one long line is more text than Node.js can hold.
 */
"use strict";

const fs = require("node:fs");
const { JSHINT } = require("jshint");
const { version } = require("jshint/package.json");

const MAX_REASON_CHARACTERS = 200;
const DIRECTIVE = /(\/[*/][\t ]*)(js[hl]int)(?=[\s:])/g;
const IS_MODULE = /^[\t ]*(?:import(?:[\s{*"'])|export[\s{*])/m;

const request = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));

/** Write a line whole, also to a pipe whose reader is slow. */
function print(record) {
  let rest = Buffer.from(`${JSON.stringify(record)}\n`);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(fs.writeSync(1, rest));
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}

function shorten(text) {
  return text.length > MAX_REASON_CHARACTERS ? `${text.slice(0, MAX_REASON_CHARACTERS)}…` : text;
}

function check(source, options) {
  JSHINT(source, { ...options });
  const found = JSHINT.errors.filter(Boolean).map(({ code, line, character, reason }) => (
    { code: code ?? "E000", line, column: character, text: shorten(String(reason)) }
  ));
  JSHINT.errors.length = 0;
  return found;
}

function keyOf({ code, line, column }) {
  return `${code}:${line}:${column}`;
}

function inspect(file) {
  const source = fs.readFileSync(file, "utf8").replace(/^\uFEFF/, "");
  const isModule = file.endsWith(".mjs") || (!file.endsWith(".cjs") && IS_MODULE.test(source));
  const options = { ...request.options, module: isModule };
  // The same number of characters, so that every place stays where it is.
  const neutral = source.replace(DIRECTIVE, "$1xxxxxx");
  const messages = check(neutral, options);
  if (neutral !== source) {
    const visible = new Set(check(source, options).map(keyOf));
    for (const message of messages) if (!visible.has(keyOf(message))) message.hidden = true;
  }
  return { type: "file", path: file, module: isModule, messages };
}

print({ type: "start", schema: "referee-jshint", schema_version: "1", version });
for (const file of request.files) {
  try {
    print(inspect(file));
  } catch (error) {
    print({ type: "crash", path: file, text: shorten(String(error.message)) });
  }
}
print({ type: "end", files: request.files.length });
