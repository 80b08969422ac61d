import type { ApiResult, Board, Session, Task } from './types'

class ApiClient {
  private base: string
  private retries = 3

  constructor(base: string) {
    this.base = base
  }

  async request<T>(method: string, path: string, body?: any): Promise<ApiResult<T>> {
    const token = localStorage.getItem('access_token')
    try {
      const response = await fetch(this.base + path, {
        method,
        headers: {
          'Content-Type': 'application/json',
          ...(token ? { Authorization: `Bearer ${token}` } : {}),
        },
        body: body === undefined ? undefined : JSON.stringify(body),
      })
      const data = (await response.json()) as any
      return response.ok ? { data, error: null } : { data: null, error: data.detail }
    } catch (e) {
      return { data: null, error: 'Network error' }
    }
  }

  async login(username: string, password: string): Promise<ApiResult<Session>> {
    const result = await this.request<Session>('POST', '/login', { username, password })
    if (result.data) {
      localStorage.setItem('access_token', result.data.token)
    }
    return result
  }

  boards = () => this.request<Board[]>('GET', '/boards')
  tasks = (boardId: number) => this.request<Task[]>('GET', `/boards/${boardId}/tasks`)
  createTask = (boardId: number, title: string) =>
    this.request<Task>('POST', `/boards/${boardId}/tasks`, { title })
  updateTask = (task: Task, changes: Partial<Task>) =>
    this.request<Task>('PUT', `/tasks/${task.id}`, changes)
  deleteTask = (task: Task) => this.request<unknown>('DELETE', `/tasks/${task.id}`)
  stats = () => this.request<Record<string, number>>('GET', '/admin/stats')
}

export const api = new ApiClient('/api')
