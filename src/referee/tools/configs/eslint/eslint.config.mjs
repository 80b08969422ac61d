/**
 * Referee's own ESLint configuration. The configuration of the app under test is never read.
 *
 * Plug-ins resolve from the `node_modules` beside this file; `options.json` beside it, when
 * present, holds the parameters of the run. By hand:
 * `eslint --no-config-lookup -c eslint.config.mjs --no-inline-config .` with the app as working folder.
 */
import { existsSync, readFileSync } from "node:fs";

import js from "@eslint/js";
import react from "@eslint-react/eslint-plugin";
import noUnsanitized from "eslint-plugin-no-unsanitized";
import reactHooks from "eslint-plugin-react-hooks";
import security from "eslint-plugin-security";
import globals from "globals";
import tseslint from "typescript-eslint";

const optionsFile = new URL("./options.json", import.meta.url);
const options = {
  extends: ["eslint:recommended", "typescript-eslint:recommended", "react:recommended",
    "react-hooks:recommended", "security:recommended", "no-unsanitized:recommended"],
  env: { browser: true, es2021: true, node: true },
  rules: {},
  ignore_patterns: [],
  parser_options: {},
  ...(existsSync(optionsFile) ? JSON.parse(readFileSync(optionsFile, "utf8")) : {}),
};

const SCRIPTS = ["**/*.js", "**/*.mjs", "**/*.cjs", "**/*.jsx"];
const TYPED = ["**/*.ts", "**/*.tsx", "**/*.mts", "**/*.cts"];
const ALL = [...SCRIPTS, ...TYPED];

/** Rules of the original plug-ins that report what an app does on purpose far more often than a mistake. */
const QUIET_SECURITY = { "security/detect-object-injection": "off" };

/** Both plug-ins know the hooks; each mistake is reported once, by the plug-in React's authors keep. */
const HOOKS_TWICE = Object.fromEntries(
  ["exhaustive-deps", "rules-of-hooks", "error-boundaries", "purity", "set-state-in-effect", "set-state-in-render",
    "static-components", "unsupported-syntax", "use-memo"].map((name) => [`@eslint-react/${name}`, "off"]),
);

const hooks = { plugins: { "react-hooks": reactHooks } };
const PRESETS = {
  "eslint:recommended": () => [{ files: ALL, rules: js.configs.recommended.rules }],
  "eslint:all": () => [{ files: ALL, rules: js.configs.all.rules }],
  "typescript-eslint:recommended": () => typed(tseslint.configs.recommended),
  "typescript-eslint:strict": () => typed(tseslint.configs.strict),
  "react:recommended": () => [{ files: ALL, ...reactOnly(react.configs["recommended-typescript"]) }],
  "react:strict": () => [{ files: ALL, ...reactOnly(react.configs["strict-typescript"]) }],
  "react-hooks:recommended": () => [
    { files: ALL, ...hooks, rules: { ...reactHooks.configs.flat.recommended.rules, ...HOOKS_TWICE } },
  ],
  "security:recommended": () => [
    { files: ALL, plugins: { security }, rules: { ...security.configs.recommended.rules, ...QUIET_SECURITY } },
  ],
  "no-unsanitized:recommended": () => [
    { files: ALL, plugins: { "no-unsanitized": noUnsanitized }, rules: noUnsanitized.configs.recommended.rules },
  ],
};

function typed(configs) {
  return configs.map((config) => ({ ...config, files: TYPED }));
}

function reactOnly({ plugins, rules, settings }) {
  return { plugins, rules, settings };
}

function environmentGlobals(env) {
  const names = Object.keys(env).filter((name) => env[name]);
  return Object.assign({}, ...names.map((name) => globals[name] ?? {}));
}

const { ecmaVersion = "latest", sourceType, ecmaFeatures } = options.parser_options;
const parserOptions = { ecmaFeatures: { jsx: true, ...ecmaFeatures } };

const configuration = [
  ...(options.ignore_patterns.length > 0 ? [{ ignores: options.ignore_patterns }] : []),
  {
    files: ALL,
    plugins: { "@typescript-eslint": tseslint.plugin, "react-hooks": reactHooks, security,
      "no-unsanitized": noUnsanitized, ...react.configs["recommended-typescript"].plugins },
    languageOptions: {
      ecmaVersion, globals: environmentGlobals(options.env), parserOptions,
      ...(sourceType ? { sourceType } : {}),
    },
    linterOptions: { reportUnusedDisableDirectives: "off", reportUnusedInlineConfigs: "off" },
  },
  ...(sourceType === "commonjs" ? [] : [{ files: ["**/*.cjs"], languageOptions: { sourceType: "commonjs" } }]),
  { files: TYPED, languageOptions: { parser: tseslint.parser, parserOptions } },
  ...options.extends.flatMap((name) => PRESETS[name]()),
  {
    files: ALL,
    rules: {
      // The classic JSX transform uses `React` without naming it; components in JSX are tracked by ESLint itself.
      ...(options.extends.includes("eslint:recommended") || options.extends.includes("eslint:all")
        ? { "no-unused-vars": ["error", { varsIgnorePattern: "^(React|_.*)$", argsIgnorePattern: "^_" }] } : {}),
    },
  },
  {
    files: TYPED,
    rules: options.extends.some((name) => name.startsWith("typescript-eslint:"))
      ? {
          "no-unused-vars": "off",
          "no-undef": "off",
          "@typescript-eslint/no-unused-vars": [
            "error", { varsIgnorePattern: "^(React|_.*)$", argsIgnorePattern: "^_" },
          ],
        }
      : {},
  },
  {
    files: ALL,
    // Without a version the plug-in would load the React of the app to ask for it, which is code of the app.
    settings: { "react-x": { ...react.configs.recommended.settings?.["react-x"], version: "19.0.0" } },
    rules: options.rules,
  },
];

export default configuration;
