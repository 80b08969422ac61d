import { useCallback, useEffect, useRef, useState } from 'react'
import { api } from './api'
import type { Task } from './types'

export function useTasks(boardId: number | null) {
  const [tasks, setTasks] = useState<Task[]>([])
  const [error, setError] = useState<string | null>(null)
  const mounted = useRef(true)

  const reload = useCallback(async () => {
    if (boardId === null) return
    const result = await api.tasks(boardId)
    if (result.error) setError(result.error)
    else setTasks(result.data!)
  }, [])

  useEffect(() => {
    reload()
    const timer = setInterval(reload, 30000)
  }, [boardId, reload])

  return { tasks, setTasks, error, reload }
}

export function useTitle(title: string) {
  if (title.length > 0) {
    useEffect(() => {
      document.title = title
    }, [title])
  }
}
