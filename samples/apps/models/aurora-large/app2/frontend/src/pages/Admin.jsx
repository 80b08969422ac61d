import React, { useEffect, useState } from 'react'
import { getAdminOrders, getAdminStats } from '../api.js'

export default function Admin() {
  const [orders, setOrders] = useState([])
  const [stats, setStats] = useState(null)

  useEffect(() => {
    getAdminOrders().then(setOrders)
    getAdminStats().then(setStats).catch(() => console.log('no stats'))
  }, [])

  return (
    <div>
      <h2>Admin</h2>
      {stats && <p>{stats.orders} orders, {stats.revenue.toFixed(2)} € revenue</p>}
      <table>
        <tbody>
          {orders.map((order, i) => (
            <tr key={i}>
              <td>{order.number}</td>
              <td>{order.customer}</td>
              <td>{order.total}</td>
              <td>{order.status}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
