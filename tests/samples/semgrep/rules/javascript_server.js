const express = require("express");
const cors = require("cors");
const crypto = require("crypto");
const fs = require("fs");
const https = require("https");
const jwt = require("jsonwebtoken");
const path = require("path");
const session = require("express-session");
const { exec, execFile } = require("child_process");
const cp = require("child_process");
var run = require("child_process").exec;

const app = express();
const db = require("./db");

// ruleid: referee.javascript.express-cors-any-origin
app.use(cors());
// ruleid: referee.javascript.express-cors-any-origin
app.use(cors({ origin: "*", credentials: true }));
// ok: referee.javascript.express-cors-any-origin
app.use(cors({ origin: "https://shop.example" }));

// ruleid: referee.javascript.secret-hardcoded
const JWT_SECRET = "very-secret-value";
// ruleid: referee.javascript.secret-hardcoded
const API_KEY = process.env.API_KEY || "sk-live-1234567";
// ok: referee.javascript.secret-hardcoded
const SESSION_SECRET = process.env.SESSION_SECRET;
// ruleid: referee.javascript.secret-hardcoded
app.use(session({ secret: "keyboard cat", resave: false }));

app.get("/user", (req, res) => {
  // ruleid: referee.javascript.sql-built-from-strings
  db.query(`SELECT * FROM users WHERE name = '${req.query.name}'`);
  // ruleid: referee.javascript.sql-built-from-strings
  db.all("SELECT * FROM users WHERE id = " + req.params.id, () => {});
  // ok: referee.javascript.sql-built-from-strings
  db.query("SELECT * FROM users WHERE id = ?", [req.params.id]);
  // ok: referee.javascript.sql-built-from-strings
  db.get(`user:${req.params.id}`);
});

app.get("/ping", (req, res) => {
  // ruleid: referee.javascript.child-process-exec
  exec("ping -c 1 " + req.query.host, () => {});
  // ruleid: referee.javascript.child-process-exec
  cp.execSync(`ping ${req.query.host}`);
  // ruleid: referee.javascript.child-process-exec
  run("df -h " + (req.query.path || "/"), () => {});
  // ok: referee.javascript.child-process-exec
  execFile("ping", ["-c", "1", req.query.host], () => {});
  // ok: referee.javascript.child-process-exec
  exec("uptime", () => {});
});

app.get("/go", (req, res) => {
  // ruleid: referee.javascript.open-redirect
  res.redirect(req.query.next);
  // ok: referee.javascript.open-redirect
  res.redirect("/home");
});

app.get("/file", (req, res) => {
  // ruleid: referee.javascript.path-traversal
  fs.readFile("uploads/" + req.query.name, () => {});
  // ruleid: referee.javascript.path-traversal
  res.sendFile(path.join("uploads", req.params.name));
  // ok: referee.javascript.path-traversal
  fs.readFile(path.join("uploads", path.basename(req.query.name)), () => {});
});

app.get("/fetch", async (req, res) => {
  // ruleid: referee.javascript.ssrf
  await fetch(req.query.url);
  // ok: referee.javascript.ssrf
  await fetch("https://status.example");
});

app.get("/hello", (req, res) => {
  // ruleid: referee.javascript.xss-from-request
  res.send(`<h1>Hello ${req.query.name}</h1>`);
  // ok: referee.javascript.xss-from-request
  res.json({ name: req.query.name });
});

function readToken(token, key) {
  // ruleid: referee.javascript.jwt-not-verified
  jwt.decode(token);
  // ruleid: referee.javascript.jwt-not-verified
  jwt.verify(token, key, { algorithms: ["none"] });
  // ok: referee.javascript.jwt-not-verified
  jwt.verify(token, key, { algorithms: ["HS256"] });
  // ruleid: referee.javascript.secret-hardcoded
  return jwt.sign({ sub: 1 }, "secret");
}

function hash(text) {
  // ruleid: referee.javascript.password-weak-hash
  crypto.createHash("md5").update(text);
  // ok: referee.javascript.password-weak-hash
  crypto.createHash("sha256").update(text);
  // ruleid: referee.javascript.certificate-not-checked
  const agent = new https.Agent({ rejectUnauthorized: false });
  // ok: referee.javascript.certificate-not-checked
  const strict = new https.Agent({ rejectUnauthorized: true });
  // ruleid: referee.javascript.token-from-math-random
  const resetToken = Math.random().toString(36);
  // ok: referee.javascript.token-from-math-random
  const angle = Math.random() * 360;
  return [agent, strict, resetToken, angle];
}

app.use((err, req, res, next) => {
  // ruleid: referee.javascript.express-error-shown-to-visitor
  res.status(500).json({ error: err.stack });
  // ok: referee.javascript.express-error-shown-to-visitor
  res.status(500).json({ error: "It went wrong." });
});
