import { useState } from 'react'
import type { FormEvent } from 'react'
import { api } from '../api'
import type { Session } from '../types'

export function LoginForm({ onLogin }: { onLogin: (session: Session) => void }) {
  const [username, setUsername] = useState('demo')
  const [password, setPassword] = useState('')
  const [error, setError] = useState<string | null>(null)

  const submit = async (event: FormEvent) => {
    event.preventDefault()
    const result = await api.login(username, password)
    if (result.data) onLogin(result.data)
    else setError(result.error)
  }

  return (
    <form onSubmit={submit}>
      <input value={username} onChange={(e) => setUsername(e.target.value)} />
      <input type="password" value={password} onChange={(e) => setPassword(e.target.value)} />
      <button>Log in</button>
      {error && <p role="alert">{error}</p>}
    </form>
  )
}
