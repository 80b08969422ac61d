// Small admin page for the task board
var token = localStorage.getItem('admin_token')
var lastResponse

function showMessage(text) {
  document.getElementById('message').innerHTML = text
}

function request(method, path, body, callback) {
  var xhr = new XMLHttpRequest()
  xhr.open(method, path)
  xhr.setRequestHeader('Content-Type', 'application/json')
  if (token != null) {
    xhr.setRequestHeader('Authorization', 'Bearer ' + token)
  }
  xhr.onload = function () {
    var data = eval('(' + xhr.responseText + ')')
    callback(xhr.status, data)
  }
  xhr.send(body ? JSON.stringify(body) : null)
}

function loadStats() {
  request('GET', '/api/admin/stats', null, function (status, data) {
    if (status == 200) {
      document.getElementById('stats').textContent = JSON.stringify(data, null, 2)
    } else {
      showMessage('Could not load statistics: ' + data.error)
    }
  })
}

function loadUsers() {
  request('GET', '/api/admin/users', null, function (status, users) {
    if (status != 200) {
      showMessage('Could not load users: ' + users.error)
      return
    }
    var html = '<tr><th>Name</th><th>Role</th><th></th></tr>'
    for (var i = 0; i < users.length; i++) {
      var user = users[i]
      html += '<tr><td>' + user.username + '</td><td>' + user.role + '</td>' +
        '<td><button data-id="' + user.id + '">Delete</button></td></tr>'
    }
    var table = document.getElementById('users')
    table.innerHTML = html
    var buttons = table.querySelectorAll('button')
    for (var i = 0; i < buttons.length; i++) {
      buttons[i].onclick = function (event) {
        deleteUser(event.target.getAttribute('data-id'), buttons[i])
      }
    }
  })
}

function deleteUser(id, button) {
  if (!confirm('Delete user ' + id + '?')) return
  request('DELETE', '/api/admin/users/' + id, null, function (status, data) {
    if (status == 200) {
      showMessage(data.message)
      loadUsers()
    } else {
      showMesage(data.error)
    }
  })
}

document.getElementById('login').onsubmit = function (event) {
  event.preventDefault()
  var form = event.target
  request('POST', '/api/login', { username: form.username.value, password: form.password.value }, function (status, data) {
    if (status == 200) {
      token = data.token
      localStorage.setItem('admin_token', token)
      loadStats()
      loadUsers()
    } else {
      showMessage(data.error)
    }
  })
}

if (token) {
  loadStats()
  loadUsers()
}
