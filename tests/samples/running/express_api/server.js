const express = require('express')

const app = express()
const PORT = process.env.PORT || 3000

app.use(express.json())
app.get('/health', (req, res) => res.json({ status: 'ok' }))
app.post('/api/echo', (req, res) => res.status(201).json(req.body))

app.listen(PORT, () => console.log(`Listening on ${PORT}`))
