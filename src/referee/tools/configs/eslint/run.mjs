/**
 * Lints the files of a request with Referee's configuration and prints one JSON object per line.
 *
 * Usage: node run.mjs REQUEST.json, with the app as working folder. The request names the `files`.
 * Lines: `start`, then `file` or `crash` for each file, then `rules`, then `end`. A line is complete or
 * absent, so output that was cut is readable up to the cut. The source of the app is never printed.
 *
 * Comments in the code cannot switch a rule off; the ones that ask for it are printed as `directives`.
 */
import { readFileSync, statSync, writeSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { ESLint } from "eslint";

const MAX_MESSAGE_CHARACTERS = 1000;
const here = path.dirname(fileURLToPath(import.meta.url));
const request = JSON.parse(readFileSync(process.argv[2], "utf8"));

/** Write a line whole, also to a pipe whose reader is slow. */
function print(record) {
  let rest = Buffer.from(`${JSON.stringify(record)}\n`);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}

/** Reports each comment that would change what ESLint reports: `eslint-disable…` and `eslint rule: 0`. */
const directives = {
  create(context) {
    const { sourceCode } = context;
    const tell = (loc, value) => context.report({ loc, message: "{{text}}", data: { text: JSON.stringify(value) } });
    return {
      Program() {
        for (const directive of sourceCode.getDisableDirectives().directives) {
          const { loc } = directive.node;
          tell(loc, { kind: `eslint-${directive.type}`, rules: directive.value, end_line: loc.end.line });
        }
        for (const { config, loc } of sourceCode.applyInlineConfig().configs) {
          const off = Object.entries(config.rules ?? {}).filter(([, value]) => isOff(value)).map(([name]) => name);
          if (off.length > 0) tell(loc, { kind: "eslint", rules: off.join(","), end_line: loc.end.line });
        }
      },
    };
  },
};

function isOff(value) {
  const severity = Array.isArray(value) ? value[0] : value;
  return severity === 0 || severity === "off";
}

const eslint = new ESLint({
  cwd: process.cwd(),
  overrideConfigFile: path.join(here, "eslint.config.mjs"),
  overrideConfig: [{
    plugins: { referee: { rules: { directives } } },
    rules: { "referee/directives": "warn" },
  }],
  allowInlineConfig: false,
  cache: false,
});

function shorten(text) {
  return text.length > MAX_MESSAGE_CHARACTERS ? `${text.slice(0, MAX_MESSAGE_CHARACTERS)}…` : text;
}

function toRecord(file, messages) {
  const record = { type: "file", path: file, messages: [], directives: [] };
  for (const message of messages) {
    if (message.ruleId === "referee/directives") {
      record.directives.push({ ...JSON.parse(message.message), line: message.line, column: message.column });
      continue;
    }
    const { ruleId, severity, line, column, endLine, endColumn, fatal } = message;
    record.messages.push({
      rule: ruleId, severity, text: shorten(message.message), line, column, end_line: endLine, end_column: endColumn,
      ...(fatal ? { fatal: true } : {}),
    });
  }
  return record;
}

const ruleDocs = {};
let filesCount = 0;

async function lint(file) {
  const absolute = path.resolve(file);
  if (await eslint.isPathIgnored(absolute)) return { type: "ignored", path: file };
  if (!statSync(absolute).isFile()) return { type: "crash", path: file, text: "not a file" };
  const results = await eslint.lintText(readFileSync(absolute, "utf8"), { filePath: absolute });
  for (const [name, meta] of Object.entries(eslint.getRulesMetaForResults(results))) {
    if (name === "referee/directives") continue;
    ruleDocs[name] ??= { description: meta.docs?.description ?? "", url: meta.docs?.url ?? null, kind: meta.type ?? null };
  }
  filesCount += 1;
  return toRecord(file, results[0]?.messages ?? []);
}

print({ type: "start", schema: "referee-eslint", schema_version: "1", version: ESLint.version });
try {
  await eslint.calculateConfigForFile(path.resolve("referee.js"));
} catch (error) {
  print({ type: "failure", text: shorten(String(error.message)) });
  process.exit(2);
}
for (const file of request.files) {
  try {
    print(await lint(file));
  } catch (error) {
    print({ type: "crash", path: file, text: shorten(String(error.message).split("\n")[0]) });
  }
}
print({ type: "rules", rules: ruleDocs });
print({ type: "end", files: filesCount });
