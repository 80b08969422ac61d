export interface Session {
  token: string
  username: string
  role: string
}

export interface Board {
  id: number
  name: string
}

export interface Task {
  id: number
  board_id: number
  title: string
  description: string
  status: string
}

export type ApiResult<T> = { data: T | null; error: string | null }

export enum Role {
  Admin = 'admin',
  Member = 'member',
}
