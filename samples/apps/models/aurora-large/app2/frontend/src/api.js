// All calls to the backend
const API_URL = '/api'

async function call(method, path, body) {
  const headers = { 'Content-Type': 'application/json' }
  const token = localStorage.getItem('shop_token')
  if (token) {
    headers.Authorization = 'Bearer ' + token
  }
  const response = await fetch(API_URL + path, {
    method,
    headers,
    credentials: 'include',
    body: body ? JSON.stringify(body) : undefined,
  })
  const data = await response.json()
  if (response.status >= 400) {
    throw new Error(data.error || 'Request failed')
  }
  return data
}

export const getProducts = (sort) => call('GET', '/products?sort=' + sort)
export const getCart = () => call('GET', '/cart')
export const addToCart = (productId, quantity) => call('POST', '/cart', { product_id: productId, quantity })
export const removeFromCart = (productId) => call('DELETE', '/cart/' + productId)
export const checkCoupon = (code, total) => call('POST', '/coupons/check', { code, total })
export const createOrder = (order) => call('POST', '/orders', order)
export const getOrders = () => call('GET', '/orders')
export const getAdminOrders = () => call('GET', '/admin/orders')
export const getAdminStats = () => call('GET', '/admin/stats')

export async function login(email, password) {
  const data = await call('POST', '/login', { email, password })
  localStorage.setItem('shop_token', data.token)
  return data
}
