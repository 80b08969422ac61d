import React, { useEffect, useState } from 'react'
import { createRoot } from 'react-dom/client'
import 'bootstrap/dist/css/bootstrap.min.css'

function App() {
  const [status, setStatus] = useState('…')
  useEffect(() => {
    fetch('/api/health').then((answer) => answer.json()).then((body) => setStatus(body.status))
  }, [])
  return <h1 className="display-1">{status}</h1>
}

createRoot(document.getElementById('root')).render(<App />)
