// Serves the built frontend and forwards API calls to the backend
var express = require('express')
var http = require('http')
var path = require('path')
var fs = require('fs')
var exec = require('child_process').exec

var app = express()
var port = process.env.PORT || 3000
var backend = process.env.BACKEND_URL || 'http://localhost:5000'
var dist = path.join(__dirname, 'dist')

// Forward API calls
app.use('/api', function (req, res) {
  var options = { method: req.method, headers: req.headers }
  var proxied = http.request(backend + '/api' + req.url, options, function (answer) {
    res.writeHead(answer.statusCode, answer.headers)
    answer.pipe(res)
  })
  proxied.on('error', function (err) {
    console.log('Backend error', err)
    res.status(502).send('Backend error: ' + err.message)
  })
  req.pipe(proxied)
})

// Redirect to a shared link
app.get('/share', function (req, res) {
  if (req.query.to == undefined) {
    res.status(400).send('Nothing to share')
    return
  }
  res.redirect(req.query.to)
})

// Search page for browsers without JavaScript
app.get('/search', function (req, res) {
  res.send('<h1>Results for ' + req.query.q + '</h1>')
})

// Returns a file of the newsletter archive
app.get('/newsletter', function (req, res) {
  var file = path.join(dist, 'newsletter', req.query.name || 'latest.html')
  fs.readFile(file, 'utf8', function (err, text) {
    if (err) {
      res.status(404).send('Not found')
    } else {
      res.send(text)
    }
  })
})

// Shows the free disk space
app.get('/disk', function (req, res) {
  exec('df -h ' + (req.query.path || '/'), function (err, stdout) {
    if (err) {
      res.status(500).send(err.message)
    } else {
      res.type('text/plain').send(stdout)
    }
  })
})

app.use(express.static(dist))

app.get('*', function (req, res) {
  res.sendFile(path.join(dist, 'index.html'))
})

app.listen(port, function () {
  console.log('Frontend listening on port ' + port)
})
