import React, { useEffect, useState } from 'react'
import { checkCoupon, createOrder, getCart, removeFromCart } from '../api.js'

export default function Cart({ user }) {
  const [cart, setCart] = useState({ lines: [], total: 0 })
  const [coupon, setCoupon] = useState('')
  const [total, setTotal] = useState(0)
  const [customer, setCustomer] = useState('')
  const [message, setMessage] = useState('')

  useEffect(() => {
    getCart().then((data) => {
      setCart(data)
      setTotal(data.total)
    })
  }, [])

  const applyCoupon = async () => {
    const result = await checkCoupon(coupon, cart.total)
    setTotal(result.total)
  }

  const remove = async (line) => {
    const data = await removeFromCart(line.product_id)
    setCart(data)
    setTotal(data.total)
  }

  const order = async () => {
    try {
      const result = await createOrder({
        customer,
        coupon,
        items: cart.lines.map((line) => ({
          product_id: line.product_id,
          quantity: line.quantity,
          price: line.price,
        })),
      })
      setMessage('Order ' + result.number + ' placed')
    } catch (e) {
      setMessage(error.message)
    }
  }

  return (
    <div>
      <h2>Cart</h2>
      <ul>
        {cart.lines.map((line) => (
          <li key={line.product_id}>
            {line.quantity} × {line.name}: {line.subtotal.toFixed(2)} €
            <button onClick={() => remove(line)}>Remove</button>
          </li>
        ))}
      </ul>
      <input value={coupon} onChange={(e) => setCoupon(e.target.value)} placeholder="Coupon" />
      <button onClick={applyCoupon}>Apply</button>
      <p>Total: {total.toFixed(2)} €</p>
      <input value={customer} onChange={(e) => setCustomer(e.target.value)} placeholder="Your name" />
      <button onClick={order} disabled={user == null}>Order</button>
      {message && <p>{message}</p>}
    </div>
  )
}
