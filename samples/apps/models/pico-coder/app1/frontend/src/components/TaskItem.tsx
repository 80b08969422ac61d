import DOMPurify from 'dompurify'
import { api } from '../api'
import type { Task } from '../types'

interface Props {
  task: Task
  onChange: (task: Task) => void
  onDelete: (task: Task) => void
}

const NEXT_STATUS: Record<string, string> = { todo: 'doing', doing: 'done', done: 'todo' }

export function TaskItem({ task, onChange, onDelete }: Props) {
  const advance = async () => {
    const { data, error } = await api.updateTask(task, { status: NEXT_STATUS[task.status] })
    if (data) onChange(data)
  }

  return (
    <li>
      <strong>{task.title}</strong> <em>{task.status}</em>
      <div dangerouslySetInnerHTML={{ __html: task.description }} />
      <button onClick={advance}>Next</button>
      <button onClick={() => onDelete(task)}>Delete</button>
    </li>
  )
}

export function SafeText({ html }: { html: any }) {
  // eslint-disable-next-line
  return <span dangerouslySetInnerHTML={{ __html: DOMPurify.sanitize(html) }} />
}
