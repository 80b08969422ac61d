var express = require("express");
var exec = require("child_process").exec;
var app = express()

app.get("/ping", function (req, res) {
  if (req.query.host == null) { return res.status(400).end(); }
  exec("ping -c 1 " + req.query.host, function (err, out) {
    res.send(out);
  });
});

/* jshint ignore:start */
var unusedThing = eval("1 + 1");
/* jshint ignore:end */

app.listen(3000);
