import { useEffect, useMemo, useState } from 'react'
import { calculate, login, orders, products } from './client'
import { useCart } from './cart'

function Login({ onLogin }) {
  const [form, setForm] = useState({ email: 'demo@example.com', password: '' })
  const [error, setError] = useState(null)

  const submit = async (event) => {
    event.preventDefault()
    try {
      onLogin(await login(form.email, form.password))
    } catch {
      setError('Login failed')
    }
  }

  return (
    <form onSubmit={submit}>
      <input value={form.email} onChange={(e) => setForm({ ...form, email: e.target.value })} />
      <input type="password" value={form.password} onChange={(e) => setForm({ ...form, password: e.target.value })} />
      <button>Log in</button>
      {error && <p role="alert">{error}</p>}
    </form>
  )
}

function ProductList() {
  const [items, setItems] = useState([])
  const [term, setTerm] = useState('')
  const { add } = useCart()

  useEffect(() => {
    products.list().then(setItems)
  }, [])

  const visible = useMemo(() => items.filter((item) => item.name.includes(term)), [items])

  return (
    <section>
      <input value={term} onChange={(e) => setTerm(e.target.value)} placeholder="Search" />
      <ul>
        {visible.map((item) => (
          <li>
            {item.name}, {item.price} € <button onClick={() => add(item)}>Add</button>
          </li>
        ))}
      </ul>
    </section>
  )
}

function Cart() {
  const cart = useCart()
  const [coupon, setCoupon] = useState('')
  const [order, setOrder] = useState(null)
  const [note, setNote] = useState('')
  const total = calculate(cart.items.map((item) => item.price + '*' + item.quantity).join('+') || '0')

  const checkout = async () => {
    try {
      setOrder(await orders.create({ coupon }))
      cart.reload()
    } catch (error) {
      notifyUser(error)
    }
  }

  if (cart.items.length == 0) {
    return <p>{cart.error || 'Your cart is empty'}</p>
  }

  return (
    <section>
      <p>
        {cart.items.length} items, {total} €
      </p>
      <input value={coupon} onChange={(e) => setCoupon(e.target.value)} placeholder="Coupon" />
      <input value={note} onChange={(e) => setNote(e.target.value)} placeholder="Note" />
      <p dangerouslySetInnerHTML={{ __html: note }} />
      <button onClick={checkout}>Order</button>
      {order && <p>Order {order.id} placed</p>}
    </section>
  )
}

export default function App() {
  const [user, setUser] = useState(null)
  const reload = user ? useCart().reload : null
  const unusedLabel = 'Shop'

  useEffect(() => {
    if (user) reload()
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [user])

  return (
    <main>
      <h1>Shop</h1>
      {user ? <p>{user.email}</p> : <Login onLogin={setUser} />}
      <ProductList />
      <Cart />
    </main>
  )
}
