import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended,
  {
    files: ["arc_vae/static/*.js"],
    languageOptions: { ecmaVersion: 2023, sourceType: "module", globals: globals.browser },
    rules: {
      "max-len": ["error", { code: 120 }], "max-statements-per-line": ["error", { max: 3 }],
      "no-var": "error", "prefer-const": "error", eqeqeq: "error", "no-shadow": "error"
    }
  }
];
