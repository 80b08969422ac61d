import { useEffect, useState } from 'react'
import { api } from './api'
import { LoginForm } from './components/LoginForm'
import { SafeText, TaskItem } from './components/TaskItem'
import { useTasks, useTitle } from './hooks'
import type { Board, Session, Task } from './types'
import { Role } from './types'

function BoardView({ board }: { board: Board }) {
  const { tasks, setTasks, error, reload } = useTasks(board.id)
  const [title, setTitle] = useState('')
  useTitle(board.name)

  const add = async () => {
    const { data } = await api.createTask(board.id, title)
    if (data) setTasks([...tasks, data])
    setTitle('')
  }

  const change = (task: Task) => setTasks(tasks.map((t) => (t.id == task.id ? task : t)))
  const remove = async (task: Task) => {
    await api.deleteTask(task)
    reload()
  }

  return (
    <section>
      <h2>{board.name}</h2>
      {error && <p role="alert">{error}</p>}
      <ul>
        {tasks.map((task) => (
          <TaskItem task={task} onChange={change} onDelete={remove} />
        ))}
      </ul>
      <input value={title} onChange={(e) => setTitle(e.target.value)} />
      <button onClick={add}>Add</button>
    </section>
  )
}

export function App() {
  const [session, setSession] = useState<Session | null>(null)
  const [boards, setBoards] = useState<Board[]>([])
  const [stats, setStats] = useState<Record<string, number> | null>(null)

  useEffect(() => {
    if (!session) return
    api.boards().then((result) => setBoards(result.data ?? []))
    if (session.role === Role.Admin) api.stats().then((result) => setStats(result.data))
  }, [session])

  if (!session) return <LoginForm onLogin={setSession} />

  return (
    <main>
      <h1>
        Task Board of <SafeText html={session.username} />
      </h1>
      {stats && <pre>{JSON.stringify(stats, null, 2)}</pre>}
      {boards.map((board) => (
        <BoardView key={board.id} board={board} />
      ))}
    </main>
  )
}
