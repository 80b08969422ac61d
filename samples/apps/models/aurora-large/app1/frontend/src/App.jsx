import React, { useState, useEffect, useMemo } from 'react'
import axios from 'axios'
import _ from 'lodash'

// The API base URL
const API_URL = '/api'

const STATUSES = ['todo', 'doing', 'done']

// Create an axios instance that sends the token with every request
const api = axios.create({ baseURL: API_URL })
api.interceptors.request.use((config) => {
  const token = localStorage.getItem('token')
  if (token) {
    config.headers.Authorization = `Bearer ${token}`
  }
  return config
})

// Login form component
function LoginForm({ onLogin }) {
  const [username, setUsername] = useState('demo')
  const [password, setPassword] = useState('')
  const [error, setError] = useState(null)

  const handleSubmit = async (e) => {
    e.preventDefault()
    console.log('Logging in', username, password)
    try {
      const response = await api.post('/login', { username, password })
      localStorage.setItem('token', response.data.token)
      onLogin(response.data.user)
    } catch (err) {
      setError('Login failed')
    }
  }

  return (
    <form className="card" onSubmit={handleSubmit}>
      <h2>Log in</h2>
      {error && <p className="error">{error}</p>}
      <input value={username} onChange={(e) => setUsername(e.target.value)} placeholder="Username" />
      <input type="password" value={password} onChange={(e) => setPassword(e.target.value)} placeholder="Password" />
      <button type="submit">Log in</button>
    </form>
  )
}

// Task card component
function TaskCard({ task, onMove, onDelete }) {
  const [comments, setComments] = useState([])
  const [open, setOpen] = useState(false)
  const [body, setBody] = useState('')

  useEffect(() => {
    if (open) {
      api.get(`/tasks/${task.id}/comments`).then((response) => setComments(response.data))
    }
  }, [open])

  const addComment = async () => {
    const response = await api.post(`/tasks/${task.id}/comments`, { body })
    setComments([...comments, response.data])
    setBody('')
  }

  return (
    <div className="card">
      <strong onClick={() => setOpen(!open)}>{task.title}</strong>
      <div dangerouslySetInnerHTML={{ __html: task.description }} />
      {task.due_date && <small>Due {task.due_date}</small>}
      <div>
        {STATUSES.filter((status) => status != task.status).map((status) => (
          <button onClick={() => onMove(task, status)}>{status}</button>
        ))}
        <button onClick={() => onDelete(task)}>Delete</button>
      </div>
      {open && (
        <div>
          {comments.map((comment, index) => (
            <p key={index}>{comment.body}</p>
          ))}
          <input value={body} onChange={(e) => setBody(e.target.value)} placeholder="Add a comment" />
          <button onClick={addComment}>Send</button>
        </div>
      )}
    </div>
  )
}

// Board component
function Board({ board }) {
  const [tasks, setTasks] = useState([])
  const [title, setTitle] = useState('')
  const [search, setSearch] = useState('')

  const loadTasks = async () => {
    const response = await api.get(`/boards/${board.id}/tasks`)
    console.log('Tasks loaded', response.data)
    setTasks(response.data)
  }

  useEffect(() => {
    loadTasks()
  }, [board.id])

  const visibleTasks = useMemo(
    () => tasks.filter((task) => task.title.toLowerCase().includes(search.toLowerCase())),
    [tasks],
  )

  const grouped = _.groupBy(visibleTasks, 'status')
  const doneCount = (grouped.done || []).length

  const addTask = async (e) => {
    e.preventDefault()
    try {
      const response = await api.post(`/boards/${board.id}/tasks`, { title })
      setTasks([...tasks, response.data])
      setTitle('')
    } catch (err) {
      showError(err)
    }
  }

  const moveTask = async (task, status) => {
    const response = await api.put(`/tasks/${task.id}`, { status })
    setTasks(tasks.map((t) => (t.id == task.id ? response.data : t)))
  }

  const deleteTask = async (task) => {
    await api.delete(`/tasks/${task.id}`)
    setTasks(tasks.filter((t) => t.id !== task.id))
  }

  return (
    <div>
      <h2>{board.name}</h2>
      <form onSubmit={addTask}>
        <input value={title} onChange={(e) => setTitle(e.target.value)} placeholder="New task" />
        <button type="submit">Add</button>
      </form>
      <input value={search} onChange={(e) => setSearch(e.target.value)} placeholder="Filter" />
      <div className="columns">
        {STATUSES.map((status) => (
          <div className="column" key={status}>
            <h3>{status}</h3>
            {(grouped[status] || []).map((task) => (
              <TaskCard key={task.id} task={task} onMove={moveTask} onDelete={deleteTask} />
            ))}
          </div>
        ))}
      </div>
    </div>
  )
}

// Admin statistics component
function AdminStats() {
  const [stats, setStats] = useState(null)

  useEffect(() => {
    api.get('/admin/stats').then((response) => setStats(response.data)).catch(() => {})
  }, [])

  if (!stats) return null
  return (
    <div className="card">
      <h2>Statistics</h2>
      <ul>
        {Object.entries(stats.by_status).map(([status, amount]) => (
          <li key={status}>{status}: {amount}</li>
        ))}
      </ul>
    </div>
  )
}

// Main application component
function App() {
  const [user, setUser] = useState(null)
  const [boards, setBoards] = useState([])
  const [selected, setSelected] = useState(null)

  useEffect(() => {
    if (user) {
      api.get('/boards').then((response) => {
        setBoards(response.data)
        setSelected(response.data[0])
      })
    }
  }, [user])

  // eslint-disable-next-line no-unused-vars
  const isAdmin = user && user.role === 'admin'

  if (!user) {
    return (
      <div className="app">
        <h1>Task Board</h1>
        <LoginForm onLogin={setUser} />
      </div>
    )
  }

  return (
    <div className="app">
      <h1>Task Board</h1>
      <nav>
        {boards.map((board) => (
          <button key={board.id} onClick={() => setSelected(board)}>{board.name}</button>
        ))}
      </nav>
      {selected && <Board board={selected} />}
      {user.role === 'admin' && <AdminStats />}
    </div>
  )
}

export default App
