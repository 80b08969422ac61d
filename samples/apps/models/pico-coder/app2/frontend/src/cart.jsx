import { createContext, useContext, useEffect, useReducer } from 'react'
import { cart } from './client'

const CartContext = createContext(null)

function reducer(state, action) {
  switch (action.type) {
    case 'loaded':
      return { ...state, items: action.items }
    case 'failed':
      return { ...state, error: action.error }
    default:
      return state
  }
}

export function CartProvider({ children }) {
  const [state, dispatch] = useReducer(reducer, { items: [], error: null })

  const reload = async () => {
    try {
      dispatch({ type: 'loaded', items: await cart.list() })
    } catch (error) {
      dispatch({ type: 'failed', error: 'Log in to see your cart' })
    }
  }

  useEffect(() => {
    reload()
  }, [])

  const add = async (product) => {
    await cart.create({ product_id: product.id, quantity: 1 })
    await reload()
  }

  return <CartContext.Provider value={{ ...state, add, reload }}>{children}</CartContext.Provider>
}

export function useCart() {
  return useContext(CartContext)
}
