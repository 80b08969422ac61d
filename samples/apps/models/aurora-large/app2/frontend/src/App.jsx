import React, { useState } from 'react'
import { Routes, Route, Link } from 'react-router-dom'
import Products from './pages/Products.jsx'
import Cart from './pages/Cart.jsx'
import Admin from './pages/Admin.jsx'
import { login } from './api.js'

// Login component
function Login({ onLogin }) {
  const [email, setEmail] = useState('demo@example.com')
  const [password, setPassword] = useState('')
  const [error, setError] = useState('')

  const submit = async (event) => {
    event.preventDefault()
    try {
      onLogin(await login(email, password))
    } catch (e) {
      setError(e.message)
    }
  }

  return (
    <form onSubmit={submit}>
      <input value={email} onChange={(e) => setEmail(e.target.value)} />
      <input type="password" value={password} onChange={(e) => setPassword(e.target.value)} />
      <button>Log in</button>
      {error && <span className="error">{error}</span>}
    </form>
  )
}

export default function App() {
  const [user, setUser] = useState(null)

  return (
    <div className="app">
      <h1>Shop Orders</h1>
      <nav>
        <Link to="/">Products</Link> <Link to="/cart">Cart</Link>{' '}
        {user && user.is_admin && <Link to="/admin">Admin</Link>}
      </nav>
      {user ? <p>Hello {user.email}</p> : <Login onLogin={setUser} />}
      <Routes>
        <Route path="/" element={<Products />} />
        <Route path="/cart" element={<Cart user={user} />} />
        <Route path="/admin" element={<Admin />} />
      </Routes>
    </div>
  )
}
