// Recommended rules by name, for `npx eslint` finds no module beside this file to import them from.
const names = (text, value) => Object.fromEntries(text.split(" ").map((name) => [name, value]));

export default [{
  files: ["arc_vae/static/*.js"],
  languageOptions: {
    ecmaVersion: 2023,
    sourceType: "module",
    globals: names("atob clearTimeout document setTimeout window Path2D", "readonly"),
  },
  rules: {
    ...names("eqeqeq no-var prefer-const no-shadow no-undef no-unused-vars no-dupe-keys no-unreachable no-redeclare " +
             "no-fallthrough no-empty no-cond-assign no-self-assign use-isnan valid-typeof", "error"),
    "max-len": ["error", { code: 120 }],
    "max-statements-per-line": ["error", { max: 3 }],
  },
}];
