import React, { useEffect, useState } from 'react'
import { marked } from 'marked'
import { addToCart, getProducts, getCart } from '../api.js'

// Product card component
function ProductCard({ product, onAdd }) {
  if (product.stock == 0) {
    return <div className="product">{product.name} is sold out</div>
  }
  const [quantity, setQuantity] = useState(1)

  return (
    <div className="product">
      <h3>{product.name}</h3>
      {product.image && <img src={'/api/images?file=' + product.image} width="200" />}
      <div dangerouslySetInnerHTML={{ __html: marked.parse(product.description) }} />
      <p>{product.price.toFixed(2)} €</p>
      <input type="number" value={quantity} onChange={(e) => setQuantity(Number(e.target.value))} />
      <button onClick={() => onAdd(product, quantity)}>Add to cart</button>
    </div>
  )
}

export default function Products() {
  const [products, setProducts] = useState([])
  const [sort, setSort] = useState('name')
  const [message, setMessage] = useState('')

  useEffect(() => {
    getProducts(sort).then(setProducts)
  }, [])

  const handleAdd = async (product, quantity) => {
    try {
      const result = await addToCart(product.id, quantity)
      setMessage(product.name + ' added')
    } catch (e) {
    }
  }

  return (
    <div>
      <select value={sort} onChange={(e) => setSort(e.target.value)}>
        <option value="name">Name</option>
        <option value="price">Price</option>
      </select>
      {message && <p>{message}</p>}
      <div className="grid">
        {products.map((product) => <ProductCard product={product} onAdd={handleAdd} />)}
      </div>
    </div>
  )
}
