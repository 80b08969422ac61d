import { createRoot } from 'react-dom/client'
import App from './App'
import { CartProvider } from './cart'

createRoot(document.getElementById('root')).render(
  <CartProvider>
    <App />
  </CartProvider>,
)
